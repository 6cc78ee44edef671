"""verl: Hydra YAML and dotted overrides.

Claims about `verl.trainer.ppo.core_algos` (estimators, policy losses, KL penalties, aggregation)
are tested against the functions themselves, by `make test-verl`: the cases are `VERL_EXECUTED`.
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
from polymode.diagnostics.audit.frameworks.verl_executed import VERL_EXECUTED
from polymode.diagnostics.audit.objective import OWN_MEANS, Baseline, EffectiveObjective, Scale
from polymode.diagnostics.audit.settings import Settings

__all__ = ["VERL"]

_TITLE = "verl"
_FILE = "trainer/config/_generated_ppo_trainer.yaml"
_ACTOR, _ROLLOUT = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
_USE_LOSS, _LOSS_BETA = f"{_ACTOR}use_kl_loss", f"{_ACTOR}kl_loss_coef"
_STD = "algorithm.norm_adv_by_std_in_grpo"
_USE_REWARD, _REWARD_BETA = "algorithm.use_kl_in_reward", "algorithm.kl_ctrl.kl_coef"


@dataclass(frozen=True, slots=True)
class _Estimator:
    """What an advantage estimator does with rewards."""

    baseline: Baseline
    scale: Scale = "none"
    asks: bool = False  # whether algorithm.norm_adv_by_std_in_grpo reaches it
    reward_weight: float = 1.0  # NaN: depends on the batch
    reads_kl: bool = True  # whether a KL in the reward reaches it
    transformation: str = ""
    remark: str = ""


_TOKEN_MEAN = (
    "The baseline of a token is a mean over the group, weighted by how far its completions have "
    "moved the policy up to there: the gap between rewards shrinks by (G-1)/G on average alone."
)
_ESTIMATORS: Mapping[str, _Estimator] = {
    "gae": _Estimator("value", "batch_std"),
    "grpo": _Estimator("group_mean", "group_std", asks=True),
    "grpo_vectorized": _Estimator("group_mean", "group_std"),
    "grpo_passk": _Estimator(
        *("none", "group_std", True, math.nan),
        transformation="lead_of_best",
        remark="grpo_passk gives an advantage to the best completion of a group alone, its lead "
        "over the second: the reward of a completion depends on its group.",
    ),
    "reinforce_plus_plus": _Estimator("batch_mean", "batch_std"),
    "reinforce_plus_plus_baseline": _Estimator("group_mean", "batch_std"),
    "rloo": _Estimator("leave_one_out"),
    "rloo_vectorized": _Estimator("leave_one_out"),
    "opo": _Estimator(
        "length_mean",
        remark="opo weighs the mean of the group by length: the gap between rewards shrinks by "
        "(G-1)/G only where completions are equally long.",
    ),
    "remax": _Estimator("greedy"),
    "gpg": _Estimator(
        *("group_mean", "none", False, math.nan),
        remark="gpg multiplies advantages by the number of samples over that of nonzero rewards, "
        "so a KL in the loss weighs less where few rewards are nonzero.",
    ),
    "gdpo": _Estimator(
        "group_mean", "batch_std", reads_kl=False, transformation="each_standardised"
    ),
    "optimal_token_baseline": _Estimator("token_mean", remark=_TOKEN_MEAN),
    "tir_optimal_token_baseline": _Estimator("token_mean", remark=_TOKEN_MEAN),
}
_KINDS = {
    "kl": "k1",
    "k1": "k1",
    "abs": "abs",
    "mse": "k2",
    "k2": "k2",
    "low_var_kl": "k3",
    "k3": "k3",
}
_CLAMP = 10.0  # verl clamps the value of k3 there, and the gradient with it
_LOSSES = (
    *("vanilla", "gspo", "cispo", "gpg", "sapo", "geo_mean", "clip_cov", "kl_cov", "dro"),
    *("dppo_tv", "dppo_kl", "bypass_mode"),
)
_OWN_MEAN = ("sapo", "geo_mean")  # average within each completion, whatever loss_agg_mode says;
# so does gspo, but for the release 0.9.1
_UNCLIPPED = ("gpg", "sapo", "dro", "dppo_tv", "dppo_kl", "kl_cov")
_RATIO_WEIGHTS = {
    **{mode: mode for mode in ("sapo", "dro", "dppo_tv", "dppo_kl", "kl_cov")},
    "vanilla": "dual_clip",
}
_PER_SEQUENCE = ("seq-mean-token-mean",)
_MEANS = ("token-mean", *_PER_SEQUENCE)
_AGGREGATIONS = (*_MEANS, "token-sum", "seq-mean-token-sum", "seq-mean-token-sum-norm")

_TARGET = (
    *(_USE_LOSS, _LOSS_BETA, _USE_REWARD, _REWARD_BETA, f"{_ACTOR}kl_loss_type"),
    *("algorithm.kl_penalty", "algorithm.kl_ctrl.type", "algorithm.kl_ctrl.horizon"),
    *(
        "algorithm.kl_ctrl.target_kl",
        "algorithm.adv_estimator",
        _STD,
    ),
    *("algorithm.gamma", "algorithm.lam", "algorithm.filter_groups.enable"),
    *("algorithm.filter_groups.metric", "algorithm.use_pf_ppo", "algorithm.gdpo_reward_keys"),
    *("algorithm.gdpo_reward_weights", f"{_ACTOR}loss_agg_mode", f"{_ACTOR}entropy_coeff"),
    *(f"{_ACTOR}policy_loss.loss_mode", f"{_ACTOR}policy_loss.dro_beta"),
    *(f"{_ACTOR}optim.weight_decay", f"{_ROLLOUT}n", f"{_ROLLOUT}temperature"),
    *(f"{_ROLLOUT}top_p", f"{_ROLLOUT}top_k", f"{_ROLLOUT}do_sample"),
    *(f"{_ROLLOUT}repetition_penalty", "algorithm.rollout_correction.rollout_is"),
    *("algorithm.rollout_correction.rollout_rs", "distillation.enabled"),
    "actor_rollout_ref.model.path",
)
_PATH = (
    *("data.train_batch_size", f"{_ACTOR}ppo_mini_batch_size", f"{_ACTOR}ppo_epochs"),
    *(f"{_ACTOR}clip_ratio", f"{_ACTOR}clip_ratio_low", f"{_ACTOR}clip_ratio_high"),
    *(f"{_ACTOR}clip_ratio_c", f"{_ACTOR}policy_loss.", f"{_ACTOR}optim.", f"{_ACTOR}grad_clip"),
    *(f"{_ACTOR}tau_pos", f"{_ACTOR}tau_neg", f"{_ACTOR}loss_scale_factor", f"{_ACTOR}shuffle"),
    *("algorithm.rollout_correction.", "algorithm.pf_ppo.", "algorithm.filter_groups."),
    *("critic.", "data.", "reward.", "reward_model.", "trainer.v1.", "actor_rollout_ref.model."),
    *(
        f"{_ROLLOUT}response_length",
        f"{_ROLLOUT}name",
        "trainer.total_epochs",
        "trainer.total_training_steps",
    ),
)
_HYDRA = ("config-name", "config-path", "config-dir", "model_engine")
_FREE = (
    *("defaults", "hydra", "ray_kwargs", "custom_reward_function", "reward", "reward_model"),
    *(f"{_ROLLOUT}engine_kwargs", f"{_ROLLOUT}agent", f"{_ROLLOUT}multi_turn"),
    *(f"{_ROLLOUT}checkpoint_engine", "actor_rollout_ref.model.override_config"),
    *(f"{place}{engine}" for place in (_ACTOR, "actor_rollout_ref.ref.", "critic.")
      for engine in ("fsdp_config", "megatron", "veomni", "torchtitan", "engine", "optim",
                     "profiler")),
    *("actor_rollout_ref.nccl_timeout", "data.custom_cls", "data.apply_chat_template_kwargs"),
    *("actor_rollout_ref.model.override_config", "global_profiler", "async_training", "rollout"),
)  # fmt: skip


def _detect(settings: Settings) -> float:
    """Return how likely these settings are verl's."""
    if "verl" in settings.program:
        return 1.0
    own = ("actor_rollout_ref.", "algorithm.kl_ctrl.", "algorithm.adv_estimator")
    return 1.0 if any(key.startswith(own) for key in settings) else 0.0


