"""One chunk checked: the rows that can be used, in our columns; the others counted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polymode.diagnostics.recorded.cells import CHECKS, Cells, numbers_of
from polymode.diagnostics.recorded.chunks import Chunk
from polymode.diagnostics.recorded.columns import ColumnPlan
from polymode.diagnostics.recorded.limits import size
from polymode.diagnostics.recorded.tally import Tally, excerpt

__all__ = ["ALL_OR_NONE", "RowChecker", "Rows"]

ALL_OR_NONE = {"group", "log_prob", "n_tokens", "step"}
"""Columns that every row has or none: what a row without them would mean is not known."""

Rows = Mapping[str, Sequence[Any]]


class RowChecker:
    """Checks chunks of one table.

    Parameters
    ----------
    plan : ColumnPlan
        Which column is which.
    tally : Tally
        Counts the rows: a row with several problems under the first of them.
    longest : int
        Characters that a text may have.
    """

    def __init__(self, plan: ColumnPlan, tally: Tally, longest: int) -> None:
        self._plan, self._tally, self._longest = plan, tally, longest
        self._ids: set[str] = set()

    def kept(self, chunk: Chunk) -> Rows:
        """Return the columns of the rows that can be used.

        Parameters
        ----------
        chunk : Chunk
            Some rows.

        Returns
        -------
        mapping of str to sequence
            From our names to columns of one length.
        """
        bad: dict[int, tuple[str, str]] = {}
        columns: dict[str, Sequence[Any]] = {}
        self._find_strays(chunk, bad)
        for name in self._plan.sources:
            values, problems = self._cells(name, chunk)
            columns[name] = values
            for row, problem in problems.items():
                bad.setdefault(row, problem)
        self._find_repeats(columns.pop("id", ()), bad)
        for row in sorted(bad):
            self._tally.drop(chunk.places[row], *bad[row])
        n = len(chunk.places)
        self._tally.n_kept += n - len(bad)
        if not bad:
            return columns
        rows = [row for row in range(n) if row not in bad]
        return {name: _taken(values, rows) for name, values in columns.items()}

    def _find_strays(self, chunk: Chunk, bad: dict[int, tuple[str, str]]) -> None:
        """Find rows that have one of our columns that the table lacks."""
        for name in (ALL_OR_NONE - set(self._plan.sources)) & set(chunk.names()):
            for row, value in enumerate(chunk.column(name)):
                if value is not None and not (chunk.as_text and value == ""):
                    bad[row] = (f"has {name}, which the first rows lack", excerpt(value))

    def _cells(self, name: str, chunk: Chunk) -> Cells:
        """Return one checked column."""
        parts = self._plan.read(name, chunk)
        check, as_text = CHECKS[name], chunk.as_text
        first = parts[0]
        if len(parts) == 1 and not first.negative:
            cells = check(name, first.values, as_text=as_text)
        elif name == "group":
            each = [check(name, part.values, as_text=as_text) for part in parts]
            joined = ["\n".join(texts) for texts in zip(*(c.values for c in each), strict=True)]
            cells = Cells(joined, _merged(each))
        else:
            each = [numbers_of(name, part.values, as_text=as_text) for part in parts]
            signs = [-1.0 if part.negative else 1.0 for part in parts]
            with np.errstate(over="ignore", invalid="ignore"):
                total = sum(s * c.values for s, c in zip(signs, each, strict=True))
            cells = check(name, total, as_text=False)
            cells = Cells(cells.values, _merged([*each, cells]))
        if name in ("prompt", "output", "group"):
            self._find_long(name, cells)
        return cells

    def _find_long(self, name: str, cells: Cells) -> None:
        """Find texts that are too long."""
        if max(map(len, cells.values), default=0) <= self._longest:
            return
        for row, text in enumerate(cells.values):
            if len(text) > self._longest:
                reason = f"{name} is longer than {size(self._longest)}"
                cells.bad.setdefault(row, (reason, f"{len(text):,} characters"))

    def _find_repeats(self, ids: Sequence[str], bad: dict[int, tuple[str, str]]) -> None:
        """Find rows whose id came before."""
        for row, name in enumerate(ids):
            if row in bad:
                continue
            if name in self._ids:
                bad[row] = ("id came before", excerpt(name))
            self._ids.add(name)


def _merged(each: Sequence[Cells]) -> dict[int, tuple[str, str]]:
    """Return the problems of several columns, the first of each row."""
    return {row: why for cells in reversed(each) for row, why in cells.bad.items()}


def _taken(values: Any, rows: Sequence[int]) -> Any:
    """Return some rows of a column."""
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
