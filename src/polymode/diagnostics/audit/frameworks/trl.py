"""TRL: `GRPOTrainer` and `RLOOTrainer`, from objects, YAML and command lines, release by release.

Claims about the newest release are tested against the gradients of its own losses, for the
combinations of options in `TRL_EXECUTED`; what older releases did was read in their sources.
"""

import math
from collections.abc import Mapping
from typing import Any

from polymode.diagnostics.audit.frameworks.framework import FieldClass, Framework
from polymode.diagnostics.audit.frameworks.trl_changes import elsewhere, history
from polymode.diagnostics.audit.frameworks.trl_detection import OURS, detect, kind_of, normalise
from polymode.diagnostics.audit.frameworks.trl_executed import TRL_EXECUTED
from polymode.diagnostics.audit.frameworks.trl_fields import SHAPING, fields_of
from polymode.diagnostics.audit.frameworks.trl_releases import (
    Kind,
    defaults_of,
    first_release,
    newest_release,
    release_number,
)
from polymode.diagnostics.audit.frameworks.trl_remedies import remedies
from polymode.diagnostics.audit.frameworks.values import Values
from polymode.diagnostics.audit.objective import Aggregation, EffectiveObjective
from polymode.diagnostics.audit.settings import Settings
from polymode.errors import ConfigError

__all__ = ["TRL"]

_TITLE = "TRL"
_HELD = ("cispo", "vespo")  # their ratio carries no gradient
_LOSSES = ("dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo")


def _defaults(settings: Settings, version: str) -> tuple[Mapping[str, Any], str]:
    """Return the defaults of a release."""
    kind, _ = kind_of(settings)
    if release_number(version) < release_number(first_release(kind)):
        raise ConfigError(
            f"TRL {version}",
            f"{kind} is known from {first_release(kind)} on; before it was another",
        )
    return defaults_of(kind, version)


def _fields(settings: Settings) -> Mapping[str, FieldClass]:
    """Return what each option can change."""
    return fields_of(kind_of(settings)[0])


def _read(settings: Settings, version: str) -> EffectiveObjective:
    """Return the objective of a run."""
    kind, said = kind_of(settings)
    values = Values(settings, f"{_TITLE} {version}")
    if not said:
        values.remarks.append(
            "Nothing in the configuration tells GRPO from RLOO: it was read as GRPO's. "
            "`--framework trl:rloo` reads it as RLOO's."
        )
    release = release_number(version)
    parts = _shared(values, release)
    parts |= _grpo(values, release, parts) if kind == "grpo" else _rloo(values, parts)
    parts |= _ours(values, settings, parts)
    parts |= _evidence(values, kind, version, parts)
    return EffectiveObjective(
        framework="trl",
        version=version,
        trainer="GRPOTrainer" if kind == "grpo" else "RLOOTrainer",
        **{**parts, **values.finish()},
    )