def _defaults(_: Settings, version: str) -> tuple[Mapping[str, Any], str]:
    """Return defaults of the trainer on FSDP; those of other engines differ where they train."""
    options, whose = options_of("verl", _TITLE, version=version, file=_FILE)
    return options.defaults, whose


def _fields(settings: Settings) -> Mapping[str, FieldClass]:
    """Return what each option can change; Hydra's own name files and classes."""
    fields = classified(bundled_options("verl"), _TARGET, _PATH, _FREE)
    hydra = (*_HYDRA, *(key for key in settings if "@" in key or key.endswith("_target_")))
    return {**fields, **dict.fromkeys(hydra, "irrelevant")}


def _read(settings: Settings, version: str) -> EffectiveObjective:
    """Return what a run of these settings descends."""
    values = Values(settings, _TITLE)
    name = values.word("trainer baseline scale", "algorithm.adv_estimator", of=list(_ESTIMATORS))
    estimator = _ESTIMATORS.get(name, _Estimator("none"))
    facts = _kl(values, estimator) | _advantage(values, name, estimator) | _sampling(values)
    facts |= _loss(values, version, facts)
    followed = values.decided.settings
    evidence, not_executed = VERL_EXECUTED.evidence(followed, version, _fields(settings))
    return EffectiveObjective(
        framework="verl",
        version=version,
        trainer=name,
        evidence=evidence,
        not_executed=not_executed,
        **facts,
        **values.finish(),
    )


