"""CSV: records that may span lines; a quote that is never closed costs one line, not the rest."""

import contextlib
import csv
from collections.abc import Generator, Iterator
from typing import BinaryIO

from polymode.diagnostics.recorded.chunks import N_CHARACTERS, N_ROWS, ColumnChunk
from polymode.diagnostics.recorded.limits import Limits
from polymode.diagnostics.recorded.streams import Lines
from polymode.diagnostics.recorded.tally import Tally
from polymode.errors import InputError

__all__ = ["csv_chunks"]


def csv_chunks(
    file: BinaryIO, tally: Tally, limits: Limits, name: str, delimiter: str = ","
) -> Iterator[ColumnChunk]:
    """Yield the records of a file with a header.

    Parameters
    ----------
    file : binary file
        As `opened` returns it.
    tally : Tally
        Counts records with another number of fields than the header, and quotes never closed.
    limits : Limits
        How much there may be.
    name : str
        What the file is called in errors.
    delimiter : str
        What stands between fields.

    Yields
    ------
    ColumnChunk
        All cells are text.

    Raises
    ------
    InputError
        If there is no header, or it has a name twice.
    """
    with file:
        records = _Records(Lines(file, tally, limits, name, strict=False), tally, limits, delimiter)
        header = [field.strip() for _, field_list in records.take(1) for field in field_list]
        if not header:
            raise InputError(f"{name} is empty: CSV begins with a line of column names")
        if twice := sorted({field for field in header if header.count(field) > 1}):
            raise InputError(f"{name} has the column {', '.join(map(repr, twice))} more than once")
        while found := records.take(N_ROWS):
            good = [(number, fields) for number, fields in found if len(fields) == len(header)]
            for number, fields in found:
                if len(fields) != len(header):
                    reason = "has another number of fields than the header"
                    tally.drop(number, reason, f"{len(fields)} for {len(header)}")
            if good:
                columns = zip(*(fields for _, fields in good), strict=True)
                named = dict(zip(header, columns, strict=True))
                yield ColumnChunk(named, [number for number, _ in good], as_text=True)


class _OpenQuoteError(Exception):
    """A quoted field does not end; it stays in this module."""


class _Records:
    """Records of CSV, taken many at a time."""

    def __init__(self, lines: Lines, tally: Tally, limits: Limits, delimiter: str) -> None:
        self._lines, self._tally, self._limits = lines, tally, limits
        self._taken: list[tuple[int, str]] = []
        self._delimiter = delimiter

    def take(self, n: int) -> list[tuple[int, list[str]]]:
        """Return the next records, at most `n`, fewer of long ones; none at the end."""
        found: list[tuple[int, list[str]]] = []
        n_characters = 0
        with _wide_fields(self._limits.row_bytes):
            while len(found) < n and n_characters < N_CHARACTERS:
                try:
                    fields = self._next()
                except StopIteration:
                    break
                if fields:  # an empty line is no record
                    found.append((self._taken[0][0], fields))
                    n_characters += sum(map(len, fields))
        return found

    def _next(self) -> list[str] | None:
        """Return the next record; None where it is counted as bad."""
        self._taken = []
        number, line = next(self._lines)
        if '"' not in line:  # nearly every line of most files
            self._taken = [(number, line)]
            text = line.rstrip("\r\n")
            return text.split(self._delimiter) if text else []
        self._lines.put_back([(number, line)])
        try:
            return next(csv.reader(self._pull(), delimiter=self._delimiter))
        except _OpenQuoteError:
            first, *rest = self._taken
            self._lines.put_back(rest)
            self._tally.drop(first[0], "opens a quote that is not closed")
        except csv.Error as error:
            self._tally.drop(self._taken[0][0], "is not CSV", str(error))
        return None

    def _pull(self) -> Generator[str]:
        """Yield the lines of one record, as many as the parser asks for."""
        n_characters = 0
        while True:
            n_dropped = self._tally.n_dropped
            line = next(self._lines, None)
            if line is None or (self._taken and self._tally.n_dropped > n_dropped):
                if line is not None:
                    self._lines.put_back([line])
                if not self._taken:
                    return
                raise _OpenQuoteError
            self._taken.append(line)
            n_characters += len(line[1])
            if n_characters > self._limits.row_bytes:
                raise _OpenQuoteError
            yield line[1]


@contextlib.contextmanager
def _wide_fields(longest: int) -> Generator[None]:
    """Let fields be as long as rows: the standard library's own limit holds for the process."""
    before = csv.field_size_limit(longest + 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def delimiter_of(suffix: str) -> str:
    """Return what stands between the fields of a file."""
    return "\t" if suffix == ".tsv" else ","
