"""Completions of a prompt side by side, for the prompts on which runs differ most."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from polymode.diagnostics.comparison import Comparison
from polymode.diagnostics.records import Samples
from polymode.report.blocks import Cell, Column, ModeShare, PromptView, Table
from polymode.report.comparison.plots import N_COLOURS
from polymode.report.comparison.words import figure_words
from polymode.report.numbers import number

__all__ = ["prompt_order", "prompt_table", "prompt_views"]

_MODES = 5


def prompt_order(comparison: Comparison, most: int) -> tuple[str, ...]:
    """Return the prompts on which runs differ most, in that order.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    most : int
        How many at most.

    Returns
    -------
    tuple of str
        Keys of prompts. Differences in quality and diversity are taken relative to their largest.
    """
    found = dict[str, list[Any]]()
    for run in comparison.runs:
        if run.prompts is not None and isinstance(comparison.basis.outcomes[run.run.name], Samples):
            axes = (comparison.settings.quality, comparison.settings.diversity)
            rows = zip(*(run.prompts.column(axis).tolist() for axis in axes), strict=True)
            for key, values in zip(run.prompts.keys, rows, strict=True):
                found.setdefault(key, []).append(values)
    if not found:
        return ()
    spread = np.asarray([np.ptp(np.nan_to_num(rows), axis=0) for rows in found.values()])
    largest = spread.max(axis=0)
    score = (spread / np.where(largest > 0, largest, 1.0)).sum(axis=1)
    order = np.argsort(-score, kind="stable")[:most]
    keys = tuple(found)
    return tuple(keys[i] for i in order)


def prompt_table(comparison: Comparison, keys: Sequence[str]) -> Table:
    """Return quality and diversity of prompts in each run.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    keys : sequence of str
        Which prompts.

    Returns
    -------
    Table
        One row for each prompt.
    """
    axes = tuple(dict.fromkeys((comparison.settings.quality, comparison.settings.diversity)))
    runs = [(run.run.name, run.prompts) for run in comparison.runs if run.prompts is not None]
    columns = [Column("prompt", number=False)]
    columns += [
        Column(figure_words(axis, comparison.settings.k), name) for axis in axes for name, _ in runs
    ]
    texts = _texts(comparison)
    found = [(prompts, {k: i for i, k in enumerate(prompts.keys)}) for _, prompts in runs]
    rows: list[list[Cell]] = []
    for key in keys:
        text = " ".join(texts[key].split())
        row = [Cell(text if len(text) <= 90 else f"{text[:89]}…", value=text[:200])]
        for axis in axes:
            for prompts, place in found:
                value = float(prompts.column(axis)[place[key]]) if key in place else float("nan")
                row.append(Cell(number(value), value=None if np.isnan(value) else value))
        rows.append(row)
    n = len(texts)
    every = len(rows) == n
    some = f"All {n:,} prompts, first those" if every else f"The {len(rows)} of {n:,} prompts"
    caption = "The only prompt." if n == 1 else f"{some} on which runs differ most."
    return Table("prompts", caption, columns, rows)


def prompt_views(comparison: Comparison, keys: Sequence[str]) -> tuple[PromptView, ...]:
    """Return the most frequent modes of prompts in each run.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    keys : sequence of str
        Which prompts.

    Returns
    -------
    tuple of PromptView
        With an example of each mode.
    """
    texts = _texts(comparison)
    rows = {
        name: _rows_of(outcome, set(keys))
        for name, outcome in comparison.basis.outcomes.items()
        if isinstance(outcome, Samples)
    }
    return tuple(_view(comparison, key, texts[key], rows) for key in keys)


def _texts(comparison: Comparison) -> dict[str, str]:
    """Return how each prompt is shown."""
    return {
        key: text
        for outcome in comparison.basis.outcomes.values()
        if isinstance(outcome, Samples)
        for key, text in zip(outcome.keys, outcome.texts, strict=True)
    }


def _rows_of(samples: Samples, keys: set[str]) -> dict[str, list[int]]:
    """Return the rows of each of some prompts."""
    wanted = {i: key for i, key in enumerate(samples.keys) if key in keys}
    out: dict[str, list[int]] = {key: [] for key in wanted.values()}
    for row, i in enumerate(samples.index.tolist()):
        if i in wanted:
            out[wanted[i]].append(row)
    return out


def _view(
    comparison: Comparison, key: str, text: str, rows: dict[str, dict[str, list[int]]]
) -> PromptView:
    """Return one prompt."""
    runs: list[Any] = []
    summary: list[str] = []
    for i, found in enumerate(comparison.runs):
        name = found.run.name
        outcome = comparison.basis.outcomes.get(name)
        if not isinstance(outcome, Samples):
            continue
        here = rows[name].get(key, [])
        shares = _modes(outcome, here)
        runs.append((name, i % N_COLOURS, shares[:_MODES], max(0, len(shares) - _MODES)))
        if here:
            reward = float(outcome.rewards[here].mean())
            n = len({outcome.modes[row] for row in here} - {None})
            summary.append(f"{name}: reward {number(reward)}, {n} modes in {len(here)}")
    return PromptView(text, summary, runs)


def _modes(samples: Samples, rows: Sequence[int]) -> list[ModeShare]:
    """Return the modes of some samples, the most frequent first."""
    by_mode = dict[str | None, list[int]]()
    for row in rows:
        by_mode.setdefault(samples.modes[row], []).append(row)
    counts = Counter({mode: len(where) for mode, where in by_mode.items()})
    return [
        ModeShare(
            mode,
            count / len(rows),
            count,
            float(samples.rewards[by_mode[mode]].mean()),
            samples.completions[by_mode[mode][0]],
        )
        for mode, count in counts.most_common()
    ]
