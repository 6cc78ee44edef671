"""`polymode bench`: run published benchmarks, and put our figures beside theirs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from polymode.cli.runs import RUNS
from polymode.errors import InputError, MissingExtraError

HELP = "Run published benchmarks, and see the figures beside those of others."

CHEMISTRY_HELP = (
    "Run a suite of benchmarks of molecule design.\n\n"
    "`polymode bench chemistry --list` tells the suites, tasks and methods. "
    "`polymode bench chemistry --suite diverse-hits --tasks jnk3 --methods reinvent,mara-modes "
    "--seeds 1` is two runs of a few minutes each.\n\n"
    "Every run is kept as one JSON file in --output. What is there is not run again, a run that "
    "was killed goes on, and several processes may share one --output."
)

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Keep `chemistry` a verb of its own: other kinds of models may have theirs."""


@app.command("chemistry", help=CHEMISTRY_HELP)
def chemistry(
    suite: Annotated[str | None, typer.Option(help="Name of the suite; --list tells them.")] = None,
    tasks: Annotated[
        str, typer.Option(help="Some of its tasks, as a,b. Default: all of them.")
    ] = "",
    methods: Annotated[str, typer.Option(help="Methods, as a,b. Default: the suite's own.")] = "",
    seeds: Annotated[
        str, typer.Option(help="How many seeds, or which: 3 or 0,1,2. Default: the suite's own.")
    ] = "",
    workers: Annotated[int, typer.Option(help="Processes, one thread each.")] = 1,
    output: Annotated[
        Path | None, typer.Option(help=f"Directory of the records. Default: {RUNS}/bench-SUITE.")
    ] = None,
    prior: Annotated[str, typer.Option(help="A prior, or its file.")] = "zinc250k",
    budget: Annotated[
        int | None, typer.Option(help="Calls of a run, in place of those of the protocol.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Tell the suites, tasks and methods, and stop.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Run nothing: only tell what is in --output.")
    ] = False,
) -> None:
    """Run what is missing, then tell what all runs say."""
    console = Console(soft_wrap=True)
    if show:
        _list(console, suite)
        return
    if suite is None:
        raise InputError("name a --suite; `polymode bench chemistry --list` tells them")
    try:
        from polymode.chemistry.bench.running import suite_jobs

        directory = output or RUNS / f"bench-{suite}"
        failed = []
        if not summary:
            jobs = suite_jobs(
                suite,
                tasks=_names(tasks),
                methods=_names(methods),
                seeds=_seeds(seeds),
                budget=budget,
                prior=prior,
            )
            failed = _run(console, jobs, directory, workers)
        _tell(console, suite, directory)
    except ModuleNotFoundError as error:
        if isinstance(error, MissingExtraError):
            raise
        raise MissingExtraError(error.name or "a package", "chemistry") from error
    if failed:
        raise InputError(f"{len(failed)} runs failed: {'; '.join(failed)}")


def _run(console: Console, jobs: list[Any], directory: Path, workers: int) -> list[str]:
    """Carry out the runs, and return those that failed."""
    from polymode.chemistry.bench.running import run_jobs

    total = sum(job.n_calls for job in jobs)
    columns = (
        TextColumn("calls"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    failed: list[str] = []
    console.print(f"polymode bench: {len(jobs)} runs, kept in {directory}", markup=False)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        outcomes = run_jobs(
            jobs, directory, n_workers=workers, watch=lambda n: bar.update(task, completed=n)
        )
        for number, outcome in enumerate(outcomes, 1):
            bar.update(task, description=f"{number}/{len(jobs)} runs")
            console.print(f"  {_line(outcome)}", markup=False, highlight=False)
            if outcome.error:
                failed.append(f"{outcome.job.name}: {outcome.error}")
    return failed


def _line(outcome: Any) -> str:
    """Return what became of a run, in a line."""
    if outcome.error:
        return f"{outcome.job.name}  failed: {' '.join(outcome.error.split())}"
    if outcome.record is None:
        return f"{outcome.job.name}  another process is at it"
    figures, seconds = outcome.record["figures"], outcome.record["seconds"]
    found = f"{figures['yield']} hits, {figures['diverse_hits']} diverse"
    return f"{outcome.job.name}  {found}, AUC top-10 {figures['auc_top10']:.3f}, {seconds:.0f} s"


def _tell(console: Console, suite: str, directory: Path) -> None:
    """Print the table of a suite, its peers, its contrasts, and what differs from the source."""
    from polymode.chemistry.bench.published import PEERS
    from polymode.chemistry.bench.suites import find_suite
    from polymode.chemistry.bench.summary import contrasts, lines, read_records
    from polymode.chemistry.bench.tables import peer_rows, rows, words

    own, records = find_suite(suite), read_records(directory, suite)
    if not records:
        raise InputError(f"no runs of {suite} in {directory}: leave --summary out to make some")
    budgets = {record["budget"] for record in records} - {None}
    console.print(f"\n{suite}: {own.about}", markup=False)
    found = lines(records)
    for task in dict.fromkeys(line.task for line in found):
        table = Table(*_headings(own.headline), title=task, title_justify="left", box=SIMPLE)
        for row in rows([line for line in found if line.task == task], own.headline):
            table.add_row(*row)
        for row in peer_rows(suite, task, own.headline):
            table.add_row(*row, style="dim")
        console.print(table)
    for contrast in contrasts(records, suite):
        console.print(f"  {words(contrast)}", markup=False, highlight=False)
    if sources := sorted({peer.source for peer in PEERS[suite]}):
        console.print(f"* published: {'; '.join(sources)}. What differs here:", markup=False)
    for difference in own.differences:
        console.print(f"  - {difference}", markup=False, highlight=False)
    for budget in sorted(budgets):
        console.print(f"  - runs with {budget} calls are not of the protocol", markup=False)


def _headings(headline: tuple[str, ...]) -> list[str]:
    from polymode.chemistry.bench.figures import FIGURES

    return ["method", "seeds", *(FIGURES[name].title for name in headline), "s / run"]


def _list(console: Console, only: str | None) -> None:
    """Tell the suites, or one of them, and the methods."""
    from polymode.chemistry.bench.methods import METHODS
    from polymode.chemistry.bench.suites import SUITES, find_suite

    for name in [only] if only else SUITES:
        own = find_suite(name)
        budgets = "/".join(str(n) for n in sorted({task.budget for task in own.tasks.values()}))
        console.print(f"{name}: {own.about}", markup=False, highlight=False)
        console.print(f"  tasks    {', '.join(own.tasks)}", markup=False, highlight=False)
        console.print(f"  methods  {', '.join(own.methods)}", markup=False, highlight=False)
        console.print(f"  {own.n_seeds} seeds, {budgets} calls", markup=False, highlight=False)
    console.print("methods:", markup=False)
    for name, method in METHODS.items():
        console.print(f"  {name:<22}{method.about}", markup=False, highlight=False)


def _names(text: str) -> tuple[str, ...]:
    """Return names that stand between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _seeds(text: str) -> tuple[int, ...]:
    """Return seeds: a number of them, or a list."""
    try:
        numbers = tuple(int(part) for part in _names(text))
    except ValueError:
        numbers = (-1,)
    if any(number < 0 for number in numbers) or (numbers == (0,) and "," not in text):
        raise InputError(f"--seeds must be a number above 0 or a list such as 0,1,2, got {text!r}")
    if len(numbers) == 1 and "," not in text:
        return tuple(range(numbers[0]))
    return numbers