def _kl(values: Values, estimator: _Estimator) -> dict[str, Any]:
    """Return where the KL stands, and which one."""
    in_reward = values.on("kl_placement reference", _USE_REWARD)
    in_loss = values.on("kl_placement reference", _USE_LOSS)
    reward_kind = _kind(values, "algorithm.kl_penalty") if in_reward else ""
    loss_kind = _kind(values, f"{_ACTOR}kl_loss_type") if in_loss else ""
    facts: dict[str, Any] = {"reference": "fixed" if in_reward or in_loss else "none"}
    if in_reward and not estimator.reads_kl:
        values.decided("lost_beta", _USE_REWARD, "algorithm.adv_estimator", _REWARD_BETA)
        facts["lost_beta"] = values.number("lost_beta", _REWARD_BETA) or 0.0
        in_reward = False
    if in_reward and in_loss:
        values.remarks.append(
            "There is a KL in the reward and one in the loss; the one in the loss is left out of "
            "what is said about the KL."
        )
    if in_reward:
        kind = reward_kind.removesuffix("+")
        return facts | {
            "kl_placement": "reward",
            "beta": values.number("beta", _REWARD_BETA) or 0.0,
            "beta_adaptive": values.word("beta_adaptive", "algorithm.kl_ctrl.type") == "adaptive",
            "kl_estimator": kind,
            "kl_level": "sequence",
            "kl_clip": _CLAMP if kind == "k3" else None,
            "kl_in_advantage": True,
            "extra_terms": ("kl_in_loss",) if in_loss else (),
        }
    if in_loss:
        return facts | {
            "kl_placement": "loss",
            "beta": values.number("beta", _LOSS_BETA) or 0.0,
            "kl_estimator": "k3_plus" if loss_kind.endswith("+") else loss_kind,
            "kl_clip": _CLAMP if loss_kind == "k3" else None,
        }
    return facts


def _kind(values: Values, key: str) -> str:
    """Return our name of a KL penalty, with verl's "+" for the gradient of k2."""
    text = values.word("kl_estimator", key)
    base = text.removesuffix("+")
    if base not in _KINDS:
        values.problems.append(f"{key} must be one of {', '.join(_KINDS)}, got {text!r}")
    return _KINDS.get(base, "k1") + ("+" if text.endswith("+") else "")


