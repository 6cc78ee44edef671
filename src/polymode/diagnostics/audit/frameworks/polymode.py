"""polymode: recipes of `polymode train language`, as the configuration that their trainer gets.

A recipe's `trainer` section holds TRL's options by their names, and its `method` section ours; what
becomes of them is read by TRL's reader. Only what our configs set otherwise than TRL's stands here,
and a test holds it against their classes.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from polymode.core.checks import known
from polymode.core.shaping import SHAPERS
from polymode.diagnostics.audit.findings import Fix
from polymode.diagnostics.audit.frameworks.framework import (
    DefaultChange,
    FieldClass,
    Framework,
    Remedy,
)
from polymode.diagnostics.audit.frameworks.trl import TRL
from polymode.diagnostics.audit.frameworks.trl_fields import SHAPING, fields_of
from polymode.diagnostics.audit.frameworks.trl_releases import Kind, defaults_of, newest_release
from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.diagnostics.audit.settings import Setting, Settings
from polymode.errors import ConfigError

__all__ = ["POLYMODE"]

Trainer = Literal["ShapedTrainer", "MARAGRPOTrainer", "TokenKLTrainer", "GRPOTrainer"]

_SECTIONS = {"model", "data", "rewards", "guard", "method", "trainer"}
_ALGORITHMS: Mapping[str, Trainer] = {
    "rloo": "ShapedTrainer",
    "grpo": "MARAGRPOTrainer",
    "token_kl": "TokenKLTrainer",
}
_PROGRAMS: Mapping[Trainer, str] = {
    "ShapedTrainer": "ShapedConfig",
    "MARAGRPOTrainer": "MARAGRPOConfig",
    "TokenKLTrainer": "GRPOConfig",  # its KL is TRL's own
    "GRPOTrainer": "GRPOConfig",
}
_GRPO = {"method.beta": 0.05, "trainer.scale_rewards": "none", "trainer.loss_type": "dr_grpo"}
CHANGED: Mapping[Trainer, Mapping[str, Any]] = {
    "ShapedTrainer": {"trainer.num_generations": 8},
    "MARAGRPOTrainer": _GRPO,
    "TokenKLTrainer": _GRPO,
    "GRPOTrainer": {},
}
"""Defaults that are not TRL's."""

_RECIPE = {"method.name": "anchored", "method.algorithm": "rloo"}
_METHOD = ("name", "algorithm", "modes", "ensemble_weight")  # of the recipe alone
_TOKEN_KL = ("token_regulariser", "allow_token_local_anchoring")


def _detect(settings: Settings) -> float:
    """Return how likely these settings are a recipe's."""
    sections = {key.partition(".")[0] for key in settings}
    if not {"data"} <= sections <= _SECTIONS:
        return 0.0
    return 1.0 if "method" in sections else 0.6 * ("trainer" in sections)


def _trainer(settings: Settings) -> Trainer:
    """Return the trainer of a recipe."""
    algorithm = str(settings.get("method.algorithm", "rloo"))
    if algorithm not in _ALGORITHMS:
        raise ConfigError(
            settings.name,
            f"method.algorithm must be one of {', '.join(_ALGORITHMS)}, got {algorithm!r}",
        )
    plain = settings.get("method.name", "anchored") == "plain"
    return "GRPOTrainer" if algorithm == "grpo" and plain else _ALGORITHMS[algorithm]


def _kind(settings: Settings) -> Kind:
    """Return which of TRL's trainers is below."""
    return "rloo" if _trainer(settings) == "ShapedTrainer" else "grpo"


def _ours(key: str) -> str:
    """Return the key of a recipe for an option of the trainer's config."""
    return f"method.{key}" if key == "beta" or key in SHAPING else f"trainer.{key}"


def _theirs(settings: Settings) -> Settings:
    """Return the options that the trainer's config gets; each keeps its key in the recipe."""
    trainer = _trainer(settings)
    found: dict[str, Setting] = {}
    for key, setting in settings.items_by_key.items():
        section, _, name = key.partition(".")
        if section == "trainer" or (section == "method" and name not in (*_METHOD, *_TOKEN_KL)):
            found[name] = setting
    name, regulariser = settings.setting("method.name"), settings.get("method.token_regulariser")
    if name is not None and trainer in ("ShapedTrainer", "MARAGRPOTrainer"):
        ensembles = name.value == "weight_ensembling"
        found["method"] = replace(name, value="plain") if ensembles else name
    if trainer == "TokenKLTrainer":
        found = {key: value for key, value in found.items() if key not in SHAPING}
        chosen = settings.setting("method.token_regulariser") or name
        if chosen is not None:
            corrects = regulariser != "forward_kl"
            found["use_bias_correction_kl"] = replace(chosen, value=corrects)
    return Settings(found, settings.name, _PROGRAMS[trainer])


