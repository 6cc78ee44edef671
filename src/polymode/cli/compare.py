"""`polymode compare`: runs beside each other, quality against diversity."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from polymode.cli.runs import output_problems, page_facts
from polymode.errors import InputError
from polymode.files import write_text

if TYPE_CHECKING:
    from polymode.diagnostics import Comparison
    from polymode.report import Table

_ONLY_ELSEWHERE = {"prompts", "samples", "pass@1", "kl(p, q)"}  # a terminal is narrow

HELP = (
    "Compare runs: quality against diversity, promised against measured.\n\n"
    "A RUN is a directory, or one of its files:\n\n"
    "- of TRL: completions/*.parquet (GRPOTrainer, log_completions=True), trainer_state.json\n\n"
    "- of polymode train language, or chemistry: its directory\n\n"
    "- of polymode demo: result.json; counts as three runs, base, plain and anchored\n\n"
    "- of polymode evaluate: samples.jsonl; each model is a run\n\n"
    "NAME=RUN gives it another name. Prints a verdict and one table; intervals are bootstraps over "
    "prompts. For example:\n\n"
    "polymode compare plain=out/grpo ours=out/mara --mode-key last_number --html report.html"
)


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="What to compare.")],
    html: Annotated[
        Path | None,
        typer.Option(help="Write the page here: plots, tables, completions; opens offline."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all numbers as JSON instead.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables in Markdown instead.")
    ] = False,
    latex: Annotated[
        bool, typer.Option("--latex", help="Print the tables in LaTeX (booktabs) instead.")
    ] = False,
    mode_key: Annotated[
        str | None,
        typer.Option(
            help="What is the same answer: exact, last_number, xml_tag:TAG, regex:PATTERN, for "
            "SMILES canonical, murcko, generic or tanimoto:0.7, or package.module:function. "
            "Default: the modes that a run has, else whole completions."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Rewards at or above it are good (pass@k, good modes). Default: 1, or that of "
            "the runs on molecules."
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", help="Of pass@k. Default: 8, or the fewest samples there are."),
    ] = None,
    last: Annotated[
        int, typer.Option(help="Figures of a training run are over its last N tables or steps.")
    ] = 10,
    reward: Annotated[
        list[str] | None,
        typer.Option(help="Reward column of TRL's tables that counts; repeat. Default: all."),
    ] = None,
    quality: Annotated[
        str, typer.Option(help="Quality axis: reward, pass_1 or pass_k.")
    ] = "reward",
    diversity: Annotated[
        str,
        typer.Option(help="Diversity axis: effective_modes, effective_good_modes or entropy."),
    ] = "effective_modes",
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.95,
    rounds: Annotated[int, typer.Option(help="Bootstrap rounds.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --html if it is there.")
    ] = False,
) -> None:
    """Read, compare, print."""
    problems = list(output_problems({"--html": html}, overwrite=overwrite))
    if as_json + markdown + latex > 1:
        problems.append("choose one of --json, --markdown and --latex")
    if problems:
        raise InputError("; ".join(problems))
    from polymode.diagnostics import ComparisonSettings, ReadOptions, compare_runs, read_runs

    settings = ComparisonSettings(
        threshold=threshold,
        k=k,
        quality=quality,
        diversity=diversity,
        level=level,
        n_rounds=rounds,
        seed=seed,
    )
    options = ReadOptions(mode_key=mode_key, last=last, rewards=tuple(reward or ()))
    comparison = compare_runs(read_runs(runs, options), settings)
    if html is not None:
        _write_page(comparison, html)
    if as_json:
        from polymode.diagnostics.results import comparison_dict

        print(json.dumps(comparison_dict(comparison), indent=2, allow_nan=False))
    elif markdown or latex:
        _print_tables(comparison, latex=latex)
    else:
        _print_page(comparison)
    if html is not None:
        typer.echo(f"wrote {html}", err=as_json or markdown or latex)


def _write_page(comparison: "Comparison", path: Path) -> None:
    """Write the page."""
    from polymode.report.comparison import comparison_page

    settings = comparison.settings
    facts = {
        **page_facts(),
        "bootstrap": f"{settings.n_rounds} rounds, seed {settings.seed}",
        **{run.run.name: str(run.run.path) for run in comparison.runs},
    }
    write_text(path, comparison_page(comparison, facts=facts))


def _print_tables(comparison: "Comparison", *, latex: bool) -> None:
    """Print all tables as text for a paper."""
    from polymode.report import to_latex, to_markdown
    from polymode.report.comparison import comparison_tables

    tables = comparison_tables(comparison)
    print("\n\n".join(to_latex(t) if latex else to_markdown(t) for t in tables))


def _print_page(comparison: "Comparison") -> None:
    """Print the tables, the verdict and the notes: one screen."""
    from polymode.report.comparison import found_table, summary_table, verdict
    from polymode.report.text import shown

    console = Console()
    first, *rest = (shown(line) for line in verdict(comparison))
    console.print(_rich(summary_table(comparison)))
    if found := found_table(comparison):
        console.print(_rich(found))
    console.print(Group(Text(first, style="bold"), *map(Text, rest)))
    for note in comparison.notes:
        console.print(Text(f"· {shown(note)}", style="dim"))


def _rich(table: "Table") -> RichTable:
    """Return a table for the terminal: intervals stand under their numbers."""
    from polymode.report.text import shown

    out = RichTable(caption=Text(table.caption, style="dim"), caption_justify="left", box=SIMPLE)
    kept = [i for i, column in enumerate(table.columns) if column.title not in _ONLY_ELSEWHERE]
    for i in kept:
        column = table.columns[i]
        width = max(map(len, (row[i].detail for row in table.rows)), default=0)
        out.add_column(
            Text(column.title),
            justify="right" if column.number else "left",
            overflow="fold",
            min_width=width - 2 if column.number and width else None,
        )
    for row in table.rows:
        cells: list[Text] = []
        for cell in (row[i] for i in kept):
            text = Text(shown(cell.text, 60), style="bold" if cell.strong else "")
            detail = shown(cell.detail).strip("[]").replace(", ", "\u2013")
            cells.append(text.append(f"\n{detail}", "dim") if detail else text)
        out.add_row(*cells)
    return out
