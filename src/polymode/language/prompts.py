"""What a model is evaluated on: tasks, and files of prompts."""

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polymode.errors import ConfigError, InputError
from polymode.language.tasks import PickingTask, Task
from polymode.metrics import ModeFunction

Reward = Callable[..., Sequence[float | None]]
"""A reward function as TRL calls it: `reward(prompts=, completions=, **columns)`."""


@dataclass(frozen=True)
class EvaluationPrompt:
    """One prompt of a task."""

    id: str
    content: str | Sequence[Mapping[str, str]] | PickingTask
    """A text to continue, messages for the chat template, or a picking task."""
    answers: tuple[Hashable, ...] | None = None
    """All good answers, as modes, where they are known."""
    columns: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else its line has: handed to the reward function."""
    opening: str = ""
    """How the reply to messages starts; the model continues it."""

    def text(self, tokenizer: Any) -> str:
        """The exact text that the model continues."""
        if isinstance(self.content, PickingTask):
            return self.content.prompt(tokenizer)
        if isinstance(self.content, str):
            return self.content
        messages = [dict(message) for message in self.content]
        chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return chat + self.opening

    def token_ids(self, tokenizer: Any) -> list[int]:
        """The tokens of that text; a chat template has written its special tokens itself."""
        plain = isinstance(self.content, str)
        return tokenizer(self.text(tokenizer), add_special_tokens=plain)["input_ids"]


@dataclass(frozen=True)
class EvaluationTask:
    """Prompts, what counts as the same answer to them, and what a completion is worth."""

    name: str
    prompts: Sequence[EvaluationPrompt]
    mode: ModeFunction
    reward: Reward | None = None
    """None: 1 for a known good answer, else 0; no reward where the answers are not known."""
    needs_end: bool = False
    """Whether a completion that was cut off has no mode."""

    def scored(
        self, prompt: EvaluationPrompt, completions: Sequence[str], finished: Sequence[bool]
    ) -> list[tuple[float | None, Any]]:
        """Return reward and mode of each completion of a prompt."""
        modes = [
            self.mode(text) if end or not self.needs_end else None
            for text, end in zip(completions, finished, strict=True)
        ]
        rewards: list[float | None] = [None] * len(modes)
        if self.reward is not None:
            rewards = self._rewarded(self.reward, prompt, completions)
        elif prompt.answers is not None:
            rewards = [float(mode in prompt.answers) for mode in modes]
        return list(zip(rewards, modes, strict=True))

    def _rewarded(
        self, reward: Reward, prompt: EvaluationPrompt, completions: Sequence[str]
    ) -> list[float | None]:
        """Call the reward function as TRL does."""
        n, content = len(completions), prompt.content
        chat = not isinstance(content, str | PickingTask)
        asked = content.question if isinstance(content, PickingTask) else content
        given: dict[str, list[Any]] = {k: [v] * n for k, v in prompt.columns.items()}
        given["prompts"] = [asked] * n
        given["completions"] = [
            [{"role": "assistant", "content": text}] if chat else text for text in completions
        ]
        if prompt.answers is not None:
            given["answers"] = [list(prompt.answers)] * n
        try:
            rewards = [None if r is None else float(r) for r in reward(**given)]
        except Exception as error:  # code of the user's, which may raise anything
            raise InputError(
                f"the reward function failed on prompt {prompt.id!r} of {self.name}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if len(rewards) != n:
            raise InputError(
                f"the reward function must return a number for each completion, got {len(rewards)} "
                f"for {n}"
            )
        return rewards


def from_task(
    task: Task, *, n: int, seed: int, mode: ModeFunction | None, reward: Reward | None
) -> EvaluationTask:
    """Return a task to evaluate on: its one question, or `n` of the questions that it makes.

    Parameters
    ----------
    task : Task
        A picking task, countdown, or a data set of reasoning-gym.
    n, seed : int
        How many questions, and which: other seeds than the training's make others.
    mode, reward : callable or None
        What counts as the same answer and what it is worth; None takes the task's own.
    """
    if isinstance(task, PickingTask):
        return _picking(task, mode=mode, reward=reward)

    def key(text: str) -> Hashable | None:
        return task.mode_key(None, text)

    prompts: list[EvaluationPrompt] = []
    for number, row in enumerate(task.rows(n, seed=seed)):
        columns = {name: value for name, value in row.items() if name != "prompt"}
        system = [{"role": "system", "content": task.system}] if task.system else []
        messages = [*system, {"role": "user", "content": row["prompt"]}]
        answers = task.good_modes(row) if mode is None else None
        prompts.append(EvaluationPrompt(str(number), messages, answers, columns, task.opening))
    return EvaluationTask(task.name, prompts, mode or key, reward or task.reward)


def _picking(
    task: PickingTask, *, mode: ModeFunction | None, reward: Reward | None
) -> EvaluationTask:
    """Return a picking task as one prompt whose good answers are known."""
    prompt = EvaluationPrompt(task.name, task, tuple(task.answers))
    return EvaluationTask(
        task.name, [prompt], mode or task.answer_of, reward, needs_end=mode is None
    )


def read_prompts(path: Path, *, mode: ModeFunction, reward: Reward | None) -> EvaluationTask:
    """Read a file of prompts: JSON Lines with `prompt` and, if known, `answers` and `id`.

    Parameters
    ----------
    path : Path
        The file. `prompt` is a text to continue, or a list of messages (`role`, `content`) for the
        chat template, as for TRL's trainers. `answers` lists all good answers. `id` names the
        prompt; its default is the number of its line. Other keys go to the reward function.
    mode : callable
        What counts as the same answer.
    reward : callable or None
        What a completion is worth.

    Returns
    -------
    EvaluationTask
        Named like the file, without its suffix.

    Raises
    ------
    InputError
        If the file cannot be read or has no line.
    ConfigError
        If lines are not what they must be: lists all of them.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"prompts cannot be read from {path}: {error}") from error
    problems: list[str] = []
    prompts: list[EvaluationPrompt] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        found = list(_line_problems(line))
        problems += [f"line {number}: {problem}" for problem in found]
        if not found:
            prompts.append(_prompt(json.loads(line), str(number), mode))
    ids = [prompt.id for prompt in prompts]
    problems += [
        f"id {name!r} is used twice" for name in sorted({i for i in ids if ids.count(i) > 1})
    ]
    if problems:
        raise ConfigError(str(path), problems)
    if not prompts:
        raise InputError(f"{path} has no prompt: one JSON object a line, with a key 'prompt'")
    return EvaluationTask(path.stem, prompts, mode, reward)


