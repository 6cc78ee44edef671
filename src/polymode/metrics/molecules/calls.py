"""What a run has found for the calls of its oracle.

All functions take one reward for each call, in the order of the calls. A call is one evaluation of
a molecule that was not evaluated before in the run: repeats are free, and so are invalid strings. A
reward of NaN, where the oracle failed, is a call that found nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.arrays import as_array

__all__ = ["calls_to_hits", "n_hits", "top_auc"]


def n_hits(rewards: Real[Any, " n"], *, threshold: float) -> int:
    """Return the yield of a run: how many of its molecules are good.

    Parameters
    ----------
    rewards : array, shape (n,)
        Reward of each call.
    threshold : float
        Good molecules have a reward of at least this.

    Returns
    -------
    int
        The number of good molecules, all of them distinct.

    Raises
    ------
    ArgumentError
        If rewards are not real numbers on one axis, or `threshold` is not finite.

    References
    ----------
    .. [1] Guo and Schwaller, "Saturn: Sample-efficient Generative Molecular Design using Memory
       Manipulation", arXiv 2405.17066, "Generative Yield".

    Examples
    --------
    >>> n_hits([0.2, 0.9, float("nan"), 0.8], threshold=0.8)
    2
    """
    rewards = _checked(rewards, checks.finite(threshold=threshold))
    return int((rewards >= threshold).sum())


def calls_to_hits(rewards: Real[Any, " n"], *, threshold: float, n: int | tuple[int, ...]) -> Any:
    """Return the oracle burden (OB): how many calls it took to find so many good molecules.

    Parameters
    ----------
    rewards : array, shape (n,)
        Reward of each call.
    threshold : float
        Good molecules have a reward of at least this.
    n : int or tuple of int
        How many good molecules; 1, 10 and 100 are in use (OB1, OB10, OB100).

    Returns
    -------
    float, or array with one entry for each `n`
        The call that found the n-th; NaN where the run did not get there. Means over seeds have to
        say how many did: a number in place of NaN would be made up.

    Raises
    ------
    ArgumentError
        If rewards are not real numbers on one axis, `threshold` is not finite, or `n` not >= 1.

    References
    ----------
    .. [1] Guo and Schwaller, "Saturn: Sample-efficient Generative Molecular Design using Memory
       Manipulation", arXiv 2405.17066, "Oracle Burden".

    Examples
    --------
    >>> calls_to_hits([0.2, 0.9, 0.1, 0.8], threshold=0.8, n=(1, 2, 3))
    array([ 2.,  4., nan])
    """
    wanted = n if isinstance(n, tuple) else (n,)
    rewards = _checked(
        rewards,
        checks.finite(threshold=threshold),
        *(checks.whole(n=each) for each in wanted),
    )
    calls = np.flatnonzero(rewards >= threshold) + 1.0
    found = np.asarray([calls[i - 1] if i <= len(calls) else np.nan for i in wanted])
    return found if isinstance(n, tuple) else float(found[0])


def top_auc(
    rewards: Real[Any, " n"],
    *,
    k: int = 10,
    budget: int = 10_000,
    interval: int = 100,
    finished: bool = True,
) -> float:
    """Return PMO's area under the curve of the mean reward of the best molecules so far.

    Parameters
    ----------
    rewards : array, shape (n,)
        Reward of each call; those after the budget do not count.
    k : int
        How many of the best are averaged: fewer while there are fewer.
    budget : int
        Calls that the run may make.
    interval : int
        Calls between two points of the curve; straight lines lie between them.
    finished : bool
        Whether the run has ended: then the best so far stay the best for the rest of the budget.
        Otherwise the rest counts 0.

    Returns
    -------
    float
        The area over the budget: in [0, 1] where rewards are.

    Raises
    ------
    ArgumentError
        If rewards are not real numbers on one axis, or a setting is not an integer >= 1.

    Notes
    -----
    As `top_auc` of PMO's program, from 0 at no call. The program adds a few calls to the area where
    a last batch goes over the budget; here the budget is the end.

    References
    ----------
    .. [1] Gao et al., "Sample Efficiency Matters: A Benchmark for Practical Molecular
       Optimization", NeurIPS 2022, section 3.

    Examples
    --------
    Two points, at 1 and 2 calls, and the end:

    >>> top_auc([0.5, 1.0], k=1, budget=4, interval=1)
    0.75
    """
    rewards = _checked(rewards, checks.whole(k=k, budget=budget, interval=interval))[:budget]
    n = len(rewards)
    if not n:
        return 0.0
    points = [*range(interval, n, interval), n]
    best: Float[np.ndarray, " k"] = np.empty(0)
    heights: list[float] = [0.0]
    for start, end in zip([0, *points], points, strict=False):
        new = rewards[start:end]
        best = np.sort(np.concatenate([best, new[~np.isnan(new)]]))[-k:]
        heights.append(float(best.mean()) if len(best) else 0.0)
    area = float(np.trapezoid(heights, [0, *points]))
    rest = (budget - n) * heights[-1] if finished else 0.0
    return (area + rest) / budget


def _checked(rewards: Any, *problems: Iterator[str]) -> Real[np.ndarray, " n"]:
    """Check rewards and settings, and return the rewards as a NumPy array."""
    array = as_array(rewards)
    checks.require(checks.real_arrays(rewards=array), _axis(array), *problems)
    return np.asarray(array, dtype=np.float64)


def _axis(rewards: Any) -> Iterator[str]:
    """Check that there is one axis."""
    if rewards.ndim != 1:
        yield f"rewards must have shape (n,), got {tuple(rewards.shape)}"
