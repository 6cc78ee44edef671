"""Paired tests: two runs over the prompts that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, wilcoxon

from polymode.diagnostics.figures import PromptFigures
from polymode.diagnostics.resampling import estimate, redraw_means
from polymode.metrics.intervals import Estimate

__all__ = ["MIN_PAIRS", "Pair", "holm", "paired_tests", "wilcoxon_p"]

_EXACT = 13  # prompts up to which all signs are tried, 8192

MIN_PAIRS = 6
"""Fewest shared prompts of a paired test: with five, Wilcoxon's p is never below 1/16."""


@dataclass(frozen=True)
class Pair:
    """Two runs over the prompts that they share.

    Parameters
    ----------
    first, second : str
        Names of the runs.
    figure : str
        What is compared, one of `FIGURES`.
    n_prompts : int
        Prompts for which both have it.
    difference : Estimate
        Mean of first minus second, with the interval of a paired bootstrap over prompts.
    p_value : float
        Of Wilcoxon's signed-rank test; NaN with fewer than `MIN_PAIRS` prompts.
    p_adjusted : float
        The same after Holm's correction over all pairs of runs.
    """

    first: str
    second: str
    figure: str
    n_prompts: int
    difference: Estimate
    p_value: float
    p_adjusted: float


def paired_tests(
    figures: Mapping[str, PromptFigures],
    *,
    axes: Sequence[str],
    level: float,
    n_rounds: int,
    rng: np.random.Generator,
) -> tuple[Pair, ...]:
    """Test each pair of runs over the prompts that the two share.

    Parameters
    ----------
    figures : mapping of str to PromptFigures
        Figures of each run by its name.
    axes : sequence of str
        Which of `FIGURES` are compared.
    level : float
        Probability of the intervals.
    n_rounds : int
        Rounds of the paired bootstrap.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    tuple of Pair
        Pairs with fewer than `MIN_PAIRS` prompts are left out. Holm's correction is over the pairs
        of one figure.
    """
    out: list[Pair] = []
    for axis in dict.fromkeys(axes):
        rows = [
            (first, second, differences)
            for first, second in combinations(figures, 2)
            if len(differences := _differences(figures[first], figures[second], axis)) >= MIN_PAIRS
        ]
        p_values = np.asarray([wilcoxon_p(differences) for *_, differences in rows])
        for (first, second, d), p, adjusted in zip(rows, p_values, holm(p_values), strict=True):
            rounds = redraw_means(d[:, None], n_rounds=n_rounds, rng=rng)[:, 0]
            found = estimate(
                float(d.mean()), rounds, level=level, centred=False, largest=np.inf, n=len(d)
            )
            out.append(Pair(first, second, axis, len(d), found, float(p), float(adjusted)))
    return tuple(out)


def wilcoxon_p(differences: Float[Any, " P"]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test.

    Parameters
    ----------
    differences : array, shape (P,)
        One for each prompt. Zeros share their ranks between both sides (Pratt's treatment).

    Returns
    -------
    float
        1 where all differences are zero.

    Notes
    -----
    Exact up to 13 prompts, and up to 50 without ties and zeros; else from the normal distribution.

    References
    ----------
    .. [1] Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1, 1945.
    """
    if not np.any(differences):
        return 1.0
    if len(differences) <= _EXACT:
        return _all_signs(differences)
    return float(np.asarray(wilcoxon(differences, zero_method="pratt"))[1])


def _all_signs(differences: Float[Any, " P"]) -> float:
    """Return the exact p-value over all signs; SciPy does the same, a thousand times slower."""
    ranks = rankdata(np.abs(differences))[differences != 0]
    signs = np.sign(differences[differences != 0])
    every = 1 - 2 * ((np.arange(2 ** len(ranks))[:, None] >> np.arange(len(ranks))) & 1)
    return float(np.mean(np.abs(every @ ranks) >= abs(signs @ ranks) - 1e-9))


def holm(p_values: Float[Any, " m"]) -> Float[Any, " m"]:
    """Return p-values that hold for all of several tests together.

    Parameters
    ----------
    p_values : array, shape (m,)
        One for each test.

    Returns
    -------
    array, shape (m,)
        Holm's step-down adjustment, at most 1.

    References
    ----------
    .. [1] Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
       Statistics 6, 1979.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(2)
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p_values)
    scaled = p_values[order] * np.arange(len(p_values), 0, -1)
    out = np.empty(len(p_values))
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return out


def _differences(first: PromptFigures, second: PromptFigures, axis: str) -> Float[Any, " P"]:
    """Return first minus second for each prompt that both have."""
    theirs = dict(zip(second.keys, second.column(axis).tolist(), strict=True))
    both = [
        mine - theirs[key]
        for key, mine in zip(first.keys, first.column(axis).tolist(), strict=True)
        if key in theirs
    ]
    found = np.asarray(both, dtype=float)
    return found[~np.isnan(found)]
