"""`polymode demo`: post-train one model twice and compare each run with its promise."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from polymode.cli.runs import RUNS, last_run, new_run, quiet_hosts
from polymode.errors import MissingExtraError
from polymode.language.demo_run import DemoSettings, check_run, resumed_settings

if TYPE_CHECKING:
    from polymode.language.answers import AnswerDistribution
    from polymode.language.demo import Method

HELP = (
    "Post-train a language model twice, plain and mode-anchored, and check the promises.\n\n"
    "Measures how a model answers 'roll a die', computes which distribution each objective asks "
    "for, trains both, and measures again. Prints one table; writes result.json, figure.png and "
    "figure.svg.\n\n"
    "Takes minutes on two CPU cores; uses a GPU where there is one. A run that was killed goes on "
    "with --resume."
)


def demo(
    ctx: typer.Context,
    task: Annotated[
        str, typer.Option(help="What to pick: die, one-or-two, season or colour.")
    ] = "die",
    steps: Annotated[int, typer.Option(help="Training steps of each run.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of sampling and initialisation.")] = 0,
    beta: Annotated[float, typer.Option(help="KL strength, reward units per nat.")] = 0.2,
    level: Annotated[
        Literal["modes", "strings"],
        typer.Option(help="Anchor answers (modes) or single completions (strings)."),
    ] = "modes",
    model: Annotated[
        str, typer.Option(help="smollm2-135m (ships as a package), a directory, or a hub id.")
    ] = "smollm2-135m",
    out: Annotated[
        Path | None,
        typer.Option(help=f"Directory of the run. Default: a new one under {RUNS}/."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three short steps: shows that everything works.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue a killed run: the last one, or the one in --out."),
    ] = False,
) -> None:
    """Run the demo in `out`, print its table, write its files."""
    given: dict[str, Any] = {
        "task": task,
        "steps": steps,
        "seed": seed,
        "beta": beta,
        "level": level,
        "model": model,
    }
    if resume:
        out = out or last_run("demo")
        settings = resumed_settings(out, {k: v for k, v in given.items() if _was_said(ctx, k)})
    else:
        settings = DemoSettings(**given)
        settings = settings.quick() if quick else settings
        out = out or new_run(f"demo-{task}-seed{seed}" + ("-quick" if quick else ""))
    check_run(settings, out, resume=resume)  # `run_demo` does so, too; here it costs no loading

    try:
        from polymode.language.demo import run_demo
        from polymode.plots.demo import save_demo_figure
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "all") from error
    console = Console()
    console.print(f"polymode demo: task {settings.task}, run in {out}", style="bold", markup=False)
    with quiet_hosts(), _Screen(console) as screen:
        try:
            result = run_demo(settings, out, screen, resume=resume)
        except KeyboardInterrupt:
            console.print(f"stopped; to go on: polymode demo --resume --out {out}", markup=False)
            sys.exit(130)
    paths = save_demo_figure(result, out)
    console.print(_result_table(result))
    console.print(_verdict(result))
    for path in (out / "result.json", *paths):
        console.print(f"wrote {path}", soft_wrap=True, markup=False)


def _was_said(ctx: typer.Context, name: str) -> bool:
    """True if the user gave this option, rather than its default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


class _Screen:
    """Progress bars and the answers as they change; plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._rows: dict[str, Any] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "_Screen":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def stage(self, text: str) -> None:
        """Print the name of a stage."""
        self._console.print(f"· {text}")

    def progress(
        self, method: "Method", step: int, steps: int, answers: "AnswerDistribution"
    ) -> None:
        """Move the bar and redraw the answers."""
        if not self._console.is_terminal:
            if step % 10 == 0 or step in (1, steps):
                line = f"  {step:>4}/{steps}  {_one_line(answers)}"
                self._console.print(line, soft_wrap=True, markup=False, highlight=False)
            return
        if method not in self._rows:
            self._rows[method] = self._bar.add_task(method, total=steps)
        self._bar.update(self._rows[method], completed=step)
        self._live.update(Group(self._bar, _bars(answers)))


def _one_line(answers: "AnswerDistribution") -> str:
    shares = "  ".join(f"{name} {p:.3f}" for name, p in answers.probabilities.items())
    return f"valid {answers.frac_valid:.3f}  {answers.effective_answers:.2f} effective  {shares}"


def _bars(answers: "AnswerDistribution") -> Text:
    """One bar per answer, full width at probability 1/2."""
    text = Text()
    for name, p in answers.probabilities.items():
        text.append(f"  {name:>8} {p:6.3f} ")
        text.append("█" * min(60, round(p * 120)) + "\n", style="cyan")
    text.append(
        f"  valid {answers.frac_valid:.3f}, {answers.effective_answers:.2f} effective answers"
    )
    return text


def _result_table(result: Mapping[str, Any]) -> Table:
    """Base, then promised and measured of each run: everything the demo is about."""
    columns: list[tuple[str, Mapping[str, Any], str]] = [("base", result["base"]["exact"], "")]
    for name, run in result["runs"].items():
        columns.append((f"{name}\npromised", run["promised"], ""))
        distance = f"{run['total_variation_to_promise']:.3f}"
        columns.append((f"{name}\nmeasured", run["measured"]["exact"], distance))
    table = Table(title=f"Task {result['settings']['task']}: what was promised and what came")
    table.add_column("")
    for header, _, _ in columns:
        table.add_column(header, justify="right")
    rows: list[tuple[str, str, str]] = [
        ("expected reward", "expected_reward", ".3f"),
        ("frac valid", "frac_valid", ".3f"),
        ("entropy, nats", "entropy", ".3f"),
        ("entropy / maximum", "frac_of_max_entropy", ".3f"),
        ("effective answers", "effective_answers", ".2f"),
    ]
    for label, key, form in rows:
        table.add_row(label, *(_number(d[key], form) for _, d, _ in columns))
    table.add_section()
    for answer in result["base"]["exact"]["probabilities"]:
        table.add_row(
            f"probability of {answer}",
            *(format(d["probabilities"][answer], ".3f") for _, d, _ in columns),
        )
    table.add_section()
    table.caption = "entropy: over answers; total variation: measured against promised"
    table.add_row("total variation", *(distance for *_, distance in columns))
    return table


def _number(value: float | None, form: str) -> str:
    """Format a number; a dash where there is none (no valid answer, hence no entropy)."""
    return "-" if value is None else format(value, form)


def _verdict(result: Mapping[str, Any]) -> str:
    """One sentence: how far each run is from its promise."""
    parts: list[str] = []
    for name, run in result["runs"].items():
        promised, measured = (
            _number(d["effective_answers"], ".1f")
            for d in (run["promised"], run["measured"]["exact"])
        )
        distance = run["total_variation_to_promise"]
        parts.append(
            f"{name}: promised {promised} effective answers, got {measured} "
            f"(total variation {distance:.2f})"
        )
    return "; ".join(parts) + "."
