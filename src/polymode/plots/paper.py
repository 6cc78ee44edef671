"""The remade figures of the MARA paper, from the results that `polymode paper figures` writes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polymode.plots.anchoring import (
    algorithm_bars_data,
    draw_paired_bars,
    draw_stacked_answers,
    paired_bars_data,
    stacked_answers_data,
)
from polymode.plots.optima import (
    beta_curves_data,
    draw_beta_curves,
    draw_outcome_bars,
    outcome_bars_data,
)
from polymode.plots.plateaus import draw_plateau_panel, plateau_panels_data
from polymode.plots.style import RC

_N_COLUMNS = 4  # reverse KL plain and anchored, forward KL plain and anchored
_ABOVE: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 10}


def _equal_mass(result: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    axes = figure.subplots(1, _N_COLUMNS, sharey=True)
    for ax, panel in zip(axes, beta_curves_data(result), strict=True):
        draw_beta_curves(panel, ax)
    axes[0].set_ylabel("probability at the optimum")
    _legend_above(figure, axes[0])
    return figure


def _bars(result: Mapping[str, Any]) -> Figure:
    panels = outcome_bars_data(result)
    n_rows = len(panels) // _N_COLUMNS
    figure = Figure(figsize=(11, 2.4 * n_rows + 0.3), layout="constrained")
    axes = figure.subplots(n_rows, _N_COLUMNS, sharey=True)
    for ax, panel in zip(axes.flat, panels, strict=True):
        draw_outcome_bars(panel, ax)
    for row, panel in zip(axes, panels[::_N_COLUMNS], strict=True):
        row[0].set_ylabel(f"beta {panel.beta:g}\nprobability")
    _legend_above(figure, axes[0, 0])
    return figure


def _plateaus(result: Mapping[str, Any]) -> Figure:
    panels = plateau_panels_data(result)
    n_rows = len(panels) // _N_COLUMNS
    figure = Figure(figsize=(11, 3.0 * n_rows + 0.6), layout="constrained")
    axes = figure.subplots(n_rows, _N_COLUMNS, sharey="row")
    for ax, panel in zip(axes.flat, panels, strict=True):
        draw_plateau_panel(panel, ax)
    for row, panel in zip(axes, panels[::_N_COLUMNS], strict=True):
        row[0].set_ylabel(f"beta {panel.beta:g}\nprobability of the token")
        row[0].set_ylim(bottom=0)
    _legend_above(figure, axes[0, 0])
    return figure


def _anchoring(result: Mapping[str, Any]) -> Figure:
    pairs = paired_bars_data(result)
    bars, stacks = algorithm_bars_data(result), stacked_answers_data(result)
    n_columns = max(len(pairs), len(bars) + len(stacks))
    figure = Figure(figsize=(2 * n_columns, 6), layout="constrained")
    axes = figure.subplots(2, n_columns, sharey="row")
    above, left, right = axes[0], axes[1, : len(bars)], axes[1, len(bars) :]
    for ax, pair in zip(above, pairs, strict=False):
        draw_paired_bars(pair, ax)
    for ax, panel in zip(left, bars, strict=True):
        draw_outcome_bars(panel, ax)
    for ax, stack in zip(right, stacks, strict=False):
        draw_stacked_answers(stack, ax)
    for ax in axes.flat:
        ax.set_visible(ax.has_data())
    _head(above[0], "a   every divergence: anchored optima are flat over reward 1")
    _head(left[0], f"b   forward KL, beta {bars[0].beta:g}: rewards alone collapse")
    _head(right[0], f"c   reverse KL, beta {result['modes']['beta']:g}: strings against modes")
    for ax in axes[:, 0]:
        ax.set_ylabel("probability")
    _legend_above(figure, above[0])
    return figure


def _head(ax: Axes, text: str) -> None:
    """A line above the titles of a row of panels, from the first of them on."""
    head = ax.annotate(text, (0, 1), (0, 22), **_ABOVE)
    head.set(in_layout=False)  # or the panel would be made as wide as its text
    ax.set_title(f"\n{ax.get_title(loc='left')}")  # an empty line keeps the place


def _legend_above(figure: Figure, ax: Axes) -> None:
    """One legend for all panels, taken from one of them."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="outside upper center")


_FIGURES: Mapping[int, Callable[[Mapping[str, Any]], Figure]] = {
    2: _equal_mass,
    3: _bars,
    4: _bars,
    5: _plateaus,
    6: _anchoring,
}


def paper_figure(result: Mapping[str, Any]) -> Figure:
    """Draw the figure of one result, fresh or read back from its JSON."""
    with mpl.rc_context(RC):
        return _FIGURES[result["figure"]](result)


def save_paper_figure(result: Mapping[str, Any], out: Path) -> tuple[Path, Path]:
    """Write `figure-<number>.png` and `.svg` to `out` and return their paths."""
    figure = paper_figure(result)
    png, svg = (out / f"figure-{result['figure']}.{suffix}" for suffix in ("png", "svg"))
    with mpl.rc_context(RC):
        figure.savefig(png, dpi=160)
        figure.savefig(svg, metadata={"Date": None})
    return png, svg
