"""Optima of small objectives: two outputs as beta moves, and bars of a few outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from polymode.plots.style import BASE, COLOURS, PROMISE
from polymode.plots.words import divergence_words


@dataclass(frozen=True)
class BetaCurves:
    """One panel of Figure 2: the optimum's probabilities as functions of beta."""

    divergence: str
    method: str
    """`plain` or `anchored`."""
    outputs: tuple[str, ...]
    """What the legend calls two outputs, and all others together."""
    betas: tuple[float, ...]
    targets: tuple[tuple[float, ...], ...]
    """Probability of each output at each beta."""
    equal_mass_beta: float | None
    """Where the first two outputs are equally likely; None if they are so everywhere."""


@dataclass(frozen=True)
class OutcomeBars:
    """One panel of bars: a target over a few outputs, and the reference."""

    title: str
    method: str
    """`plain` or `anchored`: decides the colour."""
    rewards: tuple[float, ...]
    target: tuple[float, ...]
    reference: tuple[float, ...]
    beta: float


def beta_curves_data(result: Mapping[str, Any]) -> tuple[BetaCurves, ...]:
    """Panels of Figure 2."""
    return tuple(
        BetaCurves(
            divergence=panel["divergence"],
            method=panel["method"],
            outputs=tuple(result["outputs"]),
            betas=tuple(result["betas"]),
            targets=tuple(tuple(curve) for curve in panel["targets"]),
            equal_mass_beta=panel["equal_mass_beta"],
        )
        for panel in result["panels"]
    )


def outcome_bars_data(result: Mapping[str, Any]) -> tuple[OutcomeBars, ...]:
    """Panels of Figures 3 and 4, row by row."""
    return tuple(
        OutcomeBars(
            title=f"{divergence_words(panel['divergence'])}, {panel['method']}",
            method=panel["method"],
            rewards=tuple(result["rewards"]),
            target=tuple(panel["target"]),
            reference=tuple(result["reference"]),
            beta=panel["beta"],
        )
        for panel in result["panels"]
    )


def draw_beta_curves(data: BetaCurves, ax: Axes) -> None:
    """Broad and dashed for the two outputs, grey for the rest; a mark where the two are equal."""
    colour = COLOURS[data.method]
    first, second, rest = data.targets
    styles: tuple[Any, ...] = (
        {"color": colour, "alpha": 0.5, "linewidth": 4},
        {"color": colour, "linestyle": "--", "linewidth": 1.5},
        {"color": BASE, "linewidth": 1},
    )
    for label, curve, style in zip(data.outputs, (first, second, rest), styles, strict=True):
        ax.plot(data.betas, curve, label=label, **style)
    if data.equal_mass_beta is not None:
        ax.axvline(data.equal_mass_beta, color=PROMISE, linestyle=":", linewidth=1)
        ax.annotate(
            f"equal at {data.equal_mass_beta:.3f}",
            (data.equal_mass_beta, 1.03),
            xytext=(-3, 0),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
        )
    ax.set_xscale("log")
    ax.set_xticks([0.1, 1.0], ["0.1", "1"])
    ax.set_ylim(0, 1.14)
    ax.set_xlabel("beta")
    ax.set_title(f"{divergence_words(data.divergence)}, {data.method}")


def draw_outcome_bars(data: OutcomeBars, ax: Axes) -> None:
    """Bars for the target with their numbers, a tick for the reference."""
    places = range(len(data.target))
    ax.bar(places, data.target, color=COLOURS[data.method], width=0.7, label="optimum t")
    draw_reference_ticks(places, data.reference, ax)
    for place, height, tick in zip(places, data.target, data.reference, strict=True):
        # Above the bar, and above the tick where they would meet.
        top = max(height, tick) if abs(height - tick) < 0.12 else height
        ax.annotate(
            f"{height:.3f}",
            (place, top),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    ax.set_xticks(places, [f"{reward:g}" for reward in data.rewards])
    ax.set_ylim(0, 1.1)
    ax.set_xlabel("reward")
    ax.set_title(data.title)


def draw_reference_ticks(places: Any, reference: tuple[float, ...], ax: Axes) -> None:
    """A short line at the height of each reference probability."""
    ax.plot(
        places,
        reference,
        linestyle="none",
        marker="_",
        markersize=14,
        markeredgewidth=2,
        color=PROMISE,
        label="reference q",
    )
