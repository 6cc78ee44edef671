"""The columns of a batch, checked once and in wide floats, for all shapers."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, widen
from polymode.core.groups import Groups
from polymode.core.thresholds import reaches

__all__ = ["COLUMNS", "Batch", "column_problems", "read"]

COLUMNS = ("log_probs", "groups", "lengths", "modes")
_FLOATS = ("log_probs", "lengths")


class Batch(NamedTuple):
    """What a shaper works on; columns that were not given are None.

    Parameters
    ----------
    r, log_q : array, shape (..., n)
        Rewards, NaN where not scored, and log-probabilities of the reference, in wide floats.
    log_p, lengths : array, shape (..., n), or None
        Log-probabilities of the policy and numbers of tokens, in wide floats.
    scored : array of bool, shape (..., n)
        Where there is a reward.
    good : array of bool, shape (..., n)
        Where the reward reaches the threshold; where there is one, if no threshold was given.
    groups : Groups
        The groups of the last axis.
    modes : Groups or None
        The modes within the groups.
    narrow : callable
        Casts a result to the type of rewards and reference.
    """

    r: Array
    log_q: Array
    log_p: Any
    lengths: Any
    scored: Array
    good: Array
    groups: Groups
    modes: Any
    narrow: Callable[[Array], Array]


def column_problems(rewards: Any, ref_log_probs: Any, **columns: Any) -> Iterator[str]:
    """Check the columns of a batch.

    Parameters
    ----------
    rewards, ref_log_probs : array, shape (..., n)
        The two that every batch has.
    **columns : array or None
        The others by their names; None is not checked.

    Yields
    ------
    str
        The problems.
    """
    given = {name: columns[name] for name in _FLOATS if columns[name] is not None}
    arrays = {"rewards": rewards, "ref_log_probs": ref_log_probs, **given}
    arrays = {name: as_array(column) for name, column in arrays.items()}
    yield from checks.columns(**arrays)
    yield from checks.integer_labels(arrays["rewards"], groups=columns["groups"])
    yield from checks.key_labels(arrays["rewards"], modes=columns["modes"])


def read(
    rewards: Any,
    ref_log_probs: Any,
    *problems: Iterable[str],
    needs: tuple[str, ...] = (),
    threshold: Any = None,
    **columns: Any,
) -> Batch:
    """Check the columns of a batch, with whatever else has to be, and prepare them.

    Parameters
    ----------
    rewards, ref_log_probs : array, shape (..., n)
        The two that every batch has.
    *problems : iterable of str
        What the checks of a shaper's own parameters yield.
    needs : tuple of str
        Columns that may not be None. A sample with NaN in one of them counts as not scored.
    threshold : float, array that broadcasts to `rewards`, callable, or None
        What makes a sample good; see `anchor`. A callable sees NaN where a sample is not scored.
    **columns : array or None
        ``log_probs, groups, lengths, modes``.

    Returns
    -------
    Batch
        The columns.

    Raises
    ------
    ShapeError, ArgumentError
        If there is any problem; lists all of them.
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    missing = [f"{name} must be given, got None" for name in needs if columns[name] is None]
    limit = () if threshold is None else checks.threshold_for(rewards, threshold)
    checks.require(column_problems(rewards, ref_log_probs, **columns), missing, limit, *problems)
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    xp = array_namespace(r)
    wide = {
        name: None if columns[name] is None else widen(as_array(columns[name]))[0][0]
        for name in _FLOATS
    }
    for column in (wide[name] for name in needs if name in _FLOATS):
        r = xp.where(xp.isnan(column), xp.nan, r)
    scored = ~xp.isnan(r)
    floating = xp.isdtype(rewards.dtype, "real floating")
    rewards = xp.astype(r, rewards.dtype, copy=False) if floating else r
    groups = Groups.of(columns["groups"], like=r)
    return Batch(
        r=r,
        log_q=log_q,
        log_p=wide["log_probs"],
        lengths=wide["lengths"],
        scored=scored,
        good=scored if threshold is None else scored & reaches(rewards, threshold, groups),
        groups=groups,
        modes=None if columns["modes"] is None else groups.split(columns["modes"]),
        narrow=narrow,
    )
