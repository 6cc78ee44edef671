"""A verifiable task with many right answers: write an expression that equals a small number.

What `countdown.py` trains and evaluates on, in the forms that a recipe names: questions, a reward
in TRL's form, and a mode. Light, since rewards are computed in a process of their own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from polymode.language.countdown import answer_in
from polymode.language.expressions import Expression
from polymode.language.rewards.texts import text_of

SYSTEM = "You are good at arithmetic."
TARGETS = tuple(range(4, 14))
PER_TARGET, SHOWN, SEED = 6, 6, 0
"""Questions for each number; worked examples in each, none of which is of that number."""


def questions(*, held_out: bool) -> list[dict[str, Any]]:
    """Return the questions to train on, or those that are held out: the last two of each number."""
    rng = np.random.default_rng(SEED)
    rows = [[_question(target, rng) for _ in range(PER_TARGET)] for target in TARGETS]
    kept = slice(PER_TARGET - 2, None) if held_out else slice(PER_TARGET - 2)
    return [row for own in rows for row in own[kept]]


def _question(target: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return a conversation in which sums are asked for and given, and the number asked for last.

    Without worked examples the model gives hardly any expression at all.
    """
    messages = [{"role": "system", "content": SYSTEM}]
    for shown in rng.permutation([n for n in TARGETS if n != target])[:SHOWN].tolist():
        first = int(rng.integers(1, shown))
        messages += [
            {"role": "user", "content": f"{shown} ="},
            {"role": "assistant", "content": f"{first} + {shown - first}"},
        ]
    messages.append({"role": "user", "content": f"{target} ="})
    return {"prompt": messages, "target": target}


def answer(text: str) -> Expression | None:
    """Return the expression that a completion gives: at least two numbers, a full stop allowed."""
    found = answer_in(text.strip().removesuffix("."))
    return found if found is not None and len(found.numbers) > 1 else None


def reward(completions: Sequence[Any], target: Sequence[int], **_: Any) -> list[float]:
    """Return 1 for an expression that equals the target exactly, else 0."""
    found = [answer(text_of(completion)) for completion in completions]
    return [
        float(each is not None and each.value == wanted)
        for each, wanted in zip(found, target, strict=True)
    ]


def mode(text: str) -> str | None:
    """Return an expression up to order and brackets: 5 + 7 is 7 + 5, and not 19 - 7."""
    found = answer(text)
    return None if found is None else found.key
