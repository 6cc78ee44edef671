"""Post-training of language models on TRL: anchored trainers, picking tasks, an embedded model.

The public names load torch and TRL on first use; importing this package does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from polymode.errors import MissingExtraError

if TYPE_CHECKING:
    from polymode.language.config import MARAConfig as MARAConfig
    from polymode.language.config import MARAGRPOConfig as MARAGRPOConfig
    from polymode.language.config import ShapedConfig as ShapedConfig
    from polymode.language.ensembling import interpolate_checkpoints as interpolate_checkpoints
    from polymode.language.hook import ShapingMixin as ShapingMixin
    from polymode.language.shared_prompt import SharedPrompts as SharedPrompts
    from polymode.language.shared_prompt import score_completions as score_completions
    from polymode.language.tasks import TASKS as TASKS
    from polymode.language.tasks import PickingTask as PickingTask
    from polymode.language.token_kl import TokenKLConfig as TokenKLConfig
    from polymode.language.token_kl import TokenKLTrainer as TokenKLTrainer
    from polymode.language.trainers import MARAGRPOTrainer as MARAGRPOTrainer
    from polymode.language.trainers import MARATrainer as MARATrainer
    from polymode.language.trainers import ShapedTrainer as ShapedTrainer

_HOMES = {
    "MARAConfig": "config",
    "MARAGRPOConfig": "config",
    "MARAGRPOTrainer": "trainers",
    "MARATrainer": "trainers",
    "PickingTask": "tasks",
    "ShapedConfig": "config",
    "ShapedTrainer": "trainers",
    "ShapingMixin": "hook",
    "SharedPrompts": "shared_prompt",
    "TASKS": "tasks",
    "TokenKLConfig": "token_kl",
    "TokenKLTrainer": "token_kl",
    "interpolate_checkpoints": "ensembling",
    "score_completions": "shared_prompt",
}
__all__ = [
    "TASKS",
    "MARAConfig",
    "MARAGRPOConfig",
    "MARAGRPOTrainer",
    "MARATrainer",
    "PickingTask",
    "ShapedConfig",
    "ShapedTrainer",
    "ShapingMixin",
    "SharedPrompts",
    "TokenKLConfig",
    "TokenKLTrainer",
    "interpolate_checkpoints",
    "score_completions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "language") from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
