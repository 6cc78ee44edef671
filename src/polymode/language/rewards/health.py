"""A callback that stops a training whose rewards fail, after a checkpoint."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather, gather_object
from transformers import TrainerCallback

from polymode.errors import RewardError
from polymode.language.rewards.guard import GuardedReward


class RewardHealth(TrainerCallback):
    """Stop the training when a guarded reward fails on too many completions.

    After each step every process asks its own guards. If any process has a problem, all of them
    write a checkpoint, stop, and raise the same `RewardError` out of `trainer.train()`, so that a
    training that was stopped is not taken for one that ended.

    Parameters
    ----------
    rewards : sequence of GuardedReward
        The rewards of the trainer, of which those without a guard are passed over.
    """

    def __init__(self, rewards: Sequence[Any]) -> None:
        self._rewards = [reward for reward in rewards if isinstance(reward, GuardedReward)]
        self._problems: list[str] = []
        self._step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Start with no problem known."""
        self._problems = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Ask for a checkpoint and for the end if a reward of any process fails."""
        mine = [text for reward in self._rewards if (text := reward.problem())]
        if not self._problems and (problems := _of_all_processes(mine)):
            self._problems, self._step = problems, state.global_step
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Raise what stopped the training."""
        self.check()

    def check(self) -> None:
        """Raise `RewardError` if a reward has stopped the training."""
        if self._problems:
            what = "; ".join(dict.fromkeys(self._problems))
            end = f"training stopped after step {self._step}, with a checkpoint"
            raise RewardError(f"{what}; {end}")


def _of_all_processes(mine: list[str]) -> list[str]:
    """Return the problems of all processes, the same list on each of them."""
    state = PartialState()
    if state.num_processes == 1:
        return mine
    flag: Any = gather(torch.tensor([len(mine)], device=state.device))
    return gather_object(mine) if flag.sum().item() else []
