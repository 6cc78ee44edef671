"""The table of prompts that opens to their outputs: its columns, packed for the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymode.diagnostics.diagnosis import VERDICTS, OutputTable, Report
from polymode.metrics.intervals import Estimate
from polymode.report.blocks import Widget
from polymode.report.diagnosis.words import SHORT
from polymode.report.text import script_json, shown

__all__ = ["prompt_widget"]

MOST_PROMPTS = 10_000
MOST_BYTES = 11_500_000  # with the prompts themselves, plotly.js and the rest: a page below 15 MB
_SIZES = (  # outputs of a prompt, characters of an output: the first that fits is taken
    (50, 2000),
    (50, 600),
    (30, 400),
    (20, 300),
    (12, 240),
    (8, 160),
    (6, 120),
    (4, 90),
    (2, 60),
    (1, 40),
)
_PROMPT_CHARACTERS = (4000, 1000, 300, 160)
_MODE_CHARACTERS = 80


def prompt_widget(report: Report) -> Widget:
    """Return the table of prompts.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Widget
        Its prompts come worst first; of many prompts the outputs with least weight are left out,
        and counted.
    """
    order = _worst_first(report)[:MOST_PROMPTS]
    prompts = _fitting_prompts(report, order)
    outputs, size = _fitting_outputs(report, order, MOST_BYTES - len(script_json(prompts)))
    context = {
        "n_prompts": len(report.prompts.verdicts),
        "n_shown": len(order),
        "n_outputs": size[0],
        "n_characters": size[1],
        "verdicts": [
            (i, label, sum(report.prompts.verdicts[p] == kind for p in order))
            for i, (kind, label) in enumerate(VERDICTS.items())
        ],
        "exact": report.settings.divergence_name == "reverse_kl",
    }
    return Widget("prompts", context, {"prompts": prompts, "outputs": outputs})


def _worst_first(report: Report) -> list[int]:
    """Return the prompts that keep the smallest share of their good modes first."""
    kept = np.asarray(report.prompts.budget.kept.value, dtype=float)
    return np.argsort(kept, kind="stable").tolist()  # NaN comes last


def _fitting_prompts(report: Report, order: Sequence[int]) -> dict[str, Any]:
    """Return the columns of the table, texts cut where they are too much together."""
    for limit in _PROMPT_CHARACTERS:
        texts = [shown(report.prompts.texts[p], limit) for p in order]
        if sum(map(len, texts)) < MOST_BYTES / 4:
            break
    else:
        texts = [shown(report.prompts.texts[p], 60) for p in order]
    settings = report.settings
    return {
        "texts": texts,
        "verdicts": [list(VERDICTS).index(report.prompts.verdicts[p]) for p in order],
        "labels": list(VERDICTS.values()),
        "reliable": [int(report.reliability.reliable[p]) for p in order],
        "columns": _columns(report, order),
        "names": SHORT,
        "beta": settings.beta,
        "threshold": settings.threshold,
        "level": settings.level,
        "exact": settings.divergence_name == "reverse_kl",
        "byOutput": bool(report.samples.modes_are_outputs),
        "drawnFrom": report.samples.drawn_from,
    }


def _columns(report: Report, order: Sequence[int]) -> dict[str, list[Any]]:
    """Return the numbers of the prompts: those of the table, and those of an opened one."""
    table, reliability, budget = report.prompts, report.reliability, report.prompts.budget
    target, anchored = table.figures["target"], table.figures["anchored"]
    spread: dict[str, Estimate | None] = {
        "kept": budget.kept,
        "ceiling": budget.ceiling,
        "reference_bias": budget.reference_bias,
        "reward_gaps": budget.reward_gaps,
        "optimiser": budget.optimiser,
        "left": budget.left,
    }
    plain = {
        "good_modes": budget.n_good_modes.value,
        "target_modes": target["effective_modes_good"].value,
        "anchored_modes": anchored["effective_modes_good"].value,
        "mass_good": target["mass_good"].value,
        "reward": target["expected_reward"].value,
        "samples": table.n_samples,
        "outputs": table.n_outputs,
        "group_size": table.group_size,
        "ess": reliability.ess,
        "pareto_k": np.clip(reliability.pareto_k, -9, 99),  # no tail; nothing but tail
        "target_seen": reliability.target_coverage,
        "seen_mass": reliability.seen_mass,
    }
    for name, estimate in spread.items():
        if estimate is not None:
            plain |= {name: estimate.value}
            plain |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    rows = np.asarray(order, dtype=int)
    return {name: _short(np.asarray(values)[rows]) for name, values in plain.items()}


@dataclass(frozen=True)
class _Chosen:
    """Which rows of the table of outputs a page lists."""

    rows: np.ndarray
    starts: list[int]
    n_left_out: list[int]


def _fitting_outputs(
    report: Report, order: Sequence[int], room: int
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Return the outputs of each prompt, as many and as much of each as there is room for."""
    table = report.outputs
    lengths = np.asarray([len(text) for text in table.text])
    weight = _escaped_weight(table.text)
    packed: dict[str, Any] = {}
    for n, characters in _SIZES:
        chosen = _choose(table, order, n)
        guess = float(np.sum(np.minimum(lengths[chosen.rows], characters) * weight + 60))
        if guess > 1.5 * room and n > 1:  # repeated texts are packed once: it may still fit
            continue
        packed = _pack(table, chosen, characters)
        if len(script_json(packed)) <= room:
            return packed, (n, characters)
    return packed, _SIZES[-1]


