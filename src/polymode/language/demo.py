"""The demo: post-train one model twice and compare each run with its own promise.

`run_demo` measures the base model, states what the plain and the anchored objective promise, trains
both, measures again, and returns one machine-readable result. It prints nothing: a `Reporter` is
told what happens.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from trl import RLOOConfig, RLOOTrainer

from polymode.files import write_json
from polymode.language.answers import (
    AnswerDistribution,
    max_completion_tokens,
    promised_answers,
    sample_answers,
    score_phrasings,
)
from polymode.language.config import MARAConfig
from polymode.language.demo_run import DemoSettings, check_run
from polymode.language.dtypes import fast_dtype, kept_dtype, settled, torch_dtype
from polymode.language.embedded import resolve_model
from polymode.language.loading import load_model, load_tokenizer
from polymode.language.memory import last_complete_checkpoint
from polymode.language.runs import SETTINGS, environment
from polymode.language.shared_prompt import SharedPrompts
from polymode.language.tasks import TASKS
from polymode.language.trainers import MARATrainer

Method = Literal["plain", "anchored"]
METHODS: tuple[Method, Method] = ("plain", "anchored")
THRESHOLD = 1.0  # picking tasks pay 1 for an accepted answer and 0 for anything else


class Reporter(Protocol):
    """What a front end is told while the demo runs."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def progress(self, method: Method, step: int, steps: int, answers: AnswerDistribution) -> None:
        """A training step ended; `answers` is the exact distribution after it."""


def run_demo(
    settings: DemoSettings, out: Path, reporter: Reporter, *, resume: bool = False
) -> dict[str, Any]:
    """Run the demo, write `result.json` to `out` and return its content.

    Parameters
    ----------
    settings : DemoSettings
        With `resume`, must equal the settings that `out` was started with.
    out : Path
        Directory of the run: settings, checkpoints, one JSON file per finished stage, result.
    reporter : Reporter
        Told of stages and steps.
    resume : bool
        Continue a killed run: finished stages are read back, a half-trained run goes on from its
        last checkpoint.

    Raises
    ------
    InputError
        If `out` holds a run already and `resume` is off, or holds a run with other settings.
    """
    dtype = settled(settings.dtype, kept_dtype(out, "dtype"), fast_dtype)
    settings = replace(settings, dtype=dtype)
    check_run(settings, out, resume=resume)
    task = TASKS[settings.task]
    reporter.stage(f"loading {settings.model}")
    path = resolve_model(settings.model)
    model, tokenizer = load_model(path, dtype=torch.float32), load_tokenizer(path)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SETTINGS, asdict(settings))
    reporter.stage("measuring the base model")
    started = time.perf_counter()
    reference = score_phrasings(model, tokenizer, task)
    sampled = _stage(
        out / "base.json",
        lambda: sample_answers(
            model, tokenizer, task, n_samples=settings.n_samples, seed=settings.seed
        ).to_dict(),
    )
    result: dict[str, Any] = {
        "schema_version": 1,
        "settings": asdict(settings),
        "environment": environment("torch", "transformers", "trl", "peft", "numpy"),
        "base": {"exact": reference.answers().to_dict(), "sampled": sampled},
        "runs": {},
    }
    seconds = {"base": time.perf_counter() - started}
    for method in METHODS:
        level = settings.level if method == "anchored" else None
        promised = promised_answers(reference, beta=settings.beta, level=level, threshold=THRESHOLD)
        reporter.stage(f"training: {method}")
        run = _stage(
            out / f"{method}.json",
            partial(_train, method, settings, path, tokenizer, out, reporter),
        )
        measured = AnswerDistribution(run["measured"]["exact"]["probabilities"])
        result["runs"][method] = {
            "promised": promised.to_dict(),
            **run,
            "total_variation_to_promise": measured.total_variation(promised),
        }
        seconds[method] = run["seconds"]
    result["seconds"] = seconds
    write_json(out / "result.json", result)
    return result


def _stage(path: Path, compute: Any) -> Any:
    """Read the result of a finished stage, or compute and keep it."""
    if path.exists():
        return json.loads(path.read_text())
    value = compute()
    write_json(path, value)
    return value


