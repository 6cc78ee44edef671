"""Settings and directory of a demo run. Light: a wrong option is told before torch is loaded."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from polymode.errors import ConfigError, InputError
from polymode.language.embedded import EMBEDDED_MODEL
from polymode.language.runs import SETTINGS, check_directory, nothing_to_resume
from polymode.language.tasks import TASKS, Level

DTYPES = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Everything that decides the numbers of a demo; saved with them."""

    task: str = "die"
    """Name of a picking task."""
    model: str = EMBEDDED_MODEL
    """Embedded model, local directory or hub id."""
    steps: int = 60
    """Optimiser steps of each of the two runs."""
    seed: int = 0
    """Seed of sampling and of the LoRA initialisation."""
    beta: float = 0.2
    """KL strength in reward units per nat. At .2 an answer's reward of 1 outweighs 5 nats of
    log-ratio."""
    level: Level = "modes"
    """Anchor answers ("modes") or single completions ("strings")."""
    group_size: int = 64
    """Completions of the prompt per step."""
    learning_rate: float = 2.5e-4
    """Peak learning rate of AdamW; decays by a cosine, or rare answers slip away again."""
    warmup_steps: int = 10
    """Steps of linear warm-up. Without it Adam's first steps are so large that a run can end on one
    answer, from which no sample leads back."""
    lora_rank: int = 16
    """Rank of the adapter on all linear layers."""
    dtype: str = "auto"
    """Type of the weights in training: bfloat16, float32, or auto: bfloat16 where the machine has
    units for it, else float32. What a run began in is kept with it."""
    n_samples: int = 512
    """Completions drawn to check the exact measurement."""
    save_every: int = 10
    """Steps between checkpoints; at most this many are lost when the run is killed."""

    def __post_init__(self) -> None:
        """Refuse what cannot run, all of it at once."""
        if problems := list(self._problems()):
            raise ConfigError("demo", problems)

    def _problems(self) -> Iterator[str]:
        if self.task not in TASKS:
            yield f"task must be one of {', '.join(TASKS)}, got {self.task!r}"
        if self.level not in get_args(Level):
            yield f"level must be one of {', '.join(get_args(Level))}, got {self.level!r}"
        if self.dtype not in DTYPES:
            yield f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}"
        for name, least in (
            ("steps", 1),
            ("seed", 0),
            ("group_size", 2),
            ("save_every", 1),
            ("warmup_steps", 0),
        ):
            if (value := getattr(self, name)) < least:
                yield f"{name} must be >= {least}, got {value!r}"
        for name in ("beta", "learning_rate"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                yield f"{name} must be a finite number > 0, got {value!r}"

    def quick(self) -> "DemoSettings":
        """The same demo, too short to converge: every stage runs, no figure means anything."""
        short = {"group_size": 16, "n_samples": 64, "save_every": 1, "warmup_steps": 0}
        return replace(self, steps=min(self.steps, 3), **short)


def check_run(settings: DemoSettings, out: Path, *, resume: bool) -> None:
    """Refuse a directory that a run would overwrite, or that is not the run to resume."""
    check_directory(asdict(settings), out, resume=resume, what="demo run")


def resumed_settings(out: Path, said: Mapping[str, Any]) -> DemoSettings:
    """Read the settings that a run was started with; `said` are those that the user gave again."""
    path = out / SETTINGS
    if not path.is_file():
        raise nothing_to_resume(out)
    try:
        kept = json.loads(path.read_text())
        known = {field.name for field in fields(DemoSettings)}
        kept = {name: value for name, value in kept.items() if name in known}
        DemoSettings(**kept)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): start a new run") from error
    return DemoSettings(**{**kept, **said})
