"""Which outputs are good: thresholds as numbers, as arrays, or read off the rewards of a batch.

Where the range of the rewards is known, a number serves. A reward model has no natural value that
separates good from bad: there a threshold is a function ``(rewards, groups) -> array`` of the
batch, such as those that `percentile_threshold` and `group_maximum` make.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import jaxtyping
from jaxtyping import Bool

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, at_least, widen
from polymode.core.groups import Groups

__all__ = ["Threshold", "group_maximum", "percentile_threshold", "reaches"]

Threshold = Callable[[Array, Groups], Array]

_SCOPES = ("group", "batch")


def percentile_threshold(percent: float, *, over: str = "group") -> Threshold:
    r"""Return a threshold that lies at a percentile of the rewards.

    .. math:: \tau = r_{(k)} + (h - k) \left( r_{(k + 1)} - r_{(k)} \right), \qquad
        h = \frac{\text{percent}}{100} (m - 1), \qquad k = \lfloor h \rfloor

    with :math:`r_{(0)} \le \dots \le r_{(m - 1)}` the rewards of the group, or of the batch.

    Parameters
    ----------
    percent : float
        Which percentile, in [0, 100]. The paper takes 90 where rewards come from a reward model:
        the best tenth is good. At 0 everything that has a reward is, at 100 the best alone.
    over : {"group", "batch"}
        Whose rewards: those of the group, so that every group has a good output, or those of all
        groups together, as in the paper, so that a hard prompt may have none.

    Returns
    -------
    callable
        What ``threshold=`` takes: from `rewards`, shape (..., n), and `groups` to thresholds that
        broadcast to the rewards, in reward units. Can be pickled.

    Raises
    ------
    ArgumentError
        If `percent` does not lie in [0, 100], or `over` is not known.

    See Also
    --------
    group_maximum : The 100th percentile of the group, without sorting.

    Notes
    -----
    That of `numpy.percentile`, linear interpolation. Rewards of NaN are left out; without any
    other, nothing is good. A reward that equals the threshold is good, so ties can make more
    outputs good than the percentile says: all of them, where all rewards are equal. Each row of
    the leading axes is a batch of its own. Cost O(n log n).

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817 (the threshold of the experiments with a reward model).

    Examples
    --------
    >>> from polymode.core import anchor
    >>> rewards, log_q = [0.1, 0.2, 0.3, 5.0, 7.0], [-1.0] * 5
    >>> anchor(rewards, log_q, threshold=percentile_threshold(50), groups=[0, 0, 0, 1, 1]).good
    array([False,  True,  True, False,  True])
    """
    checks.require(checks.within(0, 100, percent=percent), checks.known("over", over, _SCOPES))
    return _Percentile(percent, over)


def group_maximum() -> Threshold:
    r"""Return a threshold that only the best of each group reach.

    .. math:: \tau = \max_{i \in \text{group}} r_i

    Returns
    -------
    callable
        What ``threshold=`` takes: from `rewards`, shape (..., n), and `groups` to thresholds of
        the same shape, in reward units. Can be pickled.

    See Also
    --------
    percentile_threshold : Also makes good what is nearly as good.

    Notes
    -----
    Several outputs that share the largest reward are all good; with rewards that never tie, only
    one is, and anchoring changes nothing. Rewards of NaN are left out; a group without any other
    has no good output. Cost O(n).

    Examples
    --------
    >>> from polymode.core import anchor
    >>> anchor([1.0, 2.0, 2.0, 0.5], [-1.0] * 4, threshold=group_maximum()).good
    array([False,  True,  True, False])
    """
    return _GroupMaximum()


def reaches(
    rewards: jaxtyping.Real[Array, "*batch n"], threshold: Any, groups: Groups
) -> Bool[Array, "*batch n"]:
    """Return where rewards reach a threshold of any form.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards, in reward units; NaN reaches nothing.
    threshold : float, array that broadcasts to `rewards`, or callable
        The threshold, in reward units, or a function of `rewards` and `groups` that returns it.
        What a function returns may hold NaN or infinities: nothing reaches them.
    groups : Groups
        The groups of the last axis.

    Returns
    -------
    array of bool, shape (..., n)
        Where ``r >= threshold``, compared in the dtype of `rewards`.

    Raises
    ------
    ShapeError
        If what a function returns does not broadcast to `rewards`.
    ArgumentError
        If what a function returns is not real, or comes from another library.
    """
    if callable(threshold):
        returned = threshold(rewards, groups)
        threshold = _checked(rewards, returned)
    return at_least(rewards, threshold)


def _checked(rewards: Array, returned: Any) -> Array:
    """Return what a function gave as thresholds, NaN where it is not finite."""
    xp = array_namespace(rewards)
    limit = xp.asarray(returned) if isinstance(returned, Real) else as_array(returned)
    checks.require(checks.broadcasting(rewards, **{"what threshold returns": limit}))
    if not xp.isdtype(limit.dtype, "real floating"):
        return limit
    return xp.where(xp.isfinite(limit), limit, xp.nan)


@dataclass(frozen=True, slots=True)
class _Percentile:
    """See `percentile_threshold`."""

    percent: float
    over: str

    def __call__(self, rewards: Array, groups: Groups) -> Array:
        (r,), _ = widen(rewards)
        if self.over == "batch":
            return Groups.of(None, like=r).percentile(r, self.percent)
        return groups.expand(groups.percentile(r, self.percent))


@dataclass(frozen=True, slots=True)
class _GroupMaximum:
    """See `group_maximum`."""

    def __call__(self, rewards: Array, groups: Groups) -> Array:
        (r,), _ = widen(rewards)
        xp = array_namespace(r)
        return groups.expand(groups.max(xp.where(xp.isnan(r), -xp.inf, r)))
