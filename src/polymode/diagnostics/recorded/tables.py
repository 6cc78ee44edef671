"""Parquet and Arrow: batches of rows, with bounds on what they unpack to."""

import importlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymode.diagnostics.recorded.chunks import N_CHARACTERS, N_ROWS
from polymode.diagnostics.recorded.limits import Limits, size
from polymode.diagnostics.recorded.tally import Tally
from polymode.errors import InputError, MissingExtraError

__all__ = [
    "BatchChunk",
    "arrow",
    "batch_chunks",
    "check_parquet",
    "first_line",
    "parquet_batches",
    "parquet_names",
]


_BUFFER = 1 << 20  # bytes that are read at a time
_LARGE = 1 << 25  # bytes of a column from which on a row group is too much to hold


def arrow() -> Any:
    """Return pyarrow.

    Returns
    -------
    module
        With its readers loaded.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        pa = importlib.import_module("pyarrow")
        for part in ("compute", "ipc", "parquet"):
            importlib.import_module(f"pyarrow.{part}")
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "app") from error
    return pa


def parquet_names(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of str
        In their order.

    Raises
    ------
    InputError
        If it is no Parquet file.
    """
    return list(_parquet_file(path).schema_arrow.names)


def _parquet_file(path: Path, **options: Any) -> Any:
    """Open a Parquet file, to be read piece by piece."""
    pa = arrow()
    try:
        return pa.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False, **options)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {first_line(error)}") from error


def parquet_batches(
    path: Path, wanted: Collection[str], tally: Tally, limits: Limits
) -> Iterator[Any]:
    """Yield the record batches of a Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    wanted : collection of str
        The columns to read; those that are not there are left out.
    tally : Tally
        Counts the rows of a file that turns out damaged.
    limits : Limits
        How much there may be; compared with what the file says of itself before it is unpacked.

    Yields
    ------
    pyarrow.RecordBatch
        Texts as dictionaries, so that one text that comes a million times is held once; but for
        columns that are large, whose dictionary would be a whole row group.

    Raises
    ------
    InputError
        If it is no Parquet file, would unpack to more than the limits, or takes more memory than
        there is.
    """
    pa = arrow()
    schema = _parquet_file(path).schema_arrow
    fields = [field for field in schema if field.name in wanted]
    is_text = (pa.types.is_string, pa.types.is_large_string)
    texts = [field.name for field in fields if any(test(field.type) for test in is_text)]
    names = [field.name for field in fields]
    metadata = _parquet_file(path).metadata
    _check_size(path, metadata, names, limits)
    large = [name for name in texts if _most_bytes(metadata, name) > _LARGE]
    file = _parquet_file(path, read_dictionary=[name for name in texts if name not in large])
    n_read = 0
    try:
        n_rows = _rows_at_a_time(path, metadata, large)
        for batch in file.iter_batches(batch_size=n_rows, columns=names, use_threads=False):
            n_read += batch.num_rows
            yield batch
    except pa.ArrowMemoryError as error:
        raise InputError(
            f"{path} takes more memory than there is: write it in smaller row groups"
        ) from error
    except (pa.ArrowException, OSError) as error:
        n_lost = max(1, file.metadata.num_rows - n_read)
        reason = "the file is damaged here: what follows is lost"
        tally.drop(n_read + 1, reason, first_line(error), n=n_lost)


def _most_bytes(metadata: Any, name: str) -> int:
    """Return the bytes of a column in its largest row group, unpacked."""
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    columns = (group.column(j) for group in groups for j in range(group.num_columns))
    return max(
        (column.total_uncompressed_size for column in columns if column.path_in_schema == name),
        default=0,
    )


