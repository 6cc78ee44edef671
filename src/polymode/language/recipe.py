"""The recipe of a training run: one YAML file, checked as a whole before anything is loaded.

Sections are ours (`model`, `data`, `rewards`, `method`); `trainer` takes every option of TRL's
config under its own name. Light: neither torch nor TRL is imported until options have to be looked
up.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from polymode.core.checks import did_you_mean
from polymode.errors import ConfigError, InputError
from polymode.language.data import DataSettings
from polymode.language.rewards.guard import Guard

Algorithm = Literal["rloo", "grpo", "token_kl"]


class _Section(BaseModel):
    """A section of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(_Section):
    """What is trained."""

    name: str = "smollm2-135m"
    """`smollm2-135m` (ships as a package), a directory, or a hub id."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type of the weights; `auto` is bfloat16 for adapters where the machine has units for it,
    else float32. A run is resumed in the type that it began in."""
    lora_rank: int = Field(default=16, ge=0)
    """Rank of the LoRA adapter on all linear layers; 0 trains all weights."""
    lora_alpha: float | None = Field(default=None, gt=0)
    """Scale of the adapter; twice the rank if unset."""
    shared_prompts: bool = False
    """Compute every prompt once per step: faster for short answers to long prompts."""

    @model_validator(mode="after")
    def _updates_survive(self) -> Self:
        """Refuse weights in which most updates are rounded away."""
        if self.lora_rank == 0 and self.dtype in ("bfloat16", "float16"):
            raise ValueError(
                f"lora_rank 0 trains weights in {self.dtype}, which rounds most updates away: set "
                "dtype: float32 (and trainer.bf16: true for speed on a GPU)"
            )
        return self


class RewardSection(_Section):
    """One reward, and what it weighs."""

    source: str
    """Dotted path of a function, `model:NAME`, or the name of a task."""
    weight: float = 1.0
    """Factor of this reward in the sum."""


class MethodSection(_Section):
    """What becomes of the rewards: also `beta`, and the fields of `ShapedConfig` that are ours."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "anchored"
    """A shaper, such as anchored, plain or unlikeliness, or weight_ensembling."""
    algorithm: Algorithm = "rloo"
    """Trainer below: rloo, grpo (with name plain, TRL's own), or token_kl (GRPO's KL by name)."""
    modes: str | None = None
    """What counts as the same answer: task, exact, last_number, xml_tag:NAME, regex:PATTERN,
    cluster (by meaning; cluster:COSINE sets the least cosine, .7) or a dotted path."""
    ensemble_weight: float = Field(default=0.5, ge=0, le=1)
    """With weight_ensembling: share of the trained weights beside those of the base."""

    @property
    def fields(self) -> dict[str, Any]:
        """Everything that goes into the trainer's config."""
        return dict(self.model_extra or {})


def _fields_of(kind: Any) -> Any:
    """Return a validator that a mapping has keys of a dataclass only."""

    def check(value: Any) -> Any:
        known = [field.name for field in fields(kind)]
        unknown = [key for key in value if key not in known] if isinstance(value, Mapping) else ()
        if unknown:
            raise ValueError(
                "; ".join(f"unknown key {key!r}{did_you_mean(key, known)}" for key in unknown)
            )
        return value

    return BeforeValidator(check)


