"""Time the metrics of samples against the loops that one would write, side by side in one process.

    .venv/bin/python benchmarks/speed/metrics.py [--prompts 10000]

Prompts of 16 completions of about 64 words, and an embedding of 384 numbers for each. The loops
are the published formulas as a reader of the papers writes them: a list of n-grams for every order
of every prompt, and the eigenvalues of every prompt's matrix of similarities. Every repeat runs
both sides in alternating order, and both must give the same numbers. Writes
`benchmarks/speed/results/DATE-text-metrics.json`.
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
from pathlib import Path
from typing import Any

import numpy as np

from polymode.metrics import (
    bootstrap_mean,
    effective_modes,
    expectation_adjusted_distinct,
    max_at_k,
    semantic_diversity,
    vendi_score,
)

HERE = Path(__file__).resolve().parent
PROMPTS, COMPLETIONS, WORDS, DIMENSIONS = 10_000, 16, 64, 384
VOCABULARY, REPEATS, SEED = 50257, 3, 0


def main() -> None:
    """Measure both sides and write seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--prompts", type=int, default=PROMPTS, help="how many prompts")
    n_prompts = parser.parse_args().prompts
    parts = sides(n_prompts)
    rows = [compare(name, *pair) for name, pair in parts.items()]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    kept = {
        "schema_version": 1,
        "script": "benchmarks/speed/metrics.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "workload": {
            "prompts": n_prompts,
            "completions": COMPLETIONS,
            "words": [WORDS // 2, WORDS + WORDS // 2],
            "dimensions": DIMENSIONS,
            "repeats": REPEATS,
            "seed": SEED,
        },
        "environment": {
            "machine": platform.machine(),
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "load_before": os.getloadavg()[0],
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "polymode")},
        },
        "rows": rows,
    }
    target = HERE / "results" / f"{date.today().isoformat()}-text-metrics.json"
    target.write_text(json.dumps(kept, indent=1) + "\n")
    for row in rows:
        loop = "" if row["loop"] is None else f"loop {row['loop']['median']:8.2f} s"
        print(f"{row['part']:<24} {row['polymode']['median']:8.2f} s  {loop}")


def sides(n_prompts: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any] | None]]:
    """What is timed, ours and the loop; the samples are made beforehand."""
    rng = np.random.default_rng(SEED)
    n = n_prompts * COMPLETIONS
    groups = np.repeat(np.arange(n_prompts), COMPLETIONS)
    lengths = rng.integers(WORDS // 2, WORDS + WORDS // 2 + 1, n)
    words = np.asarray([f"w{i}" for i in range(VOCABULARY)])
    ranks = np.minimum(rng.zipf(1.3, lengths.sum()), VOCABULARY) - 1  # as frequent as in a language
    texts = [" ".join(own) for own in np.split(words[ranks], np.cumsum(lengths)[:-1])]
    topic = rng.normal(size=(n_prompts, DIMENSIONS))
    embeddings = topic[groups] + rng.normal(size=(n, DIMENSIONS))
    rewards = rng.normal(size=n)
    modes = rng.integers(0, 6, n).tolist()
    means = rng.normal(size=n_prompts)
    k = np.asarray([1, 2, 4, 8, 16])
    own = {"groups": groups}
    return {
        "EAD, n = 1 … 5": (
            lambda: expectation_adjusted_distinct(texts, vocabulary_size=VOCABULARY, **own),
            lambda: looped_ead(texts),
        ),
        "Vendi score": (lambda: vendi_score(embeddings, **own), lambda: looped_vendi(embeddings)),
        "semantic diversity": (
            lambda: semantic_diversity(embeddings, **own),
            lambda: looped_distances(embeddings),
        ),
        "max@k, five k": (lambda: max_at_k(rewards, k=k, **own), None),
        "effective modes": (
            lambda: effective_modes(modes, correction="chao_shen", **own),
            None,
        ),
        "bootstrap of a mean": (
            lambda: bootstrap_mean(means, rng=np.random.default_rng(SEED)).value,
            None,
        ),
    }


def looped_ead(texts: list[str]) -> np.ndarray:
    """Return EAD prompt by prompt, with a list of n-grams for each order."""
    found = []
    for start in range(0, len(texts), COMPLETIONS):
        each = []
        for n in range(1, 6):
            grams = []
            for text in texts[start : start + COMPLETIONS]:
                tokens = text.split()
                grams += [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
            chance = 1 - ((VOCABULARY - 1) / VOCABULARY) ** len(grams)
            each.append(len(set(grams)) / (VOCABULARY * chance))
        found.append(np.mean(each))
    return np.asarray(found)


def looped_vendi(embeddings: np.ndarray) -> np.ndarray:
    """Return the Vendi score prompt by prompt."""
    found = []
    for start in range(0, len(embeddings), COMPLETIONS):
        x = embeddings[start : start + COMPLETIONS]
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        values = np.linalg.eigvalsh(x @ x.T / len(x))
        values = values[values > 1e-12]
        found.append(np.exp(-np.sum(values * np.log(values))))
    return np.asarray(found)


def looped_distances(embeddings: np.ndarray) -> np.ndarray:
    """Return the mean cosine distance prompt by prompt, pair by pair."""
    found = []
    for start in range(0, len(embeddings), COMPLETIONS):
        x = embeddings[start : start + COMPLETIONS]
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        pairs = [1 - x[i] @ x[j] for i in range(len(x)) for j in range(i)]
        found.append(np.mean(pairs))
    return np.asarray(found)


def compare(name: str, ours: Callable[[], Any], loop: Callable[[], Any] | None) -> dict[str, Any]:
    """Time both sides in alternating order; they must agree. The first repeat warms up."""
    seconds: dict[str, list[float]] = {"polymode": [], "loop": []}
    error = 0.0
    for repeat in range(REPEATS + 1):
        both = [("polymode", ours)] + ([("loop", loop)] if loop else [])
        found = {}
        for side, function in both[:: -1 if repeat % 2 else 1]:
            started = time.perf_counter()
            found[side] = function()
            seconds[side].append(time.perf_counter() - started)
        if loop:
            error = max(error, float(np.max(np.abs(found["polymode"] / found["loop"] - 1))))
    if error > 1e-9:
        raise SystemExit(f"{name}: the sides differ by {error}")
    return {
        "part": name,
        "polymode": spread(seconds["polymode"][1:]),
        "loop": spread(seconds["loop"][1:]) if loop else None,
        "ratio": spread([b / a for a, b in zip(*(s[1:] for s in seconds.values()), strict=True)])
        if loop
        else None,
        "max_relative_difference": error if loop else None,
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
