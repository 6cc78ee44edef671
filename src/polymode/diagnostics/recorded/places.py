"""What lies at a path: a file of rows, a saved data set, or a run, told by what is there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from polymode.diagnostics.diagnosis.samples import DrawnFrom
from polymode.diagnostics.recorded.chunks import Chunk
from polymode.diagnostics.recorded.columns import NAMES, OTHER_NAMES
from polymode.diagnostics.recorded.delimited import csv_chunks
from polymode.diagnostics.recorded.json_lines import json_chunks
from polymode.diagnostics.recorded.options import SampleOptions
from polymode.diagnostics.recorded.saved import dataset_batches, dataset_files
from polymode.diagnostics.recorded.spooling import spooled
from polymode.diagnostics.recorded.streams import opened, start_of
from polymode.diagnostics.recorded.tables import (
    batch_chunks,
    parquet_batches,
    parquet_names,
)
from polymode.diagnostics.recorded.tally import Tally
from polymode.errors import InputError

__all__ = ["SampleTable", "file_table", "folder_table", "parquet_table"]


@dataclass(frozen=True)
class SampleTable:
    """A table as it is read: pieces, and what is known of its kind.

    Parameters
    ----------
    name : str
        What it is called in errors.
    tally : Tally
        Counts its rows.
    chunks : iterator of Chunk
        The rows.
    columns : mapping of str to str
        Which column is which in tables of this kind; the user's own mapping comes first.
    mode : str or None
        What counts as the same answer in tables of this kind, where no column says it.
    notes : tuple of str
        What a reader of its numbers has to know.
    names : tuple of str
        All columns of the file, where only those are read that may be needed.
    drawn_from : {"reference", "policy"} or None
        Which of both draws the rows of tables of this kind, where that is known.
    """

    name: str
    tally: Tally
    chunks: Iterator[Chunk]
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    mode: str | None = None
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    drawn_from: DrawnFrom | None = None


def file_table(path: Path | None, options: SampleOptions) -> SampleTable:
    """Return the rows of a file.

    Parameters
    ----------
    path : Path or None
        JSON Lines, CSV, TSV or Parquet; the first three also packed with gzip or zstd. None is
        standard input.
    options : SampleOptions
        How it is read.

    Returns
    -------
    SampleTable
        JSON Lines and Parquet are told by their first bytes, CSV and TSV by the name.

    Raises
    ------
    InputError
        If it cannot be opened, or is none of these.
    """
    file = opened(path)
    try:
        return _told(file, path, options)
    except BaseException:
        file.close()
        raise


def _told(file: BinaryIO, path: Path | None, options: SampleOptions) -> SampleTable:
    """Return the rows of an open file, which its chunks close."""
    name = "standard input" if path is None else str(path)
    start = start_of(file)
    limits = options.limits
    if start.startswith(b"PAR1"):
        home = path if path is not None else spooled(file, limits)
        file.close()
        return replace(parquet_table([home], options), name=name)
    if start.startswith(b"ARROW1"):
        raise InputError(f"{name} is an Arrow file: name the folder of its data set")
    tally = Tally("line")
    suffixes = set() if path is None else {suffix.lower() for suffix in path.suffixes}
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if suffixes & {".csv", ".tsv"}:
        delimiter = "\t" if ".tsv" in suffixes else ","
    elif text.startswith((b"{", b"[")) or suffixes & {".jsonl", ".ndjson", ".json"}:
        return SampleTable(name, tally, json_chunks(file, tally, limits, name))
    elif path is None and text:
        delimiter = ","
    else:
        what = "is neither JSON Lines, CSV, TSV nor Parquet" if text else "is empty"
        raise InputError(f"{name} {what}: name it by what it is, such as samples.csv")
    notes = ("standard input is read as CSV",) if path is None else ()
    chunks = csv_chunks(file, tally, limits, name, delimiter)
    return SampleTable(name, tally, chunks, notes=notes)


def folder_table(path: Path, options: SampleOptions) -> SampleTable | None:
    """Return the rows of a data set that `datasets` saved, or of a folder of Parquet files.

    Parameters
    ----------
    path : Path
        The folder.
    options : SampleOptions
        How it is read.

    Returns
    -------
    SampleTable or None
        None where the folder is neither.
    """
    tally = Tally("row")
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        batches = dataset_batches(dataset_files(path), tally, options.limits)
        return SampleTable(str(path), tally, batch_chunks(batches))
    files = sorted(path.glob("*.parquet"))
    return replace(parquet_table(files, options), name=str(path)) if files else None


def parquet_table(
    files: Sequence[Path],
    options: SampleOptions,
    columns: Mapping[str, str] | None = None,
    *,
    also: Sequence[str] = (),
) -> SampleTable:
    """Return the rows of several Parquet files as of one.

    Parameters
    ----------
    files : sequence of Path
        The files, in order.
    options : SampleOptions
        How they are read.
    columns : mapping of str to str or None
        Which column is which in files of this kind.
    also : sequence of str
        Other columns to be read where they are there.

    Returns
    -------
    SampleTable
        Only columns that may be needed are read.
    """
    columns = columns or {}
    names = parquet_names(files[0])
    wanted = _needed(names, {**columns, **options.columns}, options.mode) | {*also} & {*names}
    tally = Tally("row")

    def batches() -> Iterator[Any]:
        for file in files:
            yield from parquet_batches(file, wanted, tally, options.limits)

    return SampleTable(
        str(files[0]), tally, batch_chunks(batches()), columns=columns, names=tuple(names)
    )


def _needed(names: Sequence[str], columns: Mapping[str, str], mode: Any) -> set[str]:
    """Return the columns of a file that our own may be made of."""
    ours = {*NAMES, *(other for others in OTHER_NAMES.values() for other in others), mode}
    return {name for name in names if name in ours or any(name in s for s in columns.values())}
