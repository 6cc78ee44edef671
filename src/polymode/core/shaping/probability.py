"""Shapers that read how likely a sample is, under the policy or under the reference.

Notation: ``p`` policy, ``q`` reference, ``t`` optimum under reverse KL of strength ``beta``. Shaped
rewards are constants in the policy gradient, and the samples are drawn from the policy itself.
"""

from typing import Any

from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.anchoring import anchored_rewards
from polymode.core.arrays import Array, array_namespace
from polymode.core.shaping.columns import read

__all__ = [
    "anchored",
    "differential_smoothing",
    "entropy_bonus",
    "plain",
    "uniform_correct",
    "unlikeliness",
]


def plain(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
) -> Float[Array, "*batch n"]:
    r"""Return the rewards as they are.

    .. math:: r'_i = r_i

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards`.

    Returns
    -------
    array, shape (..., n)
        The rewards, in reward units; integers become floating.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    Notes
    -----
    Implied optimum: ``t ∝ q exp(r / beta)``, `optimal_policy`. Equal rewards keep ``q1 / q2``.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, eq. 2.

    Examples
    --------
    >>> plain([0, 1], [-1.0, -2.0])
    array([0., 1.])
    """
    batch = read(
        rewards, ref_log_probs, log_probs=log_probs, groups=groups, lengths=lengths, modes=modes
    )
    return batch.narrow(batch.r)


def anchored(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
    beta: float,
    threshold: Any,
    outputs: Any = None,
    choice: str = "most_likely",
    strength: float = 1.0,
    max_bonus: float | None = None,
) -> Float[Array, "*batch n"]:
    r"""Return the rewards of mode anchoring.

    .. math::

        r'_y = r_z + \beta \left( \log q(\text{mode}_z) - \log q(\text{mode}_y) \right)
        \qquad \text{where } r_y \ge \tau

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards`, `ref_log_probs`, `groups` and, if
        given, `modes`.
    beta : float
        Strength of the KL with which the policy is trained, in reward units per nat; > 0.
    threshold : float, array that broadcasts to `rewards`, or callable
        Samples with ``r >= threshold`` are good; in reward units, see `anchor`.
    outputs : array or sequence of int or str, shape (n,), or None
        Which positions hold the same output, see `anchored_rewards`.
    choice : {"most_likely", "best_level"}
        Which good output becomes the anchor, see `anchor`.
    strength : float
        How far to move towards these rewards, in [0, 1].
    max_bonus : float or None
        The most that is added to ``r(z)``, in reward units, >= 0; None has no limit.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    See Also
    --------
    anchored_rewards : The function behind it.

    Notes
    -----
    Implied optimum: flat over the good modes, each of which has the mass of the anchor's mode
    under plain rewards of ``r(z)``, before normalisation.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, Algorithm 1.

    Examples
    --------
    >>> anchored([0, 1, 1], [-0.5, -1.0, -3.0], beta=0.1, threshold=1)
    array([0. , 1. , 1.2])
    """
    read(rewards, ref_log_probs, log_probs=log_probs, groups=groups, lengths=lengths, modes=modes)
    return anchored_rewards(
        rewards,
        ref_log_probs,
        beta=beta,
        threshold=threshold,
        groups=groups,
        modes=modes,
        outputs=outputs,
        choice=choice,
        strength=strength,
        max_bonus=max_bonus,
    )


