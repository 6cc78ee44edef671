"""A checkpoint: a directory with a model, tensors and JSON, written whole or not at all.

Nothing is pickled: arrays and tensors of a nested state go into one safetensors file, all the rest
into JSON, with a mark where an array belongs.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polymode.chemistry.models import SmilesModel, load_model, save_model
from polymode.errors import InputError

__all__ = ["checkpoint_steps", "last_checkpoint", "read_checkpoint", "write_checkpoint"]

_ARRAY = "$array"
_NUMPY = "numpy"


def write_checkpoint(
    directory: Path, step: int, model: SmilesModel, state: Mapping[str, Any], *, keep: int
) -> Path:
    """Write a checkpoint, and delete the oldest ones.

    Parameters
    ----------
    directory : Path
        Where checkpoints are kept.
    step : int
        The step that has just been taken.
    model : SmilesModel
        The policy.
    state : mapping
        Nested mappings and lists of numbers, strings, arrays and tensors; keys are strings.
    keep : int
        How many checkpoints to keep.

    Returns
    -------
    Path
        The checkpoint.
    """
    directory.mkdir(parents=True, exist_ok=True)
    scratch, path = directory / f".step_{step:06d}.part", directory / f"step_{step:06d}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    arrays: dict[str, Tensor] = {}
    plain = _without_arrays(state, arrays)
    save_model(model, scratch / "model.safetensors")
    save_file(arrays, scratch / "state.safetensors")
    (scratch / "state.json").write_text(json.dumps(plain), encoding="utf-8")
    shutil.rmtree(path, ignore_errors=True)
    os.replace(scratch, path)
    for old in checkpoint_steps(directory)[:-keep]:
        shutil.rmtree(directory / f"step_{old:06d}")
    return path


def read_checkpoint(path: Path) -> tuple[SmilesModel, dict[str, Any]]:
    """Return the model and the state of a checkpoint.

    Parameters
    ----------
    path : Path
        The checkpoint.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        arrays = load_file(path / "state.safetensors")
        plain = json.loads((path / "state.json").read_text("utf-8"))
        return load_model(path / "model.safetensors"), _with_arrays(plain, arrays)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"checkpoint {path} cannot be read: {error}") from error


def checkpoint_steps(directory: Path) -> list[int]:
    """Return the steps of all complete checkpoints, in ascending order.

    Parameters
    ----------
    directory : Path
        Where checkpoints are kept.
    """
    return sorted(int(path.name.removeprefix("step_")) for path in directory.glob("step_*"))


def last_checkpoint(directory: Path) -> Path | None:
    """Return the last complete checkpoint, or None.

    Parameters
    ----------
    directory : Path
        Where checkpoints are kept.
    """
    steps = checkpoint_steps(directory)
    return directory / f"step_{steps[-1]:06d}" if steps else None


def _without_arrays(value: Any, arrays: dict[str, Tensor]) -> Any:
    """Return a value with marks for its arrays, which are put aside."""
    if isinstance(value, Mapping):
        return {str(key): _without_arrays(below, arrays) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(below, arrays) for below in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor | np.ndarray):
        name = str(len(arrays))
        tensor = value if isinstance(value, Tensor) else torch.from_numpy(value.copy())
        arrays[name] = tensor.detach().cpu().clone().contiguous()
        return {_ARRAY: name, "kind": "torch" if isinstance(value, Tensor) else _NUMPY}
    return value


def _with_arrays(value: Any, arrays: Mapping[str, Tensor]) -> Any:
    """Return a value with its arrays put back."""
    if isinstance(value, dict):
        if _ARRAY in value:
            tensor = arrays[value[_ARRAY]]
            return tensor.numpy() if value["kind"] == _NUMPY else tensor
        return {key: _with_arrays(below, arrays) for key, below in value.items()}
    if isinstance(value, list):
        return [_with_arrays(below, arrays) for below in value]
    return value
