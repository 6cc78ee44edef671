"""The samples of each prompt, for metrics that cannot be written as sums over groups."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Integer

from polymode.core import checks
from polymode.core.groups import Groups

__all__ = ["check_groups", "groups_of", "per_group", "positions"]


def check_groups(n: int, groups: Any) -> Iterator[str]:
    """Check that there are samples, and one label for each.

    Parameters
    ----------
    n : int
        Number of samples.
    groups : array or sequence of int, shape (n,), or None
        Their labels.

    Yields
    ------
    str
        The problems.
    """
    if n == 0:
        yield "there must be at least one sample, got none"
    else:
        yield from checks.integer_labels(np.zeros(n), groups=groups)


def groups_of(n: int, groups: Any) -> Groups:
    """Return the groups of `n` samples.

    Parameters
    ----------
    n : int
        Number of samples.
    groups : array or sequence of int, shape (n,), or None
        Their labels; None puts all into one group.

    Returns
    -------
    Groups
        In ascending order of the label.
    """
    return Groups.of(groups, like=np.zeros(n))


def positions(groups: Groups) -> list[Integer[np.ndarray, " m"]]:
    """Return where the samples of each group stand, in the order in which they stand there.

    Parameters
    ----------
    groups : Groups
        The groups.

    Returns
    -------
    list of array of int, shape (m,)
        One array for each group.
    """
    index = np.asarray(groups.index)
    sizes = np.bincount(index, minlength=groups.n_groups)
    return np.split(np.argsort(index, kind="stable"), np.cumsum(sizes)[:-1])


def per_group(values: Iterable[float], groups: Any) -> Any:
    """Return one number for each group; the number itself where there are no labels.

    Parameters
    ----------
    values : iterable of float
        A number for each group.
    groups : object
        The labels as the caller gave them.

    Returns
    -------
    array, shape (g,), or float
        In float64.
    """
    array = np.asarray(list(values), dtype=np.float64)
    return array[0] if groups is None else array
