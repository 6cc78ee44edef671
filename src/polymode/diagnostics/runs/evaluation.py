"""Directories of `polymode evaluate`: samples of one or more models on one or more tasks."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polymode.diagnostics.records import Run
from polymode.diagnostics.runs.columns import samples_of, text_of
from polymode.errors import InputError
from polymode.metrics.modes import ModeFunction

__all__ = ["evaluation_runs"]

_NEEDED = ("model", "task", "prompt_id", "prompt", "completion", "reward")


def evaluation_runs(home: Path, mode: ModeFunction | None) -> list[Run]:
    """Return the models of an evaluation, each a run.

    Parameters
    ----------
    home : Path
        The directory, with `samples.jsonl`.
    mode : callable or None
        Finds modes in completions; None takes those of the file.

    Returns
    -------
    list of Run
        In the order in which the file has the models. Prompts are told apart by task and id.

    Raises
    ------
    InputError
        If the file is not there, broken, empty, or lacks a field.
    """
    path = home / "samples.jsonl"
    if not path.exists():
        raise InputError(f"{path} is not there: evaluation.json alone has no samples to compare")
    by_model = dict[str, list[Mapping[str, Any]]]()
    for row in _rows(path):
        by_model.setdefault(str(row["model"]), []).append(row)
    runs = [_run(_short(name), rows, home, mode) for name, rows in by_model.items()]
    if not runs:
        raise InputError(f"{path} is empty")
    return runs


def _short(model: str) -> str:
    """Return the last part of a path; the id of a hub, `owner/name`, stays."""
    return model.rstrip("/").rsplit("/", 1)[-1] if model.count("/") > 1 else model


def _rows(path: Path) -> list[Mapping[str, Any]]:
    """Return the lines of the file; the first one that is wrong is told."""
    rows: list[Mapping[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    rows.append(_row(line, f"{path}, line {number}"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be UTF-8 text: {error}") from error
    return rows


def _row(line: str, place: str) -> Mapping[str, Any]:
    """Return one line."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{place} is not JSON ({error.msg}): is the file complete?") from error
    missing = [name for name in _NEEDED if not isinstance(row, dict) or name not in row]
    if missing:
        raise InputError(f"{place} must have {', '.join(missing)}: `polymode evaluate` writes them")
    return row


def _run(name: str, rows: list[Mapping[str, Any]], home: Path, mode: ModeFunction | None) -> Run:
    """Return one model."""
    has_modes = any("mode" in row for row in rows)  # null: no answer
    samples, notes = samples_of(
        [f"{row['task']}\n{row['prompt_id']}" for row in rows],
        [text_of(row["prompt"]) for row in rows],
        [text_of(row["completion"]) for row in rows],
        [_number(row["reward"]) for row in rows],
        [row.get("mode") for row in rows] if has_modes else None,
        [_number(row.get("log_prob")) - _number(row.get("ref_log_prob")) for row in rows],
        mode,
    )
    if samples is None:
        raise InputError(f"{home} has no sample of {name} with a reward: evaluate with --rewards")
    return Run(name, "evaluation", home, samples, notes=tuple(notes))


def _number(value: Any) -> float:
    """Return a number, NaN for anything else."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number or isinstance(value, bool) else math.nan
