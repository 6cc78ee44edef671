"""The page of a run on molecules."""

import math
from collections.abc import Iterator, Mapping

from polymode.diagnostics.chemistry import MoleculeFindings, MoleculeRun, molecule_findings
from polymode.report.blocks import Block, Fact, Facts, Prose, Section
from polymode.report.chemistry.gallery import cluster_gallery, scaffold_gallery
from polymode.report.chemistry.plots import (
    collapse_plots,
    found_plots,
    learning_plots,
    promise_plots,
)
from polymode.report.chemistry.tables import config_table, molecule_table, oracle_table, time_table
from polymode.report.chemistry.words import subtitle, verdict
from polymode.report.numbers import number, percent
from polymode.report.page import page

__all__ = ["chemistry_page"]


def chemistry_page(
    run: MoleculeRun,
    findings: MoleculeFindings | None = None,
    *,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Return the HTML page of a run on molecules.

    Parameters
    ----------
    run : MoleculeRun
        The run, as `read_molecule_run` returns it; it need not have ended.
    findings : MoleculeFindings or None
        What it found; None computes it.
    facts : mapping of str to str, or None
        Shown at the foot.

    Returns
    -------
    str
        See `polymode.report.page`. It draws the best molecules of at most 60 clusters and the 24
        most frequent scaffolds, whatever the size of the run.

    Raises
    ------
    MissingExtraError
        Without jinja2 or RDKit.
    """
    found = molecule_findings(run) if findings is None else findings
    return page(
        run.name,
        tuple(_sections(run, found)),
        subtitle=subtitle(run),
        verdict=verdict(run, found),
        facts=facts,
    )


def _sections(run: MoleculeRun, found: MoleculeFindings) -> Iterator[Section]:
    """Yield the sections that have content."""
    yield Section("numbers", "The numbers to remember", [_key_facts(run, found)], short="Verdict")
    plots = found_plots(run, found)
    yield Section("found", "Found for oracle calls", plots, beside=True, short="Found")
    if found.clusters:
        lead = f"The best of the {found.subject}, one for each cluster."
        gallery = cluster_gallery(run, found)
        yield Section("clusters", "Best molecules", [gallery], lead, short="Best")
        lead = "Many small shares are what diversity looks like; one large share is collapse."
        yield Section("scaffolds", "Scaffolds", [scaffold_gallery(run, found)], lead)
    yield Section("learning", "Learning curves", learning_plots(run), beside=True, short="Learning")
    if promises := promise_plots(run):
        lead = "What the optimum of the target gives to modes, beside what the policy gives them."
        title = "Promised and measured"
        yield Section("promise", title, promises, lead, beside=True, short="Promise")
    signs: list[Block] = [*collapse_plots(run)]
    if run.alerts:
        signs.append(Prose([f"step {step}: {text}" for step, text in _first_alerts(run)], True))
    yield Section("collapse", "Signs of collapse", signs, beside=True, short="Collapse")
    if found.clusters:
        yield Section("table", "Molecules", [molecule_table(run, found)], short="Table")
    losses = [] if run.result is None else list(map(str, run.result.get("losses", ())))
    oracle: list[Block] = [oracle_table(run), *([Prose(losses, listed=True)] if losses else [])]
    yield Section("oracle", "Oracle and time", [*oracle, time_table(run)], short="Oracle")
    notes: list[Block] = [Prose(run.notes, listed=True)] if run.notes else []
    yield Section("settings", "Settings and notes", [*notes, config_table(run)], short="Settings")


def _key_facts(run: MoleculeRun, found: MoleculeFindings) -> Facts:
    """Return the numbers that a reader should remember."""
    n_calls = len(run.calls)
    share = len(found.hits) / n_calls if n_calls else math.nan
    strings = run.last("n_samples")
    burden = " / ".join("-" if math.isnan(n) else f"{n:,.0f}" for n in found.burden.values())
    return Facts(
        [
            Fact("hits (Yield)", f"{len(found.hits):,}", f"{percent(share)} of the calls"),
            Fact("circles of hits", f"{found.n_circles:,}", "further than 0.75 apart"),
            Fact(
                f"scaffolds of the {found.subject}",
                f"{len(found.scaffolds):,}",
                f"{number(found.effective_scaffolds)} effective",
            ),
            Fact("best reward", number(run.last("reward/best"))),
            Fact(f"calls to hit {', '.join(map(str, found.burden))} (OB)", burden),
            Fact("oracle calls", f"{n_calls:,}", f"for {strings:,.0f} strings"),
        ]
    )


def _first_alerts(run: MoleculeRun) -> list[tuple[int, str]]:
    """Return the first alert of each stretch of steps that have one."""
    steps = {alert.step for alert in run.alerts}
    return [(step, text) for step, text in run.alerts if step - 1 not in steps][:20]
