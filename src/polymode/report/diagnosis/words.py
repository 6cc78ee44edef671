"""How a diagnosis is put into words: names, settings, what its numbers are about."""

import numpy as np

from polymode.diagnostics.diagnosis import VERDICTS, Report, WhatIf
from polymode.metrics.intervals import Estimate
from polymode.report.blocks import Cell
from polymode.report.numbers import interval, number

__all__ = [
    "COLOURS",
    "SHORT",
    "as_it_is",
    "estimate_cell",
    "facts_of",
    "one",
    "subtitle",
    "title",
    "told",
    "verdict",
]

SHORT = {
    "reference": "reference",
    "target": "objective",
    "anchored": "anchored",
    "policy": "policy",
}
"""Each of `POLICIES` where there is little room."""

COLOURS = {
    "reference": "@run-6",
    "target": "@run-0",
    "anchored": "@run-1",
    "policy": "@run-2",
}
"""The colour of each, the same in every plot."""


def as_it_is(report: Report) -> WhatIf:
    """Return the objective itself, to stand beside what would change it.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    WhatIf
        Named "as it is".
    """
    reliable = report.verdict.numbers["frac_reliable"]
    kept, target = report.budget.kept, report.overall["target"]
    return WhatIf("beta", "as it is", "", target, kept, reliable)


def told(change: WhatIf, report: Report) -> str:
    """Return the name of a change, with a question mark where the samples cannot tell.

    Parameters
    ----------
    change : WhatIf
        The change.
    report : Report
        The diagnosis.

    Returns
    -------
    str
        What stands in tables.
    """
    doubtful = change.frac_reliable < report.settings.limits.prompts
    return f"{change.name} ?" if doubtful else change.name


def one(estimate: Estimate, position: int) -> Estimate:
    """Return one of several estimates.

    Parameters
    ----------
    estimate : Estimate
        With arrays of one axis.
    position : int
        Which one.

    Returns
    -------
    Estimate
        With numbers.
    """
    parts = (estimate.value, estimate.standard_error, estimate.low, estimate.high)
    value, error, low, high = (float(part[position]) for part in parts)
    return Estimate(value, error, low, high, int(np.ravel(estimate.n)[position]))


def estimate_cell(estimate: Estimate | None, *, strong: bool = False) -> Cell:
    """Return the cell of a table with an estimate and its interval.

    Parameters
    ----------
    estimate : Estimate or None
        None where there is none.
    strong : bool
        Whether it stands out.

    Returns
    -------
    Cell
        A dash where the number is not known.
    """
    if estimate is None or np.isnan(estimate.value):
        return Cell("-")
    value = float(estimate.value)
    ends = "" if number(estimate.low) == number(estimate.high) else interval(estimate)
    return Cell(number(value), ends, value, strong)


def title(report: Report) -> str:
    """Return the heading of a diagnosis.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    str
        The kind of its verdict.
    """
    return VERDICTS[report.verdict.kind].capitalize()


def subtitle(report: Report) -> str:
    """Return what was diagnosed, in one line.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    str
        Samples and objective.
    """
    samples, settings = report.samples, report.settings
    prompts = "1 prompt" if samples.n_prompts == 1 else f"{samples.n_prompts:,} prompts"
    return (
        f"{samples.source}: {samples.n_samples:,} samples of {prompts}, drawn from the "
        f"{samples.drawn_from}. Objective: beta {settings.beta:g}, {settings.divergence_name}; "
        f"good from a reward of {settings.threshold:g}."
    )


def verdict(report: Report) -> tuple[str, ...]:
    """Return the verdict in sentences.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    tuple of str
        What a colleague would say, and what to do about it where something is to be done.
    """
    found = report.verdict
    return (found.sentence, *([found.advice] if found.advice else []))


def facts_of(report: Report) -> dict[str, str]:
    """Return everything that decided the numbers, for the foot of the page.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    dict of str to str
        By name.
    """
    s, limits = report.settings, report.settings.limits
    swept = s.swept()
    return {
        "objective": f"beta {s.beta:g}, divergence {s.divergence_name}, threshold {s.threshold:g}",
        "intervals": f"{100 * s.level:g} %, {s.n_rounds} bootstrap rounds over "
        f"{report.resampled}, seed {s.seed}",
        "strengths": f"{len(swept)}, from {swept[0]:.3g} to {swept[-1]:.3g}",
        "within reach": f"good modes that are seen with a probability of {s.reach:g} or more",
        "collapsed": f"below {limits.kept:g} of the good modes kept and {limits.many:g} modes",
        "optimised": f"from {limits.on_target:g} of the target's probability of good outputs",
        "reliable": f"{limits.ess:g} effective samples, Pareto-k at most {limits.pareto_k:g}, "
        f"{limits.coverage:g} of the target seen, the number of good modes within reach known to "
        f"{limits.number:.0%}; of {limits.prompts:g} of the prompts",
    }
