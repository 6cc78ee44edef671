"""SkyRL: dotted overrides, or a YAML file of the same keys.

Read in the sources of the version that the bundled table names, and not executed.
`tests/diagnostics/audit/descriptions.py` restates its update rule, and the claims are tested
against that.

The policy loss is reduced as `loss_reduction` says, and the KL beside it is averaged within each
completion first, whatever that says.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polymode.diagnostics.audit.findings import Fix
from polymode.diagnostics.audit.frameworks.framework import FieldClass, Framework, Remedy
from polymode.diagnostics.audit.frameworks.tables import (
    bundled_options,
    bundled_version,
    options_of,
)
from polymode.diagnostics.audit.frameworks.values import Values, classified, updates
from polymode.diagnostics.audit.objective import Baseline, EffectiveObjective, Scale
from polymode.diagnostics.audit.settings import Settings

__all__ = ["SKYRL"]

_TITLE = "SkyRL"
_A, _G = "trainer.algorithm.", "generator."
_SAMPLING = f"{_G}sampling_params."
_DECAY = "trainer.policy.optimizer_config.weight_decay"
_IN_REWARD, _IN_LOSS = f"{_A}use_kl_in_reward", f"{_A}use_kl_loss"
_BETA, _KIND = f"{_A}kl_loss_coef", f"{_A}kl_estimator_type"


@dataclass(frozen=True, slots=True)
class _Estimator:
    """What an advantage estimator does with rewards."""

    baseline: Baseline
    scale: Scale = "none"  # "group_std" only while grpo_norm_by_std is on
    reward_weight: float = 1.0  # NaN: depends on the group


_ESTIMATORS: Mapping[str, _Estimator] = {
    "grpo": _Estimator("group_mean", "group_std"),
    "gae": _Estimator("value", "batch_std"),
    "rloo": _Estimator("leave_one_out"),
    "reinforce++": _Estimator("batch_mean", "batch_std"),
    "maxrl": _Estimator("group_mean", reward_weight=math.nan),
}
_LOSSES = (
    *("regular", "dual_clip", "gspo", "cispo", "rollout_is", "clip_cov", "kl_cov", "sapo"),
    *("cross_entropy", "importance_sampling", "dppo"),
)
_CLIPPED = ("regular", "dual_clip", "gspo", "clip_cov", "rollout_is")
_RATIO_WEIGHTS = ("dual_clip", "cispo", "kl_cov", "sapo", "dppo")
_REDUCTIONS = {
    "token_mean": "constant",
    "token_mean_legacy": "constant",
    "seq_mean_token_sum_norm": "constant",
    "prompt_mean": "constant",  # all tokens of a prompt weigh alike
    "sequence_mean": "per_sequence",
}

_TARGET = (
    *(_IN_REWARD, _IN_LOSS, _BETA, _KIND, f"{_A}advantage_estimator", f"{_A}grpo_norm_by_std"),
    *(f"{_A}kl_ctrl.type", f"{_A}kl_ctrl.kl_target", f"{_A}kl_ctrl.horizon"),
    *(f"{_A}advantage_batch_normalize", f"{_A}use_entropy_loss", f"{_A}entropy_loss_coef"),
    *(f"{_A}loss_reduction", f"{_A}zero_variance_filter", f"{_A}zero_variance_filter_tol"),
    *(f"{_A}dynamic_sampling.type", f"{_A}policy_loss_type", f"{_A}temperature", f"{_A}gamma"),
    *(f"{_A}lambd", f"{_A}off_policy_correction.tis_ratio_type"),
    *(f"{_A}off_policy_correction.sequence_mask_metric", f"{_G}n_samples_per_prompt"),
    *(f"{_G}apply_overlong_filtering", f"{_G}zero_reward_on_non_stop"),
    *(f"{_SAMPLING}{name}" for name in
      ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")),
    *("trainer.update_ref_every_epoch", _DECAY, "trainer.policy.model.path"),
    *("trainer.ref.model.path", "environment.env_class"),
    "trainer.fully_async.sample_full_batch",
)  # fmt: skip
_PATH = (
    *("trainer.train_batch_size", "trainer.policy_mini_batch_size", "trainer.epochs"),
    *(
        "trainer.update_epochs_per_batch",
        "trainer.fully_async.",
        "trainer.policy.optimizer_config.",
    ),
    *(_A, "trainer.critic.", "trainer.recompute_old_logprobs_per_minibatch", "data."),
    *(f"{_SAMPLING}max_generate_length", f"{_G}max_turns", f"{_G}inference_engine.backend"),
)
_FREE = (
    *("environment", f"{_G}inference_engine", f"{_G}chat_template_kwargs", "defaults", "hydra"),
    *(f"trainer.{part}.{config}" for part in ("policy", "ref", "critic")
      for config in ("fsdp_config", "megatron_config", "model_config_kwargs", "model")),
    *(f"{_SAMPLING}additional_kwargs", f"{_G}eval_sampling_params"),
)  # fmt: skip


def _detect(settings: Settings) -> float:
    """Return how likely these settings are SkyRL's."""
    if "skyrl" in settings.program:
        return 1.0
    own = (_A, "trainer.policy.", "trainer.policy_mini_batch_size", _SAMPLING)
    return 1.0 if any(key.startswith(own) for key in settings) else 0.0