def _normalise(settings: Settings) -> Settings:
    """Return a recipe with `method: anchored` written out."""
    found = {
        f"{key}.name" if key == "method" and isinstance(item.value, str) else key: item
        for key, item in settings.items_by_key.items()
    }
    return Settings(found, settings.name, settings.program)


def _defaults(settings: Settings, version: str) -> tuple[Mapping[str, Any], str]:
    """Return the defaults of the recipe, of our config and of TRL's below it."""
    trainer = _trainer(settings)
    theirs, whose = defaults_of(_kind(settings), version)
    options = {_ours(key): value for key, value in theirs.items()}
    return {**options, **CHANGED[trainer], **_RECIPE}, f"polymode and {whose}"


def _fields(settings: Settings) -> Mapping[str, FieldClass]:
    """Return what each key can change."""
    method = {*_METHOD, *_TOKEN_KL}
    inner = fields_of(_kind(settings))
    options: dict[str, FieldClass] = {
        _ours(key): value for key, value in inner.items() if key != "method"
    }
    ours: dict[str, FieldClass] = dict.fromkeys((f"method.{key}" for key in method), "target")
    sections: dict[str, FieldClass] = dict.fromkeys(
        (name for each in ("data", "model", "rewards", "guard") for name in (each, f"{each}.*")),
        "target",
    )
    return {**options, **ours, **sections, "method.method_options.*": "target"}


def _read(settings: Settings, version: str) -> EffectiveObjective:
    """Return the objective of a recipe."""
    trainer, name = _trainer(settings), str(settings.get("method.name"))
    problems = list(known("method.name", name, (*SHAPERS, "weight_ensembling")))
    if problems:
        raise ConfigError(settings.name, problems)
    found = TRL.read(_theirs(settings), version)
    remarks = found.remarks
    if name == "weight_ensembling":
        share = settings.get("method.ensemble_weight", 0.5)
        remarks += (
            f"After training the weights are mixed with those of the base ({share} of the trained "
            "ones), which no objective describes.",
        )
    return replace(
        found,
        framework="polymode",
        version=f"with TRL {version}",
        trainer=trainer,
        anchored="" if trainer == "GRPOTrainer" else name,
        evidence="read" if trainer != "GRPOTrainer" else found.evidence,
        not_executed=() if trainer != "GRPOTrainer" else found.not_executed,
        remarks=remarks,
    )


def _remedies(settings: Settings) -> Mapping[str, Remedy]:
    """Return TRL's remedies by the keys of a recipe, and ours for the KL."""
    inner = _theirs(settings)
    found = {
        name: Fix(fix.text, {_ours(key): value for key, value in fix.changes.items()})
        for name, fix in TRL.remedies(inner).items()
    }
    in_reward = Fix("Take rloo, whose KL is that of whole outputs.", {"method.algorithm": "rloo"})
    return {**found, "kl_in_reward": in_reward}


def _elsewhere(settings: Settings, key: str, version: str) -> str:
    """Return what other releases of TRL know of an option of the trainer."""
    section, _, name = key.partition(".")
    return TRL.elsewhere(_theirs(settings), name, version) if section == "trainer" else ""


def _history(settings: Settings, version: str) -> tuple[DefaultChange, ...]:
    """Return TRL's changes of defaults that neither the recipe nor our config overrides."""
    own = {*CHANGED[_trainer(settings)], "trainer.use_bias_correction_kl"}
    changes = TRL.history(_theirs(settings), version)
    renamed = (replace(change, key=_ours(change.key)) for change in changes)
    return tuple(change for change in renamed if change.key not in own)


POLYMODE = Framework(
    name="polymode",
    title="polymode on TRL",
    package="trl",
    newest=newest_release(),
    detect=_detect,
    defaults=_defaults,
    read=_read,
    fields=_fields,
    remedies=_remedies,
    normalise=_normalise,
    elsewhere=_elsewhere,
    history=_history,
)
"""polymode's recipes."""
