"""`polymode train`: train a model as a recipe says."""

import os
import sys
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from polymode.cli.bars import StepBar
from polymode.cli.runs import RUNS, new_run, quiet_hosts
from polymode.cli.train_chemistry import CHEMISTRY_HELP, chemistry
from polymode.errors import InputError, MissingExtraError

HELP = "Train a model so that it keeps every good answer."

LANGUAGE_HELP = (
    "Post-train a language model as a recipe (YAML) says, on top of TRL.\n\n"
    "Start with `polymode train language --init my.yaml`, which writes a commented recipe that "
    "runs as it is: an embedded model learns to roll a die in minutes. Then "
    "`polymode train language my.yaml`.\n\n"
    "A run that was killed goes on with --resume and ends with the same weights. On several GPUs: "
    "`accelerate launch --config_file … -m polymode train language my.yaml --out DIR`."
)

app = typer.Typer(no_args_is_help=True)
app.command("chemistry", help=CHEMISTRY_HELP)(chemistry)


@app.command("language", help=LANGUAGE_HELP)
def language(
    recipe: Annotated[Path | None, typer.Argument(help="The recipe, a YAML file.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Directory of the run. Default: a new one under {RUNS}/."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="section.key=value over the recipe; repeat for several."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last complete checkpoint in --out.")
    ] = False,
    init: Annotated[
        Path | None, typer.Option("--init", help="Write a commented recipe to this file, and stop.")
    ] = None,
) -> None:
    """Read the recipe, train, and say what came of it."""
    if init is not None:
        _write_template(init)
        return
    if resume and out is None:
        raise InputError("--resume needs --out: the directory of the run to go on with")
    path = recipe or (out / "recipe.yaml" if resume and out is not None else None)
    if path is None:
        raise InputError("name a recipe; `polymode train language --init my.yaml` writes one")
    try:
        from polymode.language.recipe import read_recipe
        from polymode.language.training import check_run, train_language
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "language") from error
    checked = read_recipe(path, tuple(overrides or ()))
    out = out or _directory(checked)
    check_run(checked, out, resume=resume)
    console = Console(quiet=int(os.environ.get("RANK", "0")) > 0)
    console.print(
        f"polymode train: {checked.method.name}, run in {out}", style="bold", markup=False
    )
    with quiet_hosts(), StepBar(console) as bar:
        try:
            result = train_language(checked, out, resume=resume, watch=partial(_watch, bar))
        except KeyboardInterrupt:
            bar.stop()
            line = "stopped before the first step"
            if (out / "settings.json").exists():
                line = f"stopped; to go on: polymode train language --resume --out {out}"
            console.print(line, markup=False, soft_wrap=True)
            sys.exit(130)
    _say(console, result, out)


def _write_template(path: Path) -> None:
    """Write the commented recipe, but over nothing."""
    if path.exists():
        raise InputError(f"{path} is there already: choose another name")
    template = files("polymode.language") / "recipe_template.yaml"
    path.write_text(template.read_text("utf-8"), encoding="utf-8")
    typer.echo(f"wrote {path}; next: polymode train language {path}")


def _directory(recipe: Any) -> Path:
    """Return a new directory, which several processes could not agree on."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--out must be given where several processes train")
    source = Path(recipe.data.source).stem.replace(":", "-")
    return new_run(f"train-{source}-{recipe.method.name}")


def _watch(bar: StepBar, step: int, steps: int, logs: dict[str, Any]) -> None:
    """Show a logged step; say one now and then where there is no terminal."""
    if "loss" not in logs:
        return
    figures, now_and_then = _figures(logs), step in (1, steps) or step % max(1, steps // 10) == 0
    if not bar.show(step, steps, figures) and now_and_then:
        bar.say(step, steps, figures)


_SHOWN = {
    "mara/reward_raw": "reward",
    "diversity/effective_modes": "modes",
    "kl": "kl",
    "mara/frac_good": "good",
}


def _figures(logs: dict[str, Any]) -> str:
    """Return the figures of a step that most people watch."""
    shown = {"mara/reward_raw": logs.get("reward"), **logs}
    parts = [
        f"{label} {shown[key]:.3g}" for key, label in _SHOWN.items() if shown.get(key) is not None
    ]
    return "  ".join(parts)


def _say(console: Console, result: dict[str, Any], out: Path) -> None:
    """Say what came of a run, and what to do with it."""
    console.print(f"{result['steps']} steps in {result['seconds']:.0f} s", markup=False)
    if task := result["task"]:
        for name in ("base", "promised", "measured"):
            if (row := task[name]) is not None:
                modes = row["effective_answers"]
                text = f"  {name:<9} reward {row['expected_reward']:.3f}"
                tail = "" if modes is None else f"  effective answers {modes:.2f}"
                console.print(text + tail, markup=False, highlight=False)
    console.print(
        f"model in {out / 'model'}; figures in {out / 'result.json'}", markup=False, soft_wrap=True
    )
