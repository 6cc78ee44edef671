"""Tasks: what all of them share, how they are found, and those whose true answer is a distribution.

A picking task asks for one of several equally good answers: a chat prompt, the opening words of the
reply, and the texts that count as each answer. Everything else (reward, mode key, dataset, exact
answer distribution) follows from those.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

from polymode.errors import InputError
from polymode.language.rewards.texts import text_of

Level = Literal["modes", "strings"]
"""What is anchored: answers, however they are phrased, or single completions."""


class Task(Protocol):
    """What training and evaluation need of a task: questions, a reward, and a mode key."""

    @property
    def name(self) -> str:
        """The name under which `find_task` knows it."""
        ...

    @property
    def system(self) -> str:
        """The system message."""
        ...

    @property
    def opening(self) -> str:
        """How the assistant's reply starts; the model continues it. May be empty."""
        ...

    def rows(self, n: int, *, seed: int) -> list[dict[str, Any]]:
        """Return `n` questions: the column `prompt`, and those that the reward reads."""
        ...

    def reward(self, completions: Sequence[Any], **columns: Any) -> Sequence[float | None]:
        """Return the reward of each completion, as TRL's trainers ask for it."""
        ...

    def mode_key(self, prompt: Any, completion: Any) -> Hashable | None:
        """Return the mode of a completion, None if it has none."""
        ...

    def good_modes(self, row: Mapping[str, Any]) -> tuple[Hashable, ...] | None:
        """Return all good modes of a question of `rows`, None where they are not known."""
        ...


@dataclass(frozen=True)
class PickingTask:
    """One question with several good answers, each of which can be phrased in several ways."""

    name: str
    question: str
    """The user's message."""
    opening: str
    """How the assistant's reply starts; the model continues it. Without trailing space."""
    answers: Mapping[str, Sequence[str]]
    """Answer -> its phrasings: the exact continuations of `opening` that mean it, up to the end of
    the turn."""
    system: str = "You answer briefly."
    """The system message; short, because every step pays for it."""

    @cached_property
    def answer_by_phrasing(self) -> dict[str, str]:
        """Every accepted continuation and the answer it means."""
        pairs = [(text, name) for name, texts in self.answers.items() for text in texts]
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(f"task {self.name!r}: a phrasing must belong to one answer only")
        return found

    def answer_of(self, completion: str) -> str | None:
        """The answer that a completion gives (its mode); None if it is no accepted phrasing."""
        return self.answer_by_phrasing.get(completion)

    def mode_key(self, prompt: Any, completion: Any) -> str | None:  # noqa: ARG002
        """`mode_fn` for the trainers: completions with the same answer belong to one mode."""
        return self.answer_of(text_of(completion))

    def good_modes(self, row: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG002
        """Return the answers."""
        return tuple(self.answers)

    def rows(self, n: int, *, seed: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return the question `n` times, in the column `prompt`."""
        return [{"prompt": self.question} for _ in range(n)]

    def reward(self, completions: Sequence[Any], **_: Any) -> list[float]:
        """TRL reward function: 1 for any accepted answer, 0 otherwise."""
        return [float(self.answer_of(text_of(c)) is not None) for c in completions]

    def prompt(self, tokenizer: Any) -> str:
        """The text that the model continues: chat template plus `opening`."""
        messages = [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.question},
        ]
        chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return chat + self.opening


def _phrasings(words: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(pattern.format(word) for word in words for pattern in patterns)


_DIE_PATTERNS = (" {}.", " a {}.")
_NUMBERS = ("one", "two", "three", "four", "five", "six")
_PLAIN = (" {}.", " {}")

TASKS: dict[str, PickingTask] = {
    task.name: task
    for task in (
        PickingTask(
            name="die",
            question="Roll a fair six-sided die and tell me the number it shows.",
            opening="The die shows",
            answers={
                str(k): _phrasings((str(k), word), _DIE_PATTERNS)
                for k, word in enumerate(_NUMBERS, start=1)
            },
        ),
        PickingTask(
            name="one-or-two",
            question="Pick a random number: 1 or 2.",
            opening="I pick the number",
            answers={
                str(k): _phrasings((str(k), word), _PLAIN)
                for k, word in enumerate(_NUMBERS[:2], start=1)
            },
        ),
        PickingTask(
            name="season",
            question="Pick one of the four seasons at random: spring, summer, autumn or winter.",
            opening="I pick",
            answers={
                season: _phrasings((season, season.capitalize()), _PLAIN)
                for season in ("spring", "summer", "autumn", "winter")
            },
        ),
        PickingTask(
            name="colour",
            question="Pick one primary colour at random: red, yellow or blue.",
            opening="The colour is",
            answers={
                colour: _phrasings((colour, colour.capitalize()), _PLAIN)
                for colour in ("red", "yellow", "blue")
            },
        ),
    )
}
"""The tasks that polymode brings, by name."""


def find_task(name: str) -> Task:
    """Return the task of a name.

    Parameters
    ----------
    name : str
        A picking task (`TASKS`), ``countdown``, or ``reasoning_gym:NAME``, to which
        ``:ANSWER_KEY`` can be added (``reasoning_gym:chain_sum:last_number``); ``task:`` before any
        of them changes nothing.

    Raises
    ------
    InputError
        If there is no such task; lists the tasks.
    """
    plain = name.removeprefix("task:")
    if plain in TASKS:
        return TASKS[plain]
    head, _, rest = plain.partition(":")
    if plain == "countdown":
        from polymode.language.countdown import CountdownTask

        return CountdownTask()
    if head == "reasoning_gym" and rest:
        from polymode.language.gym import ReasoningGymTask

        dataset, _, key = rest.partition(":")
        task = ReasoningGymTask(dataset=dataset)
        return replace(task, answer_key=key) if key else task
    from polymode.core import checks

    known = [*TASKS, "countdown", "reasoning_gym:NAME"]
    hint = checks.did_you_mean(plain, known)
    raise InputError(f"task must be one of {', '.join(known)}, got {name!r}{hint}")


def is_task(name: str) -> bool:
    """Return whether a text is meant as the name of a task, found or not."""
    return name.partition(":")[0] in (*TASKS, "countdown", "reasoning_gym", "task")
