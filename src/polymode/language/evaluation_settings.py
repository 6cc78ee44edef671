"""Settings of an evaluation. Light: a wrong option is told before torch is loaded."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polymode.errors import ArgumentError, ConfigError, InputError, MissingExtraError
from polymode.language.dtypes import WEIGHTS, Weights
from polymode.language.prompts import EvaluationTask, Reward, from_task, read_prompts
from polymode.language.tasks import find_task
from polymode.metrics import ModeFunction, mode_function
from polymode.metrics.dotted import function_at

ENGINES = ("transformers", "vllm")


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Everything that decides the numbers of an evaluation; saved with them."""

    models: tuple[str, ...]
    """Embedded model, directories (LoRA adapters among them) or hub ids."""
    tasks: tuple[str, ...] = ()
    """Names of tasks, as `find_task` knows them."""
    questions: int = 100
    """How many questions of a task that makes them (countdown, reasoning-gym)."""
    questions_seed: int = 1
    """Which questions; trainings take seed 0 unless told otherwise, hence others."""
    prompts: str | None = None
    """A file of prompts, JSON Lines."""
    samples: int = 64
    """Completions of each prompt."""
    batch_size: int = 64
    """Completions drawn at a time, all of one prompt; decides the samples, as the seed does."""
    max_new_tokens: int = 64
    """Where completions are cut off."""
    temperature: float = 1.0
    """Of sampling; 1 is the policy itself, without top-k or top-p."""
    seed: int = 0
    """Of sampling and of the bootstrap."""
    mode_key: str | None = None
    """What counts as the same answer, as `mode_function` takes it; None: the answers of a picking
    task, the exact text for a file."""
    rewards: str | None = None
    """Path of a reward function in TRL's form; None: 1 for a known answer, else 0."""
    threshold: float = 1.0
    """A completion with a reward at or above it is correct, for pass@k."""
    embedder: str | None = None
    """Sentence encoder: hub id or directory; None: all-MiniLM-L6-v2 where it can be had; "none":
    no semantic metrics."""
    cluster_cosine: float = 0.7
    """Completions whose embeddings have at least this cosine are one cluster."""
    vocabulary_size: int = 50257
    """Vocabulary of the expected number of distinct n-grams (EAD)."""
    dtype: Weights = "auto"
    """Of the weights: checkpoint (the type that they are kept in), float32, bfloat16, or auto:
    checkpoint, but float32 on processors without units for bfloat16."""
    engine: str = "transformers"
    """What samples: "transformers" or "vllm"."""

    def __post_init__(self) -> None:
        """Refuse what cannot run, all of it at once."""
        if problems := list(self._problems()):
            raise ConfigError("evaluate", problems)

    def _problems(self) -> Iterator[str]:
        if not self.models or len(set(self.models)) < len(self.models):
            yield f"models must be at least one, each named once, got {list(self.models)!r}"
        if not (self.tasks or self.prompts):
            yield "nothing to evaluate on: name --tasks or a file of --prompts"
        for task in self.tasks:
            try:
                find_task(task)
            except (InputError, ArgumentError, MissingExtraError) as error:
                yield str(error)
        names = [*self.tasks, *([Path(self.prompts).stem] if self.prompts else [])]
        if len(set(names)) < len(names):
            yield f"tasks must have different names, a file's is its name, got {', '.join(names)}"
        for name, least in (
            ("samples", 1),
            ("questions", 1),
            ("questions_seed", 0),
            ("batch_size", 1),
            ("max_new_tokens", 1),
            ("seed", 0),
            ("vocabulary_size", 1),
        ):
            if (value := getattr(self, name)) < least:
                yield f"{name} must be >= {least}, got {value!r}"
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            yield f"temperature must be a finite number > 0, got {self.temperature!r}"
        if not math.isfinite(self.threshold):
            yield f"threshold must be a finite number, got {self.threshold!r}"
        if not -1 <= self.cluster_cosine <= 1:
            yield f"cluster_cosine must be in [-1, 1], got {self.cluster_cosine!r}"
        if self.dtype not in WEIGHTS:
            yield f"dtype must be one of {', '.join(WEIGHTS)}, got {self.dtype!r}"
        if self.engine not in ENGINES:
            yield f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}"
        yield from self._path_problems()

    def _path_problems(self) -> Iterator[str]:
        """Try what names code of the user's."""
        for find in (self.mode, self.reward):
            try:
                find()
            except ArgumentError as error:
                yield str(error)

    def mode(self) -> ModeFunction | None:
        """The mode function that was asked for."""
        return None if self.mode_key is None else mode_function(self.mode_key)

    def reward(self) -> Reward | None:
        """The reward function that was asked for."""
        return None if self.rewards is None else function_at(self.rewards, name="rewards")

    def load_tasks(self) -> list[EvaluationTask]:
        """Return the tasks, the file of prompts last.

        Raises
        ------
        InputError
            If the file cannot be read.
        ConfigError
            If its lines are not what they must be.
        """
        mode, reward = self.mode(), self.reward()
        questions = {"n": self.questions, "seed": self.questions_seed}
        found = [
            from_task(find_task(name), mode=mode, reward=reward, **questions) for name in self.tasks
        ]
        if self.prompts is not None:
            file = Path(self.prompts)
            if not file.is_file():
                raise InputError(f"prompts must be a file of JSON Lines, got {self.prompts!r}")
            found.append(read_prompts(file, mode=mode or mode_function("exact"), reward=reward))
        return found
