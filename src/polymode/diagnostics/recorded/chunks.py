"""Pieces of a table, whatever it was read from: columns by the names that it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

__all__ = ["N_CHARACTERS", "N_ROWS", "ColumnChunk", "RowChunk"]

N_ROWS = 8192
"""Rows of a chunk: enough to work in columns, few enough to hold."""

N_CHARACTERS = 1 << 22
"""Characters of a chunk, of long rows: about so many are held several times over."""


class Chunk(Protocol):
    """Some rows of a table."""

    @property
    def places(self) -> Sequence[int]:
        """Number of the line or row that each came from."""
        ...

    @property
    def as_text(self) -> bool:
        """Whether numbers are written as text, as in CSV."""
        ...

    def names(self) -> list[str]:
        """Names of the columns."""
        ...

    def column(self, name: str) -> Sequence[Any]:
        """Return a column; None where a row has no value."""
        ...


@dataclass(frozen=True)
class RowChunk:
    """Rows that are mappings, each with the keys that it has.

    Parameters
    ----------
    rows : list of mapping
        The rows.
    places : sequence of int
        Where each stands.
    """

    rows: list[Mapping[str, Any]]
    places: Sequence[int]
    as_text = False

    def names(self) -> list[str]:
        """Return the keys of all rows.

        Returns
        -------
        list of str
            In the order in which they come.
        """
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(chain.from_iterable(self.rows)))

    def column(self, name: str) -> Sequence[Any]:
        """Return the values of a key.

        Parameters
        ----------
        name : str
            The key.

        Returns
        -------
        sequence
            None where a row lacks it.
        """
        return [row.get(name) for row in self.rows]


@dataclass(frozen=True)
class ColumnChunk:
    """Columns side by side.

    Parameters
    ----------
    columns : mapping of str to sequence
        All of one length.
    places : sequence of int
        Where each row stands.
    as_text : bool
        Whether numbers are written as text.
    """

    columns: Mapping[str, Sequence[Any]]
    places: Sequence[int]
    as_text: bool = False

    def names(self) -> list[str]:
        """Return the names of the columns.

        Returns
        -------
        list of str
            In their order.
        """
        return list(self.columns)

    def column(self, name: str) -> Sequence[Any]:
        """Return a column.

        Parameters
        ----------
        name : str
            One of `names`; any other is None in every row.

        Returns
        -------
        sequence
            Its values.
        """
        return self.columns[name] if name in self.columns else [None] * len(self.places)
