"""Which figures of a run on molecules are drawn together, and what a reader should know of them."""

from dataclasses import dataclass

__all__ = ["COLLAPSE", "FOUND", "LEARNING", "PROMISE", "Curves", "Line"]


@dataclass(frozen=True)
class Line:
    """A figure as a line.

    Parameters
    ----------
    key : str
        Its name in the log of the run.
    name : str
        What the legend calls it.
    colour : str
        As plots take it.
    total : bool
        Whether it is of the run so far: then the last of several steps counts, else their mean.
    dash : str
        How it is drawn.
    """

    key: str
    name: str
    colour: str
    total: bool = False
    dash: str = "solid"


@dataclass(frozen=True)
class Curves:
    """Figures that share a plot.

    Parameters
    ----------
    name : str
        What identifies the plot on the page.
    label : str
        Of the vertical axis.
    caption : str
        What is drawn.
    lines : tuple of Line
        The figures.
    limit : str
        Key of the config, ``section.key``, whose value is drawn as a dotted line; empty for none.
    share : bool
        Whether they lie in [0, 1].
    by_calls : bool
        Whether they are drawn against oracle calls; else against steps.
    """

    name: str
    label: str
    caption: str
    lines: tuple[Line, ...]
    limit: str = ""
    share: bool = False
    by_calls: bool = False


LEARNING = (
    Curves(
        "reward",
        "reward",
        "Rewards of the molecules of a step, before filter and shaping, and the best one so far. "
        "Dotted: from there on a molecule is a hit.",
        (
            Line("reward/mean", "mean", "@run-1"),
            Line("reward/best", "best so far", "@run-0", total=True),
        ),
        limit="target.threshold",
    ),
    Curves(
        "shares",
        "share",
        "Strings of a step that are molecules, that are hits, and molecules that were scored "
        "before (repeats).",
        (
            Line("samples/frac_valid", "valid", "@run-6"),
            Line("samples/frac_hits", "hits", "@run-0"),
            Line("samples/frac_repeats", "repeats", "@run-2"),
        ),
        share=True,
    ),
    Curves(
        "kl",
        "KL to the prior (nats)",
        "Reverse KL to the prior: the mean of log p - log q over the strings of a step. It grows "
        "without end where the prior is forgotten.",
        (Line("kl/to_prior", "KL", "@run-3"),),
    ),
)

PROMISE = (
    Curves(
        "modes",
        "effective modes",
        "Modes of hits that are known, and over how many equally likely ones the target (promised) "
        "and the policy's recent hits (measured) spread.",
        (
            Line("target/modes", "known", "@run-6", total=True, dash="dot"),
            Line("target/effective_modes_promised", "promised", "@run-0"),
            Line("target/effective_modes_measured", "measured", "@run-1"),
        ),
    ),
    Curves(
        "distance",
        "share",
        "Total variation between promised and measured shares of the known modes: 0 is a promise "
        "kept. Modes are used up once the pressure on visited modes has taken their reward.",
        (
            Line("target/mode_distance", "distance", "@run-2"),
            Line("target/frac_modes_used_up", "modes used up", "@run-6", dash="dot"),
        ),
        share=True,
    ),
)

FOUND = (
    Curves(
        "yield",
        "found so far",
        "Different hits (Yield) and their Murcko scaffolds. Diamonds: the 1st, 10th and 100th hit, "
        "whose calls are OB1, OB10 and OB100.",
        (
            Line("hits/total", "hits", "@run-0", total=True),
            Line("hits/scaffolds", "scaffolds", "@run-1", total=True),
        ),
        by_calls=True,
    ),
    Curves(
        "circles",
        "circles",
        "#Circles: hits that lie pairwise further than a Tanimoto distance of 0.75 apart, taken in "
        "the order of their calls. Decorating one scaffold does not raise it.",
        (Line("hits/circles", "circles", "@run-2", total=True),),
        by_calls=True,
    ),
)

COLLAPSE = (
    Curves(
        "repeats",
        "share of repeats",
        "Molecules of a step that were scored before. Above the dotted line for long: collapse.",
        (Line("samples/frac_repeats", "repeats", "@run-2"),),
        limit="alert.repeats",
        share=True,
    ),
    Curves(
        "scaffolds",
        "effective scaffolds",
        "How many equally frequent Murcko scaffolds would be as diverse as the molecules of a "
        "step. Below the dotted line for long: collapse.",
        (Line("diversity/effective_scaffolds", "scaffolds", "@run-1"),),
        limit="alert.effective_scaffolds",
    ),
    Curves(
        "spread",
        "spread of log q (nats)",
        "Largest minus smallest log-probability under the prior among the hits of a step. Small: "
        "the hits are those that the prior likes anyway.",
        (Line("hits/ref_log_prob_spread", "spread", "@run-3"),),
    ),
)
