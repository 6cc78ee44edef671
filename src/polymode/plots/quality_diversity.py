"""Quality against diversity of many runs: one panel a task, one marker a method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polymode.plots.style import ANCHORED, BASE, PLAIN, RC

_MARKERS = "osD^v<>PXh"


@dataclass(frozen=True)
class MethodPoints:
    """The runs of one method on one task, in ascending order of beta."""

    method: str
    betas: tuple[float, ...]
    quality: tuple[float, ...]
    """Probability of an accepted answer, the mean over seeds."""
    diversity: tuple[float, ...]
    """Entropy over answers as a share of its maximum, the mean over seeds."""
    n_seeds: tuple[int, ...]


@dataclass(frozen=True)
class TaskPanel:
    """One task: the base model, and every method."""

    task: str
    base: tuple[float, float]
    """Quality and diversity of the base model."""
    methods: tuple[MethodPoints, ...]


def quality_diversity_data(runs: Sequence[Mapping[str, Any]]) -> tuple[TaskPanel, ...]:
    """Return one panel for each task of some runs.

    Parameters
    ----------
    runs : sequence of mappings
        As `benchmarks/science/language/picking.py` keeps them, each with `task`, `method`,
        `beta`, `seed`, `base` and `measured`; the last two have `frac_valid` and
        `frac_of_max_entropy`.
    """
    return tuple(
        TaskPanel(task, _point(own[0]["base"]), _methods(own))
        for task, own in _grouped(runs, "task").items()
    )


def _methods(runs: Sequence[Mapping[str, Any]]) -> tuple[MethodPoints, ...]:
    """Return the points of every method of one task."""
    found: list[MethodPoints] = []
    for method, own in _grouped(runs, "method").items():
        by_beta = sorted(_grouped(own, "beta").items())
        points = [
            np.mean([_point(run["measured"]) for run in seeds], axis=0) for _, seeds in by_beta
        ]
        found.append(
            MethodPoints(
                method=method,
                betas=tuple(float(beta) for beta, _ in by_beta),
                quality=tuple(float(point[0]) for point in points),
                diversity=tuple(float(point[1]) for point in points),
                n_seeds=tuple(len(seeds) for _, seeds in by_beta),
            )
        )
    return tuple(found)


def _point(answers: Mapping[str, Any]) -> tuple[float, float]:
    """Return quality and diversity; without a valid answer there is no diversity."""
    return answers["frac_valid"], answers["frac_of_max_entropy"] or 0.0


def _grouped(runs: Sequence[Mapping[str, Any]], key: str) -> dict[Any, list[Mapping[str, Any]]]:
    """Return the runs by one of their fields, in the order in which values first appear."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault(run[key], []).append(run)
    return groups


def draw_quality_diversity(panel: TaskPanel, ax: Axes) -> None:
    """Draw one panel: lines join the betas of a method, larger markers are larger betas."""
    ax.scatter(*panel.base[::-1], marker="*", s=90, color=BASE, zorder=3)
    for number, points in enumerate(panel.methods):
        colour = _colour(points.method, number)
        ax.plot(points.diversity, points.quality, color=colour, linewidth=0.8, alpha=0.6)
        sizes = 22 + 26 * np.arange(len(points.betas))
        marker = _MARKERS[number % len(_MARKERS)]
        ax.scatter(
            points.diversity, points.quality, s=sizes, color=colour, marker=marker, alpha=0.9
        )
    ax.set_title(panel.task)
    ax.set_xlabel("entropy over answers / maximum")
    ax.set_ylabel("probability of a valid answer")
    ax.set_xlim(-0.02, 1.04)
    ax.set_ylim(-0.02, 1.04)


def _colour(method: str, number: int) -> Any:
    """Return ours for anchored methods, warm ones for the two plain baselines, greys for others."""
    if method.startswith("anchored"):
        return ANCHORED
    if "RLOO" in method or "GRPO" in method:
        return PLAIN
    return mpl.colormaps["Dark2"](number % 8)


def save_quality_diversity(runs: Sequence[Mapping[str, Any]], out: Path, name: str) -> list[Path]:
    """Write NAME.png and NAME.svg to a directory, and return their paths."""
    panels = quality_diversity_data(runs)
    with mpl.rc_context(RC):
        width = 3.3 * len(panels) + 2.2
        figure = Figure(figsize=(width, 3.4), layout="constrained")
        for place, panel in enumerate(panels, start=1):
            draw_quality_diversity(panel, figure.add_subplot(1, len(panels), place))
        figure.legend(handles=_legend(panels), loc="outside right upper", frameon=False)
        paths = [out / f"{name}.{suffix}" for suffix in ("png", "svg")]
        for path in paths:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else {})
    return paths


def _legend(panels: Sequence[TaskPanel]) -> list[Line2D]:
    """Return a handle for the base and for every method of the first panel that has it."""
    handles = [Line2D([], [], marker="*", linestyle="", color=BASE, label="base model")]
    seen: set[str] = set()
    for panel in panels:
        for number, points in enumerate(panel.methods):
            if points.method not in seen:
                seen.add(points.method)
                marker, colour = _MARKERS[number % len(_MARKERS)], _colour(points.method, number)
                handles.append(
                    Line2D([], [], marker=marker, linestyle="", color=colour, label=points.method)
                )
    return handles
