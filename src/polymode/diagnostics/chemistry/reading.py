"""A run on molecules as its directory tells it, whether it has ended or was killed."""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.chemistry.calls import COLUMNS, Calls, read_calls
from polymode.diagnostics.chemistry.files import (
    ALERTS,
    CONFIG,
    METRICS,
    MOLECULES,
    RESULT,
    complete_lines,
    molecule_columns,
)
from polymode.errors import InputError

__all__ = ["ENDS", "Alert", "MoleculeRun", "read_molecule_run"]

ENDS: Mapping[str, str] = {
    "budget": "the budget is spent",
    "steps": "all steps are taken",
    "strings": "the strings that the budget may cost are drawn (run.strings_per_call)",
    "collapse": "the run has collapsed, see its alerts",
}
"""Why a run ended, by what its result says."""
_NEEDED = ("step", "n_calls", "n_samples", "hits/total", "seconds")


class Alert(NamedTuple):
    """A sign of collapse.

    Parameters
    ----------
    step : int
        The step that showed it.
    text : str
        What was seen.
    """

    step: int
    text: str


@dataclass(frozen=True, eq=False)
class MoleculeRun:
    """A run on molecules.

    Parameters
    ----------
    name : str
        Name of its directory.
    path : Path
        The directory.
    config : mapping
        The sections of its configuration, every default written out.
    metrics : mapping of str to array, shape (s,)
        Figures of each step, ``step`` among them; NaN where there is none.
    calls : Calls
        The molecules that were scored, n in all, in order.
    modes : tuple of str or None, length n
        The mode that each molecule was given as a hit; None where it is none.
    raw : mapping of str to array, shape (n,)
        What each component measured, in its unit.
    scores : mapping of str to array, shape (n,)
        The same after its transform.
    statuses : mapping of str to int
        How many strings ended as ``ok``, ``invalid``, ``failed``, ``timed_out``, ``over_budget`` or
        ``truncated``.
    alerts : tuple of Alert
        Signs of collapse.
    result : mapping or None
        What the run left when it ended; None of a run that has not.
    notes : tuple of str
        What a reader of the numbers has to know.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, Float[np.ndarray, " s"]]
    calls: Calls
    modes: tuple[str | None, ...]
    raw: Mapping[str, Float[np.ndarray, " n"]]
    scores: Mapping[str, Float[np.ndarray, " n"]]
    statuses: Mapping[str, int]
    alerts: tuple[Alert, ...]
    result: Mapping[str, Any] | None
    notes: tuple[str, ...] = ()

    @property
    def threshold(self) -> float:
        """From which reward on a molecule is a hit."""
        return float(self.config["target"]["threshold"])

    @property
    def n_steps(self) -> int:
        """The last step that is known of."""
        return int(self.metrics["step"][-1])

    def last(self, name: str) -> float:
        """Return the last value of a figure that is a number.

        Parameters
        ----------
        name : str
            Name of the figure.

        Returns
        -------
        float
            NaN where there is none.
        """
        values = self.metrics.get(name, np.empty(0))
        known = values[np.isfinite(values)]
        return float(known[-1]) if len(known) else float("nan")


def read_molecule_run(path: Path | str) -> MoleculeRun:
    """Return the run on molecules in a directory.

    Parameters
    ----------
    path : Path or str
        The directory that `polymode train chemistry` wrote.

    Returns
    -------
    MoleculeRun
        Also of a run that was killed: molecules up to its last checkpoint, figures up to its last
        step; a note says so.

    Raises
    ------
    InputError
        If there is no run, none of its steps was taken, or a file is broken.
    MissingExtraError
        Without pyarrow.
    """
    path = Path(path)
    config = _config(path / CONFIG)
    metrics = _metrics(path / METRICS)
    table = molecule_columns(path / MOLECULES)
    content = table or dict.fromkeys((*COLUMNS, "mode"), ())
    calls = read_calls(content)
    called = calls.rows

    def columns(head: str) -> dict[str, Float[np.ndarray, " n"]]:
        return {
            name.removeprefix(head): np.asarray(values, dtype=np.float64)[called]
            for name, values in table.items()
            if name.startswith(head)
        }

    result = _result(path / RESULT)
    return MoleculeRun(
        name=path.resolve().name,
        path=path,
        config=config,
        metrics=metrics,
        calls=calls,
        modes=tuple(content["mode"][row] for row in called.tolist()),
        raw=columns("raw/"),
        scores=columns("score/"),
        statuses=dict(Counter(content["status"])),
        alerts=tuple(_alerts(path / ALERTS)),
        result=result,
        notes=tuple(_notes(metrics, content, result)),
    )


def _config(path: Path) -> dict[str, Any]:
    """Return the configuration of a run."""
    if not path.exists():
        raise InputError(
            f"{path.parent} holds no run of `polymode train chemistry`: it has no {path.name}"
        )
    try:
        config = tomllib.loads(path.read_text("utf-8"))
        float(config["target"]["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not the config of a run on molecules: {error!r}") from error
    return config


def _metrics(path: Path) -> dict[str, Float[np.ndarray, " s"]]:
    """Return the figures of all steps as columns."""
    rows = _json_lines(path)
    if not rows:
        raise InputError(f"{path.parent} has no step yet: let the run take one")
    names = dict.fromkeys(name for row in rows for name in row)
    if missing := [name for name in _NEEDED if name not in names]:
        raise InputError(f"{path} is not the log of a run on molecules: no {', '.join(missing)}")
    try:
        return {
            name: np.asarray([row.get(name) for row in rows], dtype=np.float64) for name in names
        }
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} has something else than numbers: {error}") from error


def _alerts(path: Path) -> list[Alert]:
    """Return the signs of collapse."""
    try:
        return [Alert(int(row["step"]), str(row["alert"])) for row in _json_lines(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} has something else than alerts: {error!r}") from error


def _json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file, one a line."""
    try:
        rows = [json.loads(line) for line in complete_lines(path)]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(row, dict) and "step" in row for row in rows):
        raise InputError(f"{path} must have an object with a step on each line")
    return rows


def _result(path: Path) -> dict[str, Any] | None:
    """Return what a run left when it ended."""
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(result, dict) or "stopped" not in result:
        raise InputError(f"{path} is not the result of a run on molecules")
    return result


def _notes(
    metrics: Mapping[str, Any], table: Mapping[str, Sequence[Any]], result: Mapping[str, Any] | None
) -> list[str]:
    """Say what is missing of a run that was killed."""
    if result is not None:
        return []
    steps = table["step"]
    kept = int(steps[-1]) if len(steps) else 0
    last = int(metrics["step"][-1])
    notes = ["the run has not ended: it goes on with --resume"]
    if kept < last:
        notes.append(
            f"molecules are those up to step {kept}, the last checkpoint; figures go on to step "
            f"{last}"
        )
    return notes
