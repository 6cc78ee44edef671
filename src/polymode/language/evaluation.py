"""Evaluate models: draw samples, keep them, and measure quality and diversity side by side.

`evaluate` prints nothing: a `Reporter` is told what happens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from polymode.errors import InputError
from polymode.files import json_ready, write_json
from polymode.language.dtypes import kept_dtype, sampling_dtype, settled
from polymode.language.embedder import DEFAULT_EMBEDDER, Embedder
from polymode.language.evaluation_settings import EvaluationSettings
from polymode.language.measures import REWARDED, SEMANTIC, Samples, estimate
from polymode.language.prompts import EvaluationPrompt, EvaluationTask
from polymode.language.runs import SETTINGS, check_directory, environment
from polymode.language.sample_file import Key, append_rows, batch_sizes, read_whole_batches
from polymode.language.sampling import Engine, batch_seed, load_engine

SAMPLES, RESULT = "samples.jsonl", "evaluation.json"
Rows = dict[Key, list[dict[str, Any]]]


class Reporter(Protocol):
    """What a front end is told while an evaluation runs."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def progress(self, model: str, task: str, done: int, total: int) -> None:
        """So many of the samples of a model on a task are there."""


def evaluate(
    settings: EvaluationSettings, out: Path, reporter: Reporter, *, resume: bool = False
) -> dict[str, Any]:
    """Sample every model on every task, measure, write `evaluation.json` and return its content.

    Parameters
    ----------
    settings : EvaluationSettings
        With `resume`, must equal those that `out` was started with.
    out : Path
        Directory of the run: settings, samples, result.
    reporter : Reporter
        Told of stages and samples.
    resume : bool
        Continue a killed run: samples that are there are kept, and the others are those that the
        run would have drawn.

    Raises
    ------
    InputError
        If a model, the file of prompts or a directory is not usable, or the reward function fails.
    ConfigError
        If lines of the file of prompts are not what they must be.
    """
    dtype = settled(settings.dtype, kept_dtype(out, "dtype"), sampling_dtype)
    settings = replace(settings, dtype=dtype)
    check_evaluation(settings, out, resume=resume)
    tasks = settings.load_tasks()
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SETTINGS, asdict(settings))
    rows = _draw(settings, tasks, out / SAMPLES, reporter)
    reporter.stage("measuring")
    embedder, reason = _embedder(settings.embedder)
    results = [
        _result(model, task, rows, settings, embedder, reason)
        for model in settings.models
        for task in tasks
    ]
    result = {
        "schema_version": 1,
        "environment": environment("torch", "transformers", "peft", "sacrebleu", "numpy", "scipy"),
        "settings": asdict(settings),
        "results": results,
    }
    write_json(out / RESULT, result)
    return result


def check_evaluation(settings: EvaluationSettings, out: Path, *, resume: bool) -> None:
    """Refuse a directory that an evaluation would overwrite, or that is not the one to resume."""
    check_directory(asdict(settings), out, resume=resume, what="evaluation")


def _draw(
    settings: EvaluationSettings, tasks: Sequence[EvaluationTask], path: Path, reporter: Reporter
) -> Rows:
    """Draw the samples that are not on the disk yet, and return all."""
    sizes = batch_sizes(settings.samples, settings.batch_size)
    rows: Rows = read_whole_batches(path, sizes)
    for model in settings.models:
        engine: Engine | None = None
        for task in tasks:
            total = settings.samples * len(task.prompts)
            keys = {prompt.id: (model, task.name, prompt.id) for prompt in task.prompts}
            done = sum(len(rows.get(key, ())) for key in keys.values())
            reporter.progress(model, task.name, done, total)
            for prompt in task.prompts:
                own = rows.setdefault(keys[prompt.id], [])
                for batch, size in enumerate(sizes):
                    if len(own) >= sum(sizes[: batch + 1]):
                        continue
                    if engine is None:
                        reporter.stage(f"loading {model}")
                        engine = _engine(settings, model)
                    new = _batch(engine, settings, task, prompt, batch, size, model)
                    append_rows(path, new)
                    own += new
                    done += size
                    reporter.progress(model, task.name, done, total)
    return rows


