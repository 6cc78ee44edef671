"""Runs of REINVENT 4: the table of molecules that its staged learning writes."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer

from polymode.core import checks
from polymode.errors import InputError

__all__ = ["ReinventColumns", "reinvent_csv"]

_NUMBERS = ("Agent", "Prior", "Target", "Score", "step")
_SHOWN = 3  # bad rows in a message


@dataclass(frozen=True, eq=False)
class ReinventColumns:
    r"""What REINVENT sampled, one entry for each SMILES.

    Parameters
    ----------
    smiles : tuple of str
        As it was sampled, or as REINVENT joined it from fragments.
    rewards : array, shape (n,)
        REINVENT's total score: after its diversity filter, if it had one. NaN where a component
        failed.
    ref_log_probs : array, shape (n,)
        Log-probability under the prior, in nats.
    log_probs : array, shape (n,)
        Log-probability under the agent that drew it, in nats.
    steps : array of int, shape (n,)
        The step of each, from 1.
    valid : array of bool, shape (n,), or None
        Whether REINVENT could read the SMILES; None for versions that do not say.
    sigma : float
        The weight of the score in ``log q + sigma r``, found from the rows: ``beta = 1 / sigma`` in
        units of reward per nat. NaN where the rows do not have it, as under other objectives.
    notes : tuple of str
        What a reader of their numbers has to know.
    """

    smiles: tuple[str, ...]
    rewards: Float[np.ndarray, " n"]
    ref_log_probs: Float[np.ndarray, " n"]
    log_probs: Float[np.ndarray, " n"]
    steps: Integer[np.ndarray, " n"]
    valid: Bool[np.ndarray, " n"] | None
    sigma: float
    notes: tuple[str, ...] = ()


def reinvent_csv(path: Path | str) -> ReinventColumns:
    """Return the columns of a table that REINVENT 4 wrote in reinforcement learning.

    Parameters
    ----------
    path : Path or str
        The CSV of one stage, which REINVENT names after ``summary_csv_prefix``.

    Returns
    -------
    ReinventColumns
        In polymode's notation and signs.

    Raises
    ------
    InputError
        If the file is not there, is another table, or has rows that cannot be read: lists the
        first of them with their lines. A last line that was cut off, as a killed run leaves it, is
        left out with a note.

    Notes
    -----
    ``Agent`` and ``Prior`` are negative log-likelihoods. ``Target`` is not, in spite of the
    header: it is ``log q + sigma r``, hence ``sigma = (Target + Prior) / Score``. Where components
    fail, REINVENT (4.8) leaves their likelihoods out of the columns but not their SMILES, so that
    likelihoods move up and the last rows are missing: then no sigma fits the rows of that step, and
    they are left out with a note.
    """
    path = Path(path)
    header, rows, cut = _rows(path)
    numbers, problems = _numbers(header, rows)
    notes: list[str] = []
    if cut:
        notes.append("the last line was cut off, and is left out")
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more rows" if len(problems) > _SHOWN else ""
        raise InputError(f"{path} has rows that cannot be read: {shown}{more}")
    if (numbers["Prior"] < 0).any() or (numbers["Agent"] < 0).any():
        raise InputError(
            f"{path} must have negative log-likelihoods >= 0 in Agent and Prior, as REINVENT 4 "
            "writes them, got numbers < 0: is it the table of another program?"
        )
    sigma, keep = _sigma(numbers)
    if not keep.all():
        notes.append(
            f"{int((~keep).sum())} of {len(keep)} rows left out: likelihoods of their step do not "
            "belong to its SMILES (a component failed)"
        )
    return _columns(header, rows, numbers, keep, sigma, tuple(notes))


def _columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: dict[str, Float[np.ndarray, " n"]],
    keep: Bool[np.ndarray, " n"],
    sigma: float,
    notes: tuple[str, ...],
) -> ReinventColumns:
    """Return the rows that are kept, in our signs."""
    smiles = header.index("SMILES")
    valid = None
    if "SMILES_state" in header:
        state = header.index("SMILES_state")
        valid = np.asarray([row[state].strip() != "0" for row in rows], dtype=bool)[keep]
    return ReinventColumns(
        tuple(row[smiles] for row, kept in zip(rows, keep.tolist(), strict=True) if kept),
        numbers["Score"][keep],
        0.0 - numbers["Prior"][keep],
        0.0 - numbers["Agent"][keep],
        numbers["step"][keep].astype(np.int64),
        valid,
        sigma,
        notes,
    )


def _rows(path: Path) -> tuple[list[str], list[list[str]], bool]:
    """Return the header, the rows, and whether a last line that was cut off was dropped."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            rows = list(_lines(reader))
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there: name the CSV of a stage") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}") from error
    missing = [name for name in (*_NUMBERS, "SMILES") if name not in header]
    if missing:
        hint = checks.did_you_mean(missing[0], header)
        raise InputError(
            f"{path} must have the columns {', '.join(missing)}, which REINVENT 4 writes in staged "
            f"learning, got {', '.join(header[:8]) or 'an empty file'}{hint}"
        )
    cut = bool(rows) and _is_cut(rows, header)
    rows = rows[:-1] if cut else rows
    if not rows:
        raise InputError(f"{path} has no molecules: has the run made a step?")
    return header, rows, cut


