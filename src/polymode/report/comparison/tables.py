"""The tables of a comparison: for the terminal, the page and papers alike."""

import math

import numpy as np

from polymode.diagnostics.comparison import Compared, Comparison
from polymode.diagnostics.figures import FIGURES
from polymode.report.blocks import Cell, Column, Table
from polymode.report.comparison.words import figure_words, p_words
from polymode.report.numbers import interval, number, signed

__all__ = ["comparison_tables", "found_table", "pair_table", "promise_table", "summary_table"]


def summary_table(comparison: Comparison) -> Table:
    """Return quality and diversity of each run, with intervals and the front.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    Table
        One row for each run; figures that no run has are left out. The best of a column stands out.
    """
    names = _shown_figures(comparison)
    level = f"{100 * comparison.settings.level:g} %"
    columns = [Column("run", number=False)]
    columns += [Column(_title(comparison, name), FIGURES[name].unit) for name in names]
    columns += [Column("front", "share of rounds", number=False)]
    columns += [Column("prompts"), Column("samples", "per prompt")]
    best = {name: _best(comparison, name) for name in names}
    kinds = len({found.run.kind for found in comparison.runs}) > 1
    rows = [
        [_name(found, kinds), *_cells(found, names, best), _front(found), *_sizes(found)]
        for found in comparison.runs
    ]
    caption = (
        f"Means over {_prompts(comparison)} with {level} bootstrap intervals; good is a reward of "
        f"at least {comparison.basis.threshold:g}. Front: no other run is better in both "
        f"{_axis(comparison, 'quality')} and {_axis(comparison, 'diversity')}."
    )
    return Table("summary", caption, columns, rows)


def found_table(comparison: Comparison) -> Table | None:
    """Return what runs on molecules have found in all their oracle calls.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    Table or None
        One row for each run on molecules; None where there is none.
    """
    known = [(run.run.name, run.run.found) for run in comparison.runs if run.run.found is not None]
    if not known:
        return None
    burdens = list(known[0][1].burden)
    columns = [Column("run", number=False), Column("hits", "Yield"), Column("circles", "of hits")]
    columns += [Column("scaffolds", "of hits")]
    columns += [Column(f"OB{n}", "calls") for n in burdens]
    columns += [Column("best", "reward"), Column("calls", "of the oracle")]
    rows = [
        [
            Cell(name, value=name),
            *_counts(found.n_hits, found.n_circles, found.n_scaffolds),
            *_counts(*(found.burden[n] for n in burdens)),
            Cell(number(found.best), value=found.best),
            *_counts(found.n_calls),
        ]
        for name, found in known
    ]
    caption = (
        "What each run has found: different hits, those further than a Tanimoto distance of 0.75 "
        "apart, their Murcko scaffolds, and the calls to the 1st, 10th and 100th hit. Of one seed: "
        "another one gives other numbers."
    )
    return Table("found", caption, columns, rows)


def pair_table(comparison: Comparison) -> Table | None:
    """Return the paired tests of a comparison.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    Table or None
        None where there are none.
    """
    if not comparison.pairs:
        return None
    columns = [
        Column("run", number=False),
        Column("against", number=False),
        Column("figure", number=False),
        Column("prompts"),
        Column("difference"),
        Column("p"),
        Column("p, Holm"),
    ]
    rows = [
        [
            Cell(pair.first, value=pair.first),
            Cell(pair.second, value=pair.second),
            Cell(figure_words(pair.figure, comparison.settings.k), value=pair.figure),
            Cell(f"{pair.n_prompts:,}", value=pair.n_prompts),
            Cell(
                signed(pair.difference.value),
                interval(pair.difference),
                pair.difference.value,
                pair.p_adjusted < 1 - comparison.settings.level,
            ),
            Cell(p_words(pair.p_value), value=pair.p_value),
            Cell(p_words(pair.p_adjusted), value=pair.p_adjusted),
        ]
        for pair in comparison.pairs
    ]
    caption = (
        f"Run minus against, over the prompts that both have: mean with the "
        f"{100 * comparison.settings.level:g} % interval of a paired bootstrap, and Wilcoxon's "
        "signed-rank test, corrected by Holm over all pairs of a figure."
    )
    return Table("pairs", caption, columns, rows)


