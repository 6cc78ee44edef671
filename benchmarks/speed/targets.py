"""Time optimal policies beside what a user would write, in one process and on one core.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speed/targets.py

Three workloads. *Groups*: 100,000 groups of 16, beside a Python loop of `scipy.optimize.brentq`
over the multiplier; the loop is timed on some of the groups, as all of them would take minutes.
*One group* of 10^7 outcomes, beside `scipy.special.log_softmax` of one array, with the peak of the
memory that each allocates. *Sizes* from 10^3 to 10^7 samples in ragged groups. Sides alternate
within a repeat and ratios are taken within a repeat. Seconds are those of the processor, which on
one thread are the clock's where nothing else runs. Writes
`benchmarks/speed/results/DATE-targets.json`.
"""

import json
import platform
import statistics
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track
from scipy import optimize, special

from polymode.core import alpha_divergence, optimal_policy
from polymode.core.divergences import Divergence, get_divergence

HERE = Path(__file__).resolve().parent
REPEATS, SEED, BETA = 5, 0, 0.5
N_GROUPS, WIDTH, LOOP_GROUPS = 100_000, 16, 1_000
ONE_GROUP = 10**7
SIZES = tuple(10**k for k in range(3, 8))


class Textbook(NamedTuple):
    """What the loop knows of a divergence: the slope of its generator and the inverse of that."""

    slope: Callable[[Any], Any]
    inverse: Callable[[Any], Any]


LOOPS: Mapping[str, Textbook] = MappingProxyType(
    {
        "forward_kl": Textbook(lambda u: -1 / u, lambda s: -1 / s),
        "jensen_shannon": Textbook(
            lambda u: np.log(2 * u / (u + 1)), lambda s: 1 / np.expm1(np.log(2) - s)
        ),
        "reverse_chi_squared": Textbook(
            lambda u: 2 * (u - 1), lambda s: np.maximum(s / 2 + 1, 0.0)
        ),
        "forward_chi_squared": Textbook(lambda u: 1 - u**-2.0, lambda s: (1 - s) ** -0.5),
        "squared_hellinger": Textbook(lambda u: (1 - u**-0.5) / 2, lambda s: (1 - 2 * s) ** -2.0),
        "alpha(0.3)": Textbook(
            lambda u: (u**-0.7 - 1) / -0.7, lambda s: (1 - 0.7 * s) ** (1 / -0.7)
        ),
        "alpha(1.5)": Textbook(
            lambda u: (u**0.5 - 1) / 0.5, lambda s: np.maximum(1 + 0.5 * s, 0.0) ** 2
        ),
        "alpha(3.0)": Textbook(
            lambda u: (u**2 - 1) / 2, lambda s: np.maximum(1 + 2 * s, 0.0) ** 0.5
        ),
    }
)
CLOSED = ("reverse_kl", "total_variation")


def main() -> None:
    """Measure the three workloads and write them down."""
    rng = np.random.default_rng(SEED)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    kept = {
        "schema_version": 1,
        "script": "benchmarks/speed/targets.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "environment": {
            "machine": platform.machine(),
            "processor": processor(),
            **{name: version(name) for name in ("numpy", "scipy", "polymode")},
        },
        "settings": {"repeats": REPEATS, "seed": SEED, "beta": BETA},
        "groups": groups_beside_a_loop(rng),
        "one_group": one_group_beside_log_softmax(rng),
        "sizes": ragged_sizes(rng),
    }
    target = HERE / "results" / f"{date.today().isoformat()}-targets.json"
    target.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"wrote {target}")


def groups_beside_a_loop(rng: np.random.Generator) -> list[dict[str, Any]]:
    """100,000 groups of 16, as rows and as labels, beside a loop over some of them."""
    rewards, log_q = problem(rng, (N_GROUPS, WIDTH))
    labels = np.repeat(np.arange(N_GROUPS), WIDTH)
    flat = rewards.reshape(-1), log_q.reshape(-1)
    some = rewards[:LOOP_GROUPS], log_q[:LOOP_GROUPS]
    rows = []
    for name, textbook in track(LOOPS.items(), "groups of 16"):
        divergence = find(name)
        options = {"beta": BETA, "divergence": divergence}
        by_loop = loop(textbook, *some)
        difference = np.exp(by_loop) - np.exp(optimal_policy(*some, **options))
        seconds = alternate(
            {
                "loop": lambda t=textbook: loop(t, *some),
                "rows": lambda o=options: optimal_policy(rewards, log_q, **o),
                "labels": lambda o=options: optimal_policy(*flat, groups=labels, **o),
            }
        )
        scale = N_GROUPS / LOOP_GROUPS
        rows.append(
            {
                "divergence": name,
                "groups": N_GROUPS,
                "width": WIDTH,
                "loop_groups": LOOP_GROUPS,
                "loop_seconds": statistics.median(seconds["loop"]) * scale,
                "seconds": {side: statistics.median(seconds[side]) for side in ("rows", "labels")},
                "ratio": {
                    side: spread(ratios(seconds["loop"], seconds[side], scale))
                    for side in ("rows", "labels")
                },
                "largest_difference_of_t": float(np.abs(difference).max()),
            }
        )
    return rows


