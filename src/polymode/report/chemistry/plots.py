"""The plots of a run on molecules, as plotly.js takes them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.chemistry import MoleculeFindings, MoleculeRun
from polymode.report.blocks import Plot
from polymode.report.chemistry.curves import COLLAPSE, FOUND, LEARNING, PROMISE, Curves, Line

__all__ = ["collapse_plots", "found_plots", "learning_plots", "promise_plots"]

MOST_POINTS = 200
"""Of a line: steps that are more than that are put together."""


def learning_plots(run: MoleculeRun) -> tuple[Plot, ...]:
    """Return the learning curves: rewards, shares of the strings, and KL to the prior.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    tuple of Plot
        Against steps.
    """
    return _plots(run, LEARNING)


def promise_plots(run: MoleculeRun) -> tuple[Plot, ...]:
    """Return what the target promises to modes beside what the policy's hits measure.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    tuple of Plot
        Empty where the target knows no modes.
    """
    return _plots(run, PROMISE)


def found_plots(run: MoleculeRun, findings: MoleculeFindings) -> tuple[Plot, ...]:
    """Return what was found against oracle calls.

    Parameters
    ----------
    run : MoleculeRun
        The run.
    findings : MoleculeFindings
        What it found.

    Returns
    -------
    tuple of Plot
        Yield and scaffolds, with marks at the 1st, 10th and 100th hit; circles.
    """
    found, *circles = _plots(run, FOUND)
    return (replace(found, traces=[*found.traces, _burden(findings)]), *circles)


def collapse_plots(run: MoleculeRun) -> tuple[Plot, ...]:
    """Return the signs of collapse, step by step.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    tuple of Plot
        Dotted lines are the limits of the run's alert; bars at the foot are alerts.
    """
    plots = _plots(run, COLLAPSE)
    if not run.alerts:
        return plots
    line = {"color": "@run-0", "width": 6}
    mark = {"type": "line", "yref": "paper", "y0": 0, "y1": 0, "line": line}
    bars = [{**mark, "x0": x0, "x1": x1} for x0, x1 in _spans([step for step, _ in run.alerts])]
    return tuple(
        replace(
            plot,
            caption=f"{plot.caption} Bar at the foot: alerts.",
            layout={**plot.layout, "shapes": [*plot.layout.get("shapes", ()), *bars]},
        )
        for plot in plots
    )


def _plots(run: MoleculeRun, groups: Sequence[Curves]) -> tuple[Plot, ...]:
    """Return the plots of figures that the run has."""
    return tuple(plot for curves in groups if (plot := _plot(run, curves)))


def _plot(run: MoleculeRun, curves: Curves) -> Plot | None:
    """Return the plot of some figures; None if the run has none of them."""
    known = [
        line for line in curves.lines if np.isfinite(run.metrics.get(line.key, np.empty(0))).any()
    ]
    if not known:
        return None
    across = run.metrics["n_calls" if curves.by_calls else "step"]
    size = math.ceil(len(across) / MOST_POINTS)
    traces = [_trace(line, across, run.metrics[line.key], size) for line in known]
    means = size > 1 and not all(line.total for line in known)
    caption = f"{curves.caption} Each point is the mean of {size} steps." if means else ""
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "oracle calls" if curves.by_calls else "step"}},
        "yaxis": {
            "title": {"text": curves.label},
            **({"range": [0, 1.03]} if curves.share else {"rangemode": "tozero"}),
        },
        "hovermode": "x unified",
        "showlegend": len(traces) > 1,
        "shapes": _limit(run, curves.limit),
    }
    return Plot(curves.name, caption or curves.caption, traces, layout)


def _trace(
    line: Line, x: Float[np.ndarray, " s"], y: Float[np.ndarray, " s"], size: int
) -> dict[str, Any]:
    """Return a line, some steps put together where there are many."""
    starts = range(0, len(x), size)
    values = [_joined(y[start : start + size], total=line.total) for start in starts]
    return {
        "x": [float(x[min(start + size, len(x)) - 1]) for start in starts],
        "y": [None if math.isnan(value) else float(f"{value:.5g}") for value in values],
        "mode": "lines" if len(values) > 1 else "markers",
        "name": line.name,
        "connectgaps": True,
        "line": {"color": line.colour, "width": 2, "dash": line.dash},
        "marker": {"color": line.colour},
        "hovertemplate": "%{y:.4g}",
    }


def _joined(values: Float[np.ndarray, " k"], *, total: bool) -> float:
    """Return one value for several steps."""
    known = values[np.isfinite(values)]
    if not len(known):
        return math.nan
    return float(known[-1] if total else known.mean())


def _limit(run: MoleculeRun, key: str) -> list[dict[str, Any]]:
    """Return the dotted line at a setting of the run."""
    section, _, name = key.partition(".")
    value = run.config.get(section, {}).get(name, math.nan) if key else math.nan
    if not math.isfinite(value):
        return []
    line = {"color": "@soft", "width": 1.5, "dash": "dot"}
    ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": value, "y1": value}
    return [{"type": "line", **ends, "line": line}]


def _spans(steps: Sequence[int]) -> Iterator[tuple[float, float]]:
    """Yield the stretches of steps without a gap, half a step wider on both sides."""
    breaks = [i for i in range(1, len(steps)) if steps[i] > steps[i - 1] + 1]
    for first, end in zip([0, *breaks], [*breaks, len(steps)], strict=True):
        yield steps[first] - 0.5, steps[end - 1] + 0.5


def _burden(findings: MoleculeFindings) -> dict[str, Any]:
    """Return the marks of the oracle burden."""
    known = {n: call for n, call in findings.burden.items() if math.isfinite(call)}
    return {
        "x": list(known.values()),
        "y": list(known),
        "mode": "markers",
        "name": "OB",
        "text": [f"OB{n}: call {call:,.0f}" for n, call in known.items()],
        "marker": {"size": 9, "color": "@ink", "symbol": "diamond"},
        "hovertemplate": "%{text}<extra></extra>",
    }
