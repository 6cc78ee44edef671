"""Where a training stands, as one safetensors file: weights, moments of AdamW, and a JSON state."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from polymode.errors import InputError
from polymode.files import whole_file

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write a checkpoint; the one that was there is replaced in one piece."""
    tensors = {f"model.{name}": value.detach() for name, value in model.state_dict().items()}
    for name, weight in model.named_parameters():
        moments = optimizer.state.get(weight, {})
        tensors |= {f"{key}.{name}": moments[key] for key in _MOMENTS if key in moments}
    tensors = {name: value.to("cpu").contiguous() for name, value in tensors.items()}
    with whole_file(path) as scratch:
        save_file(tensors, scratch, metadata={"state": json.dumps(state)})


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put weights and moments back; return the state.

    Raises
    ------
    InputError
        If the file is damaged or belongs to another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state: dict[str, Any] = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        model.load_state_dict({name: tensors[f"model.{name}"] for name in model.state_dict()})
        for name, weight in model.named_parameters():
            if f"step.{name}" in tensors:
                moments = {key: tensors[f"{key}.{name}"] for key in _MOMENTS}
                step = moments.pop("step")  # AdamW counts on the CPU
                optimizer.state[weight] = {
                    **{key: value.to(weight.device) for key, value in moments.items()},
                    "step": step,
                }
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged or of another model: {error}") from error
    return state