def _defaults(_: Settings, version: str) -> tuple[Mapping[str, Any], str]:
    """Return defaults."""
    options, whose = options_of("skyrl", _TITLE, version=version, file="train/config/config.py")
    return options.defaults, whose


def _fields(_: Settings) -> Mapping[str, FieldClass]:
    """Return what each option can change."""
    return classified(bundled_options("skyrl"), _TARGET, _PATH, _FREE)


def _read(settings: Settings, version: str) -> EffectiveObjective:
    """Return what a run of these settings descends."""
    values = Values(settings, _TITLE)
    key = f"{_A}advantage_estimator"
    name = values.word("trainer baseline scale", key, of=list(_ESTIMATORS))
    estimator = _ESTIMATORS.get(name, _Estimator("none"))
    facts = _kl(values) | _advantage(values, name, estimator) | _loss(values) | _sampling(values)
    return EffectiveObjective(
        framework="skyrl", version=version, trainer=name, **facts, **values.finish()
    )


def _kl(values: Values) -> dict[str, Any]:
    """Return where the KL stands, and which one."""
    in_reward = values.on("kl_placement reference", _IN_REWARD)
    in_loss = values.on("kl_placement reference", _IN_LOSS)
    kind = values.word("kl_estimator", _KIND, of=("k1", "k2", "k3", "abs"))
    moves = values.on("reference", "trainer.update_ref_every_epoch")
    if in_reward and in_loss:
        values.problems.append(
            f"{_IN_REWARD} and {_IN_LOSS} must not both be on: SkyRL refuses that"
        )
    if not (in_reward or in_loss):
        return {"kl_placement": "none", "reference": "none"}
    controller = values.word("beta_adaptive", f"{_A}kl_ctrl.type")
    return {
        "kl_placement": "reward" if in_reward else "loss",
        "beta": max(values.number("beta", _BETA) or 0.0, 0.0),
        "beta_adaptive": in_reward and controller == "adaptive",
        "kl_estimator": kind,
        "kl_level": "sequence" if in_reward else "token",
        "kl_clip": 10.0 if kind == "k3" else None,
        "kl_in_advantage": in_reward,
        "kl_aggregation": "per_sequence",
        "reference": "moving" if moves else "fixed",
    }


def _advantage(values: Values, name: str, estimator: _Estimator) -> dict[str, Any]:
    """Return what becomes of rewards."""
    scale = estimator.scale
    if scale == "group_std" and not values.on("scale", f"{_A}grpo_norm_by_std"):
        scale = "none"
    if values.on("scale", f"{_A}advantage_batch_normalize"):
        if scale == "group_std":
            values.remarks.append("Advantages are whitened over the batch once more.")
        else:
            scale = "batch_std"
    if name == "maxrl":
        values.remarks.append(
            "maxrl divides by the mean reward of the group: a KL in the loss weighs less where "
            "few completions succeed."
        )
    dynamic = values.word("drops", f"{_A}dynamic_sampling.type")
    zero = values.on("drops", f"{_A}zero_variance_filter")
    full = values.on("drops", "trainer.fully_async.sample_full_batch")
    drops = {
        "zero_variance": bool(dynamic) or zero or full,
        "truncated": values.on("drops", f"{_G}apply_overlong_filtering"),
    }
    penalised = values.on("reward_transformations", f"{_G}zero_reward_on_non_stop")
    return {
        "baseline": estimator.baseline,
        "scale": scale,
        "scale_epsilon": 1e-6 if scale == "group_std" else 1e-8,
        "reward_weight": estimator.reward_weight,
        "reward_transformations": ("zero_unless_stopped",) if penalised else (),
        "drops": tuple(word for word, on in drops.items() if on),
        "group_size": values.whole("group_size", f"{_G}n_samples_per_prompt"),
    }