def _rows_at_a_time(path: Path, metadata: Any, large: list[str]) -> int:
    """Return how many rows of large columns are some megabytes.

    The metadata know the bytes of a column, but a text in its dictionary may stand for many rows:
    the longest one is looked up.
    """
    if not large:
        return N_ROWS
    pa, longest = arrow(), 1
    file = _parquet_file(path, read_dictionary=large)
    for i in range(metadata.num_row_groups):
        n = max(1, metadata.row_group(i).num_rows)
        longest = max(longest, *(_most_bytes(metadata, name) // n for name in large))
        for batch in file.iter_batches(batch_size=1, row_groups=[i], columns=large):
            for column in batch.columns:
                lengths = pa.compute.binary_length(column.dictionary)
                longest = max(longest, pa.compute.max(lengths).as_py() or 0)
            break
    return max(1, min(N_ROWS, N_CHARACTERS // longest))


def check_parquet(path: Path, limits: Limits) -> None:
    """Refuse a file that would unpack to more than the limits, as far as it says so itself.

    Parameters
    ----------
    path : Path
        The file.
    limits : Limits
        How much there may be.

    Raises
    ------
    InputError
        If it is no Parquet file, or too large.
    """
    file = _parquet_file(path)
    _check_size(path, file.metadata, file.schema_arrow.names, limits)


def _check_size(path: Path, metadata: Any, names: Collection[str], limits: Limits) -> None:
    """Refuse a file that says of itself that it unpacks to too much."""
    n_bytes, largest = 0, 0
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for j in range(group.num_columns):
            column = group.column(j)
            if column.path_in_schema.split(".")[0] in names:
                n_bytes += column.total_uncompressed_size
                largest = max(largest, column.total_uncompressed_size)
    problems: list[str] = []
    if metadata.num_rows > limits.n_rows:
        problems.append(f"{metadata.num_rows:,} rows, more than {limits.n_rows:,}")
    if n_bytes > limits.n_bytes:
        problems.append(f"{size(n_bytes)}, more than {size(limits.n_bytes)}")
    if largest > limits.row_group_bytes:
        problems.append(
            f"{size(largest)} in one column of a row group, more than "
            f"{size(limits.row_group_bytes)}"
        )
    if problems:
        raise InputError(
            f"{path} ({size(path.stat().st_size)}) unpacks to {' and '.join(problems)}: raise "
            "Limits if you trust it, or write it in smaller row groups"
        )


@dataclass(frozen=True)
class BatchChunk:
    """Rows of Arrow; a column is converted when it is asked for.

    Parameters
    ----------
    batch : pyarrow.RecordBatch or pyarrow.Table
        The rows.
    places : sequence of int
        Where each stands.
    """

    batch: Any
    places: Sequence[int]
    as_text = False

    def names(self) -> list[str]:
        """Return the names of the columns.

        Returns
        -------
        list of str
            In their order.
        """
        return list(self.batch.schema.names)

    def column(self, name: str) -> Any:
        """Return a column.

        Parameters
        ----------
        name : str
            One of `names`; any other is None in every row.

        Returns
        -------
        sequence
            An array where it is numbers without a gap, else a list.
        """
        if name not in self.batch.schema.names:  # another file of the folder has it
            return [None] * self.batch.num_rows
        return _values(self.batch.column(name))


def batch_chunks(batches: Iterable[Any]) -> Iterator[BatchChunk]:
    """Yield record batches as chunks.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch or pyarrow.Table
        The rows, of any number each.

    Yields
    ------
    BatchChunk
        Rows are numbered from 1.
    """
    n_before = 0
    for batch in batches:
        for start in range(0, batch.num_rows, N_ROWS):
            part = batch.slice(start, N_ROWS)
            yield BatchChunk(part, range(n_before + 1, n_before + part.num_rows + 1))
            n_before += part.num_rows


def _values(column: Any) -> Any:
    """Return a column; equal texts of a dictionary are one object."""
    pa = arrow()
    kind = column.type
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(kind):
        numbers = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        used, place = np.unique(numbers, return_inverse=True)  # of a dictionary of the whole file
        texts = column.dictionary.take(pa.array(np.maximum(used, 0))).to_pylist()
        if len(used) and used[0] < 0:
            texts[0] = None
        return [texts[i] for i in place.tolist()]
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if numeric and column.null_count == 0:
        found: Any = column.to_numpy(zero_copy_only=False)
        return found if found.dtype != np.float16 else found.astype(np.float64)
    return column.to_pylist()


def first_line(error: BaseException) -> str:
    """Return what an error of Arrow says first: more lines are its own affairs.

    Parameters
    ----------
    error : BaseException
        The error.

    Returns
    -------
    str
        One line.
    """
    return str(error).split("\n", 1)[0]