def unlikeliness(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
    threshold: Any,
    strength: float = 0.25,
) -> Float[Array, "*batch n"]:
    r"""Return rewards in which a correct sample loses the more, the likelier it is in its group.

    .. math::

        r'_i = r_i \left( 1 - b \, \frac{G - \text{rank}_i}{G} \right)
        \qquad \text{where } r_i \ge \tau

    with rank 1 for the likeliest of the group's :math:`G` samples under the policy, and rank
    :math:`G` for the least likely, which keeps its reward. Wrong samples keep theirs.

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards`, `groups` and `log_probs`, which it
        needs.
    threshold : float, array that broadcasts to `rewards`, or callable
        Samples with ``r >= threshold`` are correct; in reward units, see `anchor`.
    strength : float
        The factor `b`, without unit, >= 0. The paper takes 0.25.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    Notes
    -----
    Wrong samples are ranked too. Equal log-probabilities share the mean of their ranks. Implied
    optimum: none in closed form, as ranks depend on the policy; but two correct outputs of reward
    `r` never differ by more than ``b r`` in shaped reward, so under reverse KL of strength `beta`
    no lead of the reference above ``b r / beta`` nats is ever made up. Cost O(n log n).

    References
    ----------
    .. [1] He, Fried and Welleck, "Rewarding the Unlikely: Lifting GRPO Beyond Distribution
       Sharpening", EMNLP 2025, arXiv 2506.02355 (the unlikeliness reward).

    Examples
    --------
    >>> unlikeliness([1, 1, 0, 1], [0.0] * 4, log_probs=[-1.0, -4.0, -2.0, -3.0], threshold=1)
    array([0.8125, 1.    , 0.    , 0.9375])
    """
    batch = read(
        rewards,
        ref_log_probs,
        checks.non_negative(strength=strength),
        needs=("log_probs",),
        threshold=threshold,
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    r, n = batch.r, batch.groups.expand(batch.groups.count(batch.scored))
    rank = batch.groups.rank(-batch.log_p, mask=batch.scored)
    where = array_namespace(r).where
    frac_less_likely = (n - rank) / where(batch.scored, n, 1)
    return batch.narrow(where(batch.good, r * (1.0 - strength * frac_less_likely), r))


def differential_smoothing(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
    threshold: Any,
    correct: float,
    wrong: float = 0.0,
) -> Float[Array, "*batch n"]:
    r"""Return rewards that smooth the correct samples and sharpen the wrong ones.

    .. math::

        r'_i = \begin{cases} r_i - \gamma_p \log q_i & r_i \ge \tau \\
        r_i + \gamma_n \log q_i & \text{else} \end{cases}

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards` and `ref_log_probs`; NaN in either
        gives NaN, and where ``log q`` is ``-inf`` the reward stays.
    threshold : float, array that broadcasts to `rewards`, or callable
        Samples with ``r >= threshold`` are correct; in reward units, see `anchor`.
    correct : float
        Strength on correct samples, :math:`\gamma_p`, in reward units per nat, >= 0.
    wrong : float
        Strength on wrong samples, :math:`\gamma_n`, in reward units per nat, >= 0.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    See Also
    --------
    anchored : The same slope, ``-beta log q``, but with the level of the anchor's reward.

    Notes
    -----
    Implied optimum under reverse KL of strength `beta`: ``t ∝ q^(1 - correct/beta) exp(r/beta)``
    over correct outputs and ``t ∝ q^(1 + wrong/beta) exp(r/beta)`` over wrong ones, so
    ``correct = beta`` and equal rewards make the correct ones flat; above, the order turns round.
    Every bonus is ``-log q`` of a whole sequence, so it grows with the length. As its authors run
    it, ``log p`` of the sampling policy takes the place of ``log q``, on advantages: pass that as
    `ref_log_probs`. Differentiable in both arrays.

    References
    ----------
    .. [1] "Differential smoothing", arXiv 2511.19942 (the modified reward).

    Examples
    --------
    >>> differential_smoothing([1, 1, 0], [-1, -3, -2], threshold=1, correct=0.1, wrong=0.2)
    array([ 1.1,  1.3, -0.4])
    """
    batch = read(
        rewards,
        ref_log_probs,
        checks.non_negative(correct=correct, wrong=wrong),
        threshold=threshold,
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    log_q = _zero_where_impossible(batch.log_q)
    bonus = array_namespace(log_q).where(batch.good, -correct * log_q, wrong * log_q)
    return batch.narrow(batch.r + bonus)


def uniform_correct(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any,
    groups: Any = None,
    lengths: Any,
    modes: Any = None,
    threshold: Any,
) -> Float[Array, "*batch n"]:
    r"""Return rewards that share out what a group's correct samples earn, most to the unlikely.

    .. math::

        r'_i = \frac{w_i}{\sum_j w_j} \sum_j r_j, \qquad w_i = e^{-\log p_i / |y_i|}
        \qquad \text{where } r_i \ge \tau

    Both sums run over the correct samples of the group; :math:`w_i` is the inverse of the
    probability per token. Wrong samples keep their reward.

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards`, `groups`, and `log_probs` and
        `lengths`, which it needs. A correct sample whose ``log p`` is ``-inf`` keeps its reward.
    threshold : float, array that broadcasts to `rewards`, or callable
        Samples with ``r >= threshold`` are correct; in reward units, see `anchor`.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    Notes
    -----
    The sum over a group stays what it was, and so does the baseline. Implied optimum without a KL,
    in large groups: with one token a sample, every correct output gets the same push whatever its
    probability, so the policy ends uniform over them. With longer samples the weights make up for
    the *geometric mean* per token only, and likely sequences keep part of their lead: no closed
    form. The paper applies the weights to advantages. Differentiable in `rewards`.

    References
    ----------
    .. [1] "UCPO: uniform-correct policy optimisation", arXiv 2605.00365 (the redistribution).

    Examples
    --------
    >>> import numpy as np
    >>> log_p = np.log([0.5, 0.25, 0.25])
    >>> uniform_correct([1, 1, 0], np.zeros(3), log_probs=log_p, lengths=[1, 1, 1], threshold=1)
    array([0.66666667, 1.33333333, 0.        ])
    """
    batch = read(
        rewards,
        ref_log_probs,
        needs=("log_probs", "lengths"),
        threshold=threshold,
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    r, groups = batch.r, batch.groups
    xp = array_namespace(r)
    shares = batch.good & (batch.log_p > -xp.inf)
    log_w = xp.where(shares, -_zero_where_impossible(batch.log_p) / batch.lengths, -xp.inf)
    log_total = groups.expand(groups.logsumexp(log_w))
    share = xp.exp(log_w - xp.where(shares, log_total, 0.0))
    earned = groups.expand(groups.sum(xp.where(shares, r, 0.0)))
    return batch.narrow(xp.where(shares, share * earned, r))


def entropy_bonus(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
    strength: float,
) -> Float[Array, "*batch n"]:
    r"""Return rewards plus a bonus for the entropy of the policy.

    .. math:: r'_i = r_i - \eta \log p_i

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards` and `log_probs`, which it needs; where
        ``log p`` is ``-inf`` the reward stays.
    strength : float
        The weight :math:`\eta` of the entropy, in reward units per nat, >= 0.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    Notes
    -----
    Exact: with on-policy samples the expected gradient is that of ``E_p[r] + eta H(p)`` over whole
    sequences. Implied optimum under reverse KL of strength `beta`:
    ``t ∝ q^(beta/(beta + eta)) exp(r/(beta + eta))``. Wrong outputs gain as much as correct ones,
    and the reference's bias shrinks without ever vanishing. Differentiable in both arrays, but
    meant as a constant.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817 (the optimum with an entropy bonus).

    Examples
    --------
    >>> entropy_bonus([1.0, 0.0], [-1.0, -2.0], log_probs=[-2.0, -4.0], strength=0.5)
    array([2., 2.])
    """
    batch = read(
        rewards,
        ref_log_probs,
        checks.non_negative(strength=strength),
        needs=("log_probs",),
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    return batch.narrow(batch.r - strength * _zero_where_impossible(batch.log_p))


def _zero_where_impossible(log_x: Array) -> Array:
    """Return logarithms with 0 in place of -inf, under which a bonus would be infinite."""
    xp = array_namespace(log_x)
    return xp.where(log_x == -xp.inf, 0.0, log_x)
