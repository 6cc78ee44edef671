"""Mode anchoring: make every good output equally likely at the optimum.

The anchor ``z`` of a group is the good output that the reference likes best. Treating every good
output as if it were the anchor, in its reward *and* in its reference probability, gives an
objective whose optimum is flat over the good outputs: `anchor`, Algorithm 2 of the paper, for any
divergence. Under reverse KL the same optimum follows from rewards alone: `augment`, Algorithm 1.

With mode keys the same holds for modes (answers, scaffolds, clusters) instead of single outputs:
modes become equal, and within each the proportions of the reference stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Integer, Real

from polymode.core import checks
from polymode.core.anchors import (
    CHOICES,
    CarriedAnchors,
    Found,
    Labels,
    Rule,
    carried_problems,
    find_anchors,
)
from polymode.core.arrays import Array, array_namespace, as_array

__all__ = ["Anchored", "anchor", "anchored_rewards", "augment"]


@dataclass(frozen=True, eq=False, slots=True)
class Anchored:
    """Rewards and reference after anchoring, and what was anchored to what.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards to train on, in reward units.
    ref_log_probs : array, shape (..., n)
        Log-probabilities of the reference to regularise against, in nats.
    good : array of bool, shape (..., n)
        True where a sample was anchored.
    anchor : array of int, shape (..., n)
        Position, on the last axis, of the anchor of the sample's group; -1 where no sample of the
        batch is: the group has no good one, or its anchor was carried over from an earlier batch.
    carried : CarriedAnchors or None
        The best anchors so far, for the next batch; None if none were passed in.
    """

    rewards: Float[Array, "*batch n"]
    ref_log_probs: Float[Array, "*batch n"]
    good: Bool[Array, "*batch n"]
    anchor: Integer[Array, "*batch n"]
    carried: CarriedAnchors | None = None


def anchor(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    threshold: Any,
    groups: Any = None,
    modes: Any = None,
    outputs: Any = None,
    choice: str = "most_likely",
    beta: float | None = None,
    strength: float = 1.0,
    max_bonus: float | None = None,
    carried: CarriedAnchors | None = None,
) -> Anchored:
    r"""Return rewards and reference in which every good output stands as its group's anchor.

    .. math::

        r_y \leftarrow r_z, \qquad
        \log q_y \leftarrow \log q_y + \log q(\text{mode}_z) - \log q(\text{mode}_y)
        \qquad \text{where } r_y \ge \tau

    Without `modes` every output is its own mode, and ``log q`` of all good outputs becomes that of
    the anchor. All other outputs keep both. Algorithm 2 of the paper: the optimum is flat over the
    good modes under every f-divergence.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outputs, in reward units. NaN marks outputs without a reward: they are not
        good, and stay NaN. ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outputs, in nats, summed over tokens. Outputs at ``-inf`` or NaN are
        not good, whatever their reward.
    threshold : float, array that broadcasts to `rewards`, or callable
        Outputs with ``r >= threshold`` are good; finite, in reward units. Compared in the dtype of
        `rewards`, so that a float32 reward of 0.7 passes a threshold of 0.7. A callable takes
        `rewards` and their `Groups` and returns thresholds that broadcast, NaN where nothing is
        to be good: see `percentile_threshold` and `group_maximum`.
    groups : array or sequence of int, shape (n,), or None
        Group (prompt) of each position on the last axis; None puts all into one group. Groups are
        anchored independently.
    modes : array or sequence of int or str, shape (n,), or None
        Mode of each position (final answer, canonical form, cluster). Modes are compared within a
        group only. None makes every output its own mode.
    outputs : array or sequence of int or str, shape (n,), or None
        Which positions hold the same output. Copies of an output count once in the probability of
        its mode, at the largest ``log q`` among them. None takes all as distinct. Without `modes`
        it has nothing to act on.
    choice : {"most_likely", "best_level"}
        Which good output becomes the anchor: the likeliest, under the reference, of the likeliest
        mode; or of the mode and reward with the largest ``r + beta log q(mode)``. Of several the
        likeliest output, then the first.
    beta : float or None
        Strength of the regulariser, in reward units per nat; finite and > 0. Only
        ``choice="best_level"`` and `max_bonus` need it.
    strength : float
        How far to go, in [0, 1]: rewards and ``log q`` move this part of the way from what they
        are (0) to those above (1).
    max_bonus : float or None
        The most that the difference in ``log q(mode)`` may be worth, ``beta`` times its nats, in
        reward units; >= 0. None has no limit.
    carried : CarriedAnchors or None
        The best anchors of earlier batches, by the labels in `groups`, which must be given; for
        rewards without leading axes. None looks at this batch alone.

    Returns
    -------
    Anchored
        Changed `rewards` and `ref_log_probs`, the mask `good`, the positions `anchor`, and the
        state `carried`. Arrays have the dtype and device of the arguments; integer rewards become
        floating.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, there is no sample, `threshold` does not broadcast, labels
        are not one for each sample, or there are leading axes beside `carried`.
    ArgumentError
        If the threshold is not finite, the choice is not known, `beta`, `strength` or `max_bonus`
        is out of its range, or missing where it is needed, the arrays are not real or not of one
        library, or labels have the wrong type. Lists everything that is wrong.

    See Also
    --------
    augment : The same target under reverse KL from rewards alone.
    optimal_policy : The target.

    Notes
    -----
    The probability of a mode is that of its distinct good outputs, ``log q(mode) = logsumexp``:
    exact when they are all of the mode's good outputs, a lower bound when they are samples. Flat
    up to rounding; the anchor and its mode are unchanged exactly. Treat the result as constant in
    a policy gradient. Cost O(n), and O(n log n) where labels have to be sorted, see `Groups`.

    *Scale.* The new reference sums to some ``S``, not to 1. `optimal_policy` normalises it. A loss
    that follows ``r + beta q/p`` with it as it is has the optimum of strength ``beta S`` under
    forward KL, and ``beta S^(1 - alpha)`` under an alpha divergence; under reverse KL the scale
    cancels. The good outputs are flat either way, only their level against the others moves.

    *Choice.* The anchor sets the level of the good outputs against the others, not how they share
    it. Under reverse KL the level is ``r(z) + beta log q(mode z)``: ``"best_level"`` takes the
    highest, so that no good output is worth less than before.

    *Strength.* Under reverse KL the target moves along the geometric path, ``t ∝ t_0^(1 - s)
    t_1^s`` from the plain one to the flat one: every log-ratio of good outputs is ``1 - s`` of
    what it was. Under another divergence that holds where their rewards are equal, for then ``t``
    stands in the ratio of the substituted ``q``; else only the two ends are exact.

    *Cap.* A mode whose gap to the anchor's is larger than ``max_bonus / beta`` nats stays below
    the flat level by a factor of ``exp(max_bonus / beta - gap)``, under every divergence.

    *Carrying over.* The anchor of a group is the better, by the same rule, of the best in this
    batch and the one carried; ties go to this batch. So rewards depend on the batches before and
    not on those after. What is kept is ``r(z)`` and ``log q(mode z)`` as measured then: good stays
    good, and a mode of which fewer outputs are drawn now is lifted to that level too. Costs O(k)
    more for `k` groups seen.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, Algorithm 2 (Appendix B.8). Modes, `outputs` and everything
       from `choice` on are ours.

    Examples
    --------
    >>> import numpy as np
    >>> from polymode.core import optimal_policy
    >>> result = anchor([0.0, 1.0, 2.0], np.log([0.6, 0.3, 0.1]), threshold=1.0)
    >>> result.rewards, np.exp(result.ref_log_probs).round(3), result.anchor
    (array([0., 1., 1.]), array([0.6, 0.3, 0.3]), array([1, 1, 1]))
    >>> np.exp(optimal_policy(result.rewards, result.ref_log_probs, beta=0.1)).round(3)
    array([0. , 0.5, 0.5])
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    labels, rule = Labels(groups, modes, outputs), Rule(threshold, choice, beta, carried)
    checks.require(
        *_problems(rewards, ref_log_probs, labels, rule),
        _beta_problems(beta, choice, max_bonus),
        _amount_problems(strength, max_bonus),
    )
    found = find_anchors(rewards, ref_log_probs, labels, rule)
    gap = found.gap
    if max_bonus is not None and beta is not None:
        gap = _at_most(gap, max_bonus / beta)
    return Anchored(
        rewards=found.narrow(_towards(found.anchor_reward, found, strength)),
        ref_log_probs=found.narrow(found.log_q + strength * gap),
        good=found.good,
        anchor=found.anchor,
        carried=found.carried,
    )


