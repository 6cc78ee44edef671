"""A training run from a recipe: build the trainer, train, resume, keep what comparing takes.

A run's directory holds `recipe.yaml`, `environment.json`, TRL's checkpoints, `completions/` (one
Parquet table for each logging step), `trainer_state.json` (all logged figures), `model/` and
`result.json`.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_callback import ProgressCallback
from trl import GRPOTrainer, RLOOTrainer

from polymode.errors import InputError
from polymode.files import write_json
from polymode.language.clusters import ClusterModes
from polymode.language.data import Prompts, load_prompts
from polymode.language.dtypes import fast_dtype, kept_dtype, settled, torch_dtype
from polymode.language.embedded import resolve_model
from polymode.language.ensembling import interpolate_checkpoints
from polymode.language.hook import ShapingMixin
from polymode.language.loading import adapter_base, load_model, load_tokenizer
from polymode.language.memory import last_complete_checkpoint
from polymode.language.options import make_config
from polymode.language.promises import task_report
from polymode.language.recipe import Recipe
from polymode.language.rewards.health import RewardHealth
from polymode.language.rewards.sources import load_rewards
from polymode.language.rewards.texts import text_of
from polymode.language.runs import SETTINGS, check_directory, environment
from polymode.language.shared_prompt import SharedPrompts
from polymode.language.token_kl import TokenKLTrainer
from polymode.language.trainers import MARAGRPOTrainer, ShapedTrainer
from polymode.metrics.modes import mode_function

Watcher = Callable[[int, int, dict[str, Any]], None]
"""`watch(step, steps, logs)`: told of every logged step."""


def train_language(
    recipe: Recipe, out: Path, *, resume: bool = False, watch: Watcher | None = None
) -> dict[str, Any]:
    """Train as a recipe says, in a directory, and return what `result.json` holds.

    Parameters
    ----------
    recipe : Recipe
        With `resume`, must equal the one that the directory was started with, but for options that
        only say how long or how often (`max_steps`, `save_steps`, `logging_steps`).
    out : Path
        Directory of the run.
    resume : bool
        Go on from the last complete checkpoint.
    watch : callable, optional
        Told of every logged step.

    Raises
    ------
    InputError
        If the directory holds something else, or data, model or rewards cannot be had.
    RewardError
        If rewards fail on too many completions; a checkpoint is there.
    UnsupportedOptionError
        If a setting would silently change the target.
    """
    started = time.perf_counter()
    recipe = _settled(recipe, out)
    check_run(recipe, out, resume=resume)
    PartialState(cpu=not torch.cuda.is_available())  # each process to its own device
    tokenizer = load_tokenizer(recipe.model.name)
    _refuse_adapter(recipe)
    model = load_model(recipe.model.name, dtype=torch_dtype(recipe.model.dtype))
    prompts = load_prompts(recipe.data, tokenizer=tokenizer)
    trainer = make_trainer(recipe, out, model, tokenizer, prompts)
    if trainer.accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        (out / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
        write_json(out / SETTINGS, _settings(recipe))
        write_json(
            out / "environment.json", environment("torch", "transformers", "trl", "peft", "numpy")
        )
    report = task_report(recipe, trainer, prompts, out)
    if watch is not None and trainer.accelerator.is_main_process:
        trainer.add_callback(_Watch(watch))
    checkpoint = last_complete_checkpoint(out) if resume else None
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    trainer.save_model(str(out / "model"))
    trainer.save_state()
    final = _final(recipe, out, trainer)
    result = {
        "schema_version": 1,
        "steps": trainer.state.global_step,
        "resumed_from": checkpoint and checkpoint.name,
        "seconds": time.perf_counter() - started,
        "dtype": recipe.model.dtype,
        "task": report(final),
    }
    if trainer.accelerator.is_main_process:
        write_json(out / "result.json", result)
    return result


_FREE = (
    "max_steps",
    "num_train_epochs",
    "save_steps",
    "save_total_limit",
    "logging_steps",
    "report_to",
)


def check_run(recipe: Recipe, out: Path, *, resume: bool) -> None:
    """Refuse a directory that a run would overwrite, or that is not the run to resume.

    Of several processes only the first looks: the others may find what it has written since.
    """
    if int(os.environ.get("RANK", "0")) > 0:
        return
    settings = _settings(_settled(recipe, out))
    check_directory(settings, out, resume=resume, what="training run")


def _settled(recipe: Recipe, out: Path) -> Recipe:
    """Return a recipe that names its type of weights: that of the run which `out` holds, if any."""
    kept = kept_dtype(out, "model", "dtype")
    by_rank = "float32" if recipe.model.lora_rank == 0 else None  # updates have to survive
    dtype = settled(recipe.model.dtype, kept or by_rank, fast_dtype)
    model = recipe.model.model_copy(update={"dtype": dtype})
    return recipe.model_copy(update={"model": model})


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Return what must not change when a run is resumed: all but how long and how often."""
    settings = recipe.model_dump(mode="json")
    settings["trainer"] = {k: v for k, v in settings["trainer"].items() if k not in _FREE}
    return settings


