"""Where a configuration ends on the two-step toy, beside where its author believes that it does."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polymode.diagnostics.audit import EffectiveObjective
from polymode.diagnostics.audit.simulation import GOOD, LOG_Q, Ending, simulate
from polymode.diagnostics.audit.words import headline
from polymode.errors import InputError, UnsupportedOptionError
from polymode.plots.style import ANCHORED, BASE, PLAIN, PROMISE, RC

__all__ = ["EndingBars", "audit_figure", "draw_ending", "ending_data", "save_audit_figure"]


@dataclass(frozen=True, eq=False)
class EndingBars:
    """Probabilities of the good outputs, the likeliest under the reference first, then the rest."""

    title: str
    labels: tuple[str, ...]
    reference: Float[np.ndarray, " n"]
    believed: Float[np.ndarray, " n"]
    ended: Float[np.ndarray, " n"]
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
        Eight good outputs, and all others together.
    """
    order = np.argsort(-LOG_Q[GOOD])
    places = np.argwhere(GOOD)[order]
    kind = "anchored rewards" if ending.anchored else "plain rewards"
    return EndingBars(
        title=f"{kind}: {ending.distance:.2f} from the target,\n"
        f"{ending.effective_good:.1f} of 8 good outputs in effect",
        labels=(*(f"{a}{b}" for a, b in places.tolist()), "others"),
        reference=_with_rest(LOG_Q, order),
        believed=_with_rest(ending.believed, order),
        ended=_with_rest(ending.ended, order),
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
    ax.set_xlabel("good output: first and second token")
    ax.set_ylabel("probability")
    ax.set_title(data.title)


def audit_figure(objective: EffectiveObjective) -> Figure:
    """Return the figure of an objective: plain rewards, and anchored ones where they can be solved.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.

    Returns
    -------
    matplotlib.figure.Figure
        With one or two axes.

    Raises
    ------
    UnsupportedOptionError
        If there is no closed form.
    """
    endings = [simulate(objective)]
    try:
        endings.append(simulate(objective, anchored=True))
    except UnsupportedOptionError as error:
        note = f"anchored rewards are not shown: {error.problems[0]}"
    else:
        note = ""
    with mpl.rc_context(RC):
        width = 6.2 if len(endings) == 1 else 9.6
        figure = Figure(figsize=(width, 4.2), layout="constrained")
        axes = figure.subplots(1, len(endings), squeeze=False, sharey=True)[0]
        for ending, ax in zip(endings, axes, strict=True):
            draw_ending(ending_data(ending), ax)
        for ax in axes:
            ax.set_ylim(bottom=0.0)
            ax.label_outer()
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper right", ncols=3, frameon=False)
        # On a line of its own: the layout puts both into the same band, where they could meet.
        figure.suptitle(
            f"\n{objective.trainer}: {headline(objective)}", x=0.01, ha="left", linespacing=1.6
        )
        missing = f"not shown: {', '.join(endings[0].left_out)}" if endings[0].left_out else ""
        lines = [fill(line, int(16 * width)) for line in (missing, note) if line]
        figure.supxlabel("\n".join(lines), fontsize=7, color=BASE)
    return figure


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
        If there is no closed form.
    """
    figure = audit_figure(objective)
    formats = figure.canvas.get_supported_filetypes()
    kind = path.suffix.removeprefix(".").lower()
    if kind not in formats:
        raise InputError(f"{path} must end in .png, .svg or .pdf, to tell what to draw")
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(RC):
        figure.savefig(path, dpi=160, metadata={"Date": None} if kind == "svg" else {})
    return path


def _with_rest(log_p: Float[np.ndarray, "4 4"], order: np.ndarray) -> Float[np.ndarray, " n"]:
    """Return probabilities of the good outputs in an order, and that of all others."""
    good = np.exp(log_p[GOOD])[order]
    return np.append(good, 1.0 - good.sum())
