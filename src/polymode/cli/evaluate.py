"""`polymode evaluate`: quality and diversity of models, side by side."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from polymode.cli.runs import RUNS, last_run, new_run, quiet_hosts
from polymode.errors import MissingExtraError
from polymode.language.dtypes import Weights
from polymode.language.evaluation_settings import EvaluationSettings
from polymode.language.tasks import TASKS

HELP = (
    "Measure quality and diversity of models, side by side, with intervals.\n\n"
    "Draws completions of every prompt, and measures rewards, pass@k and max@k, distinct answers "
    "and their entropy, repetition of words, and diversity in meaning. A MODEL is smollm2-135m "
    "(ships as a package), a directory (LoRA adapters too) or a hub id.\n\n"
    "Prints one table; writes samples.jsonl and evaluation.json. A run that was killed goes on, to "
    "the same samples, with the same command and --resume."
)

_DEFAULTS = EvaluationSettings(models=("",), tasks=("die",))

# What the table shows; evaluation.json has all.
_SHOWN = (
    "reward",
    "pass_at_1",
    "pass_at_{k}",
    "max_at_{k}",
    "frac_finished",
    "n_tokens",
    "log_prob",
    "frac_with_mode",
    "answer_coverage",
    "n_modes",
    "effective_modes",
    "mode_entropy",
    "mode_entropy_chao_shen",
    "sample_coverage",
    "distinct_1",
    "ead",
    "self_bleu",
    "semantic_diversity",
    "vendi_score",
    "distinct_clusters",
)


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(help="Models to evaluate.", metavar="MODEL...", show_default=False),
    ],
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Tasks, as `die,season` or by repeating: {', '.join(TASKS)}, countdown, "
            "reasoning_gym:NAME. Default: those that pick an answer, or none with --prompts."
        ),
    ] = None,
    questions: Annotated[
        int, typer.Option(help="Questions of a task that makes them, such as countdown.")
    ] = _DEFAULTS.questions,
    questions_seed: Annotated[
        int, typer.Option(help="Which questions; 0 makes those that trainings start with.")
    ] = _DEFAULTS.questions_seed,
    prompts: Annotated[
        Path | None,
        typer.Option(help="JSON Lines with `prompt` and, if known, `answers`: one more task."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Completions of each prompt.")] = _DEFAULTS.samples,
    batch_size: Annotated[
        int, typer.Option(help="Completions drawn at a time, all of one prompt.")
    ] = _DEFAULTS.batch_size,
    max_new_tokens: Annotated[
        int, typer.Option(help="Where completions are cut off.")
    ] = _DEFAULTS.max_new_tokens,
    temperature: Annotated[
        float, typer.Option(help="Of sampling; 1 is the policy itself.")
    ] = _DEFAULTS.temperature,
    seed: Annotated[int, typer.Option(help="Of sampling and of intervals.")] = _DEFAULTS.seed,
    mode_key: Annotated[
        str | None,
        typer.Option(
            help="What counts as the same answer: exact, last_number, xml_tag:answer, "
            "regex:PATTERN or package.module:function. Default: a picking task's answers; the "
            "exact text."
        ),
    ] = None,
    rewards: Annotated[
        str | None,
        typer.Option(
            help="Reward function in TRL's form, as package.module:function. Default: 1 for a "
            "known answer, else 0."
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Reward from which a completion is correct, for pass@k.")
    ] = _DEFAULTS.threshold,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="Sentence encoder, a directory or hub id; none leaves semantic metrics out. "
            "Default: all-MiniLM-L6-v2 where it can be had."
        ),
    ] = None,
    cluster_cosine: Annotated[
        float, typer.Option(help="Cosine from which two completions are one cluster.")
    ] = _DEFAULTS.cluster_cosine,
    vocabulary_size: Annotated[
        int, typer.Option(help="Vocabulary of EAD.")
    ] = _DEFAULTS.vocabulary_size,
    engine: Annotated[
        Literal["transformers", "vllm"], typer.Option(help="What samples.")
    ] = "transformers",
    dtype: Annotated[
        Weights,
        typer.Option(
            help="Of the weights: checkpoint is the type that they are kept in; auto the same, but "
            "float32 on processors without units for bfloat16."
        ),
    ] = _DEFAULTS.dtype,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Directory of the run. Default: a new one under {RUNS}/."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue a killed run: the last one, or the one in --out."),
    ] = False,
) -> None:
    """Evaluate in `out`, print its table, write its files."""
    sys.path.insert(0, "")  # functions of the user's, in the directory where they stand
    names = tuple(name for each in tasks or () for name in each.split(",") if name)
    settings = EvaluationSettings(
        models=tuple(models),
        tasks=names or (() if prompts else tuple(TASKS)),
        prompts=None if prompts is None else str(prompts),
        questions=questions,
        questions_seed=questions_seed,
        samples=samples,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        mode_key=mode_key,
        rewards=rewards,
        threshold=threshold,
        embedder=embedder,
        cluster_cosine=cluster_cosine,
        vocabulary_size=vocabulary_size,
        engine=engine,
        dtype=dtype,
    )
    settings.load_tasks()  # `evaluate` does so, too; here it costs no loading
    out = out or (last_run("evaluate") if resume else new_run("evaluate"))
    _run(settings, out, resume=resume)


def _run(settings: EvaluationSettings, out: Path, *, resume: bool) -> None:
    """Run an evaluation and print what it found."""
    try:
        from polymode.language import evaluation
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "language") from error
    console = Console()
    console.print(f"polymode evaluate: run in {out}", style="bold", markup=False)
    with quiet_hosts(), _Screen(console) as screen:
        try:
            result = evaluation.evaluate(settings, out, screen, resume=resume)
        except KeyboardInterrupt:
            console.print(
                f"stopped; the same command with --resume --out {out} goes on", markup=False
            )
            sys.exit(130)
    for task in dict.fromkeys(each["task"] for each in result["results"]):
        own = [each for each in result["results"] if each["task"] == task]
        console.print(_table(task, own))
        for reason in dict.fromkeys(r for each in own for r in each["skipped"].values()):
            left_out = dict.fromkeys(
                name for each in own for name, r in each["skipped"].items() if r == reason
            )
            console.print(f"left out: {', '.join(left_out)}: {reason}", markup=False)
    for name in (evaluation.SAMPLES, evaluation.RESULT):
        console.print(f"wrote {out / name}", soft_wrap=True, markup=False)


class _Screen:
    """A progress bar for each model and task; plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._rows: dict[tuple[str, str], Any] = {}

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

    def progress(self, model: str, task: str, done: int, total: int) -> None:
        """Move the bar of a model on a task."""
        if not self._console.is_terminal:
            if done == total:
                self._console.print(f"  {model}, {task}: {total} samples", markup=False)
            return
        if (model, task) not in self._rows:
            self._rows[model, task] = self._bar.add_task(f"{model}, {task}", total=total)
        self._bar.update(self._rows[model, task], completed=done)


def _table(task: str, results: Sequence[Mapping[str, Any]]) -> Table:
    """One column per model, one row per metric: value ± standard error, and the interval."""
    first = results[0]
    table = Table(
        title=Text(f"Task {task}: {first['n_prompts']} prompts, {first['n_samples']} samples each"),
        caption=f"value ± standard error [95 % interval], over {first['resampled']}",
    )
    table.add_column("")
    for each in results:
        table.add_column(Text(each["model"]), justify="right")
    names = dict.fromkeys(name.format(k=first["n_samples"]) for name in _SHOWN)
    for name in names:
        found = [each["metrics"].get(name) for each in results]
        if any(found):
            table.add_row(name, *(Text(_cell(metric)) for metric in found))
    return table


def _cell(metric: Mapping[str, Any] | None) -> str:
    """Write an estimate; a dash where there is none."""
    if metric is None or metric["value"] is None:
        return "-"
    if metric["standard_error"] is None:
        return f"{metric['value']:.3f}"
    ends = f"{metric['low']:.3f}, {metric['high']:.3f}"
    return f"{metric['value']:.3f} ± {metric['standard_error']:.3f} [{ends}]"
