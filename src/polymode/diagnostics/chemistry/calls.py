"""The molecules that a run has scored, call by call, from its table of molecules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from polymode.errors import InputError

__all__ = ["COLUMNS", "Calls", "read_calls"]

COLUMNS = ("step", "canonical", "reward", "valid", "new", "status")
"""What is read of the table."""


@dataclass(frozen=True, eq=False)
class Calls:
    """The molecules that a run has scored, in order, and what it wrote besides.

    Parameters
    ----------
    smiles : tuple of str, length n
        Canonical SMILES, all different.
    rewards : array, shape (n,)
        Rewards; NaN where the oracle failed.
    steps : array of int, shape (n,)
        The step that each call was made in.
    rows : array of int, shape (n,)
        Where each stands in the table.
    n_samples : int
        Strings that were drawn.
    n_valid : int
        Strings among them that are molecules.
    """

    smiles: tuple[str, ...]
    rewards: Float[np.ndarray, " n"]
    steps: Integer[np.ndarray, " n"]
    rows: Integer[np.ndarray, " n"]
    n_samples: int
    n_valid: int

    def __len__(self) -> int:
        return len(self.smiles)

    def first(self, n: int) -> "Calls":
        """Return the first calls; what was drawn besides stays as it was.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        Calls
            All of them if there are no more.
        """
        parts = (self.smiles[:n], self.rewards[:n], self.steps[:n], self.rows[:n])
        return Calls(*parts, self.n_samples, self.n_valid)


def read_calls(table: Mapping[str, Sequence[Any]]) -> Calls:
    """Return the calls of a run.

    Parameters
    ----------
    table : mapping
        Columns of the table of molecules, a row for each string: step, canonical, reward, valid,
        new and status.

    Returns
    -------
    Calls
        The calls.

    Raises
    ------
    InputError
        If a column is missing.
    """
    if missing := [name for name in COLUMNS if name not in table]:
        raise InputError(f"the table of molecules has no column {', '.join(missing)}")
    drawn = np.asarray(table["status"], dtype=object) != "over_budget"
    valid = np.asarray(table["valid"], dtype=bool) & drawn
    called = np.flatnonzero(np.asarray(table["new"], dtype=bool) & drawn)
    canonical = table["canonical"]
    return Calls(
        smiles=tuple(str(canonical[i]) for i in called.tolist()),
        rewards=np.asarray(table["reward"], dtype=np.float64)[called],
        steps=np.asarray(table["step"], dtype=np.int64)[called],
        rows=called,
        n_samples=int(drawn.sum()),
        n_valid=int(valid.sum()),
    )