def _refuse_adapter(recipe: Recipe) -> None:
    """Refuse an adapter for a model: loaded as one it does not train, and it has no reference."""
    name = recipe.model.name
    if adapter_base(resolve_model(name)) is not None:
        raise InputError(
            f"model.name must be a model, and {name} is a LoRA adapter: merge it into its base "
            "first (PeftModel.merge_and_unload), or go on with its own run by --resume"
        )


def _final(recipe: Recipe, out: Path, trainer: Any) -> Path:
    """Return where the final model is; weight ensembling writes the mean of base and trained."""
    trainer.accelerator.wait_for_everyone()
    if recipe.method.name != "weight_ensembling":
        return out / "model"
    path = out / "ensemble"
    if trainer.accelerator.is_main_process:
        for left in (path, out / "ensemble.partial"):  # of a run that was shorter, or was killed
            shutil.rmtree(left, ignore_errors=True)
        base, weight = resolve_model(recipe.model.name), recipe.method.ensemble_weight
        interpolate_checkpoints(base, out / "model", path, weight=weight)
    trainer.accelerator.wait_for_everyone()
    return path


def make_trainer(recipe: Recipe, out: Path, model: Any, tokenizer: Any, prompts: Prompts) -> Any:
    """Return the trainer of a recipe, ready to train."""
    sources = [reward.source for reward in recipe.rewards] or [recipe.data.source]
    if not recipe.rewards and prompts.task is None:
        raise InputError("rewards must be given: only tasks bring their own")
    weights = [reward.weight for reward in recipe.rewards] or [1.0]
    rewards = load_rewards(sources, weights=weights, guard=recipe.guard)
    kwargs: dict[str, Any] = {
        "model": model,
        "reward_funcs": rewards.functions,
        "args": make_config(recipe, output_dir=str(out), reward_weights=rewards.weights),
        "train_dataset": prompts.train,
        "eval_dataset": prompts.held_out,
        "processing_class": tokenizer,
        "peft_config": _lora(recipe),
    }
    kind = _trainer_class(recipe)
    if issubclass(kind, ShapingMixin):
        kwargs["mode_fn"] = mode_key(recipe.method.modes, prompts.task)
    trainer: Any = kind(**kwargs)
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(RewardHealth(rewards.functions))
    return trainer


def _trainer_class(recipe: Recipe) -> Any:
    """Return the class that a method trains with."""
    method = recipe.method
    if method.algorithm == "rloo":
        ours, host = ShapedTrainer, RLOOTrainer
    elif method.algorithm == "token_kl":
        ours, host = TokenKLTrainer, GRPOTrainer
    else:
        ours, host = (None if method.name == "plain" else MARAGRPOTrainer), GRPOTrainer
    bases: tuple[Any, ...] = (*([ours] if ours else []), SharedPrompts, host)
    if recipe.model.shared_prompts:
        return type(f"SharedPrompts{(ours or host).__name__}", bases, {})
    return ours or host


def mode_key(spec: str | None, task: Any) -> Callable[[Any, Any], Any] | None:
    """Return `mode_fn(prompt, completion)` of a recipe's `modes`; None for single completions."""
    if spec is None:
        return None
    if spec == "task":
        if task is None:
            raise InputError("method.modes: task needs data from a task")
        return task.mode_key
    head, _, cosine = spec.partition(":")
    if head == "cluster":
        return _clusters(cosine)
    of_text = mode_function(spec)
    return lambda _, completion: of_text(text_of(completion))


def _clusters(cosine: str) -> ClusterModes:
    """Return modes by meaning, with the least cosine that a recipe gives."""
    try:
        return ClusterModes(float(cosine)) if cosine else ClusterModes()
    except ValueError as error:
        reason = f"method.modes must be cluster or cluster:COSINE, got {cosine!r}"
        raise InputError(f"{reason}: {error}") from error


def _lora(recipe: Recipe) -> LoraConfig | None:
    """Return the adapter of a recipe, if it has one."""
    rank = recipe.model.lora_rank
    if not rank:
        return None
    return LoraConfig(
        r=rank,
        lora_alpha=recipe.model.lora_alpha or 2 * rank,  # type: ignore[arg-type]
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


class _Watch(TrainerCallback):
    """Tell a front end of every logged step."""

    def __init__(self, watch: Watcher) -> None:
        self._watch = watch

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        self._watch(state.global_step, state.max_steps, dict(logs or {}))
