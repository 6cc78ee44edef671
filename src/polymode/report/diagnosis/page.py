"""The page of a diagnosis."""

import math
from collections.abc import Iterator, Mapping

from polymode.diagnostics.diagnosis import Report
from polymode.metrics.intervals import Estimate
from polymode.report.blocks import Block, Fact, Facts, Prose, Section
from polymode.report.diagnosis.explorer import prompt_widget
from polymode.report.diagnosis.plots import figure_plots, sweep_plots, waterfall_plot
from polymode.report.diagnosis.sweep import sweep_widget
from polymode.report.diagnosis.tables import (
    bad_row_table,
    budget_table,
    figure_table,
    modes_kept_table,
    reliability_table,
    what_if_table,
)
from polymode.report.diagnosis.words import facts_of, subtitle, title, verdict
from polymode.report.numbers import interval, number, percent
from polymode.report.page import page

__all__ = ["diagnosis_page"]


def diagnosis_page(report: Report, *, facts: Mapping[str, str] | None = None) -> str:
    """Return the HTML page of a diagnosis.

    Parameters
    ----------
    report : Report
        What was found.
    facts : mapping of str to str, or None
        Shown at the foot, after the settings.

    Returns
    -------
    str
        See `polymode.report.page`. Below 15 MB: of many prompts it has the outputs with most
        weight, and says how many are left out.

    Raises
    ------
    MissingExtraError
        Without jinja2.
    """
    return page(
        title(report),
        tuple(_sections(report)),
        subtitle=subtitle(report),
        verdict=verdict(report),
        facts={**facts_of(report), **(facts or {})},
    )


def _sections(report: Report) -> Iterator[Section]:
    """Yield the sections that have content."""
    reasons = [Prose(report.verdict.reasons, listed=True)] if report.verdict.reasons else []
    facts = [_key_facts(report), *reasons]
    yield Section("why", "The numbers that decide", facts, short="Verdict")
    asked = [*figure_plots(report), figure_table(report)]
    yield Section("asks", "What the objective asks for", asked, beside=True, short="Target")
    waterfall = waterfall_plot(report)
    budget: list[Block] = [*([waterfall] if waterfall else []), budget_table(report)]
    lead = "How many of the good modes are lost, and to what."
    yield Section("budget", "Where the diversity goes", budget, lead, short="Budget")
    lead = "Drag the slider, or focus it and use the arrow keys. Opened prompts follow."
    sweep = [sweep_widget(report), *sweep_plots(report)]
    yield Section("beta", "At another beta", sweep, lead, beside=True, short="Beta")
    kept = modes_kept_table(report)
    changes = [what_if_table(report), *([kept] if kept else []), Prose([_group_size(report)])]
    yield Section("what-if", "What would change it", changes, short="What if")
    lead = "Those that keep the smallest share of their good modes first."
    yield Section("prompts", "Prompts", [prompt_widget(report)], lead)
    reliability: list[Block] = [reliability_table(report), Prose(_measures(report), listed=True)]
    if report.reliability.reasons:
        reliability.append(Prose([_unreliable(report)]))
    yield Section("reliability", "Can the samples tell?", reliability, short="Reliability")
    bad = bad_row_table(report)
    rows = [*([bad] if bad else []), *([Prose(report.notes, listed=True)] if report.notes else [])]
    if rows:
        yield Section("rows", "Rows and notes", rows)


def _key_facts(report: Report) -> Facts:
    """Return the numbers that a reader should remember."""
    budget, target = report.budget, report.overall["target"]
    reliable = report.reliability.reliable
    return Facts(
        [
            Fact("good modes kept", percent(float(budget.kept.value)), _ends(budget.kept)),
            Fact(
                "good modes within reach",
                number(float(budget.n_good_modes.value)),
                interval(budget.n_good_modes),
            ),
            Fact(
                "effective good modes of the target",
                number(float(target["effective_modes_good"].value)),
                interval(target["effective_modes_good"]),
            ),
            Fact(
                "expected reward of the target",
                number(float(target["expected_reward"].value)),
                interval(target["expected_reward"]),
            ),
            Fact(
                "prompts that can be trusted",
                percent(float(reliable.mean())),
                f"{int(reliable.sum()):,} of {len(reliable):,}",
            ),
        ]
    )


def _ends(share: Estimate) -> str:
    """Return the interval of a share."""
    low, high = float(share.low), float(share.high)
    return "" if math.isnan(low) else f"[{percent(low)}, {percent(high)}]"


def _group_size(report: Report) -> str:
    """Say how large groups must be to show the rarest good mode."""
    found = report.group_size
    median, most = found.get("median", math.nan), found.get("most", math.nan)
    if math.isnan(median):
        return "No prompt has a good mode that was seen: no group size can be told."
    return (
        f"A group of {math.ceil(median):,} samples of the reference shows the rarest good mode of "
        "a prompt that was seen, with a probability of 95 % (the median over prompts; the most is "
        f"{math.ceil(most):,}). A training group that is much smaller hardly ever sees it, and "
        "cannot reinforce it then."
    )


def _measures(report: Report) -> tuple[str, ...]:
    """Say what each measure of reliability means."""
    limit = report.settings.limits.pareto_k
    return (
        "Effective samples: how many samples of the target itself would say as much as these "
        "weighted ones. With few of them, a handful of samples decides everything.",
        f"Pareto-k: how heavy the tail of the weights is. Above {limit:g} means of weights are not "
        "to be trusted, however many samples there are; not known with very few samples.",
        "Target seen, reference seen: share of the probability that lies on modes that the samples "
        "have shown, estimated from how many modes came once (Good and Turing).",
        "Reference seen, exact: probability of the very outputs that were drawn, which their "
        "log-probabilities say without any estimate. Small where every output is another text.",
    )


def _unreliable(report: Report) -> str:
    """Say why prompts are not reliable."""
    parts = [f"{reason}: {n:,}" for reason, n in report.reliability.reasons.items()]
    return f"Prompts that are not reliable, by reason: {'; '.join(parts)}."
