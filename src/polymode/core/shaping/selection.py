"""Shapers that keep the best samples of a group and drop the others.

Notation: ``p`` policy, ``q`` reference, ``t`` optimum under reverse KL of strength ``beta``, ``G``
scored samples in a group. Shaped rewards are constants in the policy gradient.
"""

from typing import Any

from jaxtyping import Float, Real

from polymode.core.arrays import Array, array_namespace
from polymode.core.shaping.columns import read

__all__ = ["best_of_n"]


def best_of_n(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
) -> Float[Array, "*batch n"]:
    r"""Return rewards that make the policy gradient imitate the best samples of each group.

    .. math:: r'_i = \begin{cases} G / m & r_i = \max_j r_j \\ 0 & \text{else} \end{cases}

    with `m` of the group's `G` scored samples at the maximum.

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards` and `groups`.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, without unit, in [0, G]; their mean over a group is 1.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    Notes
    -----
    The mean over a group of ``r' grad log p`` is the gradient of the log-likelihood of its best
    samples. In expectation over groups of `G` samples an output is worth

    .. math:: E[r'(y)] = \frac{F_\le^G - F_<^G}{F_=}

    with the policy's masses :math:`F_<, F_=, F_\le` of outputs worse than, as good as, and no
    better than `y`. That is ``p_best(y) / p(y)``, with ``p_best`` what best of `G` draws. Only the
    order of rewards counts, so `beta` weighs against numbers without unit.

    Implied optimum: outputs of equal reward keep the reference's proportions. With rewards of two
    values, ``P`` the chance of the better one and ``Q`` that under the reference, it solves
    ``logit P = logit Q + c (1 - (1 - P)^(G - 1)) / (beta P)``, which has one solution; without a KL
    it is ``P = 1``. The factor ``c`` is 1, but ``G / (G - 1)`` beside a leave-one-out baseline: the
    rewards of a group have a fixed sum, so that such a baseline stretches them, and not the KL.
    Groups of one learn nothing.

    References
    ----------
    .. [1] Sessa et al., "BOND: Aligning LLMs with Best-of-N Distillation", 2024, arXiv 2407.14622
       (the best-of-N distribution; here of the policy, not of the reference).
    .. [2] Amini, Vieira, Ash and Cotterell, "Variational Best-of-N Alignment", 2024, arXiv
       2407.06057 (the same as a variational objective).

    Examples
    --------
    >>> best_of_n([0.5, 2, 2, 1], [0.0] * 4)
    array([0., 2., 2., 0.])
    """
    batch = read(
        rewards,
        ref_log_probs,
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    xp, groups = array_namespace(batch.r), batch.groups
    highest = groups.expand(groups.max(xp.where(batch.scored, batch.r, -xp.inf)))
    best = batch.scored & (batch.r == highest)
    n_scored, n_best = (
        groups.expand(xp.astype(groups.count(mask), batch.r.dtype)) for mask in (batch.scored, best)
    )
    shaped = xp.where(best, n_scored / xp.where(best, n_best, 1.0), 0.0)
    return batch.narrow(xp.where(batch.scored, shaped, xp.nan))
