"""Rows of text for the tables of a suite."""

import math
from collections.abc import Sequence

from polymode.chemistry.bench.figures import FIGURES
from polymode.chemistry.bench.summary import Cell, Contrast, Line, peers_of

__all__ = ["peer_rows", "rows", "words"]


def rows(lines: Sequence[Line], headline: Sequence[str]) -> list[list[str]]:
    """Return a row for each method: name, seeds, figures, wall seconds of a run.

    Parameters
    ----------
    lines : sequence of Line
        Methods on one task.
    headline : sequence of str
        Which figures.
    """
    return [
        [
            line.method,
            str(line.n_seeds),
            *(_cell(line.cells[name], line.n_seeds, FIGURES[name].digits) for name in headline),
            f"{line.seconds:.0f}",
        ]
        for line in lines
    ]


def peer_rows(suite: str, task: str, headline: Sequence[str]) -> list[list[str]]:
    """Return a row for each published method, marked with a star, with what it has of our figures.

    Parameters
    ----------
    suite, task : str
        Names.
    headline : sequence of str
        Which figures.
    """
    found: dict[str, dict[str, str]] = {}
    for name in headline:
        for peer in peers_of(suite, task, name):
            own = found.setdefault(f"* {peer.method}", {})
            own[name] = _number(peer.value, peer.spread, FIGURES[name].digits)
    return [
        [method, "", *(figures.get(name, "") for name in headline), ""]
        for method, figures in found.items()
    ]


def words(contrast: Contrast) -> str:
    """Return a difference between two methods as a sentence.

    Parameters
    ----------
    contrast : Contrast
        The difference.
    """
    digits = FIGURES[contrast.figure].digits
    pair = f"{contrast.method} against {contrast.baseline}"
    text = (
        f"{contrast.task}, {FIGURES[contrast.figure].title}: {pair} "
        f"{contrast.difference:+.{digits}f}"
    )
    n = f"{contrast.n[0]} and {contrast.n[1]} seeds"
    if math.isnan(contrast.p_value):
        return f"{text} ({n}: too few for an interval)"
    interval = f"[{contrast.low:+.{digits}f}, {contrast.high:+.{digits}f}]"
    return f"{text}, 95 % {interval}, one-sided p = {contrast.p_value:.2g} ({n})"


def _cell(cell: Cell, n_seeds: int, digits: int) -> str:
    if math.isnan(cell.mean):
        return "none"
    text = _number(cell.mean, cell.spread, digits)
    return text if cell.n_reached == n_seeds else f"{text} ({cell.n_reached} of {n_seeds})"


def _number(value: float, spread: float | None, digits: int) -> str:
    text = f"{value:.{digits}f}"
    if spread is None or math.isnan(spread):
        return text
    return f"{text} ± {spread:.{digits}f}"
