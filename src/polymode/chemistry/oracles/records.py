"""What an oracle remembers: the values of every molecule that was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from polymode.errors import InputError

__all__ = ["Records"]


class Records:
    """Values and status of molecules by canonical SMILES, in the order in which they were measured.

    Parameters
    ----------
    endpoints : sequence of str
        Names of the values.
    """

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._endpoints = list(endpoints)
        self._row: dict[str, int] = {}
        self._values: list[Float[np.ndarray, " k"]] = []
        self._status: list[str] = []

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, canonical: object) -> bool:
        return canonical in self._row

    def add(self, canonical: str, values: Float[np.ndarray, " k"], status: str) -> None:
        """Remember a molecule."""
        self._row[canonical] = len(self._row)
        self._values.append(values)
        self._status.append(status)

    def find(self, canonical: str) -> tuple[Float[np.ndarray, " k"], str] | None:
        """Return the values and the status of a molecule, None if it is not here."""
        row = self._row.get(canonical)
        return None if row is None else (self._values[row], self._status[row])

    def state(self) -> dict[str, Any]:
        """Return everything as lists; NaN, which JSON does not have, is None."""
        table = np.array(self._values).reshape(len(self), len(self._endpoints))
        columns = {
            name: [None if np.isnan(value) else value for value in table[:, i].tolist()]
            for i, name in enumerate(self._endpoints)
        }
        return {"smiles": list(self._row), "status": list(self._status), "raw": columns}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a state.

        Raises
        ------
        InputError
            If it is none, or of other endpoints.
        """
        try:
            smiles, status, raw = state["smiles"], state["status"], dict(state["raw"])
        except (KeyError, TypeError) as error:
            raise InputError(f"this is no state of an oracle: {error!r} is missing") from error
        if list(raw) != self._endpoints:
            raise InputError(
                f"the state is of an oracle with the endpoints {', '.join(raw)}, this one has "
                f"{', '.join(self._endpoints)}: start a new run, or take the old configuration"
            )
        columns = [np.array(raw[name], dtype=np.float64) for name in self._endpoints]
        if {len(status), *map(len, columns)} != {len(smiles)}:
            raise InputError("the state of the oracle is damaged: its columns differ in length")
        self._row = {name: i for i, name in enumerate(smiles)}
        self._values = list(np.stack(columns, axis=1)) if smiles else []
        self._status = list(status)
