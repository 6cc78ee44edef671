"""Settings of the remade figures. Light: a wrong option is told before anything is loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from polymode.errors import ConfigError

NUMBERS = (2, 3, 4, 5, 6)
"""The figures: 2 to 5 as the paper counts them, 6 is ours."""

TRAINED = 5
"""The figure that trains; all others are exact."""

_OWNER = "paper figures"


@dataclass(frozen=True, kw_only=True)
class FigureSettings:
    """What decides the numbers of the figures; saved with them. Only Figure 5 is random."""

    seed: int = 0
    """Seed of the sampled batches."""
    steps: tuple[int, ...] = (1_000, 20_000)
    """Optimiser steps after which the trained policy is shown, rising: the paper's 1,000, and as
    many as the smaller beta needs."""
    runs: int = 10
    """Independent training runs of each objective."""

    def __post_init__(self) -> None:
        """Refuse what cannot run, all of it at once."""
        if problems := list(_setting_problems(self.seed, self.steps, self.runs)):
            raise ConfigError(_OWNER, problems)


def read_options(
    figures: Sequence[str], *, seed: int, steps: Sequence[int], runs: int
) -> tuple[tuple[int, ...], FigureSettings]:
    """Return the figures that a user chose and their settings, or everything that is wrong.

    Figures are numbers or "all", several of them apart or with commas; steps go in any order.
    """
    words = [word.strip() for text in figures for word in text.split(",")]
    known = {str(number): (number,) for number in NUMBERS} | {"all": NUMBERS}
    steps = tuple(sorted(set(steps)))
    problems = [
        f"figure must be one of {', '.join(known)}, got {word!r}"
        for word in words
        if word not in known
    ]
    if problems := [*problems, *_setting_problems(seed, steps, runs)]:
        raise ConfigError(_OWNER, problems)
    numbers = sorted({number for word in words for number in known[word]})
    return tuple(numbers), FigureSettings(seed=seed, steps=steps, runs=runs)


def _setting_problems(seed: int, steps: Sequence[int], runs: int) -> Iterator[str]:
    if not 0 <= seed < 2**63:  # what torch takes
        yield f"seed must be >= 0 and < 2^63, got {seed}"
    if not steps or steps[0] < 1 or list(steps) != sorted(set(steps)):
        yield f"steps must be rising numbers >= 1, got {', '.join(map(str, steps))}"
    if runs < 1:
        yield f"runs must be >= 1, got {runs}"
