"""Time the anchoring of a batch against sorting its group labels once, side by side in one process.

    .venv/bin/python benchmarks/speed/anchoring.py [--largest 10000000]

Ragged groups of 1 to 64 samples, with shuffled labels and with sorted ones (as TRL gives them).
Every repeat runs all sides in alternating order; ratios are within a repeat, over `np.sort` of the
*shuffled* labels, which is what a user's own loop over groups would have to begin with. Writes
`benchmarks/speed/results/DATE-anchoring.json`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from polymode.core import augment, percentile_threshold

HERE = Path(__file__).resolve().parent
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
LARGEST_GROUP, N_MODES, BETA, THRESHOLD, REPEATS, SEED = 64, 8, 0.05, 0.5, 7, 0
YARDSTICK = "np.sort"


def main() -> None:
    """Measure every size `REPEATS` times and write ratios and times per sample."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="leave out larger batches")
    largest = parser.parse_args().largest
    rows = [row for n in SIZES if n <= largest for row in compare(n, sides(n))]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    kept = {
        "schema_version": 1,
        "script": "benchmarks/speed/anchoring.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "workload": {
            "group_sizes": [1, LARGEST_GROUP],
            "modes_per_group": N_MODES,
            "frac_good": 0.5,
            "beta": BETA,
            "dtype": "float64",
            "repeats": REPEATS,
            "seed": SEED,
        },
        "environment": {
            "machine": platform.machine(),
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "load_before": os.getloadavg()[0],
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "array-api-compat", "polymode")},
        },
        "rows": rows,
    }
    target = HERE / "results" / f"{date.today().isoformat()}-anchoring.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(kept, indent=1) + "\n")
    for row in rows:
        low, middle, high = (row["ratio"][key] for key in ("min", "median", "max"))
        print(
            f"{row['samples']:>9} {row['part']:<44} {row['ns_per_sample']:8.1f} ns/sample "
            f"{middle:6.2f} [{low:.2f}, {high:.2f}] x sort"
        )


def sides(n: int) -> dict[str, Callable[[], Any]]:
    """What is timed; the batch itself is made beforehand."""
    rng = np.random.default_rng(SEED)
    sizes = rng.integers(1, LARGEST_GROUP + 1, n)
    sorted_labels = np.repeat(np.arange(n), sizes)[:n]
    labels = {"shuffled": rng.permutation(sorted_labels), "sorted": sorted_labels}
    rewards = rng.integers(0, 2, n).astype(np.float64)
    log_q = rng.uniform(-30.0, 0.0, n)
    modes = rng.integers(0, N_MODES, n)
    texts = modes.astype(str).tolist()
    own_modes = labels["shuffled"] * N_MODES + modes  # distinct across groups, as hashes are

    def anchoring(order: str, **keywords: Any) -> Callable[[], Any]:
        keywords = {"beta": BETA, "threshold": THRESHOLD, "groups": labels[order], **keywords}
        return lambda: augment(rewards, log_q, **keywords)

    return {
        YARDSTICK: lambda: np.sort(labels["shuffled"]),
        "np.argsort": lambda: np.argsort(labels["shuffled"]),
        "anchoring, shuffled": anchoring("shuffled"),
        "anchoring, sorted": anchoring("sorted"),
        "anchoring, shuffled, modes": anchoring("shuffled", modes=modes),
        "anchoring, sorted, modes": anchoring("sorted", modes=modes),
        "anchoring, shuffled, modes as strings": anchoring("shuffled", modes=texts),
        "anchoring, shuffled, modes of each group": anchoring("shuffled", modes=own_modes),
        "anchoring, shuffled, 90th percentile": anchoring(
            "shuffled", threshold=percentile_threshold(90)
        ),
    }


def compare(n: int, parts: Mapping[str, Callable[[], Any]]) -> list[dict[str, Any]]:
    """Time all sides in alternating order; the first repeat warms up and is dropped."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    calls = max(1, 10**5 // n)  # small batches: enough calls for the clock
    for repeat in range(REPEATS + 1):
        for name in list(parts)[:: -1 if repeat % 2 else 1]:
            started = time.perf_counter()
            for _ in range(calls):
                parts[name]()
            seconds[name].append((time.perf_counter() - started) / calls)
    rows = []
    for name, kept in ((name, each[1:]) for name, each in seconds.items()):
        ratios = [own / base for own, base in zip(kept, seconds[YARDSTICK][1:], strict=True)]
        median = statistics.median(kept)
        rows.append(
            {
                "samples": n,
                "part": name,
                "median_seconds": median,
                "ns_per_sample": 1e9 * median / n,
                "ratio": {
                    "min": min(ratios),
                    "median": statistics.median(ratios),
                    "max": max(ratios),
                },
                "seconds": kept,
            }
        )
    return rows


def cpu_name() -> str:
    """Name of the processor, as far as the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


if __name__ == "__main__":
    main()
