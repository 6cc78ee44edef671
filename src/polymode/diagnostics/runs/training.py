"""Runs of `polymode train language`: TRL's files, and what the objective promised."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polymode.diagnostics.records import Promise, Run
from polymode.diagnostics.runs.trl import trl_run
from polymode.errors import InputError
from polymode.metrics.modes import ModeFunction

__all__ = ["training_run"]


def training_run(
    path: Path, mode: ModeFunction | None, *, last: int, rewards: Sequence[str] = ()
) -> Run:
    """Return a training run of ours, with its promise where its answers can be counted.

    Parameters
    ----------
    path : Path
        Its directory.
    mode : callable or None
        Finds modes in completions; None takes those of the tables.
    last : int
        The outcome is the completions of this many last tables.
    rewards : sequence of str
        Reward columns that count, as `trl_run` takes them.

    Returns
    -------
    Run
        As `trl_run` returns it; a run that has not come to its end has no promise yet.

    Raises
    ------
    InputError
        As `trl_run` does, or if `result.json` is broken.
    """
    run = trl_run(path, mode, last=last, rewards=rewards)
    notes = run.notes if mode is not None else (*run.notes, _modes_note(path / "settings.json"))
    return replace(run, promise=_promise(path / "result.json"), notes=notes)


def _modes_note(path: Path) -> str:
    """Return what counts as the same answer in the tables: runs may differ in that."""
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))["method"]["modes"]
    except (OSError, KeyError, TypeError, ValueError):
        spec = None
    if spec is None:
        return "every completion is its own mode (--mode-key says otherwise)"
    return f"modes are those of the recipe, {spec} (--mode-key says otherwise)"


def _promise(path: Path) -> Promise | None:
    """Return what a finished run on a picking task promised and measured."""
    if not path.exists():
        return None
    try:
        task: Any = json.loads(path.read_text(encoding="utf-8"))["task"]
        if task is None or task["promised"] is None:
            return None
        promised, measured = (task[side]["probabilities"] for side in ("promised", "measured"))
        return Promise(
            tuple(measured),
            tuple(float(promised[answer]) for answer in measured),
            tuple(map(float, measured.values())),
            float(task["total_variation_to_promise"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is not the result of `polymode train` ({reason})") from error
