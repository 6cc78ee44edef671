"""Rewards by short texts, as configurations and the command line give them."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from polymode.core import checks
from polymode.errors import ArgumentError, InputError
from polymode.language.rewards.functions import name_of
from polymode.language.rewards.guard import Guard, GuardedReward
from polymode.language.tasks import find_task, is_task

Source = str | Callable[..., Any]


@dataclass(frozen=True)
class Rewards:
    """Guarded rewards and their weights, as TRL's trainers take them."""

    guarded: tuple[GuardedReward, ...]
    """The rewards."""
    weights: list[float]
    """For `reward_weights` of the config."""

    @property
    def functions(self) -> list[GuardedReward]:
        """The rewards for `reward_funcs`: a new list each time, because trainers append to it."""
        return list(self.guarded)


def load_rewards(
    sources: Sequence[Source] | Source,
    *,
    weights: Sequence[float] | None = None,
    guard: Guard | None = None,
) -> Rewards:
    """Return the rewards that short texts name, each with a guard around it.

    Parameters
    ----------
    sources : str, callable, or a sequence of them
        Each is one of

        - ``package.module:function`` or ``package.module.function``: a reward function as TRL takes
          it; modules are also looked for in the current directory, as by ``python -m``;
        - ``model:NAME`` or ``model:NAME#LABEL``: a sequence classifier, see `ModelReward`;
        - the name of a task, with or without ``task:`` before it: ``die``, ``countdown``,
          ``reasoning_gym:chain_sum``;
        - a function.
    weights : sequence of float, optional
        One for each source; 1 by default.
    guard : Guard, optional
        Limits of each of them.

    Raises
    ------
    ArgumentError
        If a source cannot be had, or the weights do not fit; lists all problems.
    """
    given = [sources] if isinstance(sources, str) or callable(sources) else list(sources)
    shares = [1.0] * len(given) if weights is None else [float(weight) for weight in weights]
    problems: list[str] = []
    if not given:
        problems.append("rewards must name at least one source, got none")
    if len(shares) != len(given):
        problems.append(f"weights must be one for each reward ({len(given)}), got {len(shares)}")
    for i, share in enumerate(shares):
        problems += checks.finite(**{f"weights[{i}]": share})
    functions: list[GuardedReward] = []
    for source in given:
        try:
            name = _free_name(_plain_name(source), functions)
            functions.append(_guarded(source, guard or Guard(), name))
        except (ArgumentError, InputError) as error:
            problems.append(str(error))
    if problems:
        raise ArgumentError(problems)
    return Rewards(tuple(functions), shares)


def _guarded(source: Source, guard: Guard, name: str) -> GuardedReward:
    """Return one source with its guard."""
    if not isinstance(source, str):
        return GuardedReward(source, guard=guard, name=name)
    head, _, rest = source.partition(":")
    ours = head == "model" or is_task(source)
    if ours and guard.where == "process":
        guard = replace(guard, where="thread")  # a model, or a task with its settings: no path
    if head == "model":
        from polymode.language.rewards.model import ModelReward

        return GuardedReward(ModelReward(rest), guard=guard, name=name)
    if is_task(source):
        return GuardedReward(find_task(source).reward, guard=guard, name=name)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return GuardedReward(source, guard=guard, name=name)


def _plain_name(source: Source) -> str:
    """Return what TRL shall call a source: the last part of the text."""
    if not isinstance(source, str):
        return name_of(source)
    if source.startswith("model:"):
        return source.removeprefix("model:").rstrip("/").rpartition("/")[2]
    if is_task(source):
        return source.removeprefix("task:").split(":")[:2][-1]
    return name_of(source)


def _free_name(name: str, functions: Sequence[GuardedReward]) -> str:
    """Number a name that another reward has: TRL logs by names."""
    taken = {function.__name__ for function in functions}
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
