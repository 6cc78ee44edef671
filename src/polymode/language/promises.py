"""What a recipe promises on a picking task, whose answers can be counted, and what came of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymode.language.answers import (
    AnswerDistribution,
    ScoredPhrasings,
    promised_answers,
    score_phrasings,
)
from polymode.language.data import Prompts
from polymode.language.loading import load_model
from polymode.language.recipe import Recipe
from polymode.language.regularisers import find_regulariser
from polymode.language.tasks import PickingTask

Report = Callable[[Any], dict[str, Any] | None]


def task_report(recipe: Recipe, trainer: Any, prompts: Prompts, out: Path) -> Report:
    """Measure the base now, and return a function that measures the model at the end.

    Both are made in float32, whatever the training's type: in bfloat16 exact probabilities are off
    by some per cent. For tasks whose answers cannot be counted the function returns None.
    """
    task = prompts.task
    if not isinstance(task, PickingTask):
        return lambda _: None
    tokenizer = trainer.processing_class
    base = _base(recipe, task, tokenizer, out / "base.json")
    promised = promise(recipe, base)

    def report(model: Any) -> dict[str, Any]:
        measured = score_phrasings(model.float().eval(), tokenizer, task).answers()
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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(scored.log_probs.tolist()), encoding="utf-8")
    return scored


def promise(recipe: Recipe, base: ScoredPhrasings) -> AnswerDistribution | None:
    """Return the optimum of a recipe's objective on a picking task, None where there is no formula.

    Known are the methods plain, anchored and entropy_bonus over whole completions, with rewards of
    the task alone.
    """
    method = recipe.method
    options: dict[str, Any] = {
        "beta": 0.05,
        "regulariser": "reverse_kl",
        "threshold": 1.0,
        **method.fields,
    }
    anchored, kl = method.name == "anchored", options["regulariser"] in ("reverse_kl", "forward_kl")
    formula = (
        anchored and kl and _is_full(options),
        method.name == "plain" and method.algorithm == "rloo",
        method.name == "entropy_bonus" and options["regulariser"] == "reverse_kl",
    )
    if recipe.rewards or not any(formula):
        return None
    level = ("strings" if method.modes is None else "modes") if anchored else None
    bonus = (options.get("method_options") or {}).get("strength", 0.0)
    return promised_answers(
        base,
        beta=options["beta"],
        level=level,
        threshold=options["threshold"] or 1.0,
        divergence=find_regulariser(options["regulariser"]),
        entropy=bonus if method.name == "entropy_bonus" else 0.0,
    )


def _is_full(options: dict[str, Any]) -> bool:
    """True where anchoring goes all the way."""
    return (
        options.get("anchor_strength", 1.0) == 1.0
        and options.get("max_bonus") is None
        and options.get("length", "sum") == "sum"
    )
