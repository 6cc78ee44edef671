"""Advantages: rewards against a baseline of their group."""

from typing import Any

from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, widen
from polymode.core.groups import Groups

__all__ = ["leave_one_out"]


def leave_one_out(
    rewards: Real[Array, "*batch n"], *, groups: Any = None
) -> Float[Array, "*batch n"]:
    r"""Return each reward minus the mean reward of the other samples of its group.

    .. math:: A_i = r_i - \frac{1}{m - 1} \sum_{j \ne i} r_j

    with :math:`m` the number of samples in the group that have a reward.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards, in reward units, finite. NaN marks samples that could not be scored: they enter no
        baseline.
    groups : array or sequence of int, shape (n,), or None
        Group of each position on the last axis; None puts all into one group.

    Returns
    -------
    array, shape (..., n)
        Advantages, in reward units; 0 for a sample without a reward, and for the only sample of
        its group that has one. Floating dtype and device of `rewards`.

    Raises
    ------
    ShapeError
        If `groups` does not have one label for each sample, or there is no sample.
    ArgumentError
        If `rewards` is not an array of real numbers, or the labels are not integers.

    Notes
    -----
    The baseline of a sample does not depend on the sample, so the policy gradient stays unbiased.
    Rewards minus the mean of the *whole* group, which are :math:`(m - 1) / m` times as large, make
    it too small by that factor. The advantages of a group sum to 0. They are not divided by a
    standard deviation: that would make the strength of the regulariser depend on the group. Cost
    O(n). Differentiable in `rewards`.

    References
    ----------
    .. [1] Ahmadian et al., "Back to Basics: Revisiting REINFORCE Style Optimization for Learning
       from Human Feedback in LLMs", ACL 2024, arXiv 2402.14740 (the RLOO estimator).

    Examples
    --------
    >>> leave_one_out([1.0, 0.0, 0.5])
    array([ 0.75, -0.75,  0.  ])
    >>> leave_one_out([1.0, 0.0, float("nan"), 5.0], groups=[0, 0, 0, 1])
    array([ 1., -1.,  0.,  0.])
    """
    rewards = as_array(rewards)
    checks.require(checks.columns(rewards=rewards), checks.integer_labels(rewards, groups=groups))
    (r,), narrow = widen(rewards)
    xp = array_namespace(r)
    group = Groups.of(groups, like=r)
    scored = ~xp.isnan(r)
    r = xp.where(scored, r, 0.0)
    n_others = xp.astype(group.expand(group.count(scored)), r.dtype) - 1.0
    compared = scored & (n_others > 0.0)
    baseline = (group.expand(group.sum(r)) - r) / xp.where(compared, n_others, 1.0)
    return narrow(xp.where(compared, r - baseline, 0.0))