def promise_table(comparison: Comparison) -> Table | None:
    """Return what was promised beside what was measured.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    Table or None
        None where no run has a promise.
    """
    columns = [Column("run", number=False), Column("answer", number=False)]
    columns += [Column("promised"), Column("measured"), Column("difference")]
    rows = [
        [
            Cell(found.run.name, value=found.run.name),
            Cell(answer, value=answer),
            Cell(number(promised), value=promised),
            Cell(number(measured), value=measured),
            Cell(signed(measured - promised), value=measured - promised),
        ]
        for found in comparison.runs
        if (promise := found.run.promise) is not None
        for answer, promised, measured in zip(
            promise.answers, promise.promised, promise.measured, strict=True
        )
    ]
    distances = [
        f"{found.run.name} {number(found.run.promise.total_variation)}"
        for found in comparison.runs
        if found.run.promise is not None
    ]
    caption = (
        "Probability of each answer at the optimum of the run's objective, and of its model. "
        f"Total variation between the two: {', '.join(distances)}."
    )
    return Table("promises", caption, columns, rows) if rows else None


def comparison_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Return every table of a comparison.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    tuple of Table
        Summary, molecules found, promises, paired tests; those that are empty are left out.
    """
    tables = (summary_table, found_table, promise_table, pair_table)
    return tuple(table for make in tables if (table := make(comparison)) is not None)


def _shown_figures(comparison: Comparison) -> list[str]:
    """Return the figures that at least one run has, each once: rewards of 0 and 1 are pass@1."""
    known = [run.figures for run in comparison.runs if run.figures]
    same = all(math.isclose(f["pass_1"].value, f["reward"].value) for f in known)
    twice = {"pass_1"} if same else set[str]()
    twice |= {"pass_k"} if comparison.settings.k == 1 else set()
    twice.add("entropy")  # the logarithm of the effective modes
    twice -= {comparison.settings.quality, comparison.settings.diversity}
    return [
        name
        for name in FIGURES
        if name not in twice and any(not math.isnan(f[name].value) for f in known)
    ]


def _title(comparison: Comparison, name: str) -> str:
    return figure_words(name, comparison.settings.k)


def _axis(comparison: Comparison, which: str) -> str:
    return _title(comparison, getattr(comparison.settings, which))


def _best(comparison: Comparison, name: str) -> float:
    """Return the best value of a figure; NaN where there is nothing to be better than."""
    values = [r.figures[name].value for r in comparison.runs if r.figures]
    known = [value for value in values if not math.isnan(value)]
    if not FIGURES[name].high_is_good or len(known) < 2:
        return math.nan
    return max(known) if len(set(known)) > 1 else math.nan


def _prompts(comparison: Comparison) -> str:
    """Say over how many prompts the figures are."""
    sizes = {len(found.prompts.keys) for found in comparison.runs if found.prompts is not None}
    if len(sizes) != 1:
        return "prompts"
    (n,) = sizes
    return "one prompt" if n == 1 else f"{n:,} prompts"


def _name(found: Compared, with_kind: bool) -> Cell:
    """Return the cell that says which run a row is about."""
    return Cell(found.run.name, found.run.kind if with_kind else "", found.run.name)


def _sizes(found: Compared) -> list[Cell]:
    """Return the cells that say on how much the figures rest."""
    if found.prompts is None:
        return [Cell("-"), Cell("-")]
    n, sizes = len(found.prompts.keys), found.prompts.n_samples
    usual = float(np.median(sizes))
    samples = Cell("exact", value=math.inf) if not sizes.any() else Cell(f"{usual:g}", value=usual)
    return [Cell(f"{n:,}", value=n), samples]


def _counts(*values: float) -> list[Cell]:
    """Return cells of counts; a count that never came is a dash."""
    return [Cell("-") if math.isnan(n) else Cell(f"{n:,.0f}", value=n) for n in values]


def _cells(found: Compared, names: list[str], best: dict[str, float]) -> list[Cell]:
    """Return the cells of the figures."""
    if not found.figures:
        return [Cell("-") for _ in names]
    return [
        Cell(
            number(value.value),
            interval(value),
            None if math.isnan(value.value) else value.value,
            value.value == best[name],
        )
        for name, value in found.figures.items()
        if name in names
    ]


def _front(found: Compared) -> Cell:
    """Return whether and how surely a run is on the front."""
    if not found.figures:
        return Cell("-")
    share = "" if math.isnan(found.front_share) else f"{100 * found.front_share:.0f} %"
    value = found.on_front + (0.0 if math.isnan(found.front_share) else found.front_share)
    return Cell("yes" if found.on_front else "no", share, value)
