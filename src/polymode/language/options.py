"""Options of a recipe that are fields of a trainer's config: which there are, and where they go."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from inspect import get_annotations
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from trl import GRPOConfig

from polymode.core.checks import did_you_mean
from polymode.core.checks import known as known_as
from polymode.core.shaping import SHAPERS
from polymode.errors import ArgumentError
from polymode.language.config import MARAGRPOConfig, ShapedConfig, ShapingFields
from polymode.language.recipe import MethodSection, Recipe
from polymode.language.token_kl import TokenKLConfig
from polymode.metrics.modes import mode_function

_TOKEN_KL = {"token_regulariser", "allow_token_local_anchoring"}
_OURS = {field.name for field in fields(ShapingFields)} - {"method"} | _TOKEN_KL
_SET_BY_US = ("output_dir", "reward_weights", "method")
_METHODS = (*SHAPERS, "weight_ensembling")


def config_class(method: str, algorithm: str) -> Any:
    """Return the class of config that a method trains with."""
    if algorithm == "rloo":
        return ShapedConfig
    if algorithm == "token_kl":
        return TokenKLConfig
    return GRPOConfig if method == "plain" else MARAGRPOConfig


def option_problems(method: Mapping[str, Any], trainer: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the names of options, one line each."""
    yield from known_as("method.name", method.get("name", "anchored"), _METHODS)
    yield from _mode_problems(method.get("modes"))
    kind = config_class(method.get("name", "anchored"), method.get("algorithm", "rloo"))
    types = _types(kind)
    known = set(types)
    in_method = {*MethodSection.model_fields, *(_OURS & known), "beta"}
    for name, value in method.items():
        if name in in_method:
            yield from _type_problems(f"method.{name}", value, types.get(name))
            continue
        if name in known:
            yield f"method.{name} belongs into the section trainer"
        else:
            yield f"unknown key 'method.{name}'{did_you_mean(name, sorted(in_method))}"
    for name, value in trainer.items():
        if name in _SET_BY_US:
            yield f"trainer.{name} must not be set: the command sets it"
        elif name in in_method:
            yield f"trainer.{name} belongs into the section method"
        elif name not in known:
            hint = did_you_mean(name, sorted(known - in_method))
            yield f"unknown key 'trainer.{name}': {kind.__name__} has no such option{hint}"
        else:
            yield from _type_problems(f"trainer.{name}", value, types[name])


def _types(kind: Any) -> dict[str, Any]:
    """Return the types of a config's fields as its classes name them.

    Not `field.type`: TRL's parser of command lines replaces that of a union by plain text.
    """
    found: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        found |= get_annotations(owner)
    return {field.name: found[field.name] for field in fields(kind)}


def _type_problems(place: str, value: Any, kind: Any) -> Iterator[str]:
    """Check a value against the type of its field, where that is one of plain values."""
    if kind is None or isinstance(kind, str):
        return
    try:
        adapter = TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
        adapter.validate_python(value)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        yield f"{place}: {reason[0].lower()}{reason[1:]}, got {value!r}"
    except PydanticUserError:
        return  # a type that pydantic has no notion of: TRL's to check


def _mode_problems(spec: Any) -> Iterator[str]:
    """Check what counts as the same answer, as far as that needs no model."""
    if not isinstance(spec, str) or spec == "task" or spec.partition(":")[0] == "cluster":
        return
    try:
        mode_function(spec)
    except ArgumentError as error:
        yield f"method.modes: {error}"


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