def _evidence(values: Values, kind: Kind, version: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what our tests run of this combination; they run TRL's own losses, and not ours."""
    if parts.get("anchored"):
        return {"evidence": "read"}
    fields = fields_of(kind)
    names = ("evidence", "not_executed")
    found = TRL_EXECUTED[kind].evidence(values.decided.settings, version, fields)
    return dict(zip(names, found, strict=True))


def _shared(values: Values, release: tuple[int, ...]) -> dict[str, Any]:
    """Return what both trainers read alike."""
    beta = values.number("beta kl_placement", "beta") or 0.0
    moving = values.on("reference", "sync_ref_model")
    every = values.whole("reference reference_every", "ref_model_sync_steps")
    mix = values.number("reference reference_mix", "ref_model_mixup_alpha")
    temperature = values.number("temperature", "temperature")
    drawn_at = values.number("temperature", "generation_kwargs.temperature")
    filters = values.filters(
        **{name: name for name in ("top_p", "top_k", "min_p", "repetition_penalty")}
    )
    for name in ("top_p", "top_k", "min_p", "repetition_penalty"):
        if f"generation_kwargs.{name}" in values.decided.settings:
            filters.pop(name, None)
            filters |= values.filters(**{name: f"generation_kwargs.{name}"})
    aux = values.number("extra_terms", "router_aux_loss_coef") or 0.0
    low = values.number("clip_low", "epsilon")
    high = values.number("clip_high", "epsilon_high", "epsilon")
    return {
        "beta": beta,
        "reference": "none" if beta == 0 else "moving" if moving else "fixed",
        "reference_every": every if moving else None,
        "reference_mix": 1.0 if mix is None else mix,
        "temperature": drawn_at or temperature or 1.0,
        "scored_at": (temperature or 1.0) if release >= (0, 16) else 1.0,
        "truncated_sampling": filters,
        "n_updates": _n_updates(values),
        "clip_low": low,
        "clip_high": low if high is None else high,
        "weight_decay": values.number("weight_decay", "weight_decay") or 0.0,
        "extra_terms": ("router_aux_loss",) if aux > 0 else (),
        "group_size": values.whole("group_size", "num_generations"),
        "drops": ("truncated",) if _active(values, "mask_truncated_completions") else (),
        "sampler_engine": "vllm" if values.on("sampler_engine", "use_vllm") else "",
    }


def _n_updates(values: Values) -> float | None:
    """Return the optimiser steps for each batch of completions."""
    iterations = values.number("n_updates", "num_iterations")
    steps = values.number("n_updates", "steps_per_generation")
    accumulation = values.number("n_updates", "gradient_accumulation_steps") or 1.0
    batch = values.number("n_updates", "generation_batch_size")
    if steps is None and batch is not None:
        values.remarks.append(
            "How many updates each batch of completions gets depends on the number of devices, "
            "since generation_batch_size is set."
        )
        return None
    fraction = 1.0 if steps is None else steps / accumulation
    return max(1.0, fraction) * (1.0 if iterations is None else iterations)


def _grpo(values: Values, release: tuple[int, ...], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what GRPO adds: the KL in the loss, and its many losses."""
    loss = values.word("aggregation kl_aggregation", "loss_type", of=_LOSSES)
    if not loss:  # before there was a choice
        loss = "grpo" if release < (0, 16) else "bnpo"
    level = values.word("ratio_level", "importance_sampling_level", of=("token", "sequence"))
    kinds = ("sum_then_normalize", "normalize_then_sum")
    summed = values.word("reward_transformations", "multi_objective_aggregation", of=kinds)
    each = summed == "normalize_then_sum"
    weighted = values.on("kl_ratio", "use_bias_correction_kl", "importance_sampling_level")
    entropy = values.number("entropy_coef", "entropy_coef") or 0.0
    if _fused(values, release) and shared["beta"]:
        values.remarks.append(
            "Liger's fused loss takes the place of TRL's own; it was not read, and its KL is taken "
            "to be that of TRL."
        )
    if entropy and loss in ("dr_grpo", "luspo"):
        divisor = {"dr_grpo": "max_completion_length", "luspo": "1"}[loss]
        values.remarks.append(
            f"{loss} divides the tokens of a completion by {divisor}, and the entropy bonus is a "
            f"mean over tokens: beside reward and KL it weighs {divisor} over the mean length."
        )
    if entropy and (values.number("", "top_entropy_quantile") or 1.0) < 1:
        values.remarks.append("The entropy bonus acts on tokens of high entropy alone.")
    by_length: Aggregation = "per_sequence" if loss in ("grpo", "sapo") else "constant"
    if loss == "luspo" and release < (1, 10) and level != "sequence":
        by_length = "times_length"
    return {
        "kl_placement": "loss" if shared["beta"] else "none",
        "kl_estimator": "k3" if shared["beta"] else "none",
        "kl_ratio": (level or "token") if weighted else "none",
        "reward_transformations": ("each_standardised",) if each else (),
        "reward_weight": _reward_weight(values, loss, shared),
        "baseline": "group_mean",
        "scale": "batch_std" if each else _scale(values),
        "aggregation": by_length,
        "kl_aggregation": by_length,
        "ratio_level": level or "token",
        "entropy_coef": entropy,
        "entropy_aggregation": "constant",
        "entropy_adaptive": values.on("entropy_adaptive entropy_coef", "use_adaptive_entropy"),
        "drops": _drops(values, shared, whole=level == "sequence" and loss not in _HELD),
        **_clips(values, loss, shared),
        **_correction(values, shared),
    }


def _scale(values: Values) -> str:
    """Return what rewards are divided by; old releases always divided, then asked True or False."""
    if isinstance(values.decided("scale", "scale_rewards"), bool):
        return "group_std" if values.on("", "scale_rewards") else "none"
    named = {"group": "group_std", "batch": "batch_std", "none": "none"}
    return named.get(values.word("", "scale_rewards", of=tuple(named)), "group_std")


def _fused(values: Values, release: tuple[int, ...]) -> bool:
    """Return whether Liger's fused loss is asked for, in a release that had one."""
    old = values.on("remarks", "use_liger_loss")
    return release < (1, 14) and (old or values.on("remarks", "use_liger_kernel"))


def _reward_weight(values: Values, loss: str, shared: Mapping[str, Any]) -> float:
    """Return the weight of advantages beside the KL: CISPO's clamp cuts below 1 even on-policy."""
    if loss != "cispo":
        return 1.0
    values.decided("reward_weight", "epsilon_high", "epsilon", "loss_type")
    return min(1.0, shared["clip_high"] if shared["clip_high"] is not None else math.inf)


def _clips(values: Values, loss: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bounds of the ratio."""
    values.decided("clip_low clip_high ratio_weight", "loss_type")
    if loss in ("sapo", "vespo"):  # smooth weights instead
        return {"clip_low": None, "clip_high": None, "ratio_weight": loss}
    if loss == "cispo":
        high = shared["clip_high"]
        high = None if high is None else high - 1.0
        return {"clip_low": None, "clip_high": high, "clip_holds": True}
    return {}


def _drops(values: Values, shared: Mapping[str, Any], *, whole: bool) -> tuple[str, ...]:
    """Return what carries no reward gradient; a differentiable ratio of sequences is `whole`."""
    found = list(shared["drops"])
    if values.number("", "off_policy_mask_threshold") is not None:
        values.decided("drops", "off_policy_mask_threshold")
        found.append("off_policy")
    quantile = values.number("", "top_entropy_quantile")
    if quantile is not None and quantile < 1:
        values.decided("drops", "top_entropy_quantile", "importance_sampling_level")
        found.append("low_entropy_share" if whole else "low_entropy")
    mode = str(values.decided("", "vllm_importance_sampling_mode", default=""))
    corrected = values.on("", "vllm_importance_sampling_correction")
    if shared["sampler_engine"] and corrected and mode.endswith("_mask"):
        values.decided("drops", "vllm_importance_sampling_mode", "use_vllm")
        found.append("sampler_mismatch")
    return tuple(found)


def _active(values: Values, key: str) -> bool:
    """Return whether a switch that drops completions is on."""
    on = values.on("", key)
    if on:
        values.decided("drops", key)
    return on


def _correction(values: Values, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is done about a sampler whose probabilities differ."""
    correction = "vllm_importance_sampling_correction"
    if not (shared["sampler_engine"] and values.on("sampler_correction", correction)):
        return {}
    modes = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
    mode = values.word("sampler_correction", "vllm_importance_sampling_mode", of=modes)
    return {"sampler_correction": "masked" if mode.endswith("_mask") else "truncated"}


def _rloo(values: Values, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what RLOO adds: the KL in the reward, and the leave-one-out baseline."""
    clip = values.pair("reward_clip reward_transformations", "reward_clip_range")
    whitened = values.on("scale", "normalize_advantages")
    return {
        "kl_placement": "reward" if shared["beta"] else "none",
        "kl_estimator": "k1" if shared["beta"] else "none",
        "kl_level": "sequence",
        "kl_in_advantage": True,
        "reward_transformations": ("clipped",) if clip else (),
        "reward_clip": clip,
        "baseline": "leave_one_out",
        "scale": "batch_std" if whitened else "none",
        "ratio_level": "product",
    }


def _ours(values: Values, settings: Settings, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what polymode's trainers change: their KL is that of sequences, in the reward."""
    asked = [key for key in SHAPING if settings.given(key)]
    if settings.program not in OURS and not asked:
        return {}
    method = values.word("anchored", "method") or OURS.get(settings.program, "anchored")
    kind = values.word("kl_placement", "regulariser") or "reverse_kl"
    if kind != "reverse_kl":
        values.remarks.append(f"The regulariser {kind} was not audited: it was read as reverse_kl.")
    in_reward = {
        "kl_placement": "reward",
        "kl_estimator": "k1",
        "kl_ratio": "none",
        "kl_level": "sequence",
        "kl_in_advantage": True,
        "kl_aggregation": parts.get("aggregation", "constant"),
    }
    return {"anchored": method, **(in_reward if parts["beta"] else {})}


TRL = Framework(
    name="trl",
    title=_TITLE,
    package="trl",
    newest=newest_release(),
    detect=detect,
    defaults=_defaults,
    read=_read,
    fields=_fields,
    remedies=remedies,
    normalise=normalise,
    elsewhere=elsewhere,
    history=history,
)
"""TRL."""
