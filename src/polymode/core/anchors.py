"""The search for anchors: which outputs are good, which one anchors each group, how far off it is.

Users need `CarriedAnchors` of it; `anchoring` turns what is found into rewards.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_keys, detached, device, widen
from polymode.core.groups import Groups
from polymode.core.thresholds import reaches

__all__ = [
    "CHOICES",
    "CarriedAnchors",
    "Found",
    "Labels",
    "Rule",
    "carried_problems",
    "find_anchors",
]

CHOICES = ("most_likely", "best_level")


@dataclass(frozen=True, eq=False, slots=True)
class CarriedAnchors:
    """The best anchor so far of each prompt: what one batch hands on to the next.

    ``CarriedAnchors()`` is the start, from which nothing has been seen. Pass it as ``carried=`` to
    `anchor` or `augment`, and what comes back as ``.carried`` to the next call.

    Parameters
    ----------
    groups : array of int, shape (k,)
        Labels of the groups (prompts) that have had a good output, in ascending order.
    rewards : array, shape (k,)
        ``r(z)`` of each one's anchor, in reward units.
    ref_log_probs : array, shape (k,)
        ``log q`` of the anchor's mode as it was measured in its batch, in nats.

    Notes
    -----
    Plain arrays in the widest float of their device, of NumPy or of the library of the rewards:
    ``dataclasses.asdict`` is all that it takes to save them, ``CarriedAnchors(**arrays)`` to load
    them again.
    """

    groups: Integer[Array, " k"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    rewards: Float[Array, " k"] = field(default_factory=lambda: np.zeros(0))
    ref_log_probs: Float[Array, " k"] = field(default_factory=lambda: np.zeros(0))


class Labels(NamedTuple):
    """The labels of the samples, as `anchor` takes them.

    Parameters
    ----------
    groups, modes, outputs : array or sequence, shape (n,), or None
        Group, mode and output of each position on the last axis.
    """

    groups: Any
    modes: Any
    outputs: Any


class Rule(NamedTuple):
    """What is good, and which of the good anchors, as `anchor` takes it.

    Parameters
    ----------
    threshold : float, array or callable
        What makes a sample good.
    choice : str
        One of `CHOICES`.
    beta : float or None
        Strength of the regulariser, in reward units per nat; needed by ``"best_level"``.
    carried : CarriedAnchors or None
        The anchors of earlier batches.
    """

    threshold: Any
    choice: str
    beta: float | None
    carried: CarriedAnchors | None


class Found(NamedTuple):
    """The anchors, one entry for each sample.

    Parameters
    ----------
    r, log_q : array, shape (..., n)
        Rewards and log-probabilities of the reference, in wide floats.
    good : array of bool, shape (..., n)
        Which samples are good.
    anchor : array of int, shape (..., n)
        Position of the anchor, -1 where no sample of this batch is it.
    anchor_reward : array, shape (..., n)
        ``r(z)``, 0 in groups without an anchor.
    gap : array, shape (..., n)
        ``log q(mode z) - log q(mode y)``, 0 where not good.
    narrow : callable
        Casts a result to the type of rewards and reference.
    carried : CarriedAnchors or None
        The anchors to carry over, None if none were passed in.
    """

    r: Array
    log_q: Array
    good: Array
    anchor: Array
    anchor_reward: Array
    gap: Array
    narrow: Callable[[Array], Array]
    carried: CarriedAnchors | None


class _Best(NamedTuple):
    """The best candidate of each group; means nothing where none exists."""

    position: Array
    exists: Array
    reward: Array
    log_mass: Array


class _Candidates(NamedTuple):
    """What the anchors are chosen from: the samples, and behind them the anchors carried over."""

    group: Groups
    r: Array
    log_mass: Array  # log q(mode), -inf where not good
    tie_break: Array  # log q of the sample itself, -inf where not good


def carried_problems(rewards: Array, groups: Any, carried: Any) -> Iterator[str]:
    """Check the anchors that are carried over, and that there are labels to find them by.

    Parameters
    ----------
    rewards : array, shape (..., n)
        The rewards of the batch.
    groups : array or None
        The labels of the batch.
    carried : CarriedAnchors or None
        What to check; None is not checked.

    Yields
    ------
    str
        The problems.
    """
    if carried is None:
        return
    yield from checks.instance("carried", carried, CarriedAnchors)
    if groups is None:
        yield "groups must be given with carried: their labels are what anchors are kept by"
    yield from checks.single_row("carried", rewards)
    if isinstance(carried, CarriedAnchors):
        columns = {f"carried.{f.name}": getattr(carried, f.name) for f in fields(carried)}
        yield from checks.kept_columns(rewards, groups="carried.groups", **columns)


def find_anchors(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    labels: Labels,
    rule: Rule,
) -> Found:
    """Find the good outputs, the anchor of each group, and what separates them from it.

    Parameters
    ----------
    rewards, ref_log_probs : array, shape (..., n)
        The columns, checked.
    labels : Labels
        The labels, checked.
    rule : Rule
        What is good and what anchors, checked.

    Returns
    -------
    Found
        The anchors.
    """
    xp = array_namespace(rewards, ref_log_probs)
    group = Groups.of(labels.groups, like=rewards)
    good = reaches(rewards, rule.threshold, group) & xp.isfinite(ref_log_probs)
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    own = mass = xp.where(good, log_q, -xp.inf)
    if labels.modes is not None:
        mass = _log_mode_mass(own, group.split(labels.modes), labels.outputs)
        mass = xp.where(good, mass, -xp.inf)
    candidates = _Candidates(group, r, log_mass=mass, tie_break=own)
    keys = None
    if rule.carried is not None:
        keys = _keys(labels.groups, rule.carried, like=r)
        candidates = _with_carried(candidates, keys, rule.carried)
    best = _choose(candidates, rule)
    level = xp.where(best.exists, best.log_mass, 0.0)
    n = r.shape[-1]

    def at_samples(per_group: Array) -> Array:
        return candidates.group.expand(per_group)[..., :n]

    return Found(
        r=r,
        log_q=log_q,
        good=good,
        anchor=at_samples(xp.where(best.exists & (best.position < n), best.position, -1)),
        anchor_reward=at_samples(xp.where(best.exists, best.reward, 0.0)),
        gap=xp.where(good, at_samples(level) - mass, 0.0),
        narrow=narrow,
        carried=None if keys is None else _to_carry(best, candidates.group.max(keys)),
    )


def _log_mode_mass(log_q: Array, modes: Groups, outputs: Any) -> Array:
    """Return log q of each sample's mode: that of its distinct outputs together."""
    if outputs is not None:
        xp = array_namespace(log_q)
        copies = modes.split(outputs)
        representative = copies.expand(copies.argmax(log_q))
        positions = xp.arange(log_q.shape[-1], device=device(log_q))
        log_q = xp.where(positions == representative, log_q, -xp.inf)
    return modes.expand(modes.logsumexp(log_q))


