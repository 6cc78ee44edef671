"""What a reader should take away from a comparison, in sentences."""

import math
from collections.abc import Iterator

from polymode.diagnostics.comparison import Compared, Comparison
from polymode.diagnostics.pairs import Pair
from polymode.report.comparison.words import figure_words, p_words
from polymode.report.numbers import interval, number, signed

__all__ = ["verdict"]

_MOST_PAIRS = 3


def verdict(comparison: Comparison) -> tuple[str, ...]:
    """Return the verdict on a comparison.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    tuple of str
        Which runs are on the front; then how the pairs differ and how far runs are from what was
        promised to them.
    """
    known = [found for found in comparison.runs if found.figures]
    apart = len(known) > 1 and not comparison.shared
    caveat = ("The runs are compared on different prompts: read this as a hint.",) if apart else ()
    return (_front(comparison), *caveat, *_differences(comparison), *_promises(comparison))


def _front(comparison: Comparison) -> str:
    """Say which runs are on the front."""
    settings = comparison.settings
    quality = figure_words(settings.quality, settings.k)
    diversity = figure_words(settings.diversity, settings.k)
    known = [found for found in comparison.runs if found.figures]
    if not known:
        return "No run has samples: only their training can be compared."

    def words(found: Compared) -> str:
        return (
            f"{quality} {number(found.figures[settings.quality].value)}, "
            f"{diversity} {number(found.figures[settings.diversity].value)}"
        )

    if len(known) == 1:
        return f"{known[0].run.name}: {words(known[0])}."
    front = [found.run.name for found in known if found.on_front]
    if len(front) == 1:
        return f"{front[0]} is the best run: none is better in {quality} or in {diversity}."
    best, widest = (
        max(known, key=lambda found: _order(found.figures[axis].value))
        for axis in (settings.quality, settings.diversity)
    )
    return (
        f"{best.run.name} has the highest {quality} ({number(best.figures[settings.quality].value)}"
        f"), {widest.run.name} the most {diversity} "
        f"({number(widest.figures[settings.diversity].value)}). On the front: {', '.join(front)}."
    )


def _order(value: float) -> float:
    """Let what is not known come last."""
    return -math.inf if math.isnan(value) else value


def _differences(comparison: Comparison) -> Iterator[str]:
    """Say how pairs of runs differ, those of the smallest p first."""
    pairs = dict[tuple[str, str], list[Pair]]()
    for pair in comparison.pairs:
        pairs.setdefault((pair.first, pair.second), []).append(pair)
    order = sorted(pairs, key=lambda names: min(pair.p_adjusted for pair in pairs[names]))
    for first, second in order[:_MOST_PAIRS]:
        parts = [
            f"{figure_words(pair.figure, comparison.settings.k)} {signed(pair.difference.value)} "
            f"{interval(pair.difference)}, p {_equals(p_words(pair.p_adjusted))}"
            for pair in pairs[first, second]
        ]
        yield f"{first} against {second}: {'; '.join(parts)}."
    if len(order) > _MOST_PAIRS:
        yield f"{len(order) - _MOST_PAIRS} more pairs are in the table of paired tests."


def _equals(words: str) -> str:
    return words if words.startswith("<") else f"= {words}"


def _promises(comparison: Comparison) -> Iterator[str]:
    """Say how far runs are from what their objectives promised."""
    parts = [
        f"{found.run.name} {number(found.run.promise.total_variation)}"
        for found in comparison.runs
        if found.run.promise is not None
    ]
    if parts:
        yield f"Total variation between measured and promised: {', '.join(parts)}."
