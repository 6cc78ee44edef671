"""The tables of a diagnosis: for the terminal, the page and papers alike."""

import math
from collections.abc import Iterator

import numpy as np

from polymode.diagnostics.diagnosis import FIGURE_NAMES, POLICIES, Report
from polymode.report.blocks import Cell, Column, Table
from polymode.report.diagnosis.words import as_it_is, estimate_cell, told
from polymode.report.numbers import factor, number, percent

__all__ = [
    "bad_row_table",
    "budget_table",
    "diagnosis_tables",
    "figure_table",
    "modes_kept_table",
    "reliability_table",
    "what_if_table",
]

_SHOWN = ("expected_reward", "mass_good", "effective_modes", "effective_modes_good")


def figure_table(report: Report) -> Table:
    """Return quality and diversity of reference, target and policy.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Table
        A row for each figure, a column for each of the policies that there are.
    """
    names = [name for name in POLICIES if name in report.overall]
    columns = [Column("figure", number=False), *(Column(POLICIES[name]) for name in names)]
    rows = [
        [Cell(label, value=label), *(estimate_cell(report.overall[p].get(name)) for p in names)]
        for name, label in FIGURE_NAMES.items()
    ]
    caption = (
        f"Over {_prompts(report.samples.n_prompts)}, with {100 * report.settings.level:g} % "
        f"intervals that resample {report.resampled}. Good is a reward of at least "
        f"{report.settings.threshold:g}. Effective numbers: how many equally likely modes would be "
        "as diverse, the geometric mean over prompts."
    )
    return Table("figures", caption, columns, rows)


def budget_table(report: Report) -> Table:
    """Return the collapse budget, from all good modes to those that are left.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Table
        In nats, and as the factor that each step leaves of the number of modes.
    """
    budget = report.budget
    last = "left to the target" if budget.optimiser is None else "left to the policy"
    steps = [
        ("good modes within reach", budget.ceiling, 1, "where it starts"),
        ("reference bias", budget.reference_bias, -1, "equal rewards keep the reference's ratios"),
        ("reward gaps", budget.reward_gaps, -1, "gaps between good rewards, divided by beta"),
        ("optimiser", budget.optimiser, -1, "the policy against its own target"),
        (last, budget.left, 1, "what remains"),
    ]
    columns = [Column("step", number=False), Column("diversity", "nats"), Column("modes", "factor")]
    columns.append(Column("why", number=False))
    rows = [
        [
            Cell(name, value=name),
            estimate_cell(step),
            Cell(factor(sign * float(step.value)), value=math.exp(sign * float(step.value))),
            Cell(why, value=why),
        ]
        for name, step, sign, why in steps
        if step is not None and not np.isnan(step.value)
    ]
    caption = (
        f"Over the {_prompts(budget.n_prompts)} with two or more good modes within reach. The "
        "first row less the losses is the last row, exactly; factors multiply."
    )
    return Table("budget", caption, columns, rows)


def what_if_table(report: Report) -> Table:
    """Return what the objective would ask for under other settings.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Table
        As it is, first; then a row for each change.
    """
    columns = [Column("change", number=False)]
    columns += [Column(FIGURE_NAMES[name]) for name in _SHOWN]
    columns.append(Column("good modes kept", "share"))
    rows = [
        [
            Cell(told(found, report), value=found.name, strong=i == 0),
            *(estimate_cell(found.figures.get(name)) for name in _SHOWN),
            estimate_cell(found.kept),
        ]
        for i, found in enumerate((as_it_is(report), *report.what_ifs))
    ]
    caption = (
        "The target under one change at a time, everything else as it is. Under another threshold "
        "other outputs are good, so that its last columns count others. Below each number the "
        f"{100 * report.settings.level:g} % interval. A question mark stands where fewer than "
        f"{percent(report.settings.limits.prompts)} of the prompts can be trusted about a change."
    )
    return Table("what-ifs", caption, columns, rows)


