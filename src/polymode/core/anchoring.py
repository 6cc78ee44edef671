"""Mode anchoring: make every good output equally likely at the optimum.

The anchor ``z`` of a group is the good output that the reference likes best. Treating every good
output as if it were the anchor, in its reward *and* in its reference probability, gives an
objective whose optimum is flat over the good outputs: `anchor`, Algorithm 2 of the paper, for any
divergence. Under reverse KL the same optimum follows from rewards alone: `augment`, Algorithm 1.

With mode keys the same holds for modes (answers, scaffolds, clusters) instead of single outputs:
modes become equal, and within each the proportions of the reference stay.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Integer, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, at_least, device, widen
from polymode.core.groups import Groups

__all__ = ["Anchored", "anchor", "anchored_rewards", "augment"]

_CHOICES = ("most_likely",)


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
        Position, on the last axis, of the anchor of the sample's group; -1 where the group has no
        good sample.
    """

    rewards: Float[Array, "*batch n"]
    ref_log_probs: Float[Array, "*batch n"]
    good: Bool[Array, "*batch n"]
    anchor: Integer[Array, "*batch n"]


def anchor(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    threshold: Any,
    groups: Any = None,
    modes: Any = None,
    outputs: Any = None,
    choice: str = "most_likely",
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
    threshold : float or array that broadcasts to `rewards`
        Outputs with ``r >= threshold`` are good; finite, in reward units. Compared in the dtype of
        `rewards`, so that a float32 reward of 0.7 passes a threshold of 0.7.
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
    choice : {"most_likely"}
        Which good output becomes the anchor: the likeliest, under the reference, of the likeliest
        mode; the first of several.

    Returns
    -------
    Anchored
        Changed `rewards` and `ref_log_probs`, the mask `good` and the positions `anchor`. Arrays
        have the dtype and device of the arguments; integer rewards become floating.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, there is no sample, `threshold` does not broadcast, or
        labels are not one for each sample.
    ArgumentError
        If the threshold is not finite, the choice is not known, the arrays are not real or not of
        one library, or labels have the wrong type. Lists everything that is wrong.

    See Also
    --------
    augment : The same target under reverse KL from rewards alone.
    optimal_policy : The target.

    Notes
    -----
    The probability of a mode is that of its distinct good outputs, ``log q(mode) = logsumexp``:
    exact when they are all of the mode's good outputs, a lower bound when they are samples. Flat
    up to rounding; the anchor and its mode are unchanged exactly. Treat the result as constant in
    a policy gradient. Cost O(n), and O(n log n) with labels.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, Algorithm 2 (Appendix B.8). Modes and `outputs` are ours.

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
    checks.require(*_problems(rewards, ref_log_probs, threshold, groups, modes, outputs, choice))
    found = _find_anchors(rewards, ref_log_probs, threshold, groups, modes, outputs)
    where = array_namespace(rewards).where
    return Anchored(
        rewards=found.narrow(where(found.good, found.anchor_reward, found.r)),
        ref_log_probs=found.narrow(where(found.good, found.log_q + found.gap, found.log_q)),
        good=found.good,
        anchor=found.anchor,
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
) -> Anchored:
    r"""Return rewards under which reverse KL makes every good output as likely as the anchor.

    .. math::

        r_y \leftarrow r_z + \beta \left( \log q(\text{mode}_z) - \log q(\text{mode}_y) \right)
        \qquad \text{where } r_y \ge \tau

    Without `modes` every output is its own mode. All other outputs keep their reward. Algorithm 1
    of the paper: for reverse KL (policy first) only, where the target is that of `anchor`.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outputs, in reward units. NaN marks outputs without a reward: they are not
        good, and stay NaN. ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outputs, in nats, summed over tokens. Outputs at ``-inf`` or NaN are
        not good, whatever their reward.
    beta : float
        Strength of the KL, in reward units per nat; finite and > 0. Must be the strength with
        which the policy is trained: any other over- or under-corrects.
    threshold : float or array that broadcasts to `rewards`
        Outputs with ``r >= threshold`` are good; see `anchor`.
    groups : array or sequence of int, shape (n,), or None
        Group (prompt) of each position on the last axis; None puts all into one group.
    modes : array or sequence of int or str, shape (n,), or None
        Mode of each position; None makes every output its own mode.
    outputs : array or sequence of int or str, shape (n,), or None
        Which positions hold the same output; see `anchor`.
    choice : {"most_likely"}
        Which good output becomes the anchor; see `anchor`.

    Returns
    -------
    Anchored
        Changed `rewards`; `ref_log_probs` as they were; the mask `good` and the positions
        `anchor`. Arrays have the dtype and device of the arguments; integer rewards become
        floating.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, there is no sample, `threshold` does not broadcast, or
        labels are not one for each sample.
    ArgumentError
        If `beta` is not a finite number > 0, the threshold is not finite, the choice is not
        known, the arrays are not real or not of one library, or labels have the wrong type. Lists
        everything that is wrong.

    See Also
    --------
    anchor : The form that is flat under every divergence.
    anchored_rewards : Only the rewards.

    Notes
    -----
    Exact under reverse KL over whole outputs. The bonus over ``r_z`` is 0 in the anchor's mode and
    >= 0 in all others; it grows with length, as ``log q`` does: 500 tokens of 1 nat earn 0.5 at a
    `beta` of 1e-3. Rewards above ``r_z`` come down to it first. Treat the result as constant in a
    policy gradient. Cost O(n), and O(n log n) with labels.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, Algorithm 1. Modes and `outputs` are ours.

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
    checks.require(
        *_problems(rewards, ref_log_probs, threshold, groups, modes, outputs, choice),
        checks.positive(beta=beta),
    )
    found = _find_anchors(rewards, ref_log_probs, threshold, groups, modes, outputs)
    augmented = found.anchor_reward + beta * found.gap
    return Anchored(
        rewards=found.narrow(array_namespace(rewards).where(found.good, augmented, found.r)),
        ref_log_probs=found.narrow(found.log_q),
        good=found.good,
        anchor=found.anchor,
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
) -> Float[Array, "*batch n"]:
    r"""Return the rewards of `augment`, for callers who need nothing else.

    .. math::

        r_y \leftarrow r_z + \beta \left( \log q(\text{mode}_z) - \log q(\text{mode}_y) \right)
        \qquad \text{where } r_y \ge \tau

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outputs, in reward units; NaN marks outputs without a reward.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outputs, in nats, summed over tokens; ``-inf`` is legal.
    beta : float
        Strength of the KL, in reward units per nat; finite and > 0.
    threshold : float or array that broadcasts to `rewards`
        Outputs with ``r >= threshold`` are good; finite, in reward units.
    groups : array or sequence of int, shape (n,), or None
        Group (prompt) of each position on the last axis; None puts all into one group.
    modes : array or sequence of int or str, shape (n,), or None
        Mode of each position; None makes every output its own mode.
    outputs : array or sequence of int or str, shape (n,), or None
        Which positions hold the same output; see `anchor`.
    choice : {"most_likely"}
        Which good output becomes the anchor; see `anchor`.

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
    augment : Also tells what was anchored to what; limits and cost are described there.

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
    ).rewards


