"""The figures of a run: yield, oracle burden, diversity, and how they grew with the calls."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymode.diagnostics.chemistry import Calls
from polymode.metrics.molecules import (
    Fingerprints,
    calls_to_hits,
    internal_diversity,
    morgan_fingerprints,
    murcko_scaffold,
    n_circles,
    n_hits,
    top_auc,
)

__all__ = ["FIGURES", "Figure", "learning_curves", "run_figures", "stopped_early"]

PATIENCE, MIN_CALLS, TOP = 5, 1_000, 100
"""PMO ends a run after so many steps in which its best 100 stay the same, after 1,000 calls."""


@dataclass(frozen=True)
class Figure:
    """What a figure is, and how it is printed."""

    title: str
    about: str
    digits: int = 0
    more_is_better: bool = True


FIGURES: Mapping[str, Figure] = {
    "diverse_hits": Figure("diverse hits", "hits pairwise further than 0.70 apart, MaxMin"),
    "yield": Figure("Yield", "different molecules at or above the threshold"),
    "ob1": Figure("OB1", "calls to the first hit", more_is_better=False),
    "ob10": Figure("OB10", "calls to the 10th hit", more_is_better=False),
    "ob100": Figure("OB100", "calls to the 100th hit", more_is_better=False),
    "auc_top1": Figure("AUC top-1", "PMO's area under the best reward", 3),
    "auc_top10": Figure("AUC top-10", "PMO's area under the mean of the best 10", 3),
    "auc_top100": Figure("AUC top-100", "PMO's area under the mean of the best 100", 3),
    "auc_top10_stopped": Figure("AUC top-10 (stopped)", "with PMO's early end of a run", 3),
    "circles_075": Figure("#Circles .75", "of the hits, in order, further than 0.75 apart"),
    "circles_070": Figure("#Circles .70", "of the hits, in order, further than 0.70 apart"),
    "int_div1": Figure("IntDiv1", "of the hits: MOSES, pairs with self, Morgan 2, 1024 bits", 3),
    "diversity_top100": Figure("div top-100", "mean distance of the best 100, 2048 bits", 3),
    "scaffolds": Figure("scaffolds", "different Murcko scaffolds of the hits"),
    "top_scaffold_share": Figure(
        "top scaffold", "share of the hits with the commonest scaffold", 2, more_is_better=False
    ),
    "frac_valid": Figure("valid", "share of the strings that are molecules", 2),
    "frac_repeats": Figure(
        "repeats", "share of the molecules drawn that had been drawn before", 2, False
    ),
    "n_calls": Figure("calls", "calls made"),
    "n_steps": Figure("steps", "steps of the learner up to the last call", more_is_better=False),
}
"""The figures of a run by their names."""


def run_figures(calls: Calls, *, threshold: float, budget: int) -> dict[str, float]:
    """Return all figures of a run.

    Parameters
    ----------
    calls : Calls
        What the run measured; more than the budget does not count.
    threshold : float
        Hits have a reward of at least this.
    budget : int
        Calls that the run could make.

    Returns
    -------
    dict
        The figures; NaN where there is none, such as the calls to a hit that never came.
    """
    calls = calls.first(budget)
    hits = [i for i, reward in enumerate(calls.rewards.tolist()) if reward >= threshold]
    prints = morgan_fingerprints([calls.smiles[i] for i in hits])
    scaffolds = Counter(murcko_scaffold(calls.smiles[i]) for i in hits)
    ob1, ob10, ob100 = calls_to_hits(calls.rewards, threshold=threshold, n=(1, 10, 100)).tolist()
    return {
        "diverse_hits": n_circles(prints, distance=0.7, method="maxmin"),
        "yield": n_hits(calls.rewards, threshold=threshold),
        "ob1": ob1,
        "ob10": ob10,
        "ob100": ob100,
        **{f"auc_top{k}": top_auc(calls.rewards, k=k, budget=budget) for k in (1, 10, 100)},
        "auc_top10_stopped": top_auc(stopped_early(calls).rewards, k=10, budget=budget),
        "circles_075": n_circles(prints, distance=0.75),
        "circles_070": n_circles(prints, distance=0.7),
        "int_div1": internal_diversity([calls.smiles[i] for i in hits]),
        "diversity_top100": _diversity(calls),
        "scaffolds": len(scaffolds),
        "top_scaffold_share": max(scaffolds.values()) / len(hits) if hits else math.nan,
        "frac_valid": _share(calls.n_valid, calls.n_samples),
        "frac_repeats": 1.0 - _share(len(calls), calls.n_valid),
        "n_calls": len(calls),
        "n_steps": int(calls.steps.max(initial=0)),  # they are numbered from 1
    }


def learning_curves(
    calls: Calls, *, threshold: float, budget: int, every: int = 100, sparse: int = 1_000
) -> dict[str, list[Any]]:
    """Return how figures grew with the calls.

    Parameters
    ----------
    calls : Calls
        What the run measured.
    threshold : float
        Hits have a reward of at least this.
    budget : int
        Calls that the run could make.
    every : int
        Calls between two points of the cheap figures.
    sparse : int
        Calls between two points of the number of circles and of diverse hits.

    Returns
    -------
    dict
        ``n_calls``, ``yield``, ``top1``, ``top10`` and ``top100`` (means of the best so far) and
        ``scaffolds``; ``sparse_n_calls``, ``circles_075`` and ``diverse_hits``.
    """
    calls = calls.first(budget)
    rewards = np.nan_to_num(calls.rewards, nan=-math.inf)
    hit = rewards >= threshold
    where = np.flatnonzero(hit)
    scaffolds = [murcko_scaffold(calls.smiles[i]) for i in where.tolist()]
    prints = morgan_fingerprints([calls.smiles[i] for i in where.tolist()])
    points = _points(len(calls), every)
    curves: dict[str, list[Any]] = {"n_calls": points}
    n_found = [int(hit[:n].sum()) for n in points]
    curves["yield"] = n_found
    for k in (1, 10, 100):
        curves[f"top{k}"] = [_top(calls.rewards[:n], k) for n in points]
    curves["scaffolds"] = [len(set(scaffolds[:n])) for n in n_found]
    rare = _points(len(calls), sparse)
    parts = [prints.take(range(int(hit[:n].sum()))) for n in rare]
    curves["sparse_n_calls"] = rare
    curves["circles_075"] = [n_circles(part, distance=0.75) for part in parts]
    curves["diverse_hits"] = [n_circles(part, distance=0.7, method="maxmin") for part in parts]
    return curves


def stopped_early(calls: Calls) -> Calls:
    """Return the calls up to where PMO's patience would have ended the run.

    Parameters
    ----------
    calls : Calls
        What the run measured.

    Returns
    -------
    Calls
        All of them if it had not. PMO ends a run with the fifth step in a row, after 1,000 calls,
        that leaves the best hundred as they were.
    """
    rewards = np.nan_to_num(calls.rewards, nan=-math.inf)
    ends = _ends_of_steps(calls)
    best, patience = np.empty(0), 0
    for start, end in zip([0, *ends], ends, strict=False):
        before, fresh = best, rewards[start:end]
        best = np.sort(np.concatenate([best, fresh]))[-TOP:]
        if end <= MIN_CALLS:
            continue
        patience = patience + 1 if start > TOP and np.array_equal(before, best) else 0
        if patience >= PATIENCE:
            return calls.first(end)
    return calls


def _ends_of_steps(calls: Calls) -> list[int]:
    """Return how many calls were made at the end of each step, also of those without a call."""
    if not len(calls):
        return []
    counts = np.bincount(calls.steps - calls.steps[0])
    return np.cumsum(counts).tolist()


def _diversity(calls: Calls) -> float:
    """Return the mean distance between the best hundred, each pair once."""
    order = np.argsort(-np.nan_to_num(calls.rewards, nan=-math.inf), kind="stable")[:TOP]
    prints: Fingerprints = morgan_fingerprints([calls.smiles[i] for i in order.tolist()])
    return internal_diversity(prints, definition="pairs")


def _top(rewards: np.ndarray, k: int) -> float:
    kept = np.sort(rewards[~np.isnan(rewards)])[-k:]
    return float(kept.mean()) if len(kept) else math.nan


def _points(n: int, every: int) -> list[int]:
    """Return the numbers of calls at which a curve has points: the end is one of them."""
    points = list(range(every, n + 1, every))
    return points if points and points[-1] == n else [*points, *([n] if n else [])]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
