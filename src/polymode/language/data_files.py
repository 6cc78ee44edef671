"""Rows of a local file: JSON lines, JSON, CSV or Parquet, the first three also gzipped.

Rows that cannot be read become texts that say why, at their place, so that numbers of rows stay
those of the file.
"""

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from polymode.errors import InputError

Row = dict[str, Any] | str
"""A row, or what is wrong with it."""


def is_file(source: str) -> bool:
    """Return whether a source names a file of a kind that is read here, there or not."""
    return _suffix(Path(source)) in _READERS


def file_rows(source: str) -> list[Row]:
    """Return the rows of a file.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read as what its name says.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise InputError(f"data file {source!r} is not there")
    try:
        return list(_READERS[_suffix(path)](path))
    except (OSError, EOFError, ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"data file {source!r} cannot be read: {reason}") from error


def _suffix(path: Path) -> str:
    """Return the end of a name that says what is in the file, without ``.gz``."""
    name = path.name.removesuffix(".gz") if not path.name.endswith(".parquet.gz") else path.name
    return Path(name).suffix.lower()


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open("r", encoding="utf-8-sig", newline="")


def _json_lines(path: Path) -> Iterator[Row]:
    with _opened(path) as file:
        yield from (_json_line(line) for line in file if line.strip())


def _json_line(line: str) -> Row:
    try:
        return _object(json.loads(line))
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {error}"


def _object(value: Any) -> Row:
    """Return a JSON value if it is a row."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return f"must be an object, got {type(value).__name__}"


def _json(path: Path) -> Iterator[Row]:
    with _opened(path) as file:
        content = json.load(file)
    if not isinstance(content, list):
        raise ValueError(f"must hold a list of objects, got {type(content).__name__}")
    yield from map(_object, cast("list[Any]", content))


def _csv(path: Path) -> Iterator[Row]:
    with _opened(path) as file:
        for row in csv.DictReader(file):
            yield _csv_row(row)


def _csv_row(row: Mapping[Any, Any]) -> Row:
    if None in row:
        return f"has {len(row[None])} more fields than the header"
    return dict(row)


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet

    table: Any = pyarrow.parquet.read_table(path)
    yield from table.to_pylist()


_READERS: Mapping[str, Callable[[Path], Iterable[Row]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}
