"""Figures 2, 3, 4 and 6: optima of small objectives, exact, from the formulas alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.optimize import brentq

from polymode.core import augment, divergence_names
from polymode.papers.objectives import KLS, METHODS, Method, Objective, algorithm_of

# Figure 2 of the paper names two outputs. All others share the rest of the mass, at reward 0.
_PAIR_REWARDS = (0.75, 1.0)
_PAIR_LOG_Q = (-4.05, -5.95)
_PAIR_BETAS = np.geomspace(0.02, 5.0, 161)

# Figure 6. Strengths at which plain optima still give bad outputs a visible share.
_REWARDS = (0.0, 0.5, 1.0, 1.0, 1.0)
_REFERENCE = (0.40, 0.25, 0.20, 0.10, 0.05)
_BETAS = {
    "reverse_kl": 0.4,
    "forward_kl": 0.2,
    "jensen_shannon": 0.8,
    "reverse_chi_squared": 0.25,
    "forward_chi_squared": 0.1,
    "squared_hellinger": 1.5,
    "total_variation": 0.75,
}

# Figure 6, modes: A has ten phrasings, the other answers one, and the rest is no answer.
_PHRASINGS = (0.20, 0.12, 0.08, 0.06, 0.04, 0.03, 0.03, 0.02, 0.01, 0.01)
_ANSWERS = {"A": _PHRASINGS, "B": (0.12,), "C": (0.06,), "D": (0.02,), "none": (0.20,)}


def equal_mass() -> dict[str, Any]:
    """Figure 2: two outputs as beta moves; where they have equal mass."""
    log_q = np.append(_PAIR_LOG_Q, np.log1p(-np.exp(_PAIR_LOG_Q).sum()))
    rewards = np.append(_PAIR_REWARDS, 0.0)
    panels: list[dict[str, Any]] = []
    for divergence, method in _variants():
        targets = [
            _objective(rewards, log_q, beta, divergence, method, 0.75).target()
            for beta in _PAIR_BETAS
        ]
        crossing = None if method == "anchored" else _crossing(rewards, log_q, divergence)
        panels.append(
            {
                "divergence": divergence,
                "method": method,
                "algorithm": algorithm_of(method, divergence),
                "targets": np.transpose(targets).tolist(),
                "equal_mass_beta": crossing,  # anchored: everywhere
            }
        )
    return {
        "outputs": ["reward 0.75", "reward 1", "all others, reward 0"],
        "rewards": rewards.tolist(),
        "log_q": log_q.tolist(),
        "threshold": 0.75,
        "betas": _PAIR_BETAS.tolist(),
        "panels": panels,
    }


def _crossing(rewards: Any, log_q: Any, divergence: str) -> float:
    """Return the beta at which the first two outputs have equal mass."""

    def gap(log_beta: float) -> float:
        objective = Objective(rewards, log_q, float(np.exp(log_beta)), divergence)
        first, second, _ = objective.log_target()
        return float(first - second)

    ends = np.log(_PAIR_BETAS[[0, -1]])
    root: Any = brentq(gap, *ends, xtol=1e-14)
    return float(np.exp(root))


def reward_gap() -> dict[str, Any]:
    """Figure 3: a gap in reward, exponentiated by 1 / beta."""
    return _bars((0.0, 0.9, 1.0), (1 / 3, 1 / 3, 1 / 3), betas=(1e-3, 0.5), threshold=0.9)


def reference_bias() -> dict[str, Any]:
    """Figure 4: equal rewards, which keep the ratio of the reference."""
    return _bars((0.0, 1.0, 1.0), (0.68, 0.30, 0.02), betas=(1e-3, 0.5), threshold=1.0)


def _bars(
    rewards: Sequence[float],
    reference: Sequence[float],
    *,
    betas: Sequence[float],
    threshold: float,
) -> dict[str, Any]:
    """Three outputs: plain and anchored, both KLs, each beta."""
    r, log_q = np.asarray(rewards), np.log(reference)
    return {
        "rewards": list(rewards),
        "reference": list(reference),
        "threshold": threshold,
        "panels": [
            {
                "beta": beta,
                "divergence": divergence,
                "method": method,
                "algorithm": algorithm_of(method, divergence),
                "target": _objective(r, log_q, beta, divergence, method, threshold).target(),
            }
            for beta in betas
            for divergence, method in _variants()
        ],
    }


def _variants() -> Iterator[tuple[str, Method]]:
    """Columns of the paper's figures: reverse KL plain and anchored, then forward KL."""
    return ((divergence, method) for divergence in KLS for method in METHODS)