def _engine(settings: EvaluationSettings, model: str) -> Engine:
    """Load a model."""
    return load_engine(
        settings.engine,
        model,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        dtype=settings.dtype,
        seed=settings.seed,
    )


def _batch(
    engine: Engine,
    settings: EvaluationSettings,
    task: EvaluationTask,
    prompt: EvaluationPrompt,
    batch: int,
    size: int,
    model: str,
) -> list[dict[str, Any]]:
    """Draw and score one batch of one prompt, as rows of the file."""
    seed = batch_seed(settings.seed, task=task.name, prompt_id=prompt.id, batch=batch)
    found = engine.sample(prompt.token_ids(engine.tokenizer), size, seed=seed)
    scores = task.scored(prompt, [each.text for each in found], [each.finished for each in found])
    return [
        {
            "model": model,
            "task": task.name,
            "prompt_id": prompt.id,
            "prompt": prompt.text(engine.tokenizer),
            "completion": each.text,
            "reward": json_ready(reward),
            "mode": mode if mode is None or isinstance(mode, str | int) else repr(mode),
            "n_tokens": each.n_tokens,
            "log_prob": json_ready(each.log_prob),
            "finished": each.finished,
        }
        for each, (reward, mode) in zip(found, scores, strict=True)
    ]


def _embedder(name: str | None) -> tuple[Embedder | None, str]:
    """Return the embedder, or why there is none; one that was asked for by name must be had."""
    if name == "none":
        return None, "no embedder was asked for"
    try:
        return Embedder(name or DEFAULT_EMBEDDER), ""
    except InputError as error:
        if name is not None:
            raise
        return None, str(error)


def _result(
    model: str,
    task: EvaluationTask,
    rows: Mapping[Key, Sequence[Mapping[str, Any]]],
    settings: EvaluationSettings,
    embedder: Embedder | None,
    reason: str,
) -> dict[str, Any]:
    """Measure one model on one task."""
    own = [row for prompt in task.prompts for row in rows[model, task.name, prompt.id]]
    samples = _columns(task, own, embedder)
    values, means, resampled = estimate(samples, settings)
    skipped: dict[str, str] = {}
    if embedder is None:
        skipped.update(dict.fromkeys(SEMANTIC, reason))
    if "reward" not in values:
        skipped.update(dict.fromkeys(REWARDED, "no known answers, and no --rewards"))
    if samples.answers is None:
        skipped["answer_coverage"] = "the good answers of some prompt are not known"
    return {
        "model": model,
        "task": task.name,
        "n_prompts": len(task.prompts),
        "n_samples": settings.samples,
        "resampled": resampled,
        "prompt_ids": [prompt.id for prompt in task.prompts],
        "skipped": skipped,
        "metrics": {
            name: json_ready({**asdict(mean), "per_prompt": values[name]})
            for name, mean in means.items()
        },
    }


def _columns(
    task: EvaluationTask, rows: Sequence[Mapping[str, Any]], embedder: Embedder | None
) -> Samples:
    """Return rows as columns."""
    number = {prompt.id: i for i, prompt in enumerate(task.prompts)}
    texts = [row["completion"] for row in rows]
    answers = {
        i: [a if isinstance(a, str | int) else repr(a) for a in prompt.answers]
        for i, prompt in enumerate(task.prompts)
        if prompt.answers is not None
    }

    def column(name: str) -> np.ndarray:
        return np.asarray([row[name] for row in rows], dtype=np.float64)  # None becomes NaN

    return Samples(
        prompt=np.asarray([number[row["prompt_id"]] for row in rows]),
        rewards=column("reward"),
        modes=[row["mode"] for row in rows],
        texts=texts,
        n_tokens=column("n_tokens"),
        log_probs=column("log_prob"),
        finished=column("finished"),
        answers=answers if len(answers) == len(task.prompts) else None,
        embeddings=None if embedder is None else embedder.embed(texts),
    )