def _choose(candidates: _Candidates, rule: Rule) -> _Best:
    """Find the best candidate of each group: of the best level the likeliest, of those the first.

    Without modes the likeliest candidate is its own tie-break, and one search is enough.
    """
    group, r, mass, tie_break = candidates
    xp = array_namespace(r)
    by_level = rule.choice == "best_level"
    if by_level or mass is not tie_break:
        level = xp.where(mass > -xp.inf, r + rule.beta * mass, -xp.inf) if by_level else mass
        on_top = level == group.expand(group.max(level))
        tie_break = xp.where(on_top, tie_break, -xp.inf)
    position = group.argmax(tie_break)
    reward, log_mass = (xp.take_along_axis(x, position, axis=-1) for x in (r, mass))
    return _Best(position, log_mass > -xp.inf, reward, log_mass)


def _keys(groups: Any, carried: CarriedAnchors, *, like: Array) -> Array:
    """Return the labels of the samples and of the anchors carried over, in one array."""
    xp, where = array_namespace(like), device(like)
    dtype = xp.__array_namespace_info__().default_dtypes(device=where)["integral"]
    columns = (as_keys(groups), as_keys(carried.groups))
    return xp.concat([xp.asarray(x, dtype=dtype, device=where) for x in columns])


def _with_carried(candidates: _Candidates, keys: Array, carried: CarriedAnchors) -> _Candidates:
    """Put the anchors carried over behind the samples, where they lose every tie."""
    _, r, mass, tie_break = candidates
    xp = array_namespace(r)
    rewards, log_mass = (
        detached(xp.asarray(x, dtype=r.dtype, device=device(r)))
        for x in (carried.rewards, carried.ref_log_probs)
    )
    last = xp.full_like(rewards, xp.finfo(r.dtype).min)
    return _Candidates(
        group=Groups.of(keys, like=keys),
        r=xp.concat([r, rewards]),
        log_mass=xp.concat([mass, log_mass]),
        tie_break=xp.concat([tie_break, last]),
    )


def _to_carry(best: _Best, keys: Array) -> CarriedAnchors:
    """Return the anchors of all groups that have one."""
    columns = (keys, detached(best.reward), detached(best.log_mass))
    return CarriedAnchors(*(column[best.exists] for column in columns))
