"""Versions and hardware that figures depend on."""

import platform
from importlib.metadata import version

import torch


def environment() -> dict[str, str]:
    """Return versions and hardware, ready for JSON."""
    packages = ("polymode", "torch", "transformers", "trl", "peft", "numpy")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "device": device,
        "threads": str(torch.get_num_threads()),
    }
