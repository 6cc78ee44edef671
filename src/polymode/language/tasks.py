"""Tasks whose true answer is a distribution: pick one of several equally good answers.

A task is a chat prompt, the opening words of the reply, and the texts that count as each answer.
Everything else (reward, mode key, dataset, exact answer distribution) follows from those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from polymode.errors import InputError

Level = Literal["modes", "strings"]
"""What is anchored: answers, however they are phrased, or single completions."""


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
        return self.answer_of(_text(completion))

    def reward(self, completions: Sequence[Any], **_: Any) -> list[float]:
        """TRL reward function: 1 for any accepted answer, 0 otherwise."""
        return [float(self.answer_of(_text(c)) is not None) for c in completions]

    def prompt(self, tokenizer: Any) -> str:
        """The text that the model continues: chat template plus `opening`."""
        messages = [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.question},
        ]
        chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return chat + self.opening


def _text(completion: Any) -> str:
    """The text of a completion in either of TRL's formats (plain string, or a list of messages)."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


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


def find_task(name: str) -> PickingTask:
    """Return the task called `name`, or raise `InputError` that lists the tasks."""
    if name not in TASKS:
        raise InputError(f"task must be one of {', '.join(TASKS)}, got {name!r}")
    return TASKS[name]
