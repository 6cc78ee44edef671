"""What the benchmarks of chemistry share: sides timed in turns, spreads, and where it was run.

Machines that do other work as well make single times worthless. So all sides of a comparison are
timed in turns in one run, processor seconds beside those of the clock, and ratios are taken round
by round.
"""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Seconds = tuple[float, float]
"""Of the processor, and of the clock."""


def in_turns(
    sides: Mapping[str, Callable[[], Any]], *, rounds: int, times: int = 1
) -> dict[str, list[Seconds]]:
    """Time some calls of each side in turns, after a first call of each."""
    for call in sides.values():
        call()
    seconds: dict[str, list[Seconds]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            processor, clock = time.process_time(), time.perf_counter()
            for _ in range(times):
                call()
            seconds[name].append((time.process_time() - processor, time.perf_counter() - clock))
    return seconds


def rates(own: Sequence[Seconds], n: float) -> dict[str, dict[str, float]]:
    """Return how many of n things are done in a second of the processor, and of the clock."""
    return {
        f"per_second_of_{kind}": spread([n / each[i] for each in own])
        for i, kind in enumerate(("processor", "clock"))
    }


def ratios(own: Sequence[Seconds], other: Sequence[Seconds]) -> dict[str, dict[str, float]]:
    """Return how many times as fast this side is, round by round."""
    return {
        f"times_as_fast_{kind}": spread([b[i] / a[i] for a, b in zip(own, other, strict=True)])
        for i, kind in enumerate(("processor", "clock"))
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return smallest, median and largest."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def one_thread(error: Callable[[str], Any]) -> None:
    """Refuse to measure with more threads than one."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        error("set OMP_NUM_THREADS=1: the figures are those of one thread")


def keep(name: str, script: str, load_before: float, **content: Any) -> Path:
    """Write a results file, with commit, date and machine."""
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    head = {"schema_version": 1, "script": script, "commit": commit}
    kept = {**head, "date": date.today().isoformat(), "environment": machine(load_before)}
    path = HERE / "results" / f"{date.today().isoformat()}-{name}.json"
    path.write_text(json.dumps(kept | content, indent=1) + "\n")
    return path


def machine(load_before: float) -> dict[str, Any]:
    """Return what the figures depend on."""
    import torch

    return {
        "machine": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        "cores": os.cpu_count(),
        "threads": 1,
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "rdkit", "numpy", "polymode")},
    }
