"""Means over prompts with bootstrap intervals; fronts of runs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.stats import norm

from polymode.metrics.intervals import Estimate

__all__ = ["estimate", "on_front", "redraw_counts", "redraw_means"]

_CELLS = 4_000_000  # numbers of one block of redrawn prompts: 32 MB


def redraw_counts(
    n: int, *, n_rounds: int, rng: np.random.Generator
) -> Iterator[Integer[np.ndarray, "rounds P"]]:
    """Yield how often each prompt is drawn if as many are drawn anew with replacement.

    Parameters
    ----------
    n : int
        Number of prompts.
    n_rounds : int
        Number of bootstrap rounds.
    rng : numpy.random.Generator
        Source of randomness.

    Yields
    ------
    array of int, shape (rounds, n)
        Some rounds at a time, which together are `n_rounds`.
    """
    block = max(1, _CELLS // n)
    for start in range(0, n_rounds, block):
        rows = min(block, n_rounds - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.reshape(-1), minlength=rows * n).reshape(rows, n)


def redraw_means(
    values: Float[Any, "P F"], *, n_rounds: int, rng: np.random.Generator
) -> Float[Any, "rounds F"]:
    """Return means over prompts that were drawn anew with replacement, the same for all columns.

    Parameters
    ----------
    values : array, shape (P, F)
        One row for each prompt. NaN entries are left out of the mean of their column.
    n_rounds : int
        Number of bootstrap rounds.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    array, shape (n_rounds, F)
        The means; NaN where no prompt with a value was drawn.

    Notes
    -----
    Columns that belong to different runs are paired by this: a round draws the same prompts for
    all of them. Cost O(n_rounds P F).
    """
    there = ~np.isnan(values)
    filled, weight = np.where(there, values, 0.0), there.astype(float)
    out: list[Any] = []
    for drawn in redraw_counts(len(values), n_rounds=n_rounds, rng=rng):
        counts = drawn.astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            out.append((counts @ filled) / (counts @ weight))
    return np.concatenate(out)


def estimate(
    value: float,
    rounds: Float[Any, " rounds"],
    *,
    level: float,
    centred: bool,
    largest: float,
    n: int,
) -> Estimate:
    """Return an estimate with the interval that its bootstrap rounds give.

    Parameters
    ----------
    value : float
        The estimate itself.
    rounds : array, shape (rounds,)
        The same of each bootstrap round; empty where nothing can be resampled.
    level : float
        Probability that the interval is meant to have, in (0, 1).
    centred : bool
        Take the estimate and as many standard errors to both sides as a normal distribution asks
        for, instead of percentiles: for statistics whose rounds are biased, as an entropy of drawn
        samples is.
    largest : float
        The largest possible value, where a centred interval ends; it begins at 0 or above.
    n : int
        From how many prompts, or samples of one prompt.

    Returns
    -------
    Estimate
        With the standard deviation of the rounds as standard error.

    References
    ----------
    .. [1] Davison and Hinkley, "Bootstrap Methods and their Application", 1997, chapter 5.
    """
    known = rounds[~np.isnan(rounds)]
    if len(known) == 0 or np.isnan(value):
        return Estimate(value, np.nan, np.nan, np.nan, n)
    error = float(known.std())
    if centred:
        reach = float(norm.ppf((1 + level) / 2)) * error
        low, high = max(value - reach, 0.0), min(value + reach, largest)
    else:
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Estimate(value, error, low, high, n)


def on_front(
    quality: Float[Any, "*rounds runs"], diversity: Float[Any, "*rounds runs"]
) -> Bool[Any, "*rounds runs"]:
    """Return which runs no other one beats in both quality and diversity.

    Parameters
    ----------
    quality, diversity : array, shape (..., runs)
        More is better. A run with NaN is on no front and keeps no other one off it.

    Returns
    -------
    array of bool, shape (..., runs)
        False where another run is at least as good in both and better in one.

    Examples
    --------
    >>> on_front(np.array([0.9, 0.5, 0.4]), np.array([1.0, 3.0, 2.0]))
    array([ True,  True, False])
    """
    q, d = quality[..., :, None], diversity[..., :, None]
    other_q, other_d = quality[..., None, :], diversity[..., None, :]
    at_least = (other_q >= q) & (other_d >= d)
    better = (other_q > q) | (other_d > d)
    known = ~(np.isnan(quality) | np.isnan(diversity))
    return known & ~(at_least & better & known[..., None, :]).any(axis=-1)
