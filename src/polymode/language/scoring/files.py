"""Files of samples to score, row by row: JSON Lines, CSV, Parquet.

Every row has a place, so that scores can be written beside them: what cannot be scored is a row
with a problem.
"""

import csv
import io
import json
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from polymode.core import checks
from polymode.diagnostics.recorded.streams import BROKEN, opened
from polymode.diagnostics.recorded.tables import arrow
from polymode.errors import InputError, PolymodeError

__all__ = ["SUFFIXES", "Row", "csv_records", "format_of", "json_lines", "read_rows", "readable"]

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
_OTHER_NAMES = {"output": ("completion",)}


class Row(NamedTuple):
    """What is scored of a row."""

    prompt: Any
    output: Any
    finished: bool | None
    """None where the file does not say."""
    problem: str = ""
    """Why the row cannot be scored."""


def format_of(path: Path) -> str | None:
    """Return the suffix that says what a file is, without ``.gz``; None if it is not known."""
    name = path.name.lower()
    for end in (".gz", ".zst", ".zstd"):
        name = name.removesuffix(end)
    suffix = Path(name).suffix
    return suffix if suffix in SUFFIXES and not (suffix == ".parquet" != path.suffix) else None


def read_rows(path: Path, columns: Mapping[str, str], taken: str | None) -> Iterator[Row]:
    """Yield the rows of a file.

    Parameters
    ----------
    path : Path
        The file.
    columns : mapping of str to str
        Names of `prompt`, `output` and `finished` where they are others.
    taken : str or None
        A column that must not be there.

    Yields
    ------
    Row
        One for each line, record or row.

    Raises
    ------
    InputError
        If a column is missing or the file is damaged.
    """
    with readable(path):
        kind = format_of(path)
        if kind == ".jsonl":
            yield from _json_rows(path, columns, taken)
            return
        records = csv_records(path) if kind in (".csv", ".tsv") else _parquet_records(path)
        first = next(records, None)
        if first is None:
            return
        names = _names(path, list(first), columns, taken)
        yield _row(first, names)
        for record in records:
            yield _row(record, names)


@contextmanager
def readable(path: Path) -> Generator[None]:
    """Turn the ways in which a file cannot be read into one line."""
    try:
        yield
    except (*BROKEN, csv.Error, ValueError) as error:  # Arrow's errors are values, or of the OS
        if isinstance(error, PolymodeError):
            raise
        raise InputError(f"{path} cannot be read to its end: {error}") from error


def _json_rows(path: Path, columns: Mapping[str, str], taken: str | None) -> Iterator[Row]:
    """Yield the objects of the lines; the names are those of the first object."""
    names: Mapping[str, str] | None = None
    for _, value in json_lines(path):
        if not isinstance(value, dict):
            yield Row(None, None, None, "is not a JSON object")
            continue
        record = cast("dict[str, Any]", value)
        if names is None or taken in record:
            names = {
                "finished": columns.get("finished", "finished"),  # which not every row has
                **_names(path, list(record), columns, taken),
            }
        yield _row(record, names)


def json_lines(path: Path) -> Iterator[tuple[bytes, Any]]:
    """Yield each line that is not empty, and its value; None where it is no JSON."""
    with opened(path) as file:
        for line in file:
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):  # not UTF-8 is a ValueError, too
                value = None
            yield line.rstrip(b"\r\n"), value


def csv_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of CSV by the names of the header."""
    with _csv_reader(path) as reader:
        header = next(reader, [])
        for record in reader:
            if len(record) != len(header):
                raise InputError(
                    f"{path}, line {reader.line_num}: {len(record)} fields, and the header has "
                    f"{len(header)}: mend it, or use JSON Lines"
                )
            yield dict(zip(header, record, strict=True))


def _parquet_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of Parquet."""
    for batch in arrow().parquet.ParquetFile(path).iter_batches(batch_size=1024):
        yield from batch.to_pylist()


@contextmanager
def _csv_reader(path: Path) -> Generator[Any]:
    """Open CSV; bytes that are no UTF-8 come through as they are."""
    delimiter = "\t" if format_of(path) == ".tsv" else ","
    before = csv.field_size_limit(sys.maxsize)
    try:
        with io.TextIOWrapper(
            opened(path), encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as file:
            yield csv.reader(file, delimiter=delimiter)
    finally:
        csv.field_size_limit(before)


def _names(
    path: Path, there: list[str], columns: Mapping[str, str], taken: str | None
) -> Mapping[str, str]:
    """Return which column is which."""
    found: dict[str, str] = {}
    problems: list[str] = []
    for ours in ("prompt", "output", "finished"):
        options = (columns[ours],) if ours in columns else (ours, *_OTHER_NAMES.get(ours, ()))
        name = next((name for name in options if name in there), None)
        if name is not None:
            found[ours] = name
        elif ours != "finished" or ours in columns:
            problems.append(f"no column {options[0]!r}{checks.did_you_mean(options[0], there)}")
    if taken is not None and taken in there:
        problems.append(f"there is a column {taken!r} already: --overwrite replaces it")
    if problems:
        raise InputError(f"{path}: {'; '.join(problems)} (columns there: {', '.join(there)})")
    return found


def _row(record: Mapping[str, Any], names: Mapping[str, str]) -> Row:
    """Return what is scored of a record."""
    prompt, output = record.get(names["prompt"]), record.get(names["output"])
    finished = record.get(names["finished"]) if "finished" in names else None
    if isinstance(finished, str):
        finished = {"true": True, "1": True, "false": False, "0": False}.get(finished.lower())
    problem = ""
    for name, value in (("prompt", prompt), ("output", output)):
        if not isinstance(value, str | list) or not _is_text(value):
            problem = problem or f"{name} is neither text nor messages"
    return Row(prompt, output, None if finished is None else bool(finished), problem)


def _is_text(value: Any) -> bool:
    """Return whether a value is a text, or messages with roles and texts, in valid Unicode."""
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(m, dict) and _is_text(m.get("role")) and _is_text(m.get("content"))
            for m in value
        )
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False
