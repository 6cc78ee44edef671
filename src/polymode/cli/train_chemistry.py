"""`polymode train chemistry`: train a chemical language model as a TOML file says."""

import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from polymode.cli.runs import RUNS, new_run
from polymode.errors import InputError, MissingExtraError

__all__ = ["CHEMISTRY_HELP", "chemistry"]

CHEMISTRY_HELP = (
    "Train a chemical language model so that it finds many different good molecules.\n\n"
    "Start with `polymode train chemistry --preset qed-sa`, which needs no file: the prior that "
    "ships with polymode learns to write drug-like molecules in minutes. Then "
    "`polymode train chemistry --init my.toml` writes a commented config to make your own, and "
    "`polymode train chemistry my.toml` runs it.\n\n"
    "A run that was killed goes on with `--resume --out DIR` and ends as it would have. Every "
    "molecule with its scores is in DIR/molecules (Parquet), figures of each step in "
    "DIR/metrics.jsonl."
)


def chemistry(
    config: Annotated[Path | None, typer.Argument(help="The config, a TOML file.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="A config that ships with polymode, such as qed-sa.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Directory of the run. Default: a new one under {RUNS}/."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="section.key=value over the config; repeat for several."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where the model is: cpu, cuda, …")] = "cpu",
    init: Annotated[
        Path | None, typer.Option("--init", help="Write a commented config to this file, and stop.")
    ] = None,
) -> None:
    """Read the config, train, and say what came of it."""
    if init is not None:
        _write_template(init)
        return
    if resume and out is None:
        raise InputError("--resume needs --out: the directory of the run to go on with")
    try:
        from polymode.chemistry.learner.run import ChemistryRun
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "chemistry") from error
    sys.path.insert(0, str(Path.cwd()))  # components of the user's may stand beside it
    checked, name = _checked(config, preset, out if resume else None, tuple(overrides or ()))
    out = out or new_run(f"train-{name}")
    console = Console()
    run = ChemistryRun(checked, out, resume=resume, device=device)
    console.print(
        f"polymode train: {checked.target.name}, run in {out}", style="bold", markup=False
    )
    with _Bar(console, checked) as bar:
        try:
            result = run.train(watch=bar.watch)
        except KeyboardInterrupt:
            bar.stop()
            line = f"stopped; to go on: polymode train chemistry --resume --out {out}"
            console.print(line, markup=False, soft_wrap=True)
            sys.exit(130)
    _say(console, result, out)


def _checked(
    path: Path | None, preset: str | None, resumed: Path | None, overrides: tuple[str, ...]
) -> tuple[Any, str]:
    """Return the config that was asked for, and a name for its run."""
    from polymode.chemistry.learner.config_files import read_config, read_preset
    from polymode.chemistry.learner.directory import CONFIG

    if path is not None and preset is not None:
        raise InputError("name a config or a --preset, not both")
    if preset is not None:
        return read_preset(preset, overrides), preset
    if path is None and resumed is not None:
        path = resumed / CONFIG
    if path is None:
        raise InputError(
            "name a config or a preset: `polymode train chemistry --preset qed-sa` runs as it is, "
            "`polymode train chemistry --init my.toml` writes a config"
        )
    return read_config(path, overrides), path.stem


def _write_template(path: Path) -> None:
    """Write the commented config, but over nothing."""
    if path.exists():
        raise InputError(f"{path} is there already: choose another name")
    template = files("polymode.chemistry.learner") / "config_template.toml"
    path.write_text(template.read_text("utf-8"), encoding="utf-8")
    typer.echo(f"wrote {path}; next: polymode train chemistry {path}")


_SHOWN = {
    "reward/mean": "reward",
    "hits/total": "hits",
    "hits/circles": "circles",
    "samples/frac_repeats": "repeats",
}


class _Bar:
    """A bar over oracle calls, or steps; a line now and then where there is no terminal."""

    def __init__(self, console: Console, config: Any) -> None:
        self._console = console
        self._by_calls = config.run.steps is None
        self._total: int = config.oracle.budget if self._by_calls else config.run.steps
        self._said = 0
        columns = (
            TextColumn("calls" if self._by_calls else "steps"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=self._total)

    def __enter__(self) -> "_Bar":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off the screen."""
        self._bar.stop()

    def watch(self, step: int, figures: Mapping[str, float]) -> None:
        """Show a step."""
        done = int(figures["n_calls"]) if self._by_calls else step
        text = "  ".join(f"{label} {figures[key]:.4g}" for key, label in _SHOWN.items())
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, description=text)
        elif done * 10 // self._total > self._said:
            self._said = done * 10 // self._total
            line = f"  {done:>6}/{self._total}  {text}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


_ENDS = {
    "budget": "the budget is spent",
    "steps": "all steps are taken",
    "collapse": "the run has collapsed, see alerts.jsonl",
}


def _say(console: Console, result: Mapping[str, Any], out: Path) -> None:
    """Say what came of a run, and what to do with it."""
    figures, seconds = result["figures"], result["seconds"]
    end = _ENDS[result["stopped"]]
    lines = [f"{result['steps']} steps in {seconds:.0f} s: {end}"]
    if figures:
        lines.append(
            f"  {figures['hits/total']:.0f} hits in {figures['n_calls']:.0f} oracle calls: "
            f"{figures['hits/circles']:.0f} circles, {figures['hits/scaffolds']:.0f} scaffolds, "
            f"best reward {figures['reward/best']:.3f}"
        )
    lines += [f"  oracle: {line}" for line in result["losses"]]
    lines.append(f"molecules in {out / 'molecules'}; model in {out / 'model.safetensors'}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