def modes_kept_table(report: Report) -> Table | None:
    """Return which strength keeps how many good modes, and what that costs.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Table or None
        None where nothing was asked for.
    """
    if not report.modes_kept:
        return None
    columns = [Column("good modes to keep", "effective"), Column("smallest beta")]
    columns += [Column("expected reward"), Column("price", "reward units")]
    rows = [
        [
            Cell(f"{found.effective_modes_good:g}", value=found.effective_modes_good),
            Cell("none of the sweep") if math.isnan(found.beta) else _cell(found.beta),
            _cell(found.expected_reward),
            _cell(found.price),
        ]
        for found in report.modes_kept
    ]
    caption = (
        "Without anchoring: the smallest strength of the sweep from which the target keeps so many "
        f"good modes, and how much less reward it expects than at beta {report.settings.beta:g}."
    )
    return Table("modes-kept", caption, columns, rows)


def reliability_table(report: Report) -> Table:
    """Return how far the samples can be trusted.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Table
        A row for each measure: its limit, quartiles over prompts, and how many hold the limit.
    """
    found, limits = report.reliability, report.settings.limits
    by_mode = not report.samples.modes_are_outputs  # of outputs the log-probabilities tell more
    measures = [
        ("effective samples", found.ess, "at least", limits.ess),
        ("Pareto-k", found.pareto_k, "at most", limits.pareto_k),
        (
            "target seen",
            found.target_coverage,
            *(("at least", limits.coverage) if by_mode else ("", math.nan)),
        ),
        ("reference seen", found.coverage, "", math.nan),
        ("reference seen, exact", found.seen_mass, "", math.nan),
    ]
    columns = [Column("measure", number=False), Column("limit", number=False)]
    columns += [Column(name) for name in ("lowest", "median", "highest", "not known")]
    columns.append(Column("within limit", "prompts"))
    rows = [_measure(*measure) for measure in measures]
    n = len(found.ess)
    caption = (
        f"Over {_prompts(n)}. {int(np.sum(found.reliable)):,} of them "
        f"({percent(float(np.mean(found.reliable)))}) are reliable."
    )
    return Table("reliability", caption, columns, rows)


def bad_row_table(report: Report) -> Table | None:
    """Return the rows that could not be used.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Table or None
        None where every row was used.
    """
    bad = report.samples.bad_rows
    if not bad:
        return None
    columns = [
        Column("reason", number=False),
        Column("rows"),
        Column("the first ones", number=False),
    ]
    rows = [
        [
            Cell(found.reason, value=found.reason),
            Cell(f"{found.n:,}", value=found.n),
            Cell("; ".join(found.examples[:3])),
        ]
        for found in bad
    ]
    samples = report.samples
    caption = (
        f"{samples.n_rows:,} rows were read; {samples.n_samples:,} were used, and these "
        f"{samples.n_rows - samples.n_samples:,} were not."
    )
    return Table("bad-rows", caption, columns, rows)


def diagnosis_tables(report: Report) -> tuple[Table, ...]:
    """Return every table of a diagnosis.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    tuple of Table
        Those that are empty are left out.
    """
    return tuple(_tables(report))


def _tables(report: Report) -> Iterator[Table]:
    for make in (figure_table, budget_table, what_if_table, modes_kept_table):
        if table := make(report):
            yield table
    yield reliability_table(report)
    if table := bad_row_table(report):
        yield table


def _measure(name: str, values: np.ndarray, word: str, limit: float) -> list[Cell]:
    """Return the row of one measure of reliability."""
    known = values[~np.isnan(values)]
    low, middle, high = (
        np.quantile(known, [0, 0.5, 1], method="lower") if len(known) else [np.nan] * 3
    )
    held = known >= limit if word == "at least" else known <= limit
    return [
        Cell(name, value=name),
        Cell(f"{word} {limit:g}" if word else ""),
        *map(_cell, (low, middle, high)),
        Cell(f"{len(values) - len(known):,}", value=len(values) - len(known)),
        Cell(f"{int(held.sum()):,}" if word else "", value=int(held.sum()) if word else None),
    ]


def _cell(value: float) -> Cell:
    """Return a number without an interval."""
    value = float(value)
    text = (
        number(value)
        if math.isfinite(value) or math.isnan(value)
        else ("no tail", "infinite")[value > 0]
    )
    return Cell(text, value=None if math.isnan(value) else value)


def _prompts(n: int) -> str:
    return "1 prompt" if n == 1 else f"{n:,} prompts"
