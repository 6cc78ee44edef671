"""How accurate optimal policies are, side by side with what one would write oneself.

    PYTHONPATH=. .venv/bin/python benchmarks/accuracy/targets.py [--cases 300] [--seed 0]

Random hard cases: rewards to 1e6, beta from 1e-6 to 1e6, references to e^-700, ties, point masses
and outcomes that the reference never gives. Each is solved with 50 digits, or with as many as a sum
of 1 takes (`tests/core/exact.py`), by polymode, and by the alternatives: a root of the multiplier
with scipy, log_softmax for reverse KL, and, on cases that an interior-point method can take, a
convex solver. Writes `benchmarks/accuracy/results/DATE-accuracy.json`.
"""

import argparse
import json
import math
import platform
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress
from scipy import special

from polymode.core import Divergence, alpha_divergence, divergence_names, optimal_policy
from polymode.core.divergences import get_divergence
from tests.core import exact
from tests.core.alternatives import ATOMS, alpha_atoms, brentq_policy, convex_policy

HERE = Path(__file__).resolve().parent
ALPHAS = (-20.0, -3.0, 0.2, 0.98, 0.995, 1.005, 1.5, 3.0, 7.0, 50.0)
TARGETS = {"error_of_log_t": 1e-9, "error_of_the_sum": 1e-12}
FAILURE = 1e-6  # an error of log t that large somewhere, or no answer at all
CONVEX_FAILURE = 1e-4  # an error of t; the solver has no more than 1e-6
MODERATE = 40  # cases for the convex solver, for each divergence

