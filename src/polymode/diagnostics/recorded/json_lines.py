"""JSON Lines: one bad line costs one line."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, cast

from polymode.diagnostics.recorded.chunks import N_CHARACTERS, N_ROWS, RowChunk
from polymode.diagnostics.recorded.limits import Limits
from polymode.diagnostics.recorded.streams import Lines, start_of
from polymode.diagnostics.recorded.tally import Tally, excerpt
from polymode.errors import InputError

__all__ = ["json_chunks"]


def json_chunks(file: BinaryIO, tally: Tally, limits: Limits, name: str) -> Iterator[RowChunk]:
    """Yield the objects of a file of JSON Lines.

    Parameters
    ----------
    file : binary file
        As `opened` returns it.
    tally : Tally
        Counts lines that are no object.
    limits : Limits
        How much there may be.
    name : str
        What the file is called in errors.

    Yields
    ------
    RowChunk
        Empty lines are no rows.

    Raises
    ------
    InputError
        If the file is a JSON array rather than lines.
    """
    with file:
        is_array = start_of(file).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
        rows: list[Mapping[str, Any]] = []
        places: list[int] = []
        n_rows = n_characters = 0
        for number, line in Lines(file, tally, limits, name):
            if not line.strip():
                continue
            row = _object(number, line, tally)
            if row is None:
                continue
            n_rows += 1
            rows.append(row)
            places.append(number)
            n_characters += len(line)
            if len(rows) >= N_ROWS or n_characters >= N_CHARACTERS:
                yield RowChunk(rows, places)
                rows, places, n_characters = [], [], 0
        if rows:
            yield RowChunk(rows, places)
        elif is_array and not n_rows:
            raise InputError(f"{name} is a JSON array: write one object on each line (JSON Lines)")


def _object(number: int, line: str, tally: Tally) -> Mapping[str, Any] | None:
    """Return the object of a line; None where there is none, which is counted."""
    try:
        value: Any = json.loads(line)
    except json.JSONDecodeError as error:
        tally.drop(number, "is not JSON", f"{error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a deep nest
        kind = "a number is too long" if isinstance(error, ValueError) else "nested too deeply"
        tally.drop(number, "is not JSON that can be read", kind)
    else:
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        tally.drop(number, "is not a JSON object", excerpt(value))
    return None
