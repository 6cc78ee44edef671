"""`polymode prior`: the model of SMILES strings that chemistry runs start from."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from polymode.cli.bars import StepBar
from polymode.errors import MissingExtraError

HELP = "Train, import or export a prior: the model of SMILES strings that runs start from."

TRAIN_HELP = (
    "Train a prior on a file of SMILES, one on each line, by maximum likelihood.\n\n"
    "The result is one safetensors file with its vocabulary inside; beside it the directory "
    "<name>.training keeps the log (a line of JSON for each evaluation: validity, uniqueness, "
    "-log p of strings held out; novelty at the end). A run that was killed goes on with --resume "
    "and ends with the same weights.\n\n"
    "Example: `polymode prior train molecules.smi --output prior.safetensors --epochs 6`\n\n"
    "Transfer learning, from a prior to one of your own series: `polymode prior train series.smi "
    "--start zinc250k --output series.safetensors --lr 2e-4`"
)

IMPORT_HELP = (
    "Read a prior or an agent of REINVENT 4 and write it as safetensors.\n\n"
    "Nothing in the file is run: one that names anything that a prior does not need is refused.\n\n"
    "Example: `polymode prior import reinvent.prior --output reinvent.safetensors`"
)

EXPORT_HELP = (
    "Write a GRU or LSTM prior as a file that REINVENT 4 reads.\n\n"
    "Example: `polymode prior export zinc250k --output zinc250k.prior`"
)

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Keep the verbs below `prior`."""


@app.command("train", help=TRAIN_HELP)
def train(
    source: Annotated[
        Path,
        typer.Argument(help="Text of SMILES, plain or .gz: its column `smiles`, or the first."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "prior.safetensors"
    ),
    start: Annotated[
        str | None,
        typer.Option(help="A prior to start from, by name or file: its tokens and sizes stay."),
    ] = None,
    kind: Annotated[str, typer.Option(help="Kind of model: gru, lstm or transformer.")] = "gru",
    layers: Annotated[int, typer.Option(help="Layers.")] = 3,
    hidden: Annotated[int, typer.Option(help="Width of each layer.")] = 256,
    embedding: Annotated[int, typer.Option(help="Width of a token (gru and lstm).")] = 128,
    heads: Annotated[int, typer.Option(help="Heads of attention (transformer).")] = 6,
    epochs: Annotated[int, typer.Option(help="Passes over the strings.")] = 6,
    batch_size: Annotated[int, typer.Option(help="Strings in a step.")] = 128,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "--lr", help="Highest learning rate.")
    ] = 2e-3,
    held_out: Annotated[int, typer.Option(help="Strings to hold out, a tenth at most.")] = 5000,
    max_length: Annotated[int, typer.Option(help="Leave out strings of more tokens.")] = 100,
    min_count: Annotated[
        int, typer.Option(help="Leave out strings with a token that occurs more rarely.")
    ] = 1,
    dtype: Annotated[
        str, typer.Option(help="auto (bfloat16 where the processor has it), float32 or bfloat16.")
    ] = "auto",
    samples: Annotated[
        int, typer.Option(help="Strings drawn at each evaluation; ten times as many at the end.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of weights, split and order.")] = 0,
    device: Annotated[str, typer.Option(help="Where to train: cpu or cuda.")] = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run beside --output.")
    ] = False,
) -> None:
    """Read the strings, train, and say what came of it."""
    try:
        from polymode.chemistry.prior.training import PriorSettings, run_directory, train_prior
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "chemistry") from error
    settings = PriorSettings(
        kind=kind,
        n_layers=layers,
        hidden=hidden,
        embedding=embedding,
        n_heads=heads,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        n_held_out=held_out,
        max_length=max_length,
        min_count=min_count,
        dtype=dtype,  # pyright: ignore[reportArgumentType] # checked by the settings themselves
        n_samples=samples,
        seed=seed,
    )
    console = Console()
    with StepBar(console) as bar:
        try:
            figures = train_prior(
                source,
                output,
                settings,
                start=start,
                resume=resume,
                device=device,
                watch=partial(_watch, bar),
            )
        except KeyboardInterrupt:
            bar.stop()
            console.print(
                "stopped; the same command with --resume goes on", markup=False, soft_wrap=True
            )
            sys.exit(130)
    console.print(
        f"{figures['step']} steps in {figures['seconds']:.0f} s; {_line(figures)}\n"
        f"prior in {output}; log in {run_directory(output) / 'log.jsonl'}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@app.command("import", help=IMPORT_HELP)
def import_(
    source: Annotated[Path, typer.Argument(help="A .prior or .chkpt file of REINVENT 4.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.")],
) -> None:
    """Read a file of REINVENT 4, and write ours."""
    try:
        from polymode.chemistry.models import save_model
        from polymode.chemistry.models.reinvent_files import read_reinvent
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "chemistry") from error
    model = read_reinvent(source)
    save_model(model, output, metadata={"source": f"{source.name}, a file of REINVENT 4"})
    typer.echo(f"wrote {output}: {_sizes(model.architecture)}, {len(model.vocabulary)} tokens")


@app.command("export", help=EXPORT_HELP)
def export(
    prior: Annotated[str, typer.Argument(help="A prior by its name (zinc250k) or its file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .prior file to write.")],
) -> None:
    """Read our file, and write one of REINVENT 4."""
    try:
        from polymode.chemistry.models import load_prior
        from polymode.chemistry.models.reinvent_files import write_reinvent
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "chemistry") from error
    model = load_prior(prior)
    write_reinvent(model, output, source=f"polymode {prior}")
    typer.echo(f"wrote {output}: {_sizes(model.architecture)}, {len(model.vocabulary)} tokens")


def _sizes(architecture: dict[str, Any]) -> str:
    """Return what a model is: ``gru 3 x 256``."""
    return "{kind} {n_layers} x {hidden}".format(**architecture)


def _watch(bar: StepBar, step: int, steps: int, figures: dict[str, Any]) -> None:
    """Show a step, or say what an evaluation found."""
    if "frac_valid" in figures:
        bar.say(step, steps, f"epoch {figures['epoch']:.2f}  {_line(figures)}")
    elif step % 10 == 0:
        bar.show(step, steps, f"-log p a token {figures['nll']:.3f}")


def _line(figures: dict[str, Any]) -> str:
    """Return the figures of an evaluation."""
    shares = ((name, figures[f"frac_{name}"]) for name in ("valid", "unique", "novel"))
    parts = [f"{name} {share:.1%}" for name, share in shares if share is not None]
    return "  ".join([*parts, f"-log p held out {figures['held_out_nll']:.2f} nats"])
