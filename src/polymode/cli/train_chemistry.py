"""`polymode train chemistry`: train a chemical language model as a TOML file says."""

import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from polymode.cli.bars import StepBar
from polymode.cli.runs import RUNS, new_run, page_facts
from polymode.errors import InputError, MissingExtraError
from polymode.files import write_text

__all__ = ["CHEMISTRY_HELP", "chemistry"]

CHEMISTRY_HELP = (
    "Train a chemical language model so that it finds many different good molecules.\n\n"
    "Start with `polymode train chemistry --preset qed-sa`, which needs no file: the prior that "
    "ships with polymode learns to write drug-like molecules in minutes. Then "
    "`polymode train chemistry --init my.toml` writes a commented config to make your own, and "
    "`polymode train chemistry my.toml` runs it.\n\n"
    "A run ends with DIR/report.html: what was found for how many oracle calls, the best molecules "
    "drawn by cluster, what the target promised, signs of collapse. It opens offline. Every "
    "molecule with its scores is in DIR/molecules (Parquet), figures of each step in "
    "DIR/metrics.jsonl.\n\n"
    "A run that was killed goes on with `--resume --out DIR` and ends as it would have; "
    "`--report --out DIR` writes the page of what it has so far."
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
    report: Annotated[
        bool,
        typer.Option("--report", help="Only write the page of the run in --out, ended or not."),
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
    _check_flags(config or preset, out, resume=resume, report=report)
    if report and out is not None:
        typer.echo(f"wrote {_write_page(Console(), out)}")
        return
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
    bar = _Bar(console, checked)
    with bar:
        try:
            result = run.train(watch=bar.watch)
        except KeyboardInterrupt:
            bar.stop()
            for line in (
                f"stopped; to go on: polymode train chemistry --resume --out {out}",
                f"its page so far: polymode train chemistry --report --out {out}",
            ):
                console.print(line, markup=False, soft_wrap=True)
            sys.exit(130)
    _say(console, result, out)
    page = _write_page(console, out)
    console.print(f"page with all of it: {page}", markup=False, highlight=False, soft_wrap=True)


def _check_flags(named: object, out: Path | None, *, resume: bool, report: bool) -> None:
    """Refuse flags that do not go together."""
    if resume and out is None:
        raise InputError("--resume needs --out: the directory of the run to go on with")
    if report and out is None:
        raise InputError("--report needs --out: the directory of the run")
    if report and (resume or named):
        raise InputError("--report trains nothing: leave out the config, --preset and --resume")


def _checked(
    path: Path | None, preset: str | None, resumed: Path | None, overrides: tuple[str, ...]
) -> tuple[Any, str]:
    """Return the config that was asked for, and a name for its run."""
    from polymode.chemistry.learner.config_files import read_config, read_preset
    from polymode.diagnostics.chemistry.files import CONFIG

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


class _Bar(StepBar):
    """A bar over oracle calls, or steps; a line now and then where there is no terminal."""

    def __init__(self, console: Console, config: Any) -> None:
        self._by_calls = config.run.steps is None
        self._total: int = config.oracle.budget if self._by_calls else config.run.steps
        self._said = 0
        super().__init__(console, "calls" if self._by_calls else "steps")

    def watch(self, step: int, figures: Mapping[str, float]) -> None:
        """Show a step."""
        done = int(figures["n_calls"]) if self._by_calls else step
        text = "  ".join(f"{label} {figures[key]:.4g}" for key, label in _SHOWN.items())
        tenth = done * 10 // self._total
        if not self.show(done, self._total, text) and tenth > self._said:
            self._said = tenth
            self.say(done, self._total, text)


def _write_page(console: Console, out: Path) -> Path:
    """Write the page of the run in a directory."""
    from polymode.diagnostics.chemistry import read_molecule_run
    from polymode.diagnostics.chemistry.files import PAGE
    from polymode.report.chemistry import chemistry_page

    with console.status("writing the page"):
        return write_text(out / PAGE, chemistry_page(read_molecule_run(out), facts=page_facts()))


def _say(console: Console, result: Mapping[str, Any], out: Path) -> None:
    """Say what came of a run, and what to do with it."""
    from polymode.diagnostics.chemistry import ENDS

    figures, seconds = result["figures"], result["seconds"]
    lines = [f"{result['steps']} steps in {seconds:.0f} s: {ENDS[result['stopped']]}"]
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
