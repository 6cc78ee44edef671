"""Countdown: reach a target with given numbers, in one of the several ways that there are."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from polymode.core import checks
from polymode.errors import ConfigError
from polymode.language.expressions import MAX_NUMBERS, Expression, expressions, parsed
from polymode.language.rewards.texts import text_of

_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class CountdownTask:
    """Write an expression over given numbers that equals a target.

    The reward is 1 for an expression that equals the target exactly and uses each number at most
    once, else 0. The mode is the expression up to order and brackets (see `Expression`), so that a
    question has as many modes as it has right answers, which `answers` lists.
    """

    n_numbers: int = 4
    """How many numbers a question gives, 2 to 5. Listing the answers takes about 30 ms for four."""
    max_number: int = 10
    """The numbers are 1 to this, drawn with replacement."""
    max_target: int = 100
    """Targets are whole, 1 to this."""
    min_answers: int = 2
    """Least number of right answers of a question."""
    name: str = "countdown"
    system: str = "You are good at arithmetic."
    opening: str = ""

    def __post_init__(self) -> None:
        """Refuse what has no questions, all of it at once."""
        problems = [
            *checks.within(2, MAX_NUMBERS, n_numbers=self.n_numbers),
            *checks.whole(
                n_numbers=self.n_numbers,
                max_number=self.max_number,
                max_target=self.max_target,
                min_answers=self.min_answers,
            ),
        ]
        if problems:
            raise ConfigError("CountdownTask", problems)

    def rows(self, n: int, *, seed: int) -> list[dict[str, Any]]:
        """Return `n` questions with the columns prompt, numbers, target and n_answers.

        Raises
        ------
        ConfigError
            If a thousand draws of numbers in a row have no target with enough answers.
        """
        rng = np.random.default_rng(seed)
        return [self._row(rng) for _ in range(n)]

    def reward(self, completions: Sequence[Any], **columns: Any) -> list[float]:
        """TRL reward function: 1 for a right answer, 0 otherwise; reads `numbers` and `target`."""
        rows = zip(completions, columns["numbers"], columns["target"], strict=True)
        return [float(is_right(text_of(text), numbers, target)) for text, numbers, target in rows]

    def mode_key(self, prompt: Any, completion: Any) -> str | None:  # noqa: ARG002
        """`mode_fn` for the trainers: the expression up to order and brackets, None without one."""
        expression = answer_in(text_of(completion))
        return None if expression is None else expression.key

    def good_modes(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the mode keys of all right answers of a question of `rows`."""
        return self.answers(row["numbers"], row["target"])

    def answers(self, numbers: Sequence[int], target: int) -> tuple[str, ...]:
        """Return the mode keys of all right answers of a question, sorted.

        Raises
        ------
        ArgumentError
            If there are more than five numbers.
        """
        every = expressions(numbers)
        return tuple(sorted(key for key, each in every.items() if each.value == target))

    def _row(self, rng: np.random.Generator) -> dict[str, Any]:
        for _ in range(1000):
            numbers: list[int] = rng.integers(1, self.max_number + 1, self.n_numbers).tolist()
            counts = _n_answers(tuple(sorted(numbers)))
            targets = [
                target
                for target in range(1, self.max_target + 1)
                if counts.get(target, 0) >= self.min_answers
            ]
            if targets:
                target = targets[rng.integers(len(targets))]
                n_answers = counts[target]
                prompt = _question(numbers, target)
                row = {"prompt": prompt, "numbers": numbers, "target": target}
                return {**row, "n_answers": n_answers}
        problem = f"min_answers must be reachable, got {self.min_answers}: lower it"
        raise ConfigError("CountdownTask", problem)


def _question(numbers: Sequence[int], target: int) -> str:
    """Return the text of a question."""
    listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    return (
        f"Using the numbers {listed}, each at most once, write an arithmetic expression with "
        f"+, -, * and / that equals {target}. Reply with the expression only."
    )


@lru_cache(maxsize=10_000)
def _n_answers(numbers: tuple[int, ...]) -> Counter[int]:
    """Count the expressions over some numbers by their value, where that is whole."""
    values = (each.value for each in expressions(numbers).values())
    return Counter(int(value) for value in values if value.denominator == 1)


def answer_in(text: str) -> Expression | None:
    """Return the expression that a completion answers with, None if it gives none.

    The answer is what stands in the last ``<answer>…</answer>``, else the whole text; a result
    behind an equals sign is not part of it.
    """
    tagged = _TAG.findall(text)
    answer = tagged[-1] if tagged else text
    before, _, result = answer.partition("=")
    return parsed(before) if re.fullmatch(r"\s*-?\d*\s*", result) else None


def is_right(text: str, numbers: Sequence[int], target: int) -> bool:
    """Return whether a completion reaches the target, with each number used at most once."""
    expression = answer_in(text)
    if expression is None or expression.value != target:
        return False
    return not Counter(expression.numbers) - Counter(numbers)
