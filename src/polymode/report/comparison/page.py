"""The page of a comparison."""

from collections.abc import Iterator, Mapping

from polymode.diagnostics.comparison import Comparison
from polymode.report.blocks import Block, Prose, Section
from polymode.report.comparison.plots import curve_plots, front_plot, promise_plots
from polymode.report.comparison.prompts import prompt_order, prompt_table, prompt_views
from polymode.report.comparison.tables import found_table, pair_table, summary_table
from polymode.report.comparison.verdict import verdict
from polymode.report.page import page

__all__ = ["comparison_page"]

_TABLE_PROMPTS = 200
_SHOWN_PROMPTS = 40


def comparison_page(comparison: Comparison, *, facts: Mapping[str, str] | None = None) -> str:
    """Return the HTML page of a comparison.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    facts : mapping of str to str, or None
        Shown at the foot.

    Returns
    -------
    str
        See `polymode.report.page`. Of completions it has a few of the prompts on which runs differ
        most, whatever their number.

    Raises
    ------
    MissingExtraError
        Without jinja2.
    """
    names = [found.run.name for found in comparison.runs]
    few = len(names) <= 4
    title = f"{', '.join(names)} compared" if few else f"{len(names)} runs compared"
    return page(
        title,
        tuple(_sections(comparison)),
        subtitle="Quality and diversity, side by side: did every good answer survive?",
        verdict=verdict(comparison),
        facts=facts,
    )


def _sections(comparison: Comparison) -> Iterator[Section]:
    """Yield the sections that have content."""
    front = front_plot(comparison)
    blocks: list[Block] = [summary_table(comparison), *([front] if front else [])]
    yield Section("summary", "Summary", blocks)
    if found := found_table(comparison):
        yield Section("found", "Molecules found", [found, *curve_plots(comparison, by_calls=True)])
    if promises := promise_plots(comparison):
        lead = "What the optimum of each objective gives, beside what its model gives."
        yield Section("promises", "Promised and measured", promises, lead, beside=True)
    if curves := curve_plots(comparison):
        yield Section("training", "Training", curves, beside=True)
    if pairs := pair_table(comparison):
        yield Section("pairs", "Paired tests", [pairs])
    if keys := prompt_order(comparison, _TABLE_PROMPTS):
        yield Section("prompts", "Prompts", [prompt_table(comparison, keys)])
        views = prompt_views(comparison, keys[:_SHOWN_PROMPTS])
        which = f"the {len(views)} prompts on which runs differ most" if views[1:] else "the prompt"
        lead = (
            f"The most frequent modes of {which}, each with its share of the samples and one "
            "completion."
        )
        yield Section("completions", "Completions", views, lead)
    if comparison.notes:
        yield Section("notes", "Notes", [Prose(comparison.notes, listed=True)])