def _objective(
    rewards: Any, log_q: Any, beta: float, divergence: str, method: Method, threshold: float
) -> Objective:
    return Objective.of(
        rewards,
        log_q,
        beta=float(beta),
        divergence=divergence,
        threshold=threshold,
        algorithm=algorithm_of(method, divergence),
    )


def anchoring() -> dict[str, Any]:
    """Figure 6: every divergence; Algorithm 1 against 2; strings against modes."""
    return {"divergences": _divergences(), "algorithms": _algorithms(), "modes": _modes()}


def _divergences() -> dict[str, Any]:
    """Part a: plain and anchored optimum under every divergence that has a name."""
    r, log_q = np.asarray(_REWARDS), np.log(_REFERENCE)
    panels: list[dict[str, Any]] = []
    for name in divergence_names():
        beta = _BETAS.get(name, 0.3)
        targets = {
            method: Objective.of(
                r, log_q, beta=beta, divergence=name, threshold=1.0, algorithm=algorithm
            ).target()
            for method, algorithm in (("plain", None), ("anchored", 2))
        }
        # Ties leave total variation's optimum open; `optimal_policy` shares in the ratios of q.
        unique = name != "total_variation"
        panels.append({"divergence": name, "beta": beta, "unique": unique, **targets})
    return {
        "rewards": list(_REWARDS),
        "reference": list(_REFERENCE),
        "threshold": 1.0,
        "panels": panels,
    }


def _algorithms() -> dict[str, Any]:
    """Part b: under forward KL rewards alone are not enough."""
    rewards, reference, beta = (0.0, 1.0, 1.0), (0.68, 0.30, 0.02), 0.05
    panels = [
        {
            "algorithm": algorithm,
            "target": Objective.of(
                np.asarray(rewards),
                np.log(reference),
                beta=beta,
                divergence="forward_kl",
                threshold=1.0,
                algorithm=algorithm,
            ).target(),
        }
        for algorithm in (None, 1, 2)
    ]
    return {
        "rewards": list(rewards),
        "reference": list(reference),
        "threshold": 1.0,
        "divergence": "forward_kl",
        "beta": beta,
        "panels": panels,
    }


def _modes() -> dict[str, Any]:
    """Part c: one answer in ten phrasings, three in one; anchored by string and by answer."""
    keys = [answer for answer, masses in _ANSWERS.items() for _ in masses]
    reference = [mass for masses in _ANSWERS.values() for mass in masses]
    log_q, beta = np.log(reference), 0.2
    rewards = np.asarray([0.0 if key == "none" else 1.0 for key in keys])
    by_string = augment(rewards, log_q, beta=beta, threshold=1.0).rewards
    by_mode = augment(rewards, log_q, beta=beta, threshold=1.0, modes=keys).rewards
    levels = {"plain": rewards, "strings": by_string, "modes": by_mode}
    return {
        "answers": keys,
        "rewards": rewards.tolist(),
        "threshold": 1.0,
        "divergence": "reverse_kl",
        "beta": beta,
        "panels": [{"level": "reference", "probabilities": reference}]
        + [
            {"level": level, "probabilities": Objective(r, log_q, beta, "reverse_kl").target()}
            for level, r in levels.items()
        ],
    }
