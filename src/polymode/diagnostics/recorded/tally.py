"""Rows that cannot be used, counted by reason: every row that is read is kept or counted here."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from polymode.diagnostics.diagnosis.samples import BadRows

__all__ = ["Tally", "excerpt"]

_N_EXAMPLES = 3
_LONGEST = 60


class Tally:
    """Counts rows and, by reason, those that are dropped.

    Parameters
    ----------
    place : str
        What a row is called where it is shown: ``line`` in a text file, ``row`` elsewhere.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.n_kept = 0
        self.n_dropped = 0
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def drop(self, number: int, reason: str, detail: str = "", *, n: int = 1) -> None:
        """Count rows as bad.

        Parameters
        ----------
        number : int
            Where the first of them stands.
        reason : str
            What is wrong, the same words for every row of this kind.
        detail : str
            What this row says.
        n : int
            How many.
        """
        self.n_dropped += n
        self._counts[reason] = self._counts.get(reason, 0) + n
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _N_EXAMPLES:
            examples.append(f"{self.place} {number}{': ' if detail else ''}{detail}")

    @property
    def n_rows(self) -> int:
        """Number of rows that were read."""
        return self.n_kept + self.n_dropped

    def bad_rows(self) -> tuple[BadRows, ...]:
        """Return the reasons, most rows first.

        Returns
        -------
        tuple of BadRows
            With the first rows of each.
        """
        ordered = sorted(self._counts.items(), key=lambda item: -item[1])
        return tuple(BadRows(why, n, tuple(self._examples[why])) for why, n in ordered)

    def sentence(self) -> str:
        """Return in one line what is wrong with which rows.

        Returns
        -------
        str
            Reasons, counts, places.
        """
        return described(self.bad_rows())


def described(bad_rows: Sequence[BadRows]) -> str:
    """Return bad rows as one line.

    Parameters
    ----------
    bad_rows : sequence of BadRows
        Each with its first rows.

    Returns
    -------
    str
        Reasons, counts, places.
    """
    parts: list[str] = []
    for bad in bad_rows:
        more = ", …" if bad.n > len(bad.examples) else ""
        parts.append(f"{bad.reason}: {bad.n:,} ({'; '.join(bad.examples)}{more})")
    return "; ".join(parts)


def excerpt(value: Any) -> str:
    """Return the beginning of a value in one printable line.

    Parameters
    ----------
    value : anything
        A cell of a file, however large.

    Returns
    -------
    str
        Its `repr`, cut.
    """
    try:
        value = value.item() if isinstance(value, np.generic) else value
        text = repr(value[: _LONGEST + 1] if isinstance(value, str | bytes) else value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes, a deep nest
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
