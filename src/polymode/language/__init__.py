"""Post-training of language models on TRL: trainers, rewards, data, tasks, evaluation, a model.

The public names load torch and TRL on first use; importing this package does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from polymode.errors import MissingExtraError

if TYPE_CHECKING:
    from polymode.language.clusters import ClusterModes as ClusterModes
    from polymode.language.config import MARAConfig as MARAConfig
    from polymode.language.config import MARAGRPOConfig as MARAGRPOConfig
    from polymode.language.config import ShapedConfig as ShapedConfig
    from polymode.language.countdown import CountdownTask as CountdownTask
    from polymode.language.data import DataSettings as DataSettings
    from polymode.language.data import Prompts as Prompts
    from polymode.language.data import load_prompts as load_prompts
    from polymode.language.ensembling import interpolate_checkpoints as interpolate_checkpoints
    from polymode.language.evaluation import evaluate as evaluate
    from polymode.language.evaluation_settings import EvaluationSettings as EvaluationSettings
    from polymode.language.gym import ReasoningGymTask as ReasoningGymTask
    from polymode.language.hook import ShapingMixin as ShapingMixin
    from polymode.language.rewards.guard import Guard as Guard
    from polymode.language.rewards.guard import GuardedReward as GuardedReward
    from polymode.language.rewards.health import RewardHealth as RewardHealth
    from polymode.language.rewards.model import ModelReward as ModelReward
    from polymode.language.rewards.sources import Rewards as Rewards
    from polymode.language.rewards.sources import load_rewards as load_rewards
    from polymode.language.scoring.run import score_samples as score_samples
    from polymode.language.scoring.settings import ScoreSettings as ScoreSettings
    from polymode.language.shared_prompt import SharedPrompts as SharedPrompts
    from polymode.language.shared_prompt import score_completions as score_completions
    from polymode.language.stored import StoredResponses as StoredResponses
    from polymode.language.storing import store_responses as store_responses
    from polymode.language.tasks import TASKS as TASKS
    from polymode.language.tasks import PickingTask as PickingTask
    from polymode.language.tasks import Task as Task
    from polymode.language.tasks import find_task as find_task
    from polymode.language.token_kl import TokenKLConfig as TokenKLConfig
    from polymode.language.token_kl import TokenKLTrainer as TokenKLTrainer
    from polymode.language.trainers import MARAGRPOTrainer as MARAGRPOTrainer
    from polymode.language.trainers import MARATrainer as MARATrainer
    from polymode.language.trainers import ShapedTrainer as ShapedTrainer

_HOMES = {
    "ClusterModes": "clusters",
    "CountdownTask": "countdown",
    "DataSettings": "data",
    "EvaluationSettings": "evaluation_settings",
    "Guard": "rewards.guard",
    "GuardedReward": "rewards.guard",
    "MARAConfig": "config",
    "MARAGRPOConfig": "config",
    "MARAGRPOTrainer": "trainers",
    "MARATrainer": "trainers",
    "ModelReward": "rewards.model",
    "PickingTask": "tasks",
    "Prompts": "data",
    "ReasoningGymTask": "gym",
    "RewardHealth": "rewards.health",
    "Rewards": "rewards.sources",
    "ScoreSettings": "scoring.settings",
    "ShapedConfig": "config",
    "ShapedTrainer": "trainers",
    "ShapingMixin": "hook",
    "SharedPrompts": "shared_prompt",
    "StoredResponses": "stored",
    "TASKS": "tasks",
    "Task": "tasks",
    "TokenKLConfig": "token_kl",
    "TokenKLTrainer": "token_kl",
    "evaluate": "evaluation",
    "find_task": "tasks",
    "interpolate_checkpoints": "ensembling",
    "load_prompts": "data",
    "load_rewards": "rewards.sources",
    "score_completions": "shared_prompt",
    "score_samples": "scoring.run",
    "store_responses": "storing",
}
__all__ = [
    "TASKS",
    "ClusterModes",
    "CountdownTask",
    "DataSettings",
    "EvaluationSettings",
    "Guard",
    "GuardedReward",
    "MARAConfig",
    "MARAGRPOConfig",
    "MARAGRPOTrainer",
    "MARATrainer",
    "ModelReward",
    "PickingTask",
    "Prompts",
    "ReasoningGymTask",
    "RewardHealth",
    "Rewards",
    "ScoreSettings",
    "ShapedConfig",
    "ShapedTrainer",
    "ShapingMixin",
    "SharedPrompts",
    "StoredResponses",
    "Task",
    "TokenKLConfig",
    "TokenKLTrainer",
    "evaluate",
    "find_task",
    "interpolate_checkpoints",
    "load_prompts",
    "load_rewards",
    "score_completions",
    "score_samples",
    "store_responses",
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
