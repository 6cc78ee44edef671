"""Figure 6: anchoring under every divergence, two algorithms, strings against modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from polymode.plots.optima import OutcomeBars, draw_reference_ticks
from polymode.plots.style import ANCHORED, BASE, COLOURS, PLAIN
from polymode.plots.words import divergence_words

_LEVELS = {
    "reference": ("reference", BASE),
    "plain": ("plain", PLAIN),
    "strings": ("anchored, strings", ANCHORED),
    "modes": ("anchored, modes", ANCHORED),
}


@dataclass(frozen=True)
class PairedBars:
    """One divergence: plain and anchored optimum over the same outputs."""

    divergence: str
    beta: float
    rewards: tuple[float, ...]
    reference: tuple[float, ...]
    plain: tuple[float, ...]
    anchored: tuple[float, ...]
    unique: bool
    """False if ties leave other optima beside the one shown."""


@dataclass(frozen=True)
class StackedAnswers:
    """One distribution over answers, each split into its phrasings."""

    level: str
    """`reference`, `plain`, or what is anchored: `strings` or `modes`."""
    answers: tuple[str, ...]
    phrasings: tuple[tuple[float, ...], ...]
    """For each answer the probabilities of its phrasings."""


def paired_bars_data(result: Mapping[str, Any]) -> tuple[PairedBars, ...]:
    """Part a of Figure 6: one panel for each divergence."""
    part = result["divergences"]
    return tuple(
        PairedBars(
            divergence=panel["divergence"],
            beta=panel["beta"],
            rewards=tuple(part["rewards"]),
            reference=tuple(part["reference"]),
            plain=tuple(panel["plain"]),
            anchored=tuple(panel["anchored"]),
            unique=panel["unique"],
        )
        for panel in part["panels"]
    )


def algorithm_bars_data(result: Mapping[str, Any]) -> tuple[OutcomeBars, ...]:
    """Part b: plain, Algorithm 1 and Algorithm 2 under one divergence."""
    part = result["algorithms"]
    return tuple(
        OutcomeBars(
            title="plain" if panel["algorithm"] is None else f"Algorithm {panel['algorithm']}",
            method="plain" if panel["algorithm"] is None else "anchored",
            rewards=tuple(part["rewards"]),
            target=tuple(panel["target"]),
            reference=tuple(part["reference"]),
            beta=part["beta"],
        )
        for panel in part["panels"]
    )


def stacked_answers_data(result: Mapping[str, Any]) -> tuple[StackedAnswers, ...]:
    """Part c: reference, plain, anchored by strings, anchored by modes."""
    part = result["modes"]
    answers = tuple(dict.fromkeys(part["answers"]))
    return tuple(
        StackedAnswers(
            level=panel["level"],
            answers=answers,
            phrasings=tuple(
                tuple(
                    p
                    for p, key in zip(panel["probabilities"], part["answers"], strict=True)
                    if key == answer
                )
                for answer in answers
            ),
        )
        for panel in part["panels"]
    )


def draw_paired_bars(data: PairedBars, ax: Axes) -> None:
    """Plain left, anchored right, a tick for the reference."""
    places = range(len(data.rewards))
    for offset, name, heights in (
        (-0.21, "plain", data.plain),
        (0.21, "anchored", data.anchored),
    ):
        at = [place + offset for place in places]
        ax.bar(at, heights, width=0.4, color=COLOURS[name], label=f"optimum t, {name}")
    draw_reference_ticks(places, data.reference, ax)
    ax.set_xticks(places, [f"{reward:g}" for reward in data.rewards])
    ax.set_title(divergence_words(data.divergence))
    note = "" if data.unique else "\nties: one optimum of many"
    ax.set_xlabel(f"reward (beta {data.beta:g}){note}")


def draw_stacked_answers(data: StackedAnswers, ax: Axes) -> None:
    """One bar for each answer, cut into its phrasings."""
    title, colour = _LEVELS[data.level]
    for place, parts in enumerate(data.phrasings):
        bottom = 0.0
        for part in parts:
            ax.bar(place, part, bottom=bottom, color=colour, edgecolor="white", linewidth=0.6)
            bottom += part
        ax.annotate(
            f"{bottom:.2f}",
            (place, bottom),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    ax.set_xticks(range(len(data.answers)), list(data.answers))
    ax.set_xlabel("answer, cut into phrasings")
    ax.set_title(title)