def one_group_beside_log_softmax(rng: np.random.Generator) -> list[dict[str, Any]]:
    """One group of 10^7 outcomes under every divergence; memory in arrays of that length."""
    rewards, log_q = problem(rng, (ONE_GROUP,))
    rows = []
    for name in track((*CLOSED, *LOOPS), "one group of 10^7"):
        options = {"beta": BETA, "divergence": find(name)}
        sides = {
            "log_softmax": lambda: special.log_softmax(rewards),
            "polymode": lambda o=options: optimal_policy(rewards, log_q, **o),
        }
        seconds = alternate(sides)
        rows.append(
            {
                "divergence": name,
                "outcomes": ONE_GROUP,
                "seconds": {side: statistics.median(times) for side, times in seconds.items()},
                "ratio": spread(ratios(seconds["polymode"], seconds["log_softmax"])),
                "peak_arrays": {
                    side: peak_bytes(run) / rewards.nbytes for side, run in sides.items()
                },
            }
        )
    return rows


def ragged_sizes(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Groups of 1 to 64 samples in shuffled order, at every size."""
    rows = []
    for n in track(SIZES, "10^3 to 10^7 samples"):
        rewards, log_q = rng.normal(size=n), rng.normal(size=n)
        labels = rng.permutation(np.repeat(np.arange(n), rng.integers(1, 65, n))[:n])
        for name in ("reverse_kl", "forward_kl", "reverse_chi_squared", "total_variation"):
            run = {
                "polymode": lambda d=name, r=rewards, q=log_q, g=labels: optimal_policy(
                    r, q, beta=BETA, divergence=d, groups=g
                )
            }
            times = alternate(run)["polymode"]
            rows.append(
                {
                    "divergence": name,
                    "samples": n,
                    "ns_per_sample": spread([t / n * 1e9 for t in times]),
                }
            )
    return rows


def problem(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Normal rewards, and references whose logarithms have a deviation of two nats."""
    log_q = 2 * rng.normal(size=shape)
    return rng.normal(size=shape), log_q - np.logaddexp.reduce(log_q, axis=-1, keepdims=True)


def loop(textbook: Textbook, rewards: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Return log t, group by group: the multiplier by brentq, to the last digit it can give.

    Its default tolerance, 2e-12 of the multiplier, leaves errors of 1e-5 in the policy.
    """
    log_t = np.empty_like(rewards)
    for i, (r, own_log_q) in enumerate(zip(rewards, log_q, strict=True)):
        q = np.exp(own_log_q)
        best = r.argmax()
        # The best outcome cannot have more than all mass; at the other end no ratio exceeds 1.
        low = np.nextafter(r[best] - BETA * textbook.slope(1 / q[best]), np.inf)
        high = r[best] - BETA * textbook.slope(1.0) + 1e-9

        def excess(level: float, r: np.ndarray = r, q: np.ndarray = q) -> float:
            return np.sum(q * textbook.inverse((r - level) / BETA)) - 1

        level = optimize.brentq(excess, low, high, xtol=1e-15) if excess(low) > 0 else low
        with np.errstate(divide="ignore"):
            log_t[i] = own_log_q + np.log(textbook.inverse((r - level) / BETA))
    return log_t


def find(name: str) -> Divergence:
    """Return a divergence by its name, members of the alpha family included."""
    if name.startswith("alpha"):
        return alpha_divergence(float(name[6:-1]))
    return get_divergence(name)


def alternate(sides: Mapping[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Time all sides in alternating order; the first repeat warms up and is dropped."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(REPEATS + 1):
        for name in sorted(sides, reverse=bool(repeat % 2)):
            started = time.process_time()
            sides[name]()
            seconds[name].append(time.process_time() - started)
    return {name: times[1:] for name, times in seconds.items()}


def ratios(slow: list[float], fast: list[float], scale: float = 1.0) -> list[float]:
    """Return the ratio of each repeat."""
    return [scale * a / b for a, b in zip(slow, fast, strict=True)]


def spread(values: list[float]) -> dict[str, float]:
    """Return smallest, median and largest."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def peak_bytes(run: Callable[[], Any]) -> int:
    """Return the most memory that is allocated at a time, the result included."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def processor() -> str:
    """Return the name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