def _advantage(values: Values, name: str, estimator: _Estimator) -> dict[str, Any]:
    """Return what becomes of rewards."""
    scale = estimator.scale
    std = values.on("scale", _STD)
    if estimator.asks and not std:
        scale = "none"
    elif not std and scale == "group_std":
        values.remarks.append(
            f"{_STD} is off, and never reaches {name}: verl hands it on to grpo alone."
        )
    if estimator.remark:
        values.remarks.append(estimator.remark)
    for key in ("algorithm.gamma", "algorithm.lam"):
        discount = values.number("baseline", key)
        if discount not in (None, 1.0) and name in ("gae", "reinforce_plus_plus"):
            values.remarks.append(
                f"{key} is {discount:g}: rewards, and a KL in them, are discounted."
            )
    group_size = values.whole("group_size", f"{_ROLLOUT}n")
    baseline = estimator.baseline
    if group_size == 1 and baseline in (*OWN_MEANS, "leave_one_out"):  # verl's own exception
        baseline, scale = "none", "batch_std" if estimator.scale == "batch_std" else "none"
    drops = ("zero_variance",) if values.on("drops", "algorithm.filter_groups.enable") else ()
    if values.word("drops", f"{_ACTOR}policy_loss.loss_mode") == "clip_cov":
        drops += ("high_covariance",)
    transformations = (estimator.transformation,) if estimator.transformation else ()
    if values.on("reward_transformations", "algorithm.use_pf_ppo") and name == "gae":
        transformations += ("resampled_by_reward",)
    return {
        "baseline": baseline,
        "scale": scale,
        "scale_epsilon": 1e-6 if scale == "group_std" else 1e-8,
        "reward_weight": estimator.reward_weight,
        "reward_transformations": transformations,
        "drops": drops,
        "group_size": group_size,
    }