def _loss(values: Values) -> dict[str, Any]:
    """Return what the policy loss does."""
    kind = values.word("ratio_level clip_low clip_high", f"{_A}policy_loss_type", of=_LOSSES)
    reduction = values.word("aggregation", f"{_A}loss_reduction", of=list(_REDUCTIONS))
    batch = values.number("n_updates", "trainer.train_batch_size")
    mini = values.number("n_updates", "trainer.policy_mini_batch_size")
    epochs = values.number("n_updates", "trainer.update_epochs_per_batch")
    correction = f"{_A}off_policy_correction."
    weighed = values.word("sampler_correction", f"{correction}tis_ratio_type")
    masked = values.word("sampler_correction", f"{correction}sequence_mask_metric")
    entropy = values.number("entropy_coef", f"{_A}entropy_loss_coef") or 0.0
    low = values.number("clip_low", f"{_A}eps_clip_low")
    high = values.number("clip_high", f"{_A}eps_clip_high")
    return {
        "aggregation": _REDUCTIONS.get(reduction, "constant"),
        "ratio_level": "sequence" if kind == "gspo" else "token",
        "clip_low": low if kind in _CLIPPED else None,
        "clip_high": high if kind in _CLIPPED else None,
        "ratio_weight": kind if kind in _RATIO_WEIGHTS else "",
        "n_updates": updates(batch, mini, epochs),
        "asynchronous": values.on("asynchronous", "trainer.fully_async.enabled"),
        "sampler_engine": values.word("sampler_engine", f"{_G}inference_engine.backend"),
        "sampler_correction": "masked" if masked else "truncated" if weighed else "none",
        "entropy_coef": entropy if values.on("entropy_coef", f"{_A}use_entropy_loss") else 0.0,
        "weight_decay": values.number("weight_decay", _DECAY) or 0.0,
        "extra_terms": ("supervised",) if kind == "cross_entropy" else (),
    }


def _sampling(values: Values) -> dict[str, Any]:
    """Return how completions are sampled, and at which temperature the loss is taken."""
    sampled = values.number("temperature", f"{_SAMPLING}temperature")
    in_loss = values.number("scored_at", f"{_A}temperature")
    names = ("top_p", "top_k", "min_p", "repetition_penalty")
    return {
        "temperature": 1.0 if sampled is None else sampled,
        "scored_at": in_loss,
        "truncated_sampling": values.filters(**{name: _SAMPLING + name for name in names}),
    }


def _remedies(settings: Settings) -> Mapping[str, Remedy]:
    """Return which keys do what a rule asks for."""
    reward = {_IN_REWARD: True, _IN_LOSS: False, _KIND: "k1"}
    positive = {} if (settings.get(_BETA) or 0) > 0 else {_BETA: 0.001}
    rloo = {f"{_A}advantage_estimator": "rloo"}
    idle = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    return {
        "positive_beta": Fix("Turn on a KL in the reward.", {**reward, **positive}),
        "kl_in_reward": Fix("Put k1 into the reward, and no KL into the loss.", reward),
        "reverse_kl_in_loss": Fix("Put k2 into the loss.", {_KIND: "k2"}),
        "no_scale": Fix("Take rloo, which divides by nothing.", rloo),
        "leave_one_out": Fix("Take rloo.", rloo),
        "constant_aggregation": Fix(
            "Average over tokens, and put the KL into the reward, where that counts for it too.",
            {f"{_A}loss_reduction": "token_mean", **reward},
        ),
        "token_ratio": Fix("Take the ratio of a token.", {f"{_A}policy_loss_type": "regular"}),
        "on_policy": Fix(
            "Make the mini-batch as large as the batch.",
            {"trainer.policy_mini_batch_size": settings.get("trainer.train_batch_size"),
             "trainer.update_epochs_per_batch": 1},
        ),
        "full_sampling": Fix(
            "Sample from the whole distribution.", {_SAMPLING + k: v for k, v in idle.items()}
        ),
        "unit_temperature": Fix(
            "Sample at temperature 1.", {f"{_SAMPLING}temperature": 1.0, f"{_A}temperature": 1.0}
        ),
        "fixed_reference": Fix("Keep the reference.", {"trainer.update_ref_every_epoch": False}),
        "keep_all": Fix(
            "Keep all groups and completions.",
            {f"{_A}dynamic_sampling.type": None, f"{_A}zero_variance_filter": False,
             f"{_G}apply_overlong_filtering": False},
        ),
        "no_entropy_bonus": Fix("Drop the entropy bonus.", {f"{_A}use_entropy_loss": False}),
        "fixed_beta": Fix("Keep beta fixed.", {f"{_A}kl_ctrl.type": "fixed"}),
        "no_weight_decay": Fix("Do not decay weights.", {_DECAY: 0.0}),
        "unit_reward_weight": Fix("Take rloo.", rloo),
        "no_kl_clip": Fix("Take k2, which is not clamped.", {_KIND: "k2"}),
    }  # fmt: skip


SKYRL = Framework(
    name="skyrl",
    title=_TITLE,
    package="skyrl",
    newest=bundled_version("skyrl"),
    detect=_detect,
    defaults=_defaults,
    read=_read,
    fields=_fields,
    remedies=_remedies,
)
"""SkyRL."""
