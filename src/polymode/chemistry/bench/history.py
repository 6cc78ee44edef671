"""What a run did, call by call, from its table of molecules."""

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
    """The molecules that a run has measured, in order, and what it wrote besides."""

    smiles: tuple[str, ...]
    """Canonical SMILES, all different."""
    rewards: Float[np.ndarray, " n"]
    """NaN where the oracle failed."""
    steps: Integer[np.ndarray, " n"]
    """The step that each call was made in."""
    n_samples: int
    """Strings that were drawn."""
    n_valid: int
    """Strings among them that are molecules."""

    def __len__(self) -> int:
        return len(self.smiles)

    def first(self, n: int) -> "Calls":
        """Return the first calls; what was drawn besides stays as it was."""
        return Calls(
            self.smiles[:n], self.rewards[:n], self.steps[:n], self.n_samples, self.n_valid
        )


def read_calls(table: Mapping[str, Sequence[Any]]) -> Calls:
    """Return the calls of a run.

    Parameters
    ----------
    table : mapping
        Columns of the table of molecules, a row for each string: step, canonical, reward, valid,
        new and status.

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
        n_samples=int(drawn.sum()),
        n_valid=int(valid.sum()),
    )
