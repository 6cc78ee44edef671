"""`polymode paper figures`: remake the figures of the MARA paper, and one of ours."""

import contextlib
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from polymode.cli.runs import RUNS, new_run
from polymode.errors import InputError, MissingExtraError, PolymodeError
from polymode.files import write_json
from polymode.papers.settings import TRAINED, FigureSettings, read_options
from polymode.plots.words import divergence_words

HELP = "Remake what papers show: numbers and figures."

FIGURES_HELP = (
    "Remake Figures 2 to 5 of the MARA paper, beside a sixth of ours.\n\n"
    "2: two outputs as beta moves. 3: a gap in reward. 4: a biased reference. 5: a policy over 100 "
    "tokens, trained. Each plain and anchored, under reverse and forward KL. 6: anchoring under "
    "every divergence, Algorithm 1 against 2, strings against modes.\n\n"
    "Writes figure-N.png, .svg and .json (all numbers, versions, seed). Figure 5 trains for a "
    "minute on one core and needs torch; the others are exact and take seconds."
)

app = typer.Typer(no_args_is_help=True)

_DEFAULTS = FigureSettings()


@app.command("figures", help=FIGURES_HELP)
def figures(
    figure: Annotated[
        list[str] | None,
        typer.Option(help="2 to 6, or all; several as `2,5` or by repeating. Default: all."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Directory for the files. Default: a new one under {RUNS}/."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of Figure 5's samples.")] = _DEFAULTS.seed,
    steps: Annotated[
        list[int] | None,
        typer.Option(
            help="Figure 5: show the policy after this many optimiser steps; repeat for several. "
            f"Default: {' and '.join(map(str, _DEFAULTS.steps))}."
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option(help="Figure 5: training runs of each objective.")
    ] = _DEFAULTS.runs,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace figures that --out already holds.")
    ] = False,
) -> None:
    """Make each figure and write it at once, so that one that fails takes no other with it."""
    numbers, settings = read_options(
        figure or ["all"], seed=seed, steps=steps or _DEFAULTS.steps, runs=runs
    )
    out = out or new_run("paper-figures")
    _keep_files(out, numbers, overwrite=overwrite)
    make = _maker(settings, out)
    out.mkdir(parents=True, exist_ok=True)
    console = Console()
    failed = False
    for number in sorted(numbers, key=lambda n: n == TRAINED):  # the one that trains comes last
        try:
            with _progress(console) as progress:
                result, paths = make(number, progress)
        except (PolymodeError, OSError) as error:
            failed = True
            text = " ".join(str(error).split())
            typer.echo(f"polymode: figure {number}: {text}", err=True)
        except KeyboardInterrupt:
            console.print(f"stopped at figure {number}; those before it are in {out}", markup=False)
            sys.exit(130)
        else:
            _report(console, result, paths)
    if failed:
        raise typer.Exit(2)


def _keep_files(out: Path, numbers: Sequence[int], *, overwrite: bool) -> None:
    """Refuse to replace files unless told to."""
    names = [f"figure-{n}.{suffix}" for n in numbers for suffix in ("json", "png", "svg")]
    there = [name for name in names if (out / name).exists()]
    if there and not overwrite:
        raise InputError(
            f"{out} already holds {', '.join(there)}: --overwrite replaces them, another --out "
            "keeps them"
        )


_Made = tuple[Mapping[str, Any], tuple[Path, ...]]


def _maker(
    settings: FigureSettings, out: Path
) -> Callable[[int, Callable[[int, int], None]], _Made]:
    """Load what draws, and return what makes one figure."""
    try:
        from polymode.plots.paper import save_paper_figure
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "matplotlib", "plots") from error
    from polymode.papers.figures import figure_result

    def make(number: int, progress: Callable[[int, int], None]) -> _Made:
        result = figure_result(number, settings, progress)
        path = out / f"figure-{number}.json"
        write_json(path, result, indent=1)
        return result, (path, *save_paper_figure(result, out))

    return make


@contextlib.contextmanager
def _progress(console: Console) -> Generator[Callable[[int, int], None]]:
    """Show a bar once training starts; a line now and then where there is no terminal."""
    if not console.is_terminal:
        yield lambda step, steps: _line(console, step, steps)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("training", total=None, visible=False)
        yield lambda step, steps: bar.update(task, completed=step, total=steps, visible=True)


def _line(console: Console, step: int, steps: int) -> None:
    if step % 2000 == 0 or step == steps:
        console.print(f"  training {step}/{steps}", markup=False, highlight=False)


def _report(console: Console, result: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Say what was written and, where something was trained, how far it is from its optimum."""
    for path in paths:
        console.print(f"wrote {path}", soft_wrap=True, markup=False, highlight=False)
    for panel in result["panels"] if "training" in result else ():
        kl = divergence_words(panel["divergence"])
        distances = ", ".join(
            f"{row['total_variation']['mean']:.3f} after {row['n_steps']:,} steps"
            for row in panel["trained"]
        )
        line = (
            f"  beta {panel['beta']:g}, {kl}, {panel['method']}: "
            f"total variation to the optimum {distances}"
        )
        console.print(line, soft_wrap=True, markup=False, highlight=False)