def _prompt(row: dict[str, Any], number: str, mode: ModeFunction) -> EvaluationPrompt:
    """Return the prompt of a checked line."""
    answers = row.get("answers")
    if answers is not None:
        keys = [(str(answer), mode(str(answer))) for answer in answers]
        answers = tuple(text.strip() if key is None else key for text, key in keys)
    columns = {k: v for k, v in row.items() if k not in {"id", "prompt", "answers"}}
    return EvaluationPrompt(str(row.get("id", number)), row["prompt"], answers, columns)


def _line_problems(line: str) -> Iterator[str]:
    """Check one line."""
    try:
        row = json.loads(line)
    except ValueError as error:
        yield f"is no JSON: {error}"
        return
    if not isinstance(row, dict) or "prompt" not in row:
        yield "must be an object with a key 'prompt'"
        return
    prompt, answers = row["prompt"], row.get("answers")
    if not (isinstance(prompt, str) and prompt) and not _are_messages(prompt):
        yield "prompt must be a text, or a list of messages with role and content"
    if answers is not None and not (
        isinstance(answers, list) and all(isinstance(a, str | int | float) for a in answers)
    ):
        yield f"answers must be a list of texts or numbers, got {answers!r}"


def _are_messages(prompt: Any) -> bool:
    """Tell whether a value is a list of chat messages."""
    return (
        isinstance(prompt, list)
        and bool(prompt)
        and all(
            isinstance(m, dict) and all(isinstance(m.get(k), str) for k in ("role", "content"))
            for m in prompt
        )
    )