def _loss(values: Values, version: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the policy loss does."""
    mode = values.word(
        "ratio_level clip_low clip_high ratio_weight",
        f"{_ACTOR}policy_loss.loss_mode",
        of=_LOSSES,
    )
    given = values.word("aggregation kl_aggregation", f"{_ACTOR}loss_agg_mode", of=_AGGREGATIONS)
    aggregation = "per_sequence" if given in _PER_SEQUENCE else "constant"
    own = mode in _OWN_MEAN or (mode == "gspo" and version != "0.9.1")
    weight = facts["reward_weight"]
    entropy = values.number("entropy_coef", f"{_ACTOR}entropy_coeff") or 0.0
    if own and given not in _MEANS:
        values.decided("reward_weight", f"{_ACTOR}loss_agg_mode", f"{_ACTOR}policy_loss.loss_mode")
        if facts.get("kl_placement") == "loss" or entropy:
            weight = math.nan
            values.remarks.append(
                f"{mode} averages over tokens whatever loss_agg_mode says, and what stands beside "
                f"it, a KL or an entropy bonus, is aggregated by {given}: its strength is "
                "multiplied by a number of tokens."
            )
    clip = values.number("clip_low clip_high", f"{_ACTOR}clip_ratio")
    low = values.number("clip_low", f"{_ACTOR}clip_ratio_low", f"{_ACTOR}clip_ratio")
    high = values.number("clip_high", f"{_ACTOR}clip_ratio_high", f"{_ACTOR}clip_ratio")
    correction = values.word("clip_low clip_high", "algorithm.rollout_correction.loss_type")
    clipped = mode not in _UNCLIPPED and (mode, correction) != ("bypass_mode", "reinforce")
    batch = values.number("n_updates", "data.train_batch_size")
    mini = values.number("n_updates", f"{_ACTOR}ppo_mini_batch_size")
    epochs = values.number("n_updates", f"{_ACTOR}ppo_epochs")
    trainer = values.word("asynchronous", "trainer.v1.trainer_mode")
    masked = values.word("sampler_correction", "algorithm.rollout_correction.rollout_rs")
    weighed = values.word("sampler_correction", "algorithm.rollout_correction.rollout_is")
    return {
        "aggregation": "per_sequence" if own else aggregation,
        "kl_aggregation": aggregation,
        "reward_weight": weight,
        "ratio_level": "sequence" if mode in ("gspo", "geo_mean") else "token",
        "clip_low": (clip if low is None else low) if clipped else None,
        "clip_high": (clip if high is None else high) if clipped else None,
        "clip_holds": mode == "cispo",
        "ratio_weight": _RATIO_WEIGHTS.get(mode, ""),
        "n_updates": updates(batch, mini, epochs),
        "asynchronous": "async" in trainer,
        "sampler_engine": values.word("sampler_engine", f"{_ROLLOUT}name").strip("?"),
        "sampler_correction": "masked" if masked else "truncated" if weighed else "none",
        "entropy_coef": entropy,
        "weight_decay": values.number("weight_decay", f"{_ACTOR}optim.weight_decay") or 0.0,
    }


def _sampling(values: Values) -> dict[str, Any]:
    """Return how completions are sampled; verl takes log-probabilities at that temperature."""
    if values.on("extra_terms", "distillation.enabled"):
        values.remarks.append("Distillation from a teacher is on: it adds a target of its own.")
    temperature = values.number("temperature", f"{_ROLLOUT}temperature")
    filters = {"top_p": "top_p", "top_k": "top_k", "repetition_penalty": "repetition_penalty"}
    return {
        "temperature": 1.0 if temperature is None else temperature,
        "truncated_sampling": values.filters(**{k: _ROLLOUT + v for k, v in filters.items()}),
    }


def _remedies(settings: Settings) -> Mapping[str, Remedy]:
    """Return which keys do what a rule asks for."""
    reward = {_USE_REWARD: True, "algorithm.kl_penalty": "kl", _USE_LOSS: False}
    in_reward = bool(settings.get(_USE_REWARD))
    positive = {_REWARD_BETA: 0.001} if in_reward else {_USE_REWARD: True, _REWARD_BETA: 0.001}
    filters = {f"{_ROLLOUT}top_p": 1.0, f"{_ROLLOUT}top_k": -1}
    rloo = {"algorithm.adv_estimator": "rloo"}
    return {
        "positive_beta": Fix("Turn on the KL in the reward.", {**reward, **positive}),
        "read_kl": Fix("Take rloo on the sum of rewards, from which the KL is subtracted.", rloo),
        "kl_in_reward": Fix("Put k1 into the reward, and no KL into the loss.", reward),
        "reverse_kl_in_loss": Fix("Take the gradient of k2.", {f"{_ACTOR}kl_loss_type": "k3+"}),
        "no_scale": Fix("Take rloo, which divides by nothing.", rloo),
        "leave_one_out": Fix("Take rloo.", rloo),
        "constant_aggregation": Fix(
            "Average over all tokens of the batch.", {f"{_ACTOR}loss_agg_mode": "token-mean"}
        ),
        "token_ratio": Fix("Take the vanilla loss.", {f"{_ACTOR}policy_loss.loss_mode": "vanilla"}),
        "on_policy": Fix(
            "Make the mini-batch as large as the batch.",
            {f"{_ACTOR}ppo_mini_batch_size": settings.get("data.train_batch_size"),
             f"{_ACTOR}ppo_epochs": 1},
        ),
        "full_sampling": Fix("Sample from the whole distribution.", filters),
        "unit_temperature": Fix("Sample at temperature 1.", {f"{_ROLLOUT}temperature": 1.0}),
        "keep_all": Fix("Keep all groups.", {"algorithm.filter_groups.enable": False}),
        "no_entropy_bonus": Fix("Drop the entropy bonus.", {f"{_ACTOR}entropy_coeff": 0}),
        "fixed_beta": Fix("Keep beta fixed.", {"algorithm.kl_ctrl.type": "fixed"}),
        "no_weight_decay": Fix("Do not decay weights.", {f"{_ACTOR}optim.weight_decay": 0.0}),
        "sum_rewards": Fix("Take rloo on the sum of rewards.", rloo),
        "unit_reward_weight": Fix("Take rloo.", rloo),
        "no_kl_clip": Fix("Take k3+, which is not clamped.", {f"{_ACTOR}kl_loss_type": "k3+"}),
    }  # fmt: skip


VERL = Framework(
    name="verl",
    title=_TITLE,
    package="verl",
    newest=bundled_version("verl"),
    detect=_detect,
    defaults=_defaults,
    read=_read,
    fields=_fields,
    remedies=_remedies,
)
"""verl."""
