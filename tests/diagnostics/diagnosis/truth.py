"""What a diagnosis of endless samples would say: the same quantities from all outputs at once.

Written down anew from the definitions, one prompt at a time, so that the two can be compared.
"""

import numpy as np

from polymode import optimal_policy
from polymode.diagnostics.diagnosis import VerdictLimits
from polymode.diagnostics.diagnosis.verdict import Evidence, decide
from polymode.metrics.intervals import Estimate

from .worlds import Prompt

__all__ = ["exactly", "true_numbers", "true_verdict"]


def true_numbers(
    prompt: Prompt,
    n: int,
    *,
    beta: float,
    threshold: float,
    divergence: str = "reverse_kl",
    reach: float = 0.1,
) -> dict[str, float]:
    """Return figures and budget of a prompt, by "policy figure" and by the terms of the budget."""
    good = prompt.rewards >= threshold
    of_mode = np.bincount(prompt.mode, prompt.drawn)
    shown = -np.expm1(n * np.log1p(-np.minimum(of_mode, 1 - 1e-15)))[prompt.mode] >= reach
    counted = good & shown
    t = _optimum(prompt.rewards, prompt.q, beta, divergence)
    out: dict[str, float] = {}
    policies = {"reference": prompt.q, "target": t, "policy": prompt.p}
    for name, p in policies.items():
        if p is not None:
            out |= _figures(name, p, prompt, good)
    anchored = _anchored(prompt, counted, good, beta, divergence)
    out |= _figures("anchored", anchored, prompt, counted if counted.any() else good)
    n_good = len(np.unique(prompt.mode[counted]))
    out["n_good"] = n_good
    ceiling = np.log(n_good) if n_good >= 2 else np.nan
    of_q, of_t = _entropy(prompt.q, prompt, counted), _entropy(t, prompt, counted)
    out |= {
        "ceiling": ceiling,
        "reference_bias": ceiling - of_q,
        "reward_gaps": of_q - of_t + 0 * ceiling,
        "lost": ceiling - of_t,
        "difference": 2 * of_q - of_t - ceiling,
        "entropy": of_t + 0 * ceiling,
    }
    left = of_t
    if prompt.p is not None:
        left = _entropy(prompt.p, prompt, counted)
        out["optimiser"] = of_t - left + 0 * ceiling
    out["left"] = left + 0 * ceiling
    return out


def _figures(name: str, p: np.ndarray, prompt: Prompt, good: np.ndarray) -> dict[str, float]:
    """Return quality and diversity of one policy."""
    return {
        f"{name} expected_reward": float(p @ prompt.rewards),
        f"{name} mass_good": float(p @ good),
        f"{name} entropy": _entropy(p, prompt, np.ones_like(good)),
        f"{name} entropy_good": _entropy(p, prompt, good),
    }


def _entropy(p: np.ndarray, prompt: Prompt, kept: np.ndarray) -> float:
    """Return the entropy over modes among some outputs, NaN without mass."""
    mass = np.bincount(prompt.mode, p * kept)
    if not mass.sum() > 1e-280:
        return np.nan
    share = mass / mass.sum()
    return float(-(share * np.log(np.where(share > 0, share, 1.0))).sum())


def _anchored(
    prompt: Prompt, counted: np.ndarray, good: np.ndarray, beta: float, divergence: str
) -> np.ndarray:
    """Return the target with every good mode within reach in the place of the likeliest one."""
    if not counted.any():
        return _optimum(prompt.rewards, prompt.q, beta, divergence)
    mass = np.bincount(prompt.mode, prompt.q * counted)
    anchor = mass.argmax()
    best = prompt.rewards[(prompt.mode == anchor) & counted].max()
    q = np.where(good, 0.0, prompt.q)
    q[counted] = prompt.q[counted] / mass[prompt.mode[counted]] * mass[anchor]
    rewards = np.where(counted, best, prompt.rewards)
    return _optimum(rewards, q, beta, divergence)


def _optimum(rewards: np.ndarray, q: np.ndarray, beta: float, divergence: str) -> np.ndarray:
    """Return the probabilities of the optimum."""
    if divergence == "reverse_kl":
        t = q * np.exp((rewards - rewards[q > 0].max()) / beta)
        return t / t.sum()
    with np.errstate(divide="ignore"):
        return np.exp(optimal_policy(rewards, np.log(q), beta=beta, divergence=divergence))


def exactly(value: float) -> Estimate:
    """Return a number that is known."""
    return Estimate(value, 0.0, value, value, 1)


def true_verdict(numbers: dict[str, float], limits: VerdictLimits | None = None) -> str:
    """Return the verdict on known numbers, of a prompt or means over prompts."""
    lost = numbers["lost"]
    evidence = Evidence(
        n_good=numbers["n_good"],
        kept=exactly(np.exp(-lost)),
        entropy=exactly(numbers["entropy"]),
        difference=exactly(numbers["difference"]),
        mass_good=exactly(numbers["target mass_good"]),
        policy_mass_good=exactly(numbers["policy mass_good"])
        if "policy mass_good" in numbers
        else None,
        optimiser=exactly(numbers["optimiser"]) if "optimiser" in numbers else None,
        doubts=(),
    )
    return decide(evidence, limits or VerdictLimits())[0]
