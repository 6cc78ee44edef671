"""Ragged groups as small rectangles that fit into the processor's cache.

Solving for an optimum passes over the samples of a group several times. Done group by group that
is a Python loop; done over all samples at once it waits for memory. A tile holds as many groups of
about the same size as fit into the cache, one in each column, so that both are avoided.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from polymode.core.arrays import Array
from polymode.core.groups import Groups

__all__ = ["Tile", "parts", "tiles"]

_SIZE = 2**16  # numbers in a tile: an array takes half a megabyte, so some fit into a cache


@dataclass(frozen=True, eq=False, slots=True)
class Tile:
    """Some groups of some rows, with their samples along the first axis.

    Parameters
    ----------
    rows : slice
        The rows of the table.
    labels : array of int, shape (g,)
        The groups.
    columns : array of int, shape (w, g), or None
        The positions of their samples; None for all positions, in order.
    valid : array of bool, shape (w, g), or None
        False where a group has no more samples, and a position stands twice; None for True.
    """

    rows: slice
    labels: Array
    columns: Array | None = None
    valid: Array | None = None

    def take(self, table: Array) -> Array:
        """Return the samples of the tile.

        Parameters
        ----------
        table : array, shape (rows, n)
            One number for each sample.

        Returns
        -------
        array, shape (w, m)
            A problem in each column: the groups of the first row, then those of the next. A view
            where that is a whole row.
        """
        rows = table[self.rows]
        if self.columns is None:
            return np.ascontiguousarray(rows.T)
        found = rows[:, self.columns]
        return found[0] if len(found) == 1 else np.concatenate(list(found), axis=1)

    def room(self, table: Array) -> Array:
        """Return an array to fill and to `put` afterwards.

        Parameters
        ----------
        table : array, shape (rows, n)
            Where its numbers will be written.

        Returns
        -------
        array, shape (w, m)
            Uninitialised; a view where the tile is a whole row, so that a large group costs no
            copy.
        """
        rows = table[self.rows]
        if self.columns is None:
            return rows.T if len(rows) == 1 else np.empty(rows.T.shape)
        return np.empty((len(self.columns), len(rows) * len(self.labels)))

    def put(self, table: Array, values: Array) -> None:
        """Write the samples of the tile, which were computed in `room`.

        Parameters
        ----------
        table : array, shape (rows, n)
            Where to write.
        values : array, shape (w, m)
            What `room` returned, filled.
        """
        rows = table[self.rows]
        if self.columns is None:
            if len(rows) > 1:  # else `room` was a view
                rows[...] = values.T
            return
        for row, part in zip(rows, np.split(values, len(rows), axis=1), strict=True):
            if self.valid is None:
                row[self.columns] = part
            else:
                row[self.columns[self.valid]] = part[self.valid]

    def mask(self, log_q: Array) -> Array:
        """Return log-probabilities with -inf where a group has no more samples.

        Parameters
        ----------
        log_q : array, shape (w, m)
            What `take` returned.

        Returns
        -------
        array, shape (w, m)
            The same array where nothing is padded.
        """
        if self.valid is None:
            return log_q
        n_rows = log_q.shape[1] // len(self.labels)
        return np.where(np.tile(self.valid, n_rows), log_q, -np.inf)

    def spread(self, per_row: Array) -> Array:
        """Return a number of each row for each problem of the tile.

        Parameters
        ----------
        per_row : array, shape (rows,)
            One number for each row.

        Returns
        -------
        array, shape (m,)
            One number for each problem.
        """
        return np.repeat(per_row[self.rows], len(self.labels))

    def put_groups(self, table: Array, values: Array) -> None:
        """Write one number for each problem.

        Parameters
        ----------
        table : array, shape (rows, g)
            Where to write.
        values : array, shape (m,)
            The numbers.
        """
        table[self.rows, self.labels] = np.reshape(values, (-1, len(self.labels)))


def tiles(groups: Groups, n_rows: int) -> Iterator[Tile]:
    """Yield tiles that hold every group of every row once.

    Parameters
    ----------
    groups : Groups
        The groups of the positions, the same in each row.
    n_rows : int
        Number of rows.

    Yields
    ------
    Tile
        Of some ten thousand numbers, or of a single group where that is larger.

    Notes
    -----
    Cost O(n). Groups of different size share a tile only where few positions are wasted.
    """
    n = groups.index.shape[0]
    if groups.n_groups == 1:
        for rows in _steps(n_rows, max(1, _SIZE // n)):
            yield Tile(rows, np.zeros(1, dtype=np.int64))
        return
    index = np.asarray(groups.index)
    in_order = bool(np.all(index[1:] >= index[:-1]))
    order = np.arange(n) if in_order else _order(index, groups.n_groups)
    sizes = np.bincount(index, minlength=groups.n_groups)
    starts = np.cumsum(sizes) - sizes
    by_size = np.argsort(sizes, kind="stable")
    for run in _runs_of_like_size(sizes[by_size]):
        labels = by_size[run]
        width = int(sizes[labels[-1]])
        inside = np.minimum(np.arange(width)[:, None], sizes[labels] - 1)
        columns = order[starts[labels] + inside]
        valid = None
        if sizes[labels[0]] < width:
            valid = np.arange(width)[:, None] < sizes[labels]
        for rows in _steps(n_rows, max(1, _SIZE // columns.size)):
            yield Tile(rows, labels, columns, valid)


def parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield the samples of a tile in parts that fit into the cache: one, but for large groups.

    Parameters
    ----------
    shape : tuple of int
        The shape of the tile.

    Returns
    -------
    iterator of slice
        Of the first axis.
    """
    return _steps(shape[0], max(1, _SIZE // max(1, shape[1])))


def _steps(n: int, step: int) -> Iterator[slice]:
    """Yield slices that cover n positions."""
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _order(index: Array, n_groups: int) -> Array:
    """Return the positions in the order of their groups; NumPy sorts 16 bits by counting."""
    order = np.argsort(index.astype(np.uint16), kind="stable")
    if n_groups > 2**16:
        high = (index >> 16).astype(np.uint16)
        order = order[np.argsort(high[order], kind="stable")]
    return order


def _runs_of_like_size(sizes: Array) -> Iterator[slice]:
    """Yield slices of groups, sorted by size, that make good tiles."""
    start, widest = 0, int(sizes[-1])
    while start < len(sizes):
        small = int(sizes[start])
        width = max(small * 5 // 4, small + 4)  # what may be padded
        if (len(sizes) - start) * widest <= _SIZE // 2:
            width = widest  # not worth two tiles
        stop = start + int(np.searchsorted(sizes[start:], width, side="right"))
        stop = min(stop, start + max(1, _SIZE // int(sizes[stop - 1])))
        yield slice(start, stop)
        start = stop
