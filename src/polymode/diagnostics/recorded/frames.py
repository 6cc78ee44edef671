"""Samples in memory: columns, rows, frames of pandas, Arrow, polars and datasets."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from polymode.diagnostics.recorded.chunks import N_ROWS, Chunk, ColumnChunk, RowChunk
from polymode.diagnostics.recorded.tables import arrow, batch_chunks
from polymode.diagnostics.recorded.tally import Tally, excerpt
from polymode.errors import ArgumentError

__all__ = ["frame_chunks"]


def frame_chunks(samples: Any, tally: Tally) -> Iterator[Chunk]:
    """Return the rows of a frame.

    Parameters
    ----------
    samples : mapping of columns, iterable of mappings, or frame
        Frames are those of pandas, pyarrow, `datasets`, and of every library that has Arrow's
        interface (polars).
    tally : Tally
        Counts rows that are no mapping.

    Returns
    -------
    iterator of Chunk
        Rows are numbered from 1.

    Raises
    ------
    ArgumentError
        If it is none of these, or columns differ in length.
    """
    home = type(samples).__module__.partition(".")[0]
    if isinstance(samples, Mapping):
        return _columns(cast("Mapping[str, Any]", samples))
    if home == "pandas":
        return _columns({str(name): _pandas(samples[name]) for name in samples.columns})
    if home == "datasets":
        return batch_chunks(samples.with_format("arrow").iter(N_ROWS))
    if hasattr(samples, "__arrow_c_stream__"):
        return batch_chunks(arrow().RecordBatchReader.from_stream(samples))
    if hasattr(samples, "__dataframe__"):
        import pyarrow.interchange

        return batch_chunks([pyarrow.interchange.from_dataframe(samples)])
    if isinstance(samples, Iterable) and not isinstance(samples, str | bytes):
        return _rows(cast("Iterable[Any]", samples), tally)
    raise ArgumentError(
        "samples must be a path, RecordedSamples, a frame, a mapping of columns or a list of "
        f"mappings, got {type(samples).__name__}"
    )


def _pandas(column: Any) -> Sequence[Any]:
    """Return a column of pandas, None for its marks of nothing."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub":
        return column.to_numpy()
    marks = ("NAType", "NaTType")
    return [None if type(value).__name__ in marks else value for value in column.tolist()]


def _columns(columns: Mapping[str, Any]) -> Iterator[ColumnChunk]:
    """Yield slices of columns."""
    plain = {name: _plain(column) for name, column in columns.items()}
    lengths = {name: len(column) for name, column in plain.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise ArgumentError(f"columns of samples must have one length, got {listed}")
    n = next(iter(lengths.values()), 0)
    for start in range(0, n, N_ROWS):
        part = {name: column[start : start + N_ROWS] for name, column in plain.items()}
        yield ColumnChunk(part, range(start + 1, min(start + N_ROWS, n) + 1))


def _plain(column: Any) -> Any:
    """Return a column as an array of numbers or a list."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiub" and column.ndim == 1:
        return column
    return column.tolist() if hasattr(column, "tolist") else list(column)


def _rows(rows: Iterable[Any], tally: Tally) -> Iterator[RowChunk]:
    """Yield rows that are mappings."""
    numbered = enumerate(rows, start=1)
    while found := list(itertools.islice(numbered, N_ROWS)):
        for number, row in found:
            if not isinstance(row, Mapping):
                tally.drop(number, "is not a mapping", excerpt(row))
        good = [(number, row) for number, row in found if isinstance(row, Mapping)]
        if good:
            yield RowChunk([row for _, row in good], [number for number, _ in good])
