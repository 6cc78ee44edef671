"""Prompts for training and evaluation: from tasks, local files and the hub, checked row by row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any, Literal, get_args

import numpy as np

from polymode.core import checks
from polymode.errors import ConfigError, InputError
from polymode.language.data_files import Row, file_rows, is_file
from polymode.language.tasks import Task, find_task, is_task

Form = Literal["chat", "text"]
_TAKEN = ("prompts", "completions", "trainer_state", "log_extra", "log_metric")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where prompts come from and what becomes of them."""

    source: str
    """The name of a task (`find_task`); a file that ends in .jsonl, .json, .csv or .parquet (the
    first three also in .gz); or the id of a data set on the hub."""
    prompt_column: str = "prompt"
    """Column of the prompts: texts, or lists of messages with a role and a content."""
    prompt_template: str | None = None
    """Text of the prompt with the names of columns in braces (``{question} Reply in one word.``),
    in place of `prompt_column`."""
    system: str | None = None
    """System message, before conversations that have none. None: that of the task; "": none."""
    opening: str | None = None
    """How the assistant's reply starts. Prompts then become plain text, with the chat template of
    the tokenizer applied. None: that of the task."""
    form: Form = "chat"
    """"chat" makes a conversation of every prompt; "text" takes texts only and leaves them so."""
    split: str = "train"
    """Split of a data set on the hub."""
    subset: str | None = None
    """Subset (configuration) of a data set on the hub."""
    size: int = 1000
    """How many questions a task makes."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of a task: fields of `CountdownTask`, or of the data set of reasoning-gym."""
    max_samples: int | None = None
    """Take this many rows from the beginning."""
    n_held_out: int = 0
    """How many distinct prompts to keep for evaluation, with all of their rows."""
    seed: int = 0
    """Seed of the questions of a task, and of the choice of what is held out."""
    drop_bad_rows: bool = False
    """Leave rows without a usable prompt out, instead of refusing the data."""

    def __post_init__(self) -> None:
        """Refuse what cannot be, all of it at once."""
        if problems := list(self._problems()):
            raise ConfigError("data", problems)

    def _problems(self) -> Iterator[str]:
        yield from checks.known("form", self.form, get_args(Form))
        yield from checks.whole(size=self.size)
        if self.max_samples is not None:
            yield from checks.whole(max_samples=self.max_samples)
        for name in ("n_held_out", "seed"):
            if (value := getattr(self, name)) < 0:
                yield f"{name} must be >= 0, got {value!r}"
        if self.form == "text" and self.system:
            yield "system needs form='chat': a plain text has no system message"
        if self.config and not is_task(self.source):
            yield f"config is for tasks, and {self.source!r} is none"
        if self.prompt_template is not None:
            try:
                list(Formatter().parse(self.prompt_template))
            except ValueError as error:
                yield f"prompt_template must be a format string, got {error}"


@dataclass(frozen=True)
class Prompts:
    """Data for a trainer: `datasets.Dataset` objects with a column ``prompt`` and all others."""

    train: Any
    held_out: Any | None
    """Prompts for evaluation, none of which is in `train`; None if none were asked for."""
    task: Task | None
    """The task that the data come from, if it is one."""
    bad_rows: tuple[str, ...]
    """What was wrong with the rows that were dropped, in their order, with their numbers."""


