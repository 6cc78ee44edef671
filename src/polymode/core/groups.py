"""Ragged groups of samples: the only place that reduces over them.

Samples lie along the last axis; a group is a set of positions on it, the same in every row of the
leading axes. No function here loops over groups, and all work on NumPy, torch and JAX arrays.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import array_api_compat
import numpy as np
from jaxtyping import Bool, Float, Integer, Real

from polymode.core.arrays import Array, array_namespace, as_keys, device, library, logsumexp_by

__all__ = ["Groups"]


@dataclass(frozen=True, eq=False, slots=True)
class Groups:
    """A partition of the positions on the last axis into groups 0 … g - 1, none of them empty.

    Make it with `of` from any integer or string keys; `split` makes finer groups of it.

    Parameters
    ----------
    index : array of int, shape (n,)
        The group of each position.
    n_groups : int
        Number of groups, g.

    Notes
    -----
    All methods cost O(n) per row, but for `rank` and `percentile`, which sort. A single group is
    reduced without scatter. Sums, maxima, `logsumexp` and `expand` are differentiable in torch and
    JAX.

    Examples
    --------
    >>> groups = Groups.of([7, 3, 7], like=np.zeros(3))
    >>> groups.index
    array([1, 0, 1])
    >>> total = groups.sum(np.array([1.0, 2.0, 4.0]))
    >>> total, groups.expand(total)
    (array([2., 5.]), array([5., 2., 5.]))
    """

    index: Integer[Array, " n"]
    n_groups: int

    @classmethod
    def of(cls, keys: Any, *, like: Real[Array, "*batch n"]) -> "Groups":
        """Return the groups of the positions with equal keys.

        Parameters
        ----------
        keys : array or sequence of int or str, shape (n,), or None
            Integers give groups in ascending order of the key, strings in no particular order.
            None puts all positions into one group.
        like : array, shape (..., n)
            Gives the library, the device and the number of positions.

        Returns
        -------
        Groups
            On the device of `like`.

        Notes
        -----
        Numbering the distinct keys costs O(n) for strings, and for integers outside of torch whose
        range is not much larger than `n`; else O(n log n). It waits for the device if the keys lie
        on one.
        """
        if keys is None:
            zero = _index(np.zeros(1, dtype=np.intp), like)
            n = like.shape[-1]
            return cls(array_namespace(zero).broadcast_to(zero, (n,)), 1)  # takes no memory
        numbers = _numbered(as_keys(keys), like)
        n_groups = int(array_namespace(numbers).max(numbers)) + 1
        return cls(_index(numbers, like), n_groups)

    def split(self, keys: Any) -> "Groups":
        """Return the finer groups of the positions that share both the group and a key.

        Parameters
        ----------
        keys : array or sequence of int or str, shape (n,)
            The keys that split.

        Returns
        -------
        Groups
            The finer groups, in ascending order of the group.
        """
        inner = Groups.of(keys, like=self.index)
        # In 64 bits: JAX has 32 by default, too few for a product of labels.
        xp = array_namespace(self.index)
        outer = xp.astype(self.index, xp.int64) * inner.n_groups + inner.index
        split = Groups.of(outer, like=self.index)
        return Groups(xp.astype(split.index, self.index.dtype, copy=False), split.n_groups)

    def sum(self, x: Real[Array, "*batch n"]) -> Real[Array, "*batch g"]:
        """Return the sum of each group.

        Parameters
        ----------
        x : array, shape (..., n)
            Values; NaN propagates within its group.

        Returns
        -------
        array, shape (..., g)
            The sums.
        """
        if self.n_groups == 1:
            return array_namespace(x).sum(x, axis=-1, keepdims=True)
        return _scatter(x, self, "sum")

    def max(self, x: Real[Array, "*batch n"]) -> Real[Array, "*batch g"]:
        """Return the maximum of each group.

        Parameters
        ----------
        x : array, shape (..., n)
            Values; NaN propagates within its group.

        Returns
        -------
        array, shape (..., g)
            The maxima.
        """
        if self.n_groups == 1:
            return array_namespace(x).max(x, axis=-1, keepdims=True)
        return _scatter(x, self, "max")

    def count(self, mask: Bool[Array, "*batch n"]) -> Integer[Array, "*batch g"]:
        """Return the number of True entries in each group.

        Parameters
        ----------
        mask : array of bool, shape (..., n)
            What to count.

        Returns
        -------
        array of int, shape (..., g)
            The numbers.
        """
        return self.sum(array_namespace(mask).astype(mask, self.index.dtype))

    def logsumexp(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch g"]:
        """Return ``log(sum(exp(x)))`` of each group.

        Parameters
        ----------
        x : array, shape (..., n)
            Logarithms; -inf adds nothing, NaN propagates within its group.

        Returns
        -------
        array, shape (..., g)
            The logarithms of the sums, -inf where no entry of the group has mass.
        """
        return logsumexp_by(x, largest=self.max, total=self.sum, spread=self.expand)

    def argmax(self, x: Real[Array, "*batch n"]) -> Integer[Array, "*batch g"]:
        """Return the position of the first maximum of each group.

        Parameters
        ----------
        x : array, shape (..., n)
            Values without NaN; -inf is one like any other.

        Returns
        -------
        array of int, shape (..., g)
            Positions on the last axis.
        """
        xp = array_namespace(x)
        if self.n_groups == 1:
            return xp.argmax(x, axis=-1, keepdims=True)
        if library(x) == "numpy":
            return _first_position(x == self.expand(self.max(x)), self)
        n = x.shape[-1]
        # Counted from the end, the first position is the largest: one more maximum finds it.
        from_end = n - xp.arange(n, dtype=self.index.dtype, device=device(x))
        return n - self.max(xp.where(x == self.expand(self.max(x)), from_end, 0))

    def rank(
        self, x: Real[Array, "*batch n"], *, mask: Bool[Array, "*batch n"]
    ) -> Float[Array, "*batch n"]:
        """Return the rank of each position within its group, from 1 for the smallest.

        Parameters
        ----------
        x : array, shape (..., n)
            Real floating, without NaN where `mask` holds; infinities are numbers like any other.
        mask : array of bool, shape (..., n)
            True for the positions that are ranked: the others count for nobody.

        Returns
        -------
        array, shape (..., n)
            Ranks in the dtype of `x`, 0 where `mask` is False. Equal values share the mean of
            their ranks, so that no rank depends on the order of the positions.

        Notes
        -----
        Cost O(n log n), without waiting for the device. Gradient 0.

        Examples
        --------
        >>> groups = Groups.of([0, 0, 0, 1], like=np.zeros(4))
        >>> groups.rank(np.array([5.0, 2.0, 5.0, 7.0]), mask=np.ones(4, dtype=bool))
        array([2.5, 1. , 2.5, 1. ])
        """
        xp = array_namespace(x)
        n_rows = math.prod(x.shape[:-1])
        rows = xp.arange(n_rows, dtype=self.index.dtype, device=device(x))[:, None]
        cell = xp.reshape(rows * self.n_groups + self.index, (-1,))  # every row has groups its own
        keep = xp.astype(xp.reshape(mask, (-1,)), x.dtype)
        value = xp.reshape(xp.where(mask, x, xp.inf), (-1,))
        order = xp.argsort(value, stable=True)
        order = xp.take(order, xp.argsort(xp.take(cell, order), stable=True))
        cell, keep, value = (xp.take(array, order) for array in (cell, keep, value))
        before = _summed_before(Groups(cell, n_rows * self.n_groups), keep)
        ties = Groups(_runs(cell, value), cell.shape[0])
        rank = _summed_before(ties, keep) - before + (ties.expand(ties.sum(keep)) + 1.0) / 2.0
        rank = xp.take(rank * keep, xp.argsort(order))
        return xp.reshape(rank, x.shape)

    def percentile(self, x: Float[Array, "*batch n"], percent: float) -> Float[Array, "*batch g"]:
        """Return a percentile of each group, with linear interpolation.

        Parameters
        ----------
        x : array, shape (..., n)
            Values; NaN entries are left out.
        percent : float
            Which percentile, in [0, 100].

        Returns
        -------
        array, shape (..., g)
            The percentiles as `numpy.nanpercentile` defines them by default; NaN in groups without
            a value.

        Notes
        -----
        Cost O(n log n), without waiting for the device.

        Examples
        --------
        >>> groups = Groups.of([0, 0, 0, 1], like=np.zeros(4))
        >>> groups.percentile(np.array([5.0, np.nan, 2.0, 7.0]), 90)
        array([4.7, 7. ])
        """
        xp = array_namespace(x)
        n = self.count(~xp.isnan(x))
        values = _sorted_within(xp.where(xp.isnan(x), xp.inf, x), self)  # NaN last
        size = self.count(xp.ones_like(self.index, dtype=xp.bool))
        start = xp.cumulative_sum(size) - size
        last = xp.where(n > 0, n - 1, 0)
        height = xp.astype(last, x.dtype) * (percent / 100)
        below = xp.astype(xp.floor(height), n.dtype)
        above = xp.where(below < last, below + 1, below)
        low, high = (xp.take_along_axis(values, start + i, axis=-1) for i in (below, above))
        found = _between(low, high, height - xp.astype(below, x.dtype))
        return xp.where(n > 0, found, xp.nan)

    def expand(self, per_group: Array) -> Array:
        """Return, at each position, the value of its group.

        Parameters
        ----------
        per_group : array, shape (..., g)
            One value for each group.

        Returns
        -------
        array, shape (..., n)
            One value for each position.
        """
        xp = array_namespace(per_group)
        if self.n_groups == 1:
            return xp.broadcast_to(per_group, (*per_group.shape[:-1], self.index.shape[0]))
        return xp.take(per_group, self.index, axis=-1)


def _numbered(keys: Array, like: Array) -> Integer[Array, " n"]:
    """Number the distinct keys from 0, integers in ascending order, and return them so."""
    if library(keys) == "torch":
        keys = array_api_compat.to_device(keys, device(like))
        return array_namespace(keys).unique_inverse(keys).inverse_indices  # torch sorts
    keys = np.asarray(keys)
    if keys.dtype.kind in "iu":
        numbers = _numbered_integers(keys)
    else:  # strings may be whole texts: a dictionary neither sorts nor copies them
        seen: dict[str, int] = {}
        numbers = np.asarray([seen.setdefault(key, len(seen)) for key in keys.tolist()])
    return numbers


def _index(numbers: Array, like: Array) -> Integer[Array, " n"]:
    """Return numbers of groups for use beside arrays of a library, on their device.

    JAX takes NumPy's, and must: its own would be unknown under `jit`, where the caller's labels
    are not.
    """
    xp = array_namespace(like)
    dtype = xp.__array_namespace_info__().default_dtypes()["indexing"]
    if library(like) == "jax":
        return np.asarray(numbers, dtype=dtype)
    return xp.asarray(numbers, dtype=dtype, device=device(like))


def _numbered_integers(keys: Any) -> Integer[Any, " n"]:
    """Number NumPy integers: by a table of all that lie in their range, else by sorting them."""
    span = int(keys.max()) - int(keys.min()) + 1  # Python's integers: it may not fit the dtype
    if span > 4 * keys.size:
        return np.unique(keys, return_inverse=True)[1]
    wide = keys.astype(np.intp)  # a difference of small integers could overflow
    offset = wide - wide[np.argmin(keys)]
    seen = np.zeros(span, dtype=bool)
    seen[offset] = True
    return offset if seen.all() else (np.cumsum(seen) - 1)[offset]


def _cells(groups: Groups, n_rows: int) -> Integer[Any, " m"]:
    """Number the groups of NumPy samples through all rows: `at` is fast on one axis only."""
    if n_rows == 1:
        return groups.index
    return (groups.n_groups * np.arange(n_rows)[:, None] + groups.index).reshape(-1)


def _first_position(hits: Bool[Any, "*batch n"], groups: Groups) -> Integer[Any, "*batch g"]:
    """Return where in each group the first True stands, in NumPy: as quick as there are few."""
    n = hits.shape[-1]
    where = np.flatnonzero(hits)
    out = np.full((*hits.shape[:-1], groups.n_groups), n)
    np.minimum.at(out.reshape(-1), _cells(groups, hits.size // n)[where], where % n)
    return out


def _sorted_within(x: Array, groups: Groups) -> Array:
    """Return the values in ascending order of the group, and within each of the value."""
    xp = array_namespace(x)
    if groups.n_groups == 1:
        return xp.sort(x, axis=-1)
    order = xp.argsort(x, axis=-1)
    by_group = xp.argsort(groups.index[order], axis=-1, stable=True)
    return xp.take_along_axis(x, xp.take_along_axis(order, by_group, axis=-1), axis=-1)


def _between(low: Array, high: Array, frac: Array) -> Array:
    """Interpolate from the nearer end, as NumPy does: so neither end is ever passed."""
    with np.errstate(invalid="ignore"):  # between infinities there is NaN, without a warning
        step = high - low
        from_low, from_high = low + step * frac, high - step * (1.0 - frac)
    xp = array_namespace(low)
    return xp.where((low == high) | (frac == 0.0), low, xp.where(frac < 0.5, from_low, from_high))


def _summed_before(groups: Groups, weights: Array) -> Array:
    """Return, at each position, the sum of the weights in all groups of a smaller number."""
    total = groups.sum(weights)
    return groups.expand(array_namespace(total).cumulative_sum(total) - total)


def _runs(cell: Array, value: Array) -> Integer[Array, " n"]:
    """Number, from 0, the runs of neighbours that are equal in both columns."""
    xp = array_namespace(cell)
    changed = (cell[1:] != cell[:-1]) | (value[1:] != value[:-1])
    start = xp.zeros(1, dtype=cell.dtype, device=device(cell))
    return xp.cumulative_sum(xp.concat([start, xp.astype(changed, cell.dtype)]))


def _scatter(x: Array, groups: Groups, how: Literal["sum", "max"]) -> Array:
    """Reduce the last axis group by group. The standard has no such function: libraries differ."""
    xp = array_namespace(x)
    floating = xp.isdtype(x.dtype, "real floating")
    start = 0 if how == "sum" else -xp.inf if floating else xp.iinfo(x.dtype).min
    shape = (*x.shape[:-1], groups.n_groups)
    out = xp.full(shape, start, dtype=x.dtype, device=device(x))
    if library(x) == "torch":
        if how == "sum":
            return out.index_add(-1, groups.index, x)
        return out.scatter_reduce(-1, groups.index.expand(x.shape), x, "amax")
    if library(x) == "jax":
        cells = out.at[..., groups.index]
        return cells.add(x) if how == "sum" else cells.max(x)
    cells = _cells(groups, x.size // x.shape[-1])
    with np.errstate(invalid="ignore"):  # a maximum with NaN is NaN, without a warning
        (np.add if how == "sum" else np.maximum).at(out.reshape(-1), cells, x.reshape(-1))
    return out
