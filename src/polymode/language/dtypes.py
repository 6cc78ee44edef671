"""What weights are computed in: "auto" is settled once, when a run starts, and written down."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from polymode.devices import fast_dtype
from polymode.language.runs import SETTINGS

__all__ = ["WEIGHTS", "fast_dtype", "kept_dtype", "sampling_dtype", "settled", "torch_dtype"]

Weights = Literal["auto", "checkpoint", "float32", "bfloat16"]
"""What scoring and evaluation compute in; `checkpoint` is the type that the weights are kept in."""
WEIGHTS: tuple[Weights, ...] = ("auto", "checkpoint", "float32", "bfloat16")


def settled(asked: str, kept: str | None, default: Callable[[], str]) -> str:
    """Return what a run computes in: as asked, for "auto" as it began, else by default."""
    if asked != "auto":
        return asked
    return default() if kept in (None, "auto") else kept


def kept_dtype(out: Path, *place: str) -> str | None:
    """Return what a run was started in, from a place in its settings; None where there is none."""
    try:
        found = json.loads((out / SETTINGS).read_text("utf-8"))
        for key in place:
            found = found[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def sampling_dtype() -> Literal["checkpoint", "float32"]:
    """Return what "auto" means where log-probabilities are only read off.

    A checkpoint's own type, as the trainer that made it has it; but float32 on processors that do
    not multiply in bfloat16, where that is faster, and more exact.
    """
    import torch

    slow = not torch.cuda.is_available() and fast_dtype("cpu") == "float32"
    return "float32" if slow else "checkpoint"


def torch_dtype(name: str) -> Any:
    """Return a type of torch by its name, or what transformers calls that of a checkpoint."""
    import torch

    return "auto" if name == "checkpoint" else getattr(torch, name)
