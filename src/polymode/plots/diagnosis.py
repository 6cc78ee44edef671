"""A diagnosis in two panels: where the diversity goes, and what beta would change."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polymode.diagnostics.diagnosis import Budget, DiagnosisSettings, Sweep
from polymode.plots.style import ANCHORED, BASE, PLAIN, PROMISE, RC

__all__ = [
    "BudgetBars",
    "SweepLines",
    "budget_data",
    "diagnosis_figure",
    "draw_budget",
    "draw_sweep",
    "sweep_data",
]


@dataclass(frozen=True)
class BudgetBars:
    """A waterfall from the ceiling to what is left, in nats."""

    labels: tuple[str, ...]
    bottoms: tuple[float, ...]
    heights: tuple[float, ...]
    """Negative for what is lost."""


@dataclass(frozen=True, eq=False)
class SweepLines:
    """Effective number of good modes along beta, of the target and of the anchored one."""

    betas: Float[np.ndarray, " b"]
    target: Float[np.ndarray, " b"]
    low: Float[np.ndarray, " b"]
    high: Float[np.ndarray, " b"]
    anchored: Float[np.ndarray, " b"]
    beta: float
    """The strength of the settings."""


def budget_data(budget: Budget) -> BudgetBars:
    """Return the waterfall of a budget.

    Parameters
    ----------
    budget : Budget
        Over all prompts.

    Returns
    -------
    BudgetBars
        The ceiling, each loss, and what is left.
    """
    losses = {"reference bias": budget.reference_bias, "reward gaps": budget.reward_gaps}
    if budget.optimiser is not None:
        losses["optimiser"] = budget.optimiser
    top = float(budget.ceiling.value)
    labels, bottoms, heights = ["all good modes"], [0.0], [top]
    for label, loss in losses.items():
        labels.append(label)
        bottoms.append(top)
        heights.append(-float(loss.value))
        top -= float(loss.value)
    labels.append("left")
    return BudgetBars(tuple(labels), (*bottoms, 0.0), (*heights, float(budget.left.value)))


def sweep_data(sweep: Sweep, settings: DiagnosisSettings) -> SweepLines:
    """Return the lines of a sweep.

    Parameters
    ----------
    sweep : Sweep
        Over all prompts.
    settings : DiagnosisSettings
        For the strength that was asked for.

    Returns
    -------
    SweepLines
        Effective numbers of good modes.
    """
    target, anchored = (
        figures["effective_modes_good"] for figures in (sweep.target, sweep.anchored)
    )
    return SweepLines(
        betas=sweep.betas,
        target=np.asarray(target.value),
        low=np.asarray(target.low),
        high=np.asarray(target.high),
        anchored=np.asarray(anchored.value),
        beta=settings.beta,
    )


def draw_budget(data: BudgetBars, ax: Axes) -> None:
    """Draw a waterfall.

    Parameters
    ----------
    data : BudgetBars
        What to draw.
    ax : Axes
        Where.
    """
    inner = len(data.labels) - 2
    colours = [BASE, *[PLAIN] * inner, ANCHORED]
    ax.bar(range(len(data.labels)), data.heights, bottom=data.bottoms, color=colours, width=0.7)
    ax.set_xticks(range(len(data.labels)), [label.replace(" ", "\n") for label in data.labels])
    ax.set_ylabel("diversity among good modes (nats)")
    ax.set_title("Where the diversity goes")


def draw_sweep(data: SweepLines, ax: Axes) -> None:
    """Draw the target along beta.

    Parameters
    ----------
    data : SweepLines
        What to draw.
    ax : Axes
        Where.
    """
    ax.fill_between(data.betas, data.low, data.high, color=PLAIN, alpha=0.2, linewidth=0)
    ax.plot(data.betas, data.target, color=PLAIN, label="as it is")
    ax.plot(data.betas, data.anchored, color=ANCHORED, label="anchored")
    ax.axvline(data.beta, color=PROMISE, linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_xlabel("beta (reward units per nat)")
    ax.set_ylabel("effective number of good modes")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    ax.set_title("What beta would change")


def diagnosis_figure(budget: BudgetBars, sweep: SweepLines) -> Figure:
    """Return both panels side by side.

    Parameters
    ----------
    budget : BudgetBars
        The waterfall.
    sweep : SweepLines
        The lines.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_budget(budget, left)
        draw_sweep(sweep, right)
    return figure
