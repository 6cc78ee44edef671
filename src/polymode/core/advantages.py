"""Advantages: rewards against a baseline of their group, scaled or not.

The same rules hold for all: samples with a reward of NaN enter nothing and get 0, and so does the
only sample of a group that has a reward.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, widen
from polymode.core.groups import Groups

__all__ = ["batch_whitened", "leave_one_out", "mean_baseline", "standardised"]


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
    data = _read(rewards, groups)
    xp = array_namespace(data.r)
    n_others = data.n - 1.0
    compared = data.scored & (n_others > 0.0)
    baseline = (_total(data, data.r) - data.r) / xp.where(compared, n_others, 1.0)
    return data.narrow(xp.where(compared, data.r - baseline, 0.0))


def mean_baseline(
    rewards: Real[Array, "*batch n"], *, groups: Any = None
) -> Float[Array, "*batch n"]:
    r"""Return each reward minus the mean reward of its group.

    .. math:: A_i = r_i - \frac{1}{m} \sum_j r_j

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

    See Also
    --------
    leave_one_out : The same times ``m / (m - 1)``.

    Notes
    -----
    The sample is in its own baseline: the policy gradient is too small by the factor
    ``(m - 1) / m``, which a KL in the loss is not. Cost O(n). Differentiable in `rewards`.

    References
    ----------
    .. [1] Liu et al., "Understanding R1-Zero-Like Training: A Critical Perspective", 2025, arXiv
       2503.20783 (Dr. GRPO).

    Examples
    --------
    >>> mean_baseline([1.0, 0.0, 0.5])
    array([ 0.5, -0.5,  0. ])
    """
    data = _read(rewards, groups)
    return data.narrow(_centred(data))


def standardised(
    rewards: Real[Array, "*batch n"], *, groups: Any = None, epsilon: float = 1e-4
) -> Float[Array, "*batch n"]:
    r"""Return rewards minus the mean of their group, over its standard deviation.

    .. math:: A_i = \frac{r_i - \bar r}{s + \varepsilon}, \qquad
        s^2 = \frac{1}{m - 1} \sum_j (r_j - \bar r)^2

    with :math:`m` the number of samples in the group that have a reward.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards, in reward units, finite. NaN marks samples that could not be scored: they enter
        neither mean nor deviation.
    groups : array or sequence of int, shape (n,), or None
        Group of each position on the last axis; None puts all into one group.
    epsilon : float
        What is added to the deviation, in reward units, > 0. The default is that of TRL.

    Returns
    -------
    array, shape (..., n)
        Advantages, without unit; 0 for a sample without a reward, and where all rewards of a group
        are equal. Floating dtype and device of `rewards`.

    Raises
    ------
    ShapeError
        If `groups` does not have one label for each sample, or there is no sample.
    ArgumentError
        If `rewards` is not an array of real numbers, the labels are not integers, or `epsilon` is
        not a finite number > 0. Lists everything that is wrong.

    See Also
    --------
    leave_one_out : The advantages that anchored rewards need.

    Notes
    -----
    With the KL in the loss, its strength in group `g` becomes ``beta * s_g``: no policy is the
    optimum of all groups. In a group of good samples with anchored rewards the bonus is the only
    variance, and standardising makes it of order 1 whatever `beta` is. Cost O(n). Differentiable in
    `rewards`.

    References
    ----------
    .. [1] Shao et al., "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language
       Models", 2024, arXiv 2402.03300 (GRPO).

    Examples
    --------
    >>> standardised([1.0, 0.0, 0.5], epsilon=1e-9).round(3)
    array([ 1., -1.,  0.])
    """
    data = _read(rewards, groups, checks.positive(epsilon=epsilon))
    centred = _centred(data)
    variance = _total(data, centred * centred) / _at_least_1(data.n - 1.0)
    return data.narrow(centred / (_root(variance) + epsilon))


def batch_whitened(
    rewards: Real[Array, "*batch n"], *, groups: Any = None, epsilon: float = 1e-8
) -> Float[Array, "*batch n"]:
    r"""Return rewards minus the mean of their group, over one deviation for the whole batch.

    .. math:: A_i = \frac{c_i}{s + \varepsilon}, \qquad c_i = r_i - \bar r_{g(i)}, \qquad
        s^2 = \frac{1}{M - 1} \sum_j c_j^2

    The second sum runs over all :math:`M` samples of the row that have a reward. The
    :math:`c_i` sum to 0, so that the result has mean 0 and variance 1.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards, in reward units, finite. NaN marks samples that could not be scored: they enter
        neither mean nor deviation. Rows are batches of their own.
    groups : array or sequence of int, shape (n,), or None
        Group of each position on the last axis, whose mean is the baseline; None takes that of the
        batch.
    epsilon : float
        What is added to the deviation, in reward units, > 0.

    Returns
    -------
    array, shape (..., n)
        Advantages, without unit; 0 for a sample without a reward, and for the only sample of its
        group that has one. Floating dtype and device of `rewards`.

    Raises
    ------
    ShapeError
        If `groups` does not have one label for each sample, or there is no sample.
    ArgumentError
        If `rewards` is not an array of real numbers, the labels are not integers, or `epsilon` is
        not a finite number > 0. Lists everything that is wrong.

    See Also
    --------
    standardised : With a deviation for each group.

    Notes
    -----
    One scale for all groups changes the learning rate, and no ratio between groups; with the KL in
    the loss it still changes the strength of the KL from batch to batch. Cost O(n). Differentiable
    in `rewards`.

    References
    ----------
    .. [1] Hu et al., "REINFORCE++: Stabilizing Critic-Free Policy Optimization with Global
       Advantage Normalization", 2025, arXiv 2501.03262.

    Examples
    --------
    >>> batch_whitened([1.0, 0.0, 5.0, 1.0], groups=[0, 0, 1, 1]).round(3)
    array([ 0.297, -0.297,  1.188, -1.188])
    """
    data = _read(rewards, groups, checks.positive(epsilon=epsilon))
    xp = array_namespace(data.r)
    centred = _centred(data)
    n = xp.sum(xp.astype(data.scored, data.r.dtype), axis=-1, keepdims=True)
    variance = xp.sum(centred * centred, axis=-1, keepdims=True) / _at_least_1(n - 1.0)
    return data.narrow(centred / (_root(variance) + epsilon))


class _Scored(NamedTuple):
    """Rewards in wide floats with 0 where there is none, and who counts."""

    r: Array
    scored: Array
    n: Array  # scored samples of each sample's group
    group: Groups
    narrow: Callable[[Array], Array]


def _read(rewards: Any, groups: Any, *problems: Iterable[str]) -> _Scored:
    """Check the arguments and prepare them."""
    rewards = as_array(rewards)
    labels = checks.integer_labels(rewards, groups=groups)
    checks.require(checks.columns(rewards=rewards), labels, *problems)
    (r,), narrow = widen(rewards)
    xp = array_namespace(r)
    group = Groups.of(groups, like=r)
    scored = ~xp.isnan(r)
    n = xp.astype(group.expand(group.count(scored)), r.dtype)
    return _Scored(xp.where(scored, r, 0.0), scored, n, group, narrow)


def _total(data: _Scored, x: Array) -> Array:
    """Return, at each sample, the sum over its group."""
    return data.group.expand(data.group.sum(x))


def _centred(data: _Scored) -> Array:
    """Return rewards minus the mean of their group, 0 where there is nothing to compare with."""
    mean = _total(data, data.r) / _at_least_1(data.n)
    compared = data.scored & (data.n > 1.0)
    return array_namespace(data.r).where(compared, data.r - mean, 0.0)


def _at_least_1(n: Array) -> Array:
    """Return a number of samples as a divisor."""
    return array_namespace(n).where(n < 1.0, 1.0, n)


def _root(variance: Array) -> Array:
    """Return the square root, with gradient 0 where it is 0."""
    xp = array_namespace(variance)
    flat = variance == 0.0  # the "double where": the slope of the root at 0 is infinite
    return xp.where(flat, 0.0, xp.sqrt(xp.where(flat, 1.0, variance)))