class Recipe(_Section):
    """A training run, from the model to the last option."""

    model: ModelSection = ModelSection()
    data: Annotated[DataSettings, _fields_of(DataSettings)]
    """Where prompts come from."""
    rewards: tuple[RewardSection, ...] = ()
    """Empty: the task's own."""
    guard: Annotated[Guard, _fields_of(Guard)] = Guard()
    """Limits of rewards that fail."""
    method: MethodSection = MethodSection()
    trainer: Mapping[str, Any] = {}
    """Options of TRL's config by their names."""

    @field_validator("method", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """Take the bare name of a method, too."""
        return {"name": value} if isinstance(value, str) else value

    @field_validator("data", mode="before")
    @classmethod
    def _by_source(cls, value: Any) -> Any:
        """Take the bare source of the data, too."""
        return {"source": value} if isinstance(value, str) else value

    @field_validator("rewards", mode="before")
    @classmethod
    def _as_sections(cls, value: Any) -> Any:
        """Take the bare sources of rewards, too."""
        given = [value] if isinstance(value, str | Mapping) else value
        if not isinstance(given, list | tuple):
            return given
        return [{"source": one} if isinstance(one, str) else one for one in given]

    def to_yaml(self) -> str:
        """Return the recipe with every section written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Return the recipe of a YAML file.

    Parameters
    ----------
    path : Path
        The file.
    overrides : tuple of str
        ``section.key=value``, in YAML, on top of the file.

    Raises
    ------
    InputError
        If the file cannot be read, or is no YAML.
    ConfigError
        If anything in it is wrong; lists everything.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path} cannot be read: {error}") from error
    content = _parsed(text, str(path))
    for override in overrides:
        _apply(content, override)
    return check_recipe(content, owner=str(path))


def _parsed(text: str, owner: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds."""
    try:
        content = yaml.load(io.StringIO(text), Loader=_Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{owner} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{owner} must hold sections such as model: and data:")
    return content


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but for keys that stand twice, and for numbers such as 1e-5."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice: one of the two would be lost without a word."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                place = key_node.start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", place
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one value of the content."""
    key, equals, value = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise InputError(f"an override must read section.key=value, got {override!r}")
    here: dict[str, Any] = content
    for part in parts[:-1]:
        below: Any = here.setdefault(part, {})
        if isinstance(below, str):  # a section by its bare name
            below = here[part] = {"name" if part == "method" else "source": below}
        if not isinstance(below, dict):
            raise InputError(f"override {override!r}: {part} is no section")
        here = below
    here[parts[-1]] = yaml.load(io.StringIO(value), Loader=_Loader)


def check_recipe(content: Mapping[str, Any], *, owner: str = "recipe") -> Recipe:
    """Return a recipe, with all of its options checked.

    Parameters
    ----------
    content : mapping
        Its sections.
    owner : str
        What messages call it.

    Raises
    ------
    ConfigError
        If anything is wrong; lists everything.
    """
    problems: list[str] = []
    recipe: Recipe | None = None
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        problems += _readable(error)
    method, trainer = content.get("method", {}), content.get("trainer", {})
    if isinstance(trainer, Mapping):
        problems += _option_problems(method if isinstance(method, Mapping) else {}, trainer)
    if problems or recipe is None:
        raise ConfigError(owner, problems)
    return recipe


def _readable(error: ValidationError) -> Iterator[str]:
    """Yield pydantic's findings as ours: where, what must hold, what was given."""
    for finding in error.errors(include_url=False):
        place = ".".join(map(str, finding["loc"]))
        if finding["type"] == "extra_forbidden":
            section: Any = Recipe
            for part in finding["loc"][:-1]:
                section = _section_of(section, part)
            known = list(section.model_fields)
            hint = did_you_mean(str(finding["loc"][-1]), known)
            yield f"unknown key {place!r}{hint or ': known are ' + ', '.join(known)}"
        elif finding["type"] == "missing":
            yield f"{place} must be given"
        else:
            text = finding["msg"].removeprefix("Value error, ")
            yield f"{place}: {text[0].lower()}{text[1:]}, got {finding['input']!r}"


def _section_of(section: Any, part: str | int) -> Any:
    """Return the section below another one; numbers stand for rewards."""
    return RewardSection if isinstance(part, int) else section.model_fields[part].annotation


def _option_problems(method: Mapping[str, Any], trainer: Mapping[str, Any]) -> Iterator[str]:
    """Check the options that are fields of the trainers' configs."""
    from polymode.language.options import option_problems

    yield from option_problems(method, trainer)
