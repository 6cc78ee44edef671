"""The plots of a comparison, as plotly.js takes them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polymode.diagnostics.comparison import Compared, Comparison
from polymode.report.blocks import Plot
from polymode.report.comparison.words import figure_words
from polymode.report.numbers import interval, number
from polymode.report.text import plot_text

__all__ = ["N_COLOURS", "curve_plots", "front_plot", "promise_plots"]

N_COLOURS = 8
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
_DASHES = ("solid", "dash", "dot", "dashdot")
_CURVES = {
    "reward": ("mean raw reward", "Mean raw reward of the completions of each step."),
    "effective_modes": (
        "effective modes",
        "Effective number of modes of a prompt, mean over the prompts of each step; of runs on "
        "molecules that of Murcko scaffolds.",
    ),
    "kl": ("KL to the reference (nats)", "KL as the trainer logs it; its estimator may differ."),
}
_BY_CALLS = {
    "hits": ("hits", "Different hits so far, against the oracle calls that they took."),
    "circles": (
        "circles",
        "#Circles: hits so far that lie pairwise further than a Tanimoto distance of 0.75 apart.",
    ),
}


def front_plot(comparison: Comparison) -> Plot | None:
    """Return quality against diversity with intervals, and the front as a line.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    Plot or None
        None where no run has both figures.
    """
    s = comparison.settings
    points = [
        (i, found, found.figures[s.diversity].value, found.figures[s.quality].value)
        for i, found in enumerate(comparison.runs)
        if found.figures
        and not math.isnan(found.figures[s.diversity].value + found.figures[s.quality].value)
    ]
    if not points:
        return None
    front = sorted((x, y) for _, found, x, y in points if found.on_front)
    line = {
        "x": [x for x, _ in front],
        "y": [y for _, y in front],
        "mode": "lines",
        "line": {"color": "@soft", "width": 1.5, "dash": "dot"},
        "name": "front",
        "hoverinfo": "skip",
    }
    traces = [line] if len(front) > 1 else []
    traces += [_point(i, found, comparison) for i, found, *_ in points]
    labels = [figure_words(name, s.k) for name in (s.diversity, s.quality)]
    caption = (
        f"{labels[1].capitalize()} against {labels[0]}, means over prompts with "
        f"{100 * s.level:g} % intervals. Up and to the right is better; the dotted line joins "
        "the runs that no other one beats in both."
    )
    layout = {
        "xaxis": {"title": {"text": labels[0]}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": labels[1]}},
    }
    return Plot("front", caption, traces, layout)


def _point(i: int, found: Compared, comparison: Comparison) -> dict[str, Any]:
    """Return the mark of one run."""
    s = comparison.settings
    x, y = found.figures[s.diversity], found.figures[s.quality]
    name = plot_text(found.run.name)
    hover = (
        f"<b>{name}</b><br>{figure_words(s.quality, s.k)} {number(y.value)} {interval(y)}<br>"
        f"{figure_words(s.diversity, s.k)} {number(x.value)} {interval(x)}<extra></extra>"
    )
    return {
        "x": [x.value],
        "y": [y.value],
        "mode": "markers",
        "name": name,
        "marker": {"size": 12, "color": _colour(i), "symbol": _SYMBOLS[i % len(_SYMBOLS)]},
        "error_x": _bars(x.value, x.low, x.high, i),
        "error_y": _bars(y.value, y.low, y.high, i),
        "hovertemplate": hover,
    }


def _bars(value: float, low: float, high: float, i: int) -> dict[str, Any]:
    """Return error bars; none where there is no interval."""
    if math.isnan(low):
        return {"visible": False}
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value],
        "arrayminus": [value - low],
        "color": _colour(i),
        "thickness": 1.5,
        "width": 4,
    }


def _colour(i: int) -> str:
    return f"@run-{i % N_COLOURS}"


def curve_plots(comparison: Comparison, *, by_calls: bool = False) -> tuple[Plot, ...]:
    """Return the learning curves: raw reward, diversity, KL.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    by_calls : bool
        Whether to draw what runs on molecules have found, against oracle calls, instead.

    Returns
    -------
    tuple of Plot
        Those for which a run has a curve.
    """
    kinds, axis = (_BY_CALLS, "oracle calls") if by_calls else (_CURVES, "step")
    return tuple(_curve_plots(comparison, kinds, axis))


def _curve_plots(
    comparison: Comparison, kinds: Mapping[str, tuple[str, str]], axis: str
) -> Iterator[Plot]:
    for quantity, (label, caption) in kinds.items():
        traces = [
            {
                "x": list(curve.steps),
                "y": list(curve.values),
                "mode": "lines" if len(curve.steps) > 1 else "markers",
                "name": plot_text(found.run.name),
                "line": {"color": _colour(i), "width": 2, "dash": _DASHES[i // N_COLOURS % 4]},
                "hovertemplate": "%{y:.4g}",
            }
            for i, found in enumerate(comparison.runs)
            for curve in found.run.curves
            if curve.quantity == quantity
        ]
        if traces:
            axes = {"xaxis": {"title": {"text": axis}}, "yaxis": {"title": {"text": label}}}
            layout = {**axes, "hovermode": "x unified", "showlegend": True}
            yield Plot(f"curve-{quantity}", caption, traces, layout)


def promise_plots(comparison: Comparison) -> tuple[Plot, ...]:
    """Return, for each run with a promise, measured bars and promised ticks.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    tuple of Plot
        On one scale.
    """
    promises = [
        (i, found.run.name, promise)
        for i, found in enumerate(comparison.runs)
        if (promise := found.run.promise) is not None
    ]
    values = [v for _, _, p in promises for v in (*p.measured, *p.promised)]
    top = 1.08 * max(values, default=1.0)
    return tuple(_promise(i, name, promise, top) for i, name, promise in promises)


def _promise(i: int, name: str, promise: Any, top: float) -> Plot:
    """Return the plot of one run."""
    answers: Sequence[str] = [plot_text(answer) for answer in promise.answers]
    bars = {
        "type": "bar",
        "x": answers,
        "y": list(promise.measured),
        "name": "measured",
        "marker": {"color": _colour(i)},
        "hovertemplate": "%{x}: %{y:.4f}<extra>measured</extra>",
    }
    ticks = {
        "x": answers,
        "y": list(promise.promised),
        "mode": "markers",
        "name": "promised",
        "marker": {
            "symbol": "line-ew",
            "size": 26,
            "color": "@ink",
            "line": {"width": 3, "color": "@ink"},
        },
        "hovertemplate": "%{x}: %{y:.4f}<extra>promised</extra>",
    }
    layout = {
        "xaxis": {"type": "category", "showgrid": False},
        "yaxis": {"title": {"text": "probability"}, "range": [0, top]},
        "bargap": 0.35,
    }
    caption = f"{name}: total variation {number(promise.total_variation)} to its promise."
    return Plot(f"promise-{i}", caption, [bars, ticks], layout)