def augment(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: float,
    threshold: Any,
    groups: Any = None,
    modes: Any = None,
    outputs: Any = None,
    choice: str = "most_likely",
    strength: float = 1.0,
    max_bonus: float | None = None,
    carried: CarriedAnchors | None = None,
) -> Anchored:
    r"""Return rewards under which reverse KL makes every good output as likely as the anchor.

    .. math::

        r_y \leftarrow r_z + \beta \left( \log q(\text{mode}_z) - \log q(\text{mode}_y) \right)
        \qquad \text{where } r_y \ge \tau

    Without `modes` every output is its own mode. All other outputs keep their reward. Algorithm 1
    of the paper: for reverse KL (policy first) only, where the target is that of `anchor`.

    Parameters
    ----------
    rewards, ref_log_probs : array, shape (..., n)
        Rewards of `n` outputs, in reward units, and their ``log q``, in nats; see `anchor`.
    beta : float
        Strength of the KL, in reward units per nat; finite and > 0. Must be the strength with
        which the policy is trained: any other over- or under-corrects.
    threshold : float, array that broadcasts to `rewards`, or callable
        Outputs with ``r >= threshold`` are good; see `anchor`.
    groups, modes, outputs : array or sequence, shape (n,), or None
        The labels of the outputs; see `anchor`.
    choice : {"most_likely", "best_level"}
        Which good output becomes the anchor; see `anchor`.
    strength : float
        How far to go, in [0, 1]: rewards move this part of the way from what they are to those
        above.
    max_bonus : float or None
        The most that is added to ``r(z)``, in reward units, >= 0. None has no limit.
    carried : CarriedAnchors or None
        The best anchors of earlier batches; see `anchor`.

    Returns
    -------
    Anchored
        Changed `rewards`; `ref_log_probs` as they were; the rest as `anchor` returns it.

    Raises
    ------
    ShapeError, ArgumentError
        As `anchor` does, or if `beta` is not a finite number > 0.

    See Also
    --------
    anchor : The form that is flat under every divergence; the parameters are described there.
    anchored_rewards : Only the rewards.

    Notes
    -----
    Exact under reverse KL over whole outputs. The bonus over ``r_z`` is 0 in the anchor's mode and
    grows with length, as ``log q`` does: 500 tokens of 1 nat earn 0.5 at a `beta` of 1e-3. With
    the likeliest anchor it is never negative, but rewards above ``r_z`` come down to it first;
    with ``choice="best_level"`` it can be, and no reward comes out lower than it went in.

    `strength` and `max_bonus` give the same target under reverse KL as in `anchor`, which says
    what they cost; the cap comes first, so that at most ``strength * max_bonus`` is added. Treat
    the result as constant in a policy gradient. Cost as `anchor`.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, Algorithm 1. Modes, `outputs` and everything from `choice` on
       are ours.

    Examples
    --------
    Two phrasings of "yes" and one "no"; the two modes get 1/2 each, "yes" keeps its 3 : 1:

    >>> import numpy as np
    >>> from polymode.core import optimal_policy
    >>> log_q = np.log([0.6, 0.2, 0.2])
    >>> result = augment([1, 1, 1], log_q, beta=0.1, threshold=1, modes=["yes", "yes", "no"])
    >>> result.rewards.round(3)
    array([1.   , 1.   , 1.139])
    >>> np.exp(optimal_policy(result.rewards, log_q, beta=0.1)).round(3)
    array([0.375, 0.125, 0.5  ])
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    labels, rule = Labels(groups, modes, outputs), Rule(threshold, choice, beta, carried)
    checks.require(
        *_problems(rewards, ref_log_probs, labels, rule),
        checks.positive(beta=beta),
        _amount_problems(strength, max_bonus),
    )
    found = find_anchors(rewards, ref_log_probs, labels, rule)
    bonus = _at_most(beta * found.gap, max_bonus)
    return Anchored(
        rewards=found.narrow(_towards(found.anchor_reward + bonus, found, strength)),
        ref_log_probs=found.narrow(found.log_q),
        good=found.good,
        anchor=found.anchor,
        carried=found.carried,
    )


def anchored_rewards(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: float,
    threshold: Any,
    groups: Any = None,
    modes: Any = None,
    outputs: Any = None,
    choice: str = "most_likely",
    strength: float = 1.0,
    max_bonus: float | None = None,
) -> Float[Array, "*batch n"]:
    r"""Return the rewards of `augment`, for callers who need nothing else.

    .. math::

        r_y \leftarrow r_z + \beta \left( \log q(\text{mode}_z) - \log q(\text{mode}_y) \right)
        \qquad \text{where } r_y \ge \tau

    Parameters
    ----------
    rewards, ref_log_probs : array, shape (..., n)
        Rewards of `n` outputs, in reward units, and their ``log q``, in nats; see `anchor`.
    beta : float
        Strength of the KL, in reward units per nat; finite and > 0.
    threshold : float, array that broadcasts to `rewards`, or callable
        Outputs with ``r >= threshold`` are good; see `anchor`.
    groups, modes, outputs : array or sequence, shape (n,), or None
        The labels of the outputs; see `anchor`.
    choice : {"most_likely", "best_level"}
        Which good output becomes the anchor; see `anchor`.
    strength : float
        How far to go, in [0, 1]; see `augment`.
    max_bonus : float or None
        The most that is added to ``r(z)``, in reward units, >= 0; see `augment`.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units. Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError, ArgumentError
        As `augment` does.

    See Also
    --------
    augment : Also tells what was anchored to what, and takes anchors of earlier batches, whose
        state rewards alone could not hand on; limits and cost are described there.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> anchored_rewards([0, 1, 1], np.log([0.6, 0.3, 0.1]), beta=0.1, threshold=1).round(3)
    array([0.  , 1.  , 1.11])
    """
    return augment(
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
    ).rewards


def _problems(
    rewards: Array, ref_log_probs: Array, labels: Labels, rule: Rule
) -> tuple[Iterator[str], ...]:
    """Check the arguments that every batch has."""
    groups, modes, outputs = labels
    return (
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        checks.threshold_for(rewards, rule.threshold),
        checks.integer_labels(rewards, groups=groups),
        checks.key_labels(rewards, modes=modes, outputs=outputs),
        checks.known("choice", rule.choice, CHOICES),
        carried_problems(rewards, groups, rule.carried),
    )


def _beta_problems(beta: float | None, choice: str, max_bonus: float | None) -> Iterator[str]:
    """Check a strength that some choices can do without."""
    if beta is not None:
        yield from checks.positive(beta=beta)
        return
    if choice == "best_level":
        yield "beta must be given with choice='best_level', got None"
    if max_bonus is not None:
        yield "beta must be given with max_bonus, got None"


def _amount_problems(strength: float, max_bonus: float | None) -> Iterator[str]:
    """Check how far to go, and with which limit."""
    yield from checks.within(0, 1, strength=strength)
    if max_bonus is not None:
        yield from checks.non_negative(max_bonus=max_bonus)


def _at_most(x: Array, limit: float | None) -> Array:
    """Return an array with whatever is larger cut down to the limit."""
    return x if limit is None else array_namespace(x).where(x > limit, limit, x)


def _towards(reward: Array, found: Found, strength: float) -> Array:
    """Return rewards of the good outputs, moved towards what anchoring makes of them."""
    where = array_namespace(reward).where
    if strength == 1:  # exactly there: a sum would round
        return where(found.good, reward, found.r)
    return found.r + strength * where(found.good, reward - found.r, 0.0)
