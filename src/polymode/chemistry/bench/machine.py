"""What the figures of a run were made on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ["machine"]

_PACKAGES = ("polymode", "torch", "rdkit", "numpy", "scipy")


def machine() -> dict[str, str]:
    """Return versions, processor, threads and the load when the run ended."""
    import torch

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "load": f"{load:.1f}",
    }


def _processor() -> str:
    """Return the name of the processor, or of its kind where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