def _lines(reader: Any) -> Iterator[list[str]]:
    """Yield the rows of a file; an open quotation at its end is a line that was cut off."""
    try:
        yield from (row for row in reader if row)
    except csv.Error as error:
        if "unexpected end of data" not in str(error):
            raise
        yield []


def _is_cut(rows: Sequence[Sequence[str]], header: Sequence[str]) -> bool:
    """Tell whether the last row was cut off: it lacks fields, or the rest of its step."""
    last = rows[-1]
    if len(last) < len(header):
        return True
    step = header.index("step")
    try:
        return len(rows) > 1 and float(last[step]) < float(rows[-2][step])
    except (ValueError, IndexError):
        return not last[step]


def _numbers(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[dict[str, Float[np.ndarray, " n"]], list[str]]:
    """Return the columns that are numbers, and what is wrong with which line."""
    places = {name: header.index(name) for name in _NUMBERS}
    columns = {name: np.full(len(rows), np.nan) for name in _NUMBERS}
    problems: list[str] = []
    for i, row in enumerate(rows):
        if len(row) != len(header):
            problems.append(f"line {i + 2} has {len(row)} fields, not {len(header)}")
            continue
        for name, place in places.items():
            try:
                columns[name][i] = float(row[place])
            except ValueError:
                problems.append(f"line {i + 2} has {name} {row[place][:40]!r}")
                break
            if not math.isfinite(columns[name][i]) and name != "Score":
                problems.append(f"line {i + 2} has {name} {row[place][:40]!r}")
                break
    return columns, problems


def _sigma(
    numbers: dict[str, Float[np.ndarray, " n"]],
) -> tuple[float, Bool[np.ndarray, " n"]]:
    """Return sigma, and the rows that it explains up to the digits that are written."""
    score, scaled = numbers["Score"], numbers["Target"] + numbers["Prior"]
    everything = np.ones(len(score), dtype=bool)
    known = score > 0.01  # below, and for NaN, the digits that are written say little
    if not known.any():
        return math.nan, everything
    sigma = float(np.median(scaled[known] / score[known]))
    near = known & (np.abs(scaled - sigma * score) <= 0.01 * np.abs(scaled))
    if sigma <= 0 or near.sum() < known.sum() / 2:
        return math.nan, everything  # another objective
    sigma = float((scaled[near] * score[near]).sum() / (score[near] ** 2).sum())
    fits = np.isnan(score) | (np.abs(scaled - sigma * score) <= 2e-4 + 1e-4 * np.abs(scaled))
    return sigma, ~np.isin(numbers["step"], numbers["step"][~fits])