def _escaped_weight(texts: Sequence[str]) -> float:
    """Return how many bytes a character takes in the page, by a sample of the texts."""
    some = [text[:200] for text in texts[:: max(1, len(texts) // 500)]]
    return len(script_json(some)) / max(1, sum(map(len, some)))


def _choose(table: OutputTable, order: Sequence[int], n: int) -> _Chosen:
    """Return the first `n` outputs of each prompt, by prompts in the order of the page."""
    starts = np.searchsorted(table.prompt, order)
    ends = np.searchsorted(table.prompt, order, side="right")
    counts = np.minimum(ends - starts, n)
    total = int(counts.sum())
    first = np.concatenate([[0], np.cumsum(counts)])
    rows = np.repeat(starts - first[:-1], counts) + np.arange(total)
    left = np.asarray(table.n_left_out)[np.asarray(order, dtype=int)] + (ends - starts) - counts
    return _Chosen(rows.astype(int), first.tolist(), left.tolist())


def _pack(table: OutputTable, chosen: _Chosen, characters: int) -> dict[str, Any]:
    """Return the columns of the outputs that are listed; each text once."""
    rows = chosen.rows.tolist()
    texts, text = _interned([shown(table.text[i], characters) for i in rows])
    modes, mode = _interned([table.mode[i] for i in rows])  # whole: cut, two could be the same
    packed = {
        "starts": chosen.starts,
        "leftOut": chosen.n_left_out,
        "texts": texts,
        "modes": [shown(name, min(characters, _MODE_CHARACTERS)) for name in modes],
        "text": text,
        "mode": mode,
        "drawn": np.asarray(table.n_drawn)[chosen.rows].tolist(),
        # Differences of rewards are divided by beta and exponentiated: they stay precise.
        "reward": _short(table.reward[chosen.rows], 10),
        "logq": _short(table.ref_log_prob[chosen.rows], 6),
        "target": _short(table.target[chosen.rows], 4),
        "anchored": _short(table.anchored[chosen.rows], 4),
    }
    if table.policy is not None:
        packed["policy"] = _short(table.policy[chosen.rows], 3)
    return packed


def _interned(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return the distinct texts, and which one each is."""
    known: dict[str, int] = {}
    index = [known.setdefault(text, len(known)) for text in texts]
    return list(known), index


def _short(values: Any, digits: int = 3) -> list[Any]:
    """Return numbers with as many digits as say something; None where there is none."""
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        return array.tolist()
    return [_rounded(value, digits) for value in array.tolist()]


def _rounded(value: float, digits: int) -> float | int | None:
    """Return a number that JSON writes in few characters."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e9 else short
