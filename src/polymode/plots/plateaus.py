"""Figure 5: promised and trained policy over 100 tokens with two plateaus of good ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from polymode.plots.style import BASE, COLOURS, PROMISE
from polymode.plots.words import divergence_words


@dataclass(frozen=True)
class TrainedPolicy:
    """The policy after some steps, over runs: mean and range of each token's probability."""

    n_steps: int
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    total_variation: float
    """To the optimum, mean over runs."""


@dataclass(frozen=True)
class PlateauPanel:
    """One objective: its optimum, and the policy trained on it, early to late."""

    title: str
    method: str
    """`plain` or `anchored`."""
    beta: float
    plateaus: tuple[tuple[int, int], ...]
    """First good token, and first one behind, of each plateau."""
    reference: tuple[float, ...]
    target: tuple[float, ...]
    trained: tuple[TrainedPolicy, ...]


def plateau_panels_data(result: Mapping[str, Any]) -> tuple[PlateauPanel, ...]:
    """Panels of Figure 5, row by row."""
    return tuple(
        PlateauPanel(
            title=f"{divergence_words(panel['divergence'])}, {panel['method']}",
            method=panel["method"],
            beta=panel["beta"],
            plateaus=tuple((start, end) for start, end in result["plateaus"]),
            reference=tuple(result["reference"]),
            target=tuple(panel["target"]),
            trained=tuple(
                TrainedPolicy(
                    n_steps=row["n_steps"],
                    mean=tuple(row["mean"]),
                    low=tuple(row["min"]),
                    high=tuple(row["max"]),
                    total_variation=row["total_variation"]["mean"],
                )
                for row in panel["trained"]
            ),
        )
        for panel in result["panels"]
    )


def draw_plateau_panel(data: PlateauPanel, ax: Axes) -> None:
    """Area for the last policy and its range, thin lines for earlier ones, dark the optimum."""
    colour = COLOURS[data.method]
    tokens = range(len(data.target))
    for start, end in data.plateaus:
        ax.axvspan(start - 0.5, end - 0.5, color=BASE, alpha=0.15, linewidth=0)
    *earlier, last = data.trained
    label = f"trained p, {last.n_steps:,} steps"
    ax.fill_between(tokens, last.mean, step="mid", color=colour, alpha=0.45, lw=0, label=label)
    ax.fill_between(
        tokens, last.low, last.high, step="mid", color=colour, lw=0, label="range of its runs"
    )
    for policy in earlier:
        label = f"trained p, {policy.n_steps:,} steps"
        ax.plot(tokens, policy.mean, color=colour, linewidth=1, label=label)
    ax.plot(tokens, data.reference, color=BASE, linewidth=1, linestyle="--", label="reference q")
    ax.plot(
        tokens, data.target, color=PROMISE, drawstyle="steps-mid", linewidth=1.2, label="optimum t"
    )
    ax.set_xlim(-0.5, len(data.target) - 0.5)
    distances = "\n".join(
        f"TV to optimum {policy.total_variation:.3f} after {policy.n_steps:,} steps"
        for policy in data.trained
    )
    ax.set_xlabel(f"token (shaded: reward 1)\n{distances}", fontsize=8)
    ax.set_title(data.title)
