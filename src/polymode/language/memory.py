"""Checkpoints of a run: which of them are complete, and what a trainer remembers beside weights."""

import json
from pathlib import Path
from typing import Any

from polymode.errors import InputError
from polymode.files import write_text

_FILE = "polymode_memory.json"
_LAST_FILE = "trainer_state.json"


def last_complete_checkpoint(run: Path) -> Path | None:
    """Find the newest checkpoint of a run that was written to its end; None if there is none.

    `transformers.Trainer` takes the newest, complete or not. Its state file comes last, so that one
    which cannot be read tells of a run that was killed while it wrote the checkpoint.
    """
    numbered = {
        int(n): path for path in run.glob("checkpoint-*") if (n := _number(path)).isdecimal()
    }
    newest_first = (numbered[n] for n in sorted(numbered, reverse=True))
    return next((path for path in newest_first if _state(path) is not None), None)


def find_checkpoint(checkpoint: str | Path | bool, output_dir: str) -> Path:
    """Return the directory of the checkpoint to resume from.

    Parameters
    ----------
    checkpoint : str, Path or True
        Its directory, or True for the newest complete one under `output_dir`.
    output_dir : str
        Where checkpoints are.

    Raises
    ------
    InputError
        If there is no complete checkpoint, or the one that is named is not complete.
    """
    if checkpoint is True:
        found = last_complete_checkpoint(Path(output_dir))
        if found is None:
            raise InputError(
                f"{output_dir} holds no complete checkpoint: train without resume_from_checkpoint"
            )
        return found
    if _state(path := Path(str(checkpoint))) is None:
        raise InputError(
            f"{path} is not a complete checkpoint: no {_LAST_FILE} can be read there; "
            "resume_from_checkpoint=True takes the newest complete one"
        )
    return path


def progress(checkpoint: Path) -> tuple[int, int]:
    """Return how many epochs and optimiser steps were complete at a checkpoint."""
    state = _state(checkpoint) or {}
    return int(state.get("epoch") or 0), int(state.get("global_step") or 0)


def save_memory(memory: dict[str, Any], output_dir: str, step: int) -> None:
    """Write a trainer's memory into the checkpoint of a step, all of it or nothing."""
    path = Path(output_dir) / f"checkpoint-{step}" / _FILE
    write_text(path, json.dumps({"schema_version": 1, **memory}))


def load_memory(checkpoint: Path) -> dict[str, Any]:
    """Return the memory that a checkpoint holds, nothing where it holds none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = checkpoint / _FILE
    if not path.exists():
        return {}
    try:
        memory = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): resume from another checkpoint") from error
    return dict(memory)


def _number(checkpoint: Path) -> str:
    return checkpoint.name.removeprefix("checkpoint-")


def _state(checkpoint: Path) -> dict[str, Any] | None:
    """Return the state that is written last into a checkpoint, None if it is not there whole."""
    try:
        return dict(json.loads((checkpoint / _LAST_FILE).read_text("utf-8")))
    except (OSError, ValueError):
        return None