def _problems(
    rewards: Array,
    ref_log_probs: Array,
    threshold: Any,
    groups: Any,
    modes: Any,
    outputs: Any,
    choice: str,
) -> tuple[Iterator[str], ...]:
    """Check the arguments that both algorithms share."""
    return (
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        checks.threshold_for(rewards, threshold),
        checks.integer_labels(rewards, groups=groups),
        checks.key_labels(rewards, modes=modes, outputs=outputs),
        checks.known("choice", choice, _CHOICES),
    )


class _Found(NamedTuple):
    """The anchors, per sample; `r`, `log_q`, `anchor_reward` and `gap` in wide floats."""

    r: Array
    log_q: Array
    good: Array
    anchor: Array
    anchor_reward: Array  # r(z), 0 in groups without an anchor
    gap: Array  # log q(mode z) - log q(mode y), 0 where not good
    narrow: Callable[[Array], Array]


def _find_anchors(
    rewards: Array, ref_log_probs: Array, threshold: Any, groups: Any, modes: Any, outputs: Any
) -> _Found:
    """Find the good outputs, the anchor of each group, and what separates them from it."""
    good = _is_good(rewards, ref_log_probs, threshold)
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    xp = array_namespace(r)
    group = Groups.of(groups, like=r)
    mass = log_q
    if modes is not None:
        mass = _log_mode_mass(log_q, good, group.split(modes), outputs)
    level = group.expand(group.max(xp.where(good, mass, -xp.inf)))
    in_top_mode = good & (mass == level)
    position = group.expand(group.argmax(xp.where(in_top_mode, log_q, -xp.inf)))
    is_anchor = good & (xp.arange(r.shape[-1], device=device(r)) == position)
    return _Found(
        r=r,
        log_q=log_q,
        good=good,
        anchor=xp.where(level > -xp.inf, position, -1),
        anchor_reward=group.expand(group.sum(xp.where(is_anchor, r, 0.0))),
        gap=xp.where(good, level, 0.0) - xp.where(good, mass, 0.0),
        narrow=narrow,
    )


def _is_good(rewards: Array, ref_log_probs: Array, threshold: Any) -> Array:
    """Mark rewards at or above the threshold that the reference can reach; NaN is never good."""
    xp = array_namespace(rewards, ref_log_probs)
    return at_least(rewards, threshold) & xp.isfinite(ref_log_probs)


def _log_mode_mass(log_q: Array, good: Array, modes: Groups, outputs: Any) -> Array:
    """Return log q of each sample's mode: that of its distinct good outputs together."""
    xp = array_namespace(log_q)
    log_q = xp.where(good, log_q, -xp.inf)
    if outputs is not None:
        copies = modes.split(outputs)
        representative = copies.expand(copies.argmax(log_q))
        positions = xp.arange(log_q.shape[-1], device=device(log_q))
        log_q = xp.where(positions == representative, log_q, -xp.inf)
    return modes.expand(modes.logsumexp(log_q))