Case = tuple[np.ndarray, np.ndarray, float]
Policy = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def main() -> None:
    """Measure every divergence and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=300, help="hard cases for each divergence")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # those of the alternatives
    started = time.perf_counter()
    divergences = [get_divergence(name) for name in divergence_names()]
    divergences += [alpha_divergence(alpha) for alpha in ALPHAS]
    moderate = min(MODERATE, options.cases)
    with Progress() as progress:
        rows = []
        for number, divergence in enumerate(divergences):
            task = progress.add_task(divergence.name, total=options.cases + moderate)
            advance = lambda task=task: progress.advance(task)  # noqa: E731
            rngs = [np.random.default_rng((options.seed, number, part)) for part in (0, 1)]
            row = {"divergence": divergence.name}
            row |= hard(divergence, options.cases, rngs[0], advance)
            row["convex_solver"] = convex(divergence, moderate, rngs[1], advance)
            rows.append(row)
            progress.update(task, completed=options.cases + moderate)
    kept = {
        "schema_version": 1,
        "script": "benchmarks/accuracy/targets.py",
        "commit": git("rev-parse", "HEAD"),
        "modified": bool(git("status", "--porcelain", "--", "src", "tests")),
        "date": date.today().isoformat(),
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "environment": environment(),
        "targets": TARGETS,
        "failure": {"error_of_log_t": FAILURE, "convex_error_of_t": CONVEX_FAILURE},
        "rows": rows,
    }
    target = HERE / "results" / f"{date.today().isoformat()}-accuracy.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"wrote {target}")


def cases(rng: np.random.Generator, n: int) -> Iterator[Case]:
    """Yield hard cases, some of them with outcomes of no mass, or with all mass on one outcome."""
    for _ in range(n):
        rewards, log_q, beta = exact.hard_case(rng)
        kind = rng.random()
        if kind < 0.2:  # a tempting outcome that the reference never gives
            rewards = np.append(rewards, rng.uniform(-1e6, 1e6))
            log_q = np.append(log_q, -np.inf)
        elif kind < 0.3:  # a point mass
            log_q = np.where(np.arange(log_q.size) == rng.integers(log_q.size), 0.0, -np.inf)
        yield rewards, log_q, beta


def exactly(divergence: Divergence, rewards: np.ndarray, log_q: np.ndarray, beta: float) -> list:
    """Return log t with 50 digits."""
    live = log_q > -np.inf
    problem = rewards[live], log_q[live], beta
    if divergence.name == "total_variation":
        found = iter(exact.exact_total_variation(*problem))
    elif divergence.name in exact.FAMILIES:
        found = iter(exact.exact_log_policy(exact.FAMILIES[divergence.name], *problem))
    else:
        found = iter(exact.exact_log_policy(exact.power_family(alpha_of(divergence)), *problem))
    return [next(found) if alive else -math.inf for alive in live]


def alpha_of(divergence: Divergence) -> float:
    """Return the alpha in the name of a member of the family."""
    return float(divergence.name.removeprefix("alpha(").removesuffix(")"))


def hard(
    divergence: Divergence, n: int, rng: np.random.Generator, advance: Callable[[], None]
) -> dict[str, Any]:
    """Return the errors of polymode and the failures of everybody on hard cases."""

    def ours(rewards: np.ndarray, log_q: np.ndarray, beta: float) -> np.ndarray:
        return optimal_policy(rewards, log_q, beta=beta, divergence=divergence)

    def root(rewards: np.ndarray, log_q: np.ndarray, beta: float) -> np.ndarray:
        live = log_q > -np.inf
        t = np.zeros_like(log_q)
        t[live] = brentq_policy(rewards[live], log_q[live], beta, divergence)
        return np.log(t)

    def softmax(rewards: np.ndarray, log_q: np.ndarray, beta: float) -> np.ndarray:
        return special.log_softmax(log_q + rewards / beta)

    policies: dict[str, Policy] = {"polymode": ours}
    if divergence.name != "total_variation":  # no multiplier to solve for
        policies["scipy.optimize.brentq"] = root
    if divergence.name == "reverse_kl":
        policies["scipy.special.log_softmax"] = softmax
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in policies}
    for case in cases(rng, n):
        expected = exactly(divergence, *case)
        for name, policy in policies.items():
            errors[name].append(errors_of(policy, case, expected))
        advance()
    log_t, sums = np.array(errors["polymode"]).T
    return {
        "n_cases": n,
        # JSON has no infinity: None where an outcome with mass was dropped
        "max_error_of_log_t": float(log_t.max()) if math.isfinite(log_t.max()) else None,
        "max_error_of_the_sum": float(sums.max()),
        "frac_failed": {
            name: float(np.mean([max(pair) > FAILURE for pair in pairs]))
            for name, pairs in errors.items()
        },
    }


def errors_of(policy: Policy, case: Case, expected: list) -> tuple[float, float]:
    """Return the largest error of log t where t > 1e-300, and that of the sum; inf for failures."""
    with np.errstate(all="ignore"):
        try:
            log_t = policy(*case)
        except (ArithmeticError, ValueError):
            return math.inf, math.inf
    if np.isnan(log_t).any():
        return math.inf, math.inf
    return exact.largest_error(log_t, expected)[0], abs(math.fsum(np.exp(log_t)) - 1)


def convex(
    divergence: Divergence, n: int, rng: np.random.Generator, advance: Callable[[], None]
) -> dict[str, Any]:
    """Return the errors of t of a convex solver on moderate cases, and those of polymode there.

    Under total variation outcomes that tie for the best may share the gain in any way: what
    outcomes of equal reward have together is compared.
    """
    atoms = ATOMS.get(divergence.name) or alpha_atoms(alpha_of(divergence))
    together = divergence.name == "total_variation"
    theirs, ours = [], []
    for _ in range(n):
        rewards, log_q, beta = exact.moderate_case(rng)
        t = np.exp(np.array(exactly(divergence, rewards, log_q, beta), dtype=float))
        log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence)
        levels = np.unique(rewards, return_inverse=True)[1] if together else np.arange(t.size)
        ours.append(float(np.abs(np.bincount(levels, np.exp(log_t) - t)).max()))
        try:
            p, _ = convex_policy(rewards, log_q, beta, atoms)
            theirs.append(float(np.abs(np.bincount(levels, p - t)).max()))
        except Exception:  # whatever cvxpy raises is a failure of it
            theirs.append(math.inf)
        advance()
    solved = [error for error in theirs if error < math.inf]
    return {
        "n_cases": n,
        "frac_failed": float(np.mean(np.array(theirs) > CONVEX_FAILURE)),
        "max_error_of_t": max(solved, default=None),
        "max_error_of_t_of_polymode": max(ours),
    }


def environment() -> dict[str, Any]:
    """Return what ran, on what."""
    model = "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.partition(": ")[2] for x in lines if x.startswith("model name")), model)
    packages = ("polymode", "numpy", "scipy", "mpmath", "cvxpy", "clarabel")
    return {
        "machine": platform.machine(),
        "processor": model,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def git(*arguments: str) -> str:
    """Return what git says about this checkout."""
    return subprocess.check_output(["git", *arguments], cwd=HERE.parent.parent, text=True).strip()


if __name__ == "__main__":
    main()
