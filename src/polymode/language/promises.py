"""What a recipe promises on a picking task, whose answers can be counted, and what came of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymode.files import write_json
from polymode.language.answers import (
    AnswerDistribution,
    ScoredPhrasings,
    max_completion_tokens,
    promised_answers,
    score_phrasings,
)
from polymode.language.data import Prompts
from polymode.language.loading import load_model
from polymode.language.recipe import Recipe
from polymode.language.regularisers import find_regulariser
from polymode.language.tasks import PickingTask

Report = Callable[[Path], dict[str, Any] | None]


def task_report(recipe: Recipe, trainer: Any, prompts: Prompts, out: Path) -> Report:
    """Measure the base now, and return a function that measures what was saved at the end.

    Both are made in float32, whatever the training's type: in bfloat16 exact probabilities are off
    by some per cent. The function returns None for tasks whose answers cannot be counted, for
    prompts that are not the task's own, and on all processes but the first.
    """
    task, changed = prompts.task, (recipe.data.system, recipe.data.opening)
    own = changed == (None, None) and recipe.data.form == "chat"
    is_first = trainer.accelerator.is_main_process
    if not (isinstance(task, PickingTask) and own and is_first):
        return lambda _: None
    tokenizer = trainer.processing_class
    base = _base(recipe, task, tokenizer, out / "base.json")
    promised = promise(recipe, base, trainer.args, longest=max_completion_tokens(tokenizer, task))

    def report(path: Path) -> dict[str, Any]:
        model = load_model(str(path), dtype=torch.float32)
        measured = score_phrasings(model, tokenizer, task).answers()
        return {
            "base": base.answers().to_dict(),
            "promised": None if promised is None else promised.to_dict(),
            "measured": measured.to_dict(),
            "total_variation_to_promise": (
                None if promised is None else measured.total_variation(promised)
            ),
        }

    return report


def _base(recipe: Recipe, task: PickingTask, tokenizer: Any, path: Path) -> ScoredPhrasings:
    """Score the base model, once for a run."""
    if path.exists():
        return ScoredPhrasings(task, np.array(json.loads(path.read_text("utf-8"))))
    model = load_model(recipe.model.name, dtype=torch.float32)
    scored = score_phrasings(model, tokenizer, task)
    write_json(path, scored.log_probs.tolist())
    return scored


def promise(
    recipe: Recipe, base: ScoredPhrasings, args: Any, *, longest: int
) -> AnswerDistribution | None:
    """Return the optimum of a recipe's objective on a picking task, None where there is no formula.

    Known are the methods plain and anchored over whole completions, with rewards of the task alone,
    at temperature 1, where every phrasing (of at most `longest` tokens) has room. An entropy bonus
    has no formula here: its optimum depends on how the mass of wrong completions is divided.

    Parameters
    ----------
    recipe : Recipe
        Method, modes and rewards.
    base : ScoredPhrasings
        The reference.
    args : ShapedConfig or another config of a trainer
        The settings as the trainer has them.
    longest : int
        Tokens of the longest phrasing, its end included.
    """
    method = recipe.method
    if not _has_formula(recipe, args) or args.max_completion_length < longest:
        return None
    anchored = method.name == "anchored"
    level = ("strings" if method.modes is None else "modes") if anchored else None
    return promised_answers(
        base,
        beta=args.beta,
        level=level,
        divergence=find_regulariser(args.regulariser),
    )


def _has_formula(recipe: Recipe, args: Any) -> bool:
    """True where the optimum on a picking task is known."""
    method = recipe.method
    if recipe.rewards or method.algorithm != "rloo" or args.temperature != 1.0:
        return False
    if args.dph_divergence is not None:
        return False
    if method.name == "anchored":
        return _is_full(recipe, args) and args.regulariser in ("reverse_kl", "forward_kl")
    return method.name == "plain"


def _is_full(recipe: Recipe, args: Any) -> bool:
    """True where all right answers, and only they, are anchored, all the way."""
    return (
        recipe.method.modes in (None, "task")
        and args.threshold is not None
        and 0 < args.threshold <= 1  # rewards are 0 and 1
        and args.anchor_strength == 1.0
        and args.max_bonus is None
        and args.length == "sum"
    )
