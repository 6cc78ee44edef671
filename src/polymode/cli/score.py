"""`polymode score`: add the reference's log-probabilities to recorded samples."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from polymode.cli.runs import quiet_hosts
from polymode.errors import MissingExtraError
from polymode.language.dtypes import Weights

if TYPE_CHECKING:
    from polymode.language.scoring.run import Scored
    from polymode.language.scoring.settings import ScoreSettings

HELP = (
    "Add `ref_log_prob` and `n_tokens` to recorded samples: how likely outputs are to a model.\n\n"
    "SAMPLES is JSON Lines, CSV, TSV or Parquet with `prompt` and `output` (or `completion`); the "
    "same comes out, with two columns more. A directory is a run of TRL that logged completions: "
    "its last tables come out as completions.scored.parquet. A prompt is a text to continue, or "
    "messages for the model's chat template. Log-probabilities are nats, sums over tokens of the "
    "output.\n\n"
    "A run that was killed goes on where it stopped, with the same command. For example:\n\n"
    "polymode score samples.jsonl --model Qwen/Qwen3-0.6B\n\n"
    "polymode score samples.jsonl --model out/adapter --reference-of-adapter"
)


def score(
    samples: Annotated[
        Path, typer.Argument(help="File of samples, or a run of TRL.", show_default=False)
    ],
    model: Annotated[
        str,
        typer.Option(
            help="smollm2-135m (ships as a package), a directory (LoRA adapters too) or a hub id.",
            show_default=False,
        ),
    ],
    adapter: Annotated[
        str | None, typer.Option(help="LoRA adapter to put on the model: a directory.")
    ] = None,
    reference_of_adapter: Annotated[
        bool,
        typer.Option(
            "--reference-of-adapter",
            help="The model is an adapter: score with what it was trained from, without it.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Where to write. Default: beside the samples, as NAME.scored.SUFFIX."),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Names in the file: prompt=question,output=answer,finished=done.")
    ] = "",
    column: Annotated[
        Literal["ref_log_prob", "log_prob"],
        typer.Option(help="What the model is: the reference, or the policy that drew the samples."),
    ] = "ref_log_prob",
    chat: Annotated[
        bool,
        typer.Option("--chat", help="Prompts that are texts are messages of a user."),
    ] = False,
    end: Annotated[
        Literal["auto", "always", "never"],
        typer.Option(
            help="Whether the token that ends a text is part of an output. auto: unless a column "
            "`finished` says that it was cut off."
        ),
    ] = "auto",
    batch_tokens: Annotated[
        int, typer.Option(help="Tokens of a forward pass: fewer need less memory.")
    ] = 2048,
    dtype: Annotated[
        Weights,
        typer.Option(
            help="Of the weights: checkpoint is the type that they are kept in; auto the same, but "
            "float32 on processors without units for bfloat16."
        ),
    ] = "auto",
    last: Annotated[int, typer.Option(help="Of a run, its last N tables are scored.")] = 10,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the output, and a column of this name."),
    ] = False,
) -> None:
    """Score, and say what was written."""
    from polymode.diagnostics.recorded.columns import split_columns
    from polymode.language.scoring.settings import ScoreSettings

    settings = ScoreSettings(
        samples=samples,
        model=model,
        adapter=adapter,
        reference_of_adapter=reference_of_adapter,
        output=output,
        columns=split_columns(columns),
        column=column,
        chat=chat,
        end=end,
        batch_tokens=batch_tokens,
        dtype=dtype,
        last=last,
        overwrite=overwrite,
    )
    console = Console()
    done = _run(settings, console)
    if done.n_resumed:
        console.print(f"· {done.n_resumed:,} rows were scored before", markup=False)
    for problem, n in done.problems.items():
        console.print(f"· {n:,} rows without a score: {problem}", markup=False)
    weights = "the type of the checkpoint" if done.dtype == "checkpoint" else done.dtype
    line = f"wrote {settings.target}: {done.n_rows:,} rows, scored in {weights}"
    console.print(line, soft_wrap=True, markup=False)


def _run(settings: "ScoreSettings", console: Console) -> "Scored":
    """Score with a progress bar; a stop says how to go on."""
    try:
        from polymode.language.scoring.run import score_samples
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "language") from error
    with quiet_hosts(), _Screen(console) as screen:
        try:
            return score_samples(settings, screen)
        except KeyboardInterrupt:
            console.print("stopped; the same command goes on", markup=False)
            sys.exit(130)


class _Screen:
    """A progress bar; plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("scoring"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._row: Any = None

    def __enter__(self) -> "_Screen":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def stage(self, text: str) -> None:
        """Print the name of a stage."""
        self._console.print(f"· {text}", markup=False)

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        if not self._console.is_terminal:
            return
        if self._row is None:
            self._row = self._bar.add_task("scoring", total=total)
        self._bar.update(self._row, completed=done)
