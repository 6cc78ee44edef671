"""The demo's figure: answers before and after, promised and measured, and the road between."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polymode.plots.style import COLOURS, PROMISE, RC

_TITLES = {"base": "base model", "plain": "plain RL", "anchored": "mode-anchored RL"}


@dataclass(frozen=True)
class AnswerBars:
    """One panel: the probability of each answer, and what was promised."""

    model: str
    """`base`, `plain` or `anchored`."""
    answers: tuple[str, ...]
    measured: tuple[float, ...]
    """Exact probability of each answer."""
    promised: tuple[float, ...] | None
    """Probability of each answer at the objective's optimum; None for the base model."""
    frac_valid: float
    effective_answers: float


@dataclass(frozen=True)
class EntropyCurve:
    """Entropy over answers along one training run, as a share of its maximum."""

    model: str
    steps: tuple[int, ...]
    frac_of_max_entropy: tuple[float, ...]
    promised: float


def answer_bars_data(result: Mapping[str, Any]) -> tuple[AnswerBars, ...]:
    """Panels of a demo's `result.json`: base, plain, anchored."""
    panels = [("base", result["base"]["exact"], None)]
    panels += [(name, r["measured"]["exact"], r["promised"]) for name, r in result["runs"].items()]
    return tuple(
        AnswerBars(
            model=name,
            answers=tuple(measured["probabilities"]),
            measured=tuple(measured["probabilities"].values()),
            promised=promised and tuple(promised["probabilities"].values()),
            frac_valid=measured["frac_valid"],
            effective_answers=measured["effective_answers"],
        )
        for name, measured, promised in panels
    )


def entropy_curves_data(result: Mapping[str, Any]) -> tuple[EntropyCurve, ...]:
    """Curves of a demo's `result.json`, each starting at the base model."""
    base = result["base"]["exact"]
    return tuple(
        EntropyCurve(
            model=name,
            steps=(0, *(row["step"] for row in run["history"])),
            frac_of_max_entropy=(
                base["frac_of_max_entropy"],
                *(_frac_of_max_entropy(row) for row in run["history"]),
            ),
            promised=run["promised"]["frac_of_max_entropy"],
        )
        for name, run in result["runs"].items()
    )


def _frac_of_max_entropy(row: Mapping[str, float]) -> float:
    masses = [v for k, v in row.items() if k.startswith("answers/") and k != "answers/frac_valid"]
    total = sum(masses)
    return -sum(m / total * log(m / total) for m in masses if m > 0) / log(len(masses))


def draw_answer_bars(data: AnswerBars, ax: Axes) -> None:
    """Bars for what was measured, a tick for what was promised."""
    ax.bar(data.answers, data.measured, color=COLOURS[data.model], width=0.7, label="measured")
    if data.promised is not None:
        ax.plot(
            data.answers,
            data.promised,
            linestyle="none",
            marker="_",
            markersize=16,
            markeredgewidth=2,
            color=PROMISE,
            label="promised",
        )
        ax.legend(frameon=False, loc="upper right", fontsize=8, handlelength=1.2)
    ax.set_title(_TITLES[data.model])
    ax.set_xlabel(f"valid {data.frac_valid:.0%}, {data.effective_answers:.1f} effective answers")


def draw_entropy_curves(data: tuple[EntropyCurve, ...], ax: Axes) -> None:
    """Entropy over answers by step; dashed lines are the promises."""
    for curve in data:
        colour = COLOURS[curve.model]
        ax.plot(curve.steps, curve.frac_of_max_entropy, color=colour, label=_TITLES[curve.model])
        ax.axhline(curve.promised, color=colour, linestyle="--", linewidth=1)
    ax.set_ylim(0, 1.05)
    ax.set_title("diversity of answers")
    ax.set_xlabel("training step (dashed: promised)")
    ax.set_ylabel("entropy / its maximum")
    ax.legend(frameon=False, loc="lower right", fontsize=8)


def demo_figure(result: Mapping[str, Any]) -> Figure:
    """The whole figure of a demo's `result.json`: answers in three panels, entropy curves."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(11, 2.9), layout="constrained")
        axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.15))
        panels = answer_bars_data(result)
        top = max(max(*p.measured, *(p.promised or (0.0,))) for p in panels)
        for ax, panel in zip(axes, panels, strict=False):
            draw_answer_bars(panel, ax)
            ax.set_ylim(0, 1.35 * top)  # the legend stands above the highest bar
        axes[0].set_ylabel("probability of the answer")
        draw_entropy_curves(entropy_curves_data(result), axes[3])
    return figure


def save_demo_figure(result: Mapping[str, Any], out: Path) -> tuple[Path, Path]:
    """Write `figure.png` and `figure.svg` to `out` and return their paths."""
    figure = demo_figure(result)
    paths = out / "figure.png", out / "figure.svg"
    figure.savefig(paths[0], dpi=160)
    with mpl.rc_context(RC):
        figure.savefig(paths[1], metadata={"Date": None})
    return paths
