"""Where a configuration ends on the two-step toy, beside where its author believes that it does."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from polymode.diagnostics.audit import EffectiveObjective
from polymode.diagnostics.audit.simulation import STEP, Ending, simulate
from polymode.diagnostics.audit.words import headline
from polymode.errors import InputError, UnsupportedOptionError
from polymode.plots.style import ANCHORED, BASE, PLAIN, PROMISE, RC

__all__ = [
    "EndingBars",
    "WayLines",
    "audit_figure",
    "draw_ending",
    "draw_way",
    "ending_data",
    "save_audit_figure",
    "way_data",
]

_STATES = {
    "rests": "",
    "circles": "goes round at the end: its mean is shown",
    "moves": "not at rest yet",
}


@dataclass(frozen=True, eq=False)
class EndingBars:
    """Probabilities of the good outputs, the likeliest under the reference first, then the rest."""

    title: str
    labels: tuple[str, ...]
    reference: Float[np.ndarray, " n"]
    believed: Float[np.ndarray, " n"]
    ended: Float[np.ndarray, " n"]
    anchored: bool


@dataclass(frozen=True, eq=False)
class WayLines:
    """How a run went, against updates of the toy: all three in [0, 1]."""

    title: str
    updates: Float[np.ndarray, " s"]
    success_rate: Float[np.ndarray, " s"]
    share_in_effect: Float[np.ndarray, " s"]
    distance: Float[np.ndarray, " s"]
    anchored: bool


def ending_data(ending: Ending) -> EndingBars:
    """Return the bars of an ending.

    Parameters
    ----------
    ending : Ending
        What was simulated.

    Returns
    -------
    EndingBars
        Good outputs, and all others together.
    """
    toy = ending.toy
    good = np.flatnonzero(toy.good)
    order = good[np.argsort(-toy.log_q_outputs[good], kind="stable")]
    kind = "anchored rewards" if ending.anchored else "plain rewards"
    return EndingBars(
        title=f"{kind}: {ending.distance:.2f} from the target,\n"
        f"{ending.effective_good:.1f} of {len(good)} good outputs in effect",
        labels=(*(toy.labels[i] for i in order), "bad"),
        reference=_with_rest(toy.log_q_outputs, order),
        believed=_with_rest(ending.believed, order),
        ended=_with_rest(ending.ended, order),
        anchored=ending.anchored,
    )


def way_data(ending: Ending) -> WayLines:
    """Return the lines of the way to an ending.

    Parameters
    ----------
    ending : Ending
        What was simulated.

    Returns
    -------
    WayLines
        From the reference, at update 0.
    """
    way = ending.way
    return WayLines(
        title=_STATES[ending.state],
        updates=way.updates,
        success_rate=way.success_rate,
        share_in_effect=way.effective_good / ending.toy.good.sum(),
        distance=way.distance,
        anchored=ending.anchored,
    )


def draw_ending(data: EndingBars, ax: Axes) -> None:
    """Draw where a run ends, with ticks for the believed target and for the reference.

    Parameters
    ----------
    data : EndingBars
        The bars.
    ax : matplotlib.axes.Axes
        Where to draw.
    """
    places = np.arange(len(data.labels))
    colour = ANCHORED if data.anchored else PLAIN
    ax.bar(places, data.ended, width=0.6, color=colour, label="where it ends")
    half = 0.38
    for name, heights, tone, width in (
        ("target that beta names", data.believed, PROMISE, 2.0),
        ("reference q", data.reference, BASE, 1.2),
    ):
        ax.hlines(heights, places - half, places + half, colors=tone, lw=width, label=name)
    ax.set_xticks(places, list(data.labels))
    ax.set_xlabel("good outputs by their first tokens, and all bad ones")
    ax.set_ylabel("probability")
    ax.set_title(data.title)


def draw_way(data: WayLines, ax: Axes) -> None:
    """Draw how a run went: quality, diversity, and how far it is from the target.

    Parameters
    ----------
    data : WayLines
        The lines.
    ax : matplotlib.axes.Axes
        Where to draw.
    """
    colour = ANCHORED if data.anchored else PLAIN
    for name, heights, tone, style in (
        ("success rate", data.success_rate, colour, "-"),
        ("good outputs in effect, share of all", data.share_in_effect, colour, "--"),
        ("distance from the target", data.distance, PROMISE, ":"),
    ):
        ax.plot(1.0 + data.updates, heights, style, color=tone, lw=1.8, label=name)
    ax.set_xscale("log")
    ax.set_xlim(left=1.0)
    ax.set_ylim(0.0, 1.04)
    ax.set_xlabel(f"1 + updates of {STEP:g} nats for a unit of advantage")
    ax.set_ylabel("share, or total variation")
    if data.title:
        ax.set_title(data.title, fontsize=8, fontweight="normal", color=BASE)


def audit_figure(objective: EffectiveObjective) -> Figure:
    """Return the figure of an objective: plain rewards, and anchored ones where they can be run.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.

    Returns
    -------
    matplotlib.figure.Figure
        Endings above, ways below, in one or two columns.

    Raises
    ------
    UnsupportedOptionError
        If what an update is cannot be told.
    """
    endings = [simulate(objective)]
    lines: list[str] = []
    try:
        endings.append(simulate(objective, anchored=True))
    except UnsupportedOptionError as error:
        lines.append(f"anchored rewards are not shown: {error.problems[0]}")
    lines[:0] = _said(endings)
    with mpl.rc_context(RC):
        width = 6.4 if len(endings) == 1 else 9.6
        figure = Figure(figsize=(width, 6.4), layout="constrained")
        above, below = figure.subplots(
            2, len(endings), squeeze=False, sharey="row", height_ratios=(3, 2)
        )
        for ending, top, bottom in zip(endings, above, below, strict=True):
            draw_ending(ending_data(ending), top)
            draw_way(way_data(ending), bottom)
        above[0].set_ylim(bottom=0.0)
        for ax in (*above, *below):
            ax.yaxis.label.set_visible(ax in (above[0], below[0]))
        figure.legend(
            *above[0].get_legend_handles_labels(),
            **{"loc": "outside upper right", "ncols": 3, "frameon": False},
        )
        # On a line of its own: the layout puts both into the same band, where they could meet.
        figure.suptitle(
            f"\n{objective.trainer}: {headline(objective)}", x=0.01, ha="left", linespacing=1.6
        )
        handles, names = below[0].get_legend_handles_labels()
        below[0].legend(handles, names, loc="best", fontsize=7, frameon=False)
        said = [fill(line, int(16 * width)) for line in lines]
        figure.supxlabel("\n".join(said), fontsize=7, color=BASE)
    return figure


def _said(endings: list[Ending]) -> list[str]:
    """Return what the toy did, and what it does not show."""
    found = [
        f"{'anchored' if ending.anchored else 'plain'} rewards: {'; '.join(ending.notes)}"
        for ending in endings
        if ending.notes
    ]
    if endings[0].left_out:
        found.append(f"not shown: {', '.join(endings[0].left_out)}")
    return found


def save_audit_figure(objective: EffectiveObjective, path: Path) -> Path:
    """Draw the figure into a file.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.
    path : Path
        Its ending tells the format.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the format is not known.
    UnsupportedOptionError
        If what an update is cannot be told.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FigureCanvasBase.get_supported_filetypes():  # before a run of seconds
        raise InputError(f"{path} must end in .png, .svg or .pdf, to tell what to draw")
    figure = audit_figure(objective)
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(RC):
        figure.savefig(path, dpi=160, metadata={"Date": None} if kind == "svg" else {})
    return path


def _with_rest(
    log_p: Float[np.ndarray, " n"], order: Int[np.ndarray, " g"]
) -> Float[np.ndarray, " m"]:
    """Return probabilities of the good outputs in an order, and that of all others."""
    good = np.exp(log_p[order])
    return np.append(good, 1.0 - good.sum())
