"""`polymode prior`: train the model of SMILES strings that chemistry runs start from."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from polymode.errors import MissingExtraError

HELP = "Train a prior: the model of SMILES strings that chemistry runs start from."

TRAIN_HELP = (
    "Train a prior on a file of SMILES, one on each line, by maximum likelihood.\n\n"
    "The result is one safetensors file with its vocabulary inside; beside it the directory "
    "<name>.training keeps the log (a line of JSON for each evaluation: validity, uniqueness, "
    "-log p of strings held out; novelty at the end). A run that was killed goes on with --resume "
    "and ends with the same weights.\n\n"
    "Example: `polymode prior train molecules.smi --output prior.safetensors --epochs 6`"
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
    kind: Annotated[str, typer.Option(help="Kind of model: gru, lstm or transformer.")] = "gru",
    layers: Annotated[int, typer.Option(help="Layers.")] = 3,
    hidden: Annotated[int, typer.Option(help="Width of each layer.")] = 256,
    embedding: Annotated[int, typer.Option(help="Width of a token (gru and lstm).")] = 128,
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
    with _Bar(console) as bar:
        try:
            figures = train_prior(
                source, output, settings, resume=resume, device=device, watch=bar.watch
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


class _Bar:
    """A bar with the last figures; the evaluations stay on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> "_Bar":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off the screen."""
        self._bar.stop()

    def watch(self, step: int, steps: int, figures: dict[str, Any]) -> None:
        """Show a step, or an evaluation."""
        if "frac_valid" in figures:
            line = f"  {step:>6}/{steps}  epoch {figures['epoch']:.2f}  {_line(figures)}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self._console.is_terminal and step % 10 == 0:
            text = f"-log p a token {figures['nll']:.3f}"
            self._bar.update(self._task, completed=step, total=steps, description=text)


def _line(figures: dict[str, Any]) -> str:
    """Return the figures of an evaluation."""
    shares = ((name, figures[f"frac_{name}"]) for name in ("valid", "unique", "novel"))
    parts = [f"{name} {share:.1%}" for name, share in shares if share is not None]
    return "  ".join([*parts, f"-log p held out {figures['held_out_nll']:.2f} nats"])
