"""Options of a recipe that are fields of a trainer's config: which there are, and where they go."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from trl import GRPOConfig

from polymode.core.checks import did_you_mean
from polymode.language.config import MARAGRPOConfig, ShapedConfig, ShapingFields
from polymode.language.recipe import MethodSection, Recipe
from polymode.language.token_kl import TokenKLConfig

_TOKEN_KL = {"token_regulariser", "allow_token_local_anchoring"}
_OURS = {field.name for field in fields(ShapingFields)} - {"method"} | _TOKEN_KL
_SET_BY_US = ("output_dir", "reward_weights")


def config_class(method: str, algorithm: str) -> Any:
    """Return the class of config that a method trains with."""
    if algorithm == "rloo":
        return ShapedConfig
    if algorithm == "token_kl":
        return TokenKLConfig
    return GRPOConfig if method == "plain" else MARAGRPOConfig


def option_problems(method: Mapping[str, Any], trainer: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the names of options, one line each."""
    kind = config_class(method.get("name", "anchored"), method.get("algorithm", "rloo"))
    known = {field.name for field in fields(kind)}
    in_method = {*MethodSection.model_fields, *(_OURS & known), "beta"}
    for name in method:
        if name in in_method:
            continue
        if name in known:
            yield f"method.{name} belongs into the section trainer"
        else:
            yield f"unknown key 'method.{name}'{did_you_mean(name, sorted(in_method))}"
    for name in trainer:
        if name in _SET_BY_US:
            yield f"trainer.{name} must not be set: the command sets it"
        elif name in in_method:
            yield f"trainer.{name} belongs into the section method"
        elif name not in known:
            hint = did_you_mean(name, sorted(known - in_method))
            yield f"unknown key 'trainer.{name}': {kind.__name__} has no such option{hint}"


def make_config(recipe: Recipe, *, output_dir: str, reward_weights: list[float]) -> Any:
    """Return the config of a recipe's trainer.

    Defaults that differ from TRL's: `logging_steps` 1, `save_steps` 10 with the last two kept,
    `report_to` none, completions logged as Parquet.
    """
    import torch

    method = recipe.method
    kind = config_class(method.name, method.algorithm)
    given: dict[str, Any] = {
        "logging_steps": 1,
        "save_steps": 10,
        "save_total_limit": 2,
        "report_to": "none",
        "log_completions": True,
        "num_completions_to_print": 0,
        "bf16": False,  # the weights have a type of their own; autocast is the user's to ask for
        "use_cpu": not torch.cuda.is_available(),
        **method.fields,
        **recipe.trainer,
    }
    if kind is not GRPOConfig:
        given["method"] = "plain" if method.name == "weight_ensembling" else method.name
    return kind(output_dir=output_dir, reward_weights=reward_weights, **given)
