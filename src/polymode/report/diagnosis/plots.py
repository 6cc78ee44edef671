"""The plots of a diagnosis, as plotly.js takes them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from polymode.diagnostics.diagnosis import FIGURE_NAMES, POLICIES, Report
from polymode.metrics.intervals import Estimate
from polymode.report.blocks import Plot
from polymode.report.diagnosis.words import COLOURS, SHORT
from polymode.report.numbers import factor, interval, number, percent, signed

__all__ = ["SWEPT", "figure_plots", "sweep_plots", "waterfall_plot"]

_BARS = ("expected_reward", "mass_good", "effective_modes_good")
SWEPT = ("effective_modes_good", "expected_reward", "mass_good")
"""The figures that are drawn against beta."""


def figure_plots(report: Report) -> tuple[Plot, ...]:
    """Return bars of reference, target and policy, with intervals.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    tuple of Plot
        One for each of a few figures.
    """
    return tuple(_bars(report, name) for name in _BARS)


def _bars(report: Report, name: str) -> Plot:
    """Return the bars of one figure."""
    policies = [policy for policy in POLICIES if policy in report.overall]
    found = [report.overall[policy][name] for policy in policies]
    trace = {
        "type": "bar",
        "x": [SHORT[policy] for policy in policies],
        "y": [float(estimate.value) for estimate in found],
        "marker": {"color": [COLOURS[policy] for policy in policies]},
        "error_y": _ends(found),
        "text": [number(float(estimate.value)) for estimate in found],
        "textposition": "inside",
        "insidetextanchor": "start",
        "customdata": [
            f"{POLICIES[p]}<br>{interval(e)}" for p, e in zip(policies, found, strict=True)
        ],
        "hovertemplate": "%{text} %{customdata}<extra></extra>",
    }
    label = FIGURE_NAMES[name]
    axis: dict[str, Any] = {"title": {"text": label}, "rangemode": "tozero"}
    layout = {"xaxis": {"type": "category", "showgrid": False}, "yaxis": axis, "bargap": 0.35}
    level = f"{100 * report.settings.level:g} % intervals"
    return Plot(f"figure-{name}", f"{label.capitalize()}, with {level}.", [trace], layout)


def waterfall_plot(report: Report) -> Plot | None:
    """Return the collapse budget as a waterfall.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Plot or None
        None where no prompt has two good modes within reach.
    """
    budget = report.budget
    losses = {
        "reference<br>bias": (budget.reference_bias, "@run-6"),
        "reward<br>gaps": (budget.reward_gaps, "@run-0"),
        "optimiser": (budget.optimiser, "@run-2"),
    }
    top = float(budget.ceiling.value)
    if math.isnan(top):
        return None
    names, bases, heights, colours = ["in<br>reach"], [0.0], [top], ["@accent"]
    said = [f"{number(top)}<br>{number(math.exp(top))}"]
    level = top
    for name, (loss, colour) in losses.items():
        if loss is not None and not math.isnan(float(loss.value)):
            value = float(loss.value)
            names.append(name)
            bases.append(level)
            heights.append(-value)
            colours.append(colour)
            said.append(f"{signed(-value)}<br>{factor(-value)}")
            level -= value
    left = float(budget.left.value)
    names.append("left")
    bases.append(0.0)
    heights.append(left)
    colours.append("@run-3")
    said.append(f"{number(left)}<br>{number(math.exp(left))}")
    traces = [_steps(names, bases, heights, colours, said), _joints(names, bases, heights)]
    ends = [0.0, *(base + height for base, height in zip(bases, heights, strict=True))]
    span = max(ends) - min(ends) or 1.0
    layout = {
        "xaxis": {"type": "category", "showgrid": False, "tickangle": 0},
        "yaxis": {
            "title": {"text": "diversity among good modes (nats)"},
            "range": [min(ends) - (0.2 * span if min(ends) < 0 else 0), max(ends) + 0.2 * span],
        },
        "bargap": 0.3,
        "showlegend": False,
    }
    owner = "policy" if budget.optimiser is not None else "target"
    caption = (
        "The collapse budget: where the diversity among good modes goes, from all that are within "
        f"reach to what is left to the {owner}. Below each number of nats: how many modes that is, "
        "or by which factor it changes them."
    )
    return Plot("budget", caption, traces, layout)


def _steps(
    names: Sequence[str],
    bases: Sequence[float],
    heights: Sequence[float],
    colours: Sequence[str],
    said: Sequence[str],
) -> dict[str, Any]:
    """Return the bars of the waterfall."""
    return {
        "type": "bar",
        "x": list(names),
        "y": list(heights),
        "base": list(bases),
        "marker": {"color": list(colours)},
        "text": list(said),
        "textposition": "outside",
        "constraintext": "none",
        "cliponaxis": False,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _joints(
    names: Sequence[str], bases: Sequence[float], heights: Sequence[float]
) -> dict[str, Any]:
    """Return the lines from the end of each step to the start of the next one."""
    x: list[str | None] = []
    y: list[float | None] = []
    for i in range(len(names) - 1):
        level = bases[i] + heights[i]
        x += [names[i], names[i + 1], None]
        y += [level, level, None]
    line = {"color": "@soft", "width": 1, "dash": "dot"}
    return {"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def sweep_plots(report: Report) -> tuple[Plot, ...]:
    """Return figures of the target and its anchored sibling against beta.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    tuple of Plot
        With bands of the intervals; one for each of `SWEPT`.
    """
    return tuple(_sweep(report, name) for name in SWEPT)


def _sweep(report: Report, name: str) -> Plot:
    """Return one figure against beta."""
    sweep = report.sweep
    traces: list[dict[str, Any]] = []
    told = sweep.frac_reliable >= report.settings.limits.prompts
    for policy, figures in (("target", sweep.target), ("anchored", sweep.anchored)):
        traces += _band(sweep.betas, figures[name], policy, told)
    label = FIGURE_NAMES[name]
    axis = {"title": {"text": label}, "rangemode": "tozero"}
    layout = {
        "xaxis": {"type": "log", "title": {"text": "beta"}, "exponentformat": "power"},
        "yaxis": axis,
        "showlegend": True,
    }
    caption = (
        f"{label.capitalize()} at other strengths, with {100 * report.settings.level:g} % "
        "intervals. The vertical line is the strength chosen above."
    )
    if not told.all():
        caption += (
            f" Not drawn where fewer than {percent(report.settings.limits.prompts)} of the prompts "
            "can be trusted."
        )
    return Plot(f"sweep-{name}", caption, traces, layout)


def _band(betas: Any, found: Estimate, policy: str, told: Any) -> list[dict[str, Any]]:
    """Return a line with the band of its intervals, where it is told."""
    lines = (betas, found.low, found.high, found.value)
    betas, low, high, value = (np.asarray(x, dtype=float)[told].tolist() for x in lines)
    name, colour = SHORT[policy], COLOURS[policy]
    edge = {"x": betas, "mode": "lines", "hoverinfo": "skip", "showlegend": False, "opacity": 0.35}
    thin = {"color": colour, "width": 0}
    line = {"color": colour, "width": 2, "dash": "solid" if policy == "target" else "dash"}
    said = [
        f"{number(v)} [{number(a)}, {number(b)}]" for v, a, b in zip(value, low, high, strict=True)
    ]
    return [
        {**edge, "y": low, "line": thin},
        {**edge, "y": high, "line": thin, "fill": "tonexty"},
        {
            "x": betas,
            "y": value,
            "mode": "lines",
            "name": name,
            "line": line,
            "text": said,
            "hovertemplate": "beta %{x:.3g}: %{text}",
        },
    ]


def _ends(found: Sequence[Estimate]) -> dict[str, Any]:
    """Return the error bars of several estimates."""
    values = [(float(e.value), float(e.low), float(e.high)) for e in found]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, _, high in values],
        "arrayminus": [value - low for value, low, _ in values],
        "color": "@ink",
        "thickness": 1.5,
        "width": 4,
    }