def load_prompts(settings: DataSettings, *, tokenizer: Any = None) -> Prompts:
    """Load, check and shape the prompts of a training.

    Parameters
    ----------
    settings : DataSettings
        Source and shape.
    tokenizer : tokenizer of transformers, optional
        Needed where an opening has to be put behind a chat template.

    Returns
    -------
    Prompts
        The same for the same settings. What is held out depends on the distinct prompts, their
        order and the seed.

    Raises
    ------
    InputError
        If the source cannot be read, has no rows, rows without a usable prompt (the first are
        listed with their numbers, counted from 1), or too few to hold some out; or if a tokenizer
        is needed and missing.
    """
    from polymode.language.prompt_rows import shaped

    task = _task(settings) if is_task(settings.source) else None
    if task is not None:
        settings = replace(
            settings,
            system=_default(settings.system, task.system if settings.form == "chat" else ""),
            opening=_default(settings.opening, task.opening),
        )
    rows = _rows(settings, task)[: settings.max_samples]
    good, bad = shaped(rows, settings, tokenizer)
    if bad and not settings.drop_bad_rows:
        raise InputError(_bad_rows(settings.source, bad, len(rows)))
    if not good:
        raise InputError(f"data {settings.source!r} have no row with a prompt")
    train, held_out = _split(good, settings)
    return Prompts(
        _dataset(train, settings.source),
        _dataset(held_out, settings.source) if held_out else None,
        task,
        tuple(bad),
    )


def _default(given: str | None, default: str) -> str:
    return default if given is None else given


def _task(settings: DataSettings) -> Task:
    """Return the task of the source, with its settings."""
    from polymode.language.countdown import CountdownTask
    from polymode.language.gym import ReasoningGymTask

    task = find_task(settings.source)
    if not settings.config:
        return task
    if isinstance(task, ReasoningGymTask):
        return replace(task, config=settings.config)
    if not isinstance(task, CountdownTask):
        raise InputError(f"task {task.name!r} has no settings, got {dict(settings.config)!r}")
    known = ("n_numbers", "max_number", "max_target", "min_answers")
    if unknown := [name for name in settings.config if name not in known]:
        hint = checks.did_you_mean(unknown[0], known)
        raise InputError(f"countdown has no setting {unknown[0]!r}{hint}")
    return replace(task, **settings.config)


def _rows(settings: DataSettings, task: Task | None) -> Sequence[Row]:
    """Return the rows of a source, with what is wrong in place of those that cannot be read."""
    if task is not None:
        return task.rows(settings.size, seed=settings.seed)
    if is_file(settings.source):
        return file_rows(settings.source)
    import datasets

    try:
        found: Any = datasets.load_dataset(settings.source, settings.subset, split=settings.split)
    except Exception as error:  # the hub's many ways to say no; none of them is a mistake of ours
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise InputError(
            f"data {settings.source!r} are no task and no file (.jsonl, .json, .csv, .parquet), "
            f"and cannot be had from the hub: {reason}"
        ) from error
    return found.to_list()


def _bad_rows(source: str, bad: Sequence[str], n: int) -> str:
    """Say which rows are bad: the first of them, and how many."""
    shown = "; ".join(bad[:3]) + ("; …" if len(bad) > 3 else "")
    return f"data {source!r}: {len(bad)} of {n} rows are bad ({shown}): mend them, or drop_bad_rows"


def _split(
    rows: list[dict[str, Any]], settings: DataSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Part the rows by their prompts, so that none is on both sides; the order stays."""
    if settings.n_held_out == 0:
        return rows, []
    keys = [repr(row["prompt"]) for row in rows]
    distinct = list(dict.fromkeys(keys))
    if settings.n_held_out >= len(distinct):
        raise InputError(
            f"n_held_out must be below the number of distinct prompts ({len(distinct)}), got "
            f"{settings.n_held_out}"
        )
    order = np.random.default_rng(settings.seed).permutation(len(distinct))
    chosen = {distinct[i] for i in order[: settings.n_held_out]}
    sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for key, row in zip(keys, rows, strict=True):
        sides[key in chosen].append(row)
    return sides


def _dataset(rows: list[dict[str, Any]], source: str) -> Any:
    """Return rows as a data set, whose columns must have one type each."""
    import datasets

    names = list(dict.fromkeys(name for row in rows for name in row))
    if taken := [name for name in names if name in _TAKEN]:
        raise InputError(f"data {source!r} have columns that TRL names itself: {', '.join(taken)}")
    try:
        return datasets.Dataset.from_dict({name: [row.get(name) for row in rows] for name in names})
    except Exception as error:  # the errors of pyarrow have several roots
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(f"data {source!r} have a column of mixed types: {reason}") from error
