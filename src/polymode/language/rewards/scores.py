"""What a reward function gave back, made into plain scores; what it is not worth, named."""

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["raised", "timed_out", "died", "not_finite", "wrong_type", "wrong_length"]
"""How a sample was lost."""

KINDS: tuple[Kind, ...] = get_args(Kind)
_LARGEST = 3.4028234663852886e38  # TRL keeps rewards in float32, where more than this is infinite


@dataclass(frozen=True, eq=False)
class Loss:
    """Why samples could not be scored: one object for one event, however many samples it cost."""

    kind: Kind
    text: str
    """What happened, in a line."""


Score = float | None | Loss
"""Of one sample; None is the function's own "not applicable", which TRL knows as well."""


class CallFailed(Exception):  # noqa: N818 - an event inside this package, no error of the user's
    """A call gave nothing at all."""

    def __init__(self, kind: Kind, text: str) -> None:
        self.loss = Loss(kind, text)
        super().__init__(kind, text)


def raised(error: BaseException) -> Loss:
    """Return the loss that an exception is."""
    return Loss("raised", f"raised {described(error)}")


def described(error: BaseException) -> str:
    """Return an exception as a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def plain_scores(returned: Any) -> list[Score]:
    """Return what a function returned as a list of floats, None and losses.

    Arrays and tensors of one axis count as lists, and 0-d ones as numbers: many reward functions
    return them.
    """
    if hasattr(returned, "tolist"):
        returned = returned.tolist()
    if isinstance(returned, str | bytes | Mapping) or not hasattr(returned, "__iter__"):
        raise CallFailed("wrong_type", f"returned {type(returned).__name__}, not a list of numbers")
    return [_score(value) for value in returned]


def _score(value: Any) -> Score:
    """Return one score as a float that float32 can hold, or why it is none."""
    given = value
    if hasattr(value, "tolist"):  # a NumPy number, or an array or tensor without axes
        value = value.tolist()
    if value is None:
        return None
    if not isinstance(value, numbers.Real):
        return Loss("wrong_type", f"returned {type(given).__name__} {repr(given)[:80]} as a score")
    try:
        number = float(value)
    except (OverflowError, ValueError):
        number = math.inf
    if not abs(number) <= _LARGEST:
        return Loss("not_finite", f"returned {repr(given)[:80]} as a score")
    return number
