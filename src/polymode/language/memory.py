"""What a trainer remembers from one step to the next, beside weights: kept in its checkpoints."""

import json
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from polymode.errors import InputError

_FILE = "polymode_memory.json"


def save_memory(memory: dict[str, Any], output_dir: str, step: int) -> None:
    """Write a trainer's memory into the checkpoint of a step, all of it or nothing."""
    folder = Path(output_dir) / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{_FILE}.partial"
    partial.write_text(json.dumps({"schema_version": 1, **memory}), encoding="utf-8")
    partial.replace(folder / _FILE)


def load_memory(checkpoint: str | bool, output_dir: str) -> dict[str, Any]:
    """Return the memory that a checkpoint holds, nothing where it holds none.

    Parameters
    ----------
    checkpoint : str or True
        Its directory, or True for the newest under `output_dir`, as in `transformers.Trainer`.
    output_dir : str
        Where checkpoints are.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    folder = get_last_checkpoint(output_dir) if checkpoint is True else checkpoint
    path = Path(str(folder)) / _FILE
    if not path.exists():
        return {}
    try:
        memory = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): resume from another checkpoint") from error
    return dict(memory)