class _PlainTrainer(SharedPrompts, RLOOTrainer):
    """TRL's RLOO; prompts are computed once per step, as in the anchored run."""


class _AnchoredTrainer(MARATrainer, SharedPrompts, RLOOTrainer):
    """Ours on the same footing."""


def _train(
    method: Method, settings: DemoSettings, path: str, tokenizer: Any, out: Path, reporter: Reporter
) -> dict[str, Any]:
    """Train one of the two runs to the end, from its last checkpoint if any, and measure it."""
    started = time.perf_counter()
    trainer = _make_trainer(method, settings, path, tokenizer, out / method)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Watch(trainer, tokenizer, settings, method, reporter))
    checkpoint = last_complete_checkpoint(out / method)
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    trainer.save_model(str(out / method / "model"))
    model, task = trainer.model.float().eval(), TASKS[settings.task]
    exact = score_phrasings(model, tokenizer, task).answers()
    sampled = sample_answers(
        model, tokenizer, task, n_samples=settings.n_samples, seed=settings.seed
    )
    history = [
        _history_row(row) for row in trainer.state.log_history if "answers/frac_valid" in row
    ]
    return {
        "measured": {"exact": exact.to_dict(), "sampled": sampled.to_dict()},
        "history": history,
        "seconds": time.perf_counter() - started,
        "resumed_from": checkpoint and checkpoint.name,
        "frac_of_step_in_hook": _frac_in_hook(history) if method == "anchored" else None,
    }


def _make_trainer(
    method: Method, settings: DemoSettings, path: str, tokenizer: Any, run: Path
) -> Any:
    task = TASKS[settings.task]
    options: dict[str, Any] = {
        "output_dir": str(run),
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.group_size,
        "num_generations": settings.group_size,
        "max_completion_length": max_completion_tokens(tokenizer, task),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": settings.warmup_steps,
        "beta": settings.beta,
        "seed": settings.seed,
        "save_steps": settings.save_every,
        "save_total_limit": 1,
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,  # answers are a few tokens: memory is no concern
        "bf16": False,  # the weights have a type of their own; autocast would touch the adapter
        "use_cpu": not torch.cuda.is_available(),
    }
    common: dict[str, Any] = {
        "model": load_model(path, dtype=torch_dtype(settings.dtype)),
        "reward_funcs": task.reward,
        "train_dataset": Dataset.from_dict({"prompt": [task.prompt(tokenizer)] * settings.steps}),
        "processing_class": tokenizer,
        "peft_config": LoraConfig(
            r=settings.lora_rank,
            lora_alpha=2 * settings.lora_rank,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    }
    if method == "plain":
        return _PlainTrainer(args=RLOOConfig(**options), **common)
    mode_fn = task.mode_key if settings.level == "modes" else None
    return _AnchoredTrainer(
        args=MARAConfig(threshold=THRESHOLD, **options), mode_fn=mode_fn, **common
    )


class _Watch(TrainerCallback):
    """Measure the answers after every step, log them with TRL's metrics, tell the front end."""

    def __init__(
        self,
        trainer: Any,
        tokenizer: Any,
        settings: DemoSettings,
        method: Method,
        reporter: Reporter,
    ) -> None:
        self._trainer, self._tokenizer = trainer, tokenizer
        self._settings, self._reporter = settings, reporter
        self._method: Method = method

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        task = TASKS[self._settings.task]
        answers = score_phrasings(self._trainer.model, self._tokenizer, task).answers()
        log = self._trainer._metrics["train"]
        log["answers/frac_valid"].append(answers.frac_valid)
        for name, probability in answers.probabilities.items():
            log[f"answers/{name}"].append(probability)
        self._reporter.progress(self._method, state.global_step, self._settings.steps, answers)


def _history_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one step that the result keeps."""
    kept = ("step", "reward", "kl", "step_time")
    return {k: v for k, v in row.items() if k in kept or k.startswith(("answers/", "mara/"))}


def _frac_in_hook(history: list[dict[str, Any]]) -> float:
    """Share of the training steps' time that the anchoring hook took."""
    return sum(row["mara/hook_seconds"] for row in history) / sum(
        row["step_time"] for row in history
    )
