"""OpenRLHF: the command line of ``openrlhf.cli.train_ppo_ray``.

Read in the sources of the version that the bundled table names, and not executed: OpenRLHF needs a
GPU to be installed. `tests/diagnostics/audit/descriptions.py` restates its update rule, and the
claims are tested against that.

Group baselines and deviations act on the reward alone; the KL is subtracted afterwards. Only the
whitening of `gae`, `reinforce` and `reinforce_baseline` acts on both.
"""

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
from polymode.diagnostics.audit.settings import Setting, Settings

__all__ = ["OPENRLHF"]

_TITLE = "OpenRLHF"
_ESTIMATOR, _STD_OFF = "algo.advantage.estimator", "algo.advantage.no_std_norm"
_BETA, _USE_LOSS, _KIND = "algo.kl.init_coef", "algo.kl.use_loss", "algo.kl.estimator"
_UNBIASED = "algo.kl.unbiased_gradient"
_CLAMP = 10.0  # on the estimate, in the reward as in the loss


@dataclass(frozen=True, slots=True)
class _Estimator:
    """What an advantage estimator does with rewards."""

    baseline: Baseline
    scale: Scale = "none"
    whitens: bool = False  # reward and KL together, after the KL has been subtracted


_ESTIMATORS: Mapping[str, _Estimator] = {
    "gae": _Estimator("value", whitens=True),
    "reinforce": _Estimator("batch_mean", whitens=True),
    "rloo": _Estimator("leave_one_out"),
    "reinforce_baseline": _Estimator("group_mean", whitens=True),
    "group_norm": _Estimator("group_mean", "group_std"),
    "dr_grpo": _Estimator("group_mean"),
    "flash_reinforce": _Estimator("batch_mean"),
}

_OLD_NAMES: Mapping[str, str] = {
    "actor.entropy_coef": "entropy_loss_coef",
    "actor.eps_clip": "eps_clip",
    "actor.eps_clip_low_high": "eps_clip_low_high",
    "actor.policy_loss_type": "policy_loss_type",
    "actor.aux_loss_coef": "aux_loss_coef",
    "actor.adam.weight_decay": "l2",
    "algo.advantage.estimator": "advantage_estimator",
    "algo.advantage.gamma": "gamma",
    "algo.advantage.no_std_norm": "no_advantage_std_norm",
    "algo.dynamic_filtering_enable": "dynamic_filtering",
    "algo.dynamic_filtering_range": "dynamic_filtering_reward_range",
    "algo.kl.estimator": "kl_estimator",
    "algo.kl.init_coef": "init_kl_coef",
    "algo.kl.target": "kl_target",
    "algo.kl.use_loss": "use_kl_loss",
    "reward.clip_range": "reward_clip_range",
    "reward.normalize_enable": "normalize_reward",
    "reward.overlong_buffer_len": "overlong_buffer_len",
    "rollout.batch_size": "rollout_batch_size",
    "rollout.n_samples_per_prompt": "n_samples_per_prompt",
    "rollout.temperature": "temperature",
    "rollout.top_p": "top_p",
    "train.async_enable": "async_train",
    "train.batch_size": "train_batch_size",
    "train.max_epochs": "max_epochs",
}
"""Names before options were grouped, in 0.10."""

_GONE = ("algo.advantage.is_correction_enable", "algo.advantage.is_correction_type")

_TARGET = (
    *(_ESTIMATOR, _STD_OFF, _BETA, _USE_LOSS, _KIND, _UNBIASED, "algo.kl.target"),
    *("algo.kl.horizon", "algo.advantage.gamma", "algo.advantage.lambd"),
    *("algo.dynamic_filtering_enable", "algo.dynamic_filtering_range", "actor.loss_agg_mode"),
    *("actor.entropy_coef", "actor.aux_loss_coef", "actor.adam.weight_decay", "reward.clip_range"),
    *("actor.policy_loss_type", "reward.normalize_enable", "reward.overlong_buffer_len"),
    *("reward.overlong_penalty_factor", "reward.stop_properly_penalty_coef"),
    *("rollout.n_samples_per_prompt", "rollout.temperature", "rollout.top_p"),
    *("algo.advantage.is_correction_level", "algo.advantage.is_correction_mode"),
    *("actor.model_name_or_path", "reward.model_name_or_path", "reward.remote_url"),
)
_PATH = (
    *("actor.eps_clip", "actor.eps_clip_low_high", "actor.dual_clip", "train.batch_size"),
    *("rollout.batch_size", "train.max_epochs", "train.num_episodes", "train.async_enable"),
    *("train.async_queue_size", "train.partial_rollout_enable", "actor.adam.", "actor.muon."),
    *("algo.advantage.", "actor.optim", "actor.lr_scheduler", "actor.lr_warmup_ratio"),
    *("actor.min_lr_ratio", "actor.max_norm", "critic.", "data.", "rollout.max_new_tokens"),
)


def _detect(settings: Settings) -> float:
    """Return how likely these settings are OpenRLHF's."""
    if "openrlhf" in settings.program:
        return 1.0
    own = ("algo.kl.", "algo.advantage.", "algo.dynamic_filtering")
    if any(key.startswith(own) for key in settings):
        return 1.0
    return 0.9 if {"init_kl_coef", "advantage_estimator"} & set(settings) else 0.0


def _defaults(_: Settings, version: str) -> tuple[Mapping[str, Any], str]:
    """Return defaults."""
    file = "cli/train_ppo_ray.py"
    options, whose = options_of("openrlhf", _TITLE, version=version, file=file)
    return options.defaults, whose


def _fields(_: Settings) -> Mapping[str, FieldClass]:
    """Return what each option can change."""
    return classified(bundled_options("openrlhf"), _TARGET, _PATH)


def _normalise(settings: Settings) -> Settings:
    """Return settings under the names of today."""
    new_names = {old: new for new, old in _OLD_NAMES.items()}
    named: dict[str, Setting] = {}
    for key, setting in settings.items_by_key.items():
        new = new_names.get(key, key)
        named[new] = Setting(new, setting.value, setting.source)
    return Settings(named, settings.name, settings.program)


def _elsewhere(_: Settings, key: str, __: str) -> str:
    """Return which releases know an option that the newest does not have."""
    return "0.11.0 had it" if key in _GONE else ""


def _read(settings: Settings, version: str) -> EffectiveObjective:
    """Return what a run of these settings descends."""
    values = Values(settings, _TITLE)
    name = values.word("trainer baseline scale", _ESTIMATOR, of=list(_ESTIMATORS))
    estimator = _ESTIMATORS.get(name, _Estimator("none"))
    facts = (
        _kl(values, estimator)
        | _advantage(values, name, estimator)
        | _loss(values)
        | _sampling(values)
    )
    return EffectiveObjective(
        framework="openrlhf", version=version, trainer=name, **facts, **values.finish()
    )


def _kl(values: Values, estimator: _Estimator) -> dict[str, Any]:
    """Return where the KL stands, and which one."""
    beta = values.number("beta kl_placement reference", _BETA) or 0.0
    kind = values.word("kl_estimator", _KIND, of=("k1", "k2", "k3"))
    if beta <= 0:
        return {"kl_placement": "none", "reference": "none"}
    facts: dict[str, Any] = {
        "beta": beta,
        "beta_adaptive": values.number("beta_adaptive", "algo.kl.target") is not None,
        "reference": "fixed",
        "kl_clip": _CLAMP,
    }
    if values.on("kl_placement", _USE_LOSS):
        straight = values.on("kl_ratio kl_estimator", _UNBIASED)  # the gradient of k2 for all
        clip = None if straight else _CLAMP
        kind = "k3_plus" if straight else kind
        return facts | {"kl_placement": "loss", "kl_estimator": kind, "kl_clip": clip}
    return facts | {
        "kl_placement": "reward",
        "kl_estimator": kind,
        "kl_level": "sequence",
        "kl_in_advantage": estimator.baseline in ("value", "batch_mean") and estimator.whitens,
    }


def _advantage(values: Values, name: str, estimator: _Estimator) -> dict[str, Any]:
    """Return what becomes of rewards."""
    whitens = estimator.whitens and not values.on("scale", _STD_OFF)
    in_reward = not values.on("kl_in_advantage", _USE_LOSS)
    if whitens and in_reward and name == "reinforce_baseline":
        whitens = False
        values.remarks.append(
            "Advantages are whitened over the batch after the KL has been subtracted: reward and "
            "KL alike, which changes the length of a step only."
        )
    scale: Scale = "batch_std" if whitens else estimator.scale
    clip = values.pair("reward_clip reward_transformations", "reward.clip_range")
    overlong = values.number("reward_transformations", "reward.overlong_buffer_len")
    stopped = values.number("reward_transformations", "reward.stop_properly_penalty_coef")
    whitened = values.on("reward_transformations", "reward.normalize_enable")
    discount = values.number("baseline", "algo.advantage.gamma")
    if discount not in (None, 1.0) and name in ("gae", "reinforce"):
        values.remarks.append(f"algo.advantage.gamma is {discount:g}: the KL is discounted too.")
    present = {
        "overlong_penalty": bool(overlong) or stopped is not None,
        "whitened": whitened,
        "clipped": clip is not None,
    }
    filters = values.on("drops", "algo.dynamic_filtering_enable", "algo.dynamic_filtering_range")
    bounds = values.pair("drops", "algo.dynamic_filtering_range")
    narrower = ("outside_range",) if bounds not in (None, (0.0, 1.0)) else ()
    return {
        "baseline": estimator.baseline,
        "scale": scale,
        "scale_epsilon": 1e-9 if scale == "group_std" else 1e-8,
        "reward_clip": clip,
        "reward_transformations": tuple(word for word, on in present.items() if on),
        "drops": ("zero_variance", *narrower) if filters else (),
        "group_size": values.whole("group_size", "rollout.n_samples_per_prompt"),
    }


def _loss(values: Values) -> dict[str, Any]:
    """Return what the policy loss does; the KL beside it is averaged over tokens in every case."""
    kind = values.word("ratio_level", "actor.policy_loss_type", of=("ppo", "gspo"))
    mode = values.word("aggregation", "actor.loss_agg_mode", "actor.policy_loss_type")
    low_high = values.pair("clip_low clip_high", "actor.eps_clip_low_high")
    clip = values.number("clip_low clip_high", "actor.eps_clip")
    dual = values.number("ratio_weight", "actor.dual_clip")
    rollouts = values.number("n_updates", "rollout.batch_size")
    n_samples = values.number("n_updates", "rollout.n_samples_per_prompt") or 1.0
    batch = values.number("n_updates", "train.batch_size")
    epochs = values.number("n_updates", "train.max_epochs")
    level = values.word("sampler_correction", "algo.advantage.is_correction_level")
    corrects = values.word("sampler_correction", "algo.advantage.is_correction_mode")
    completions = None if rollouts is None else rollouts * n_samples
    return {
        "aggregation": "per_sequence"
        if kind == "gspo" or mode == "seq-mean-token-mean"
        else "constant",
        "kl_aggregation": "constant",
        "ratio_level": "sequence" if kind == "gspo" else "token",
        "clip_low": low_high[0] if low_high else clip,
        "clip_high": low_high[1] if low_high else clip,
        "ratio_weight": "dual_clip" if dual is not None else "",
        "n_updates": updates(completions, batch, epochs),
        "asynchronous": values.on("asynchronous", "train.async_enable"),
        "sampler_engine": "vllm",
        "sampler_correction": "none"
        if level in ("", "off")
        else "truncated"
        if corrects == "clip"
        else "masked",
        "entropy_coef": values.number("entropy_coef", "actor.entropy_coef") or 0.0,
        "weight_decay": values.number("weight_decay", "actor.adam.weight_decay") or 0.0,
        "extra_terms": ("router_aux_loss",)
        if values.number("extra_terms", "actor.aux_loss_coef")
        else (),
    }


def _sampling(values: Values) -> dict[str, Any]:
    """Return how completions are sampled; policy and reference are taken at that temperature."""
    temperature = values.number("temperature", "rollout.temperature")
    return {
        "temperature": 1.0 if temperature is None else temperature,
        "truncated_sampling": values.filters(top_p="rollout.top_p"),
    }


def _remedies(settings: Settings) -> Mapping[str, Remedy]:
    """Return which keys do what a rule asks for."""
    batch = settings.get("rollout.batch_size")
    n_samples = settings.get("rollout.n_samples_per_prompt") or 1
    whole = {"train.batch_size": batch * n_samples} if isinstance(batch, int) else {}
    in_reward = {_USE_LOSS: False, _KIND: "k1"}
    rloo = {_ESTIMATOR: "rloo"}
    return {
        "positive_beta": Fix("Set a KL coefficient above 0.", {_BETA: 0.01, **in_reward}),
        "kl_in_reward": Fix("Put k1 into the reward.", in_reward),
        "reverse_kl_in_loss": Fix("Take k2.", {_KIND: "k2"}),
        "no_scale": Fix("Take rloo, which divides by nothing.", rloo),
        "leave_one_out": Fix("Take rloo.", rloo),
        "constant_aggregation": Fix("Average over tokens.", {"actor.loss_agg_mode": "token-mean"}),
        "token_ratio": Fix("Take the ratio of a token.", {"actor.policy_loss_type": "ppo"}),
        "on_policy": Fix("Train on a batch once.", {**whole, "train.max_epochs": 1}),
        "no_reward_clip": Fix("Widen the bounds.", {"reward.clip_range": [-1e9, 1e9]}),
        "full_sampling": Fix("Sample from the whole distribution.", {"rollout.top_p": 1.0}),
        "unit_temperature": Fix("Sample at temperature 1.", {"rollout.temperature": 1.0}),
        "keep_all": Fix("Keep all groups.", {"algo.dynamic_filtering_enable": False}),
        "no_entropy_bonus": Fix("Drop the entropy bonus.", {"actor.entropy_coef": 0.0}),
        "fixed_beta": Fix("Keep beta fixed.", {"algo.kl.target": None}),
        "no_weight_decay": Fix("Do not decay weights.", {"actor.adam.weight_decay": 0.0}),
    }


OPENRLHF = Framework(
    name="openrlhf",
    title=_TITLE,
    package="openrlhf",
    newest=bundled_version("openrlhf"),
    detect=_detect,
    defaults=_defaults,
    read=_read,
    fields=_fields,
    remedies=_remedies,
    normalise=_normalise,
    elsewhere=_elsewhere,
)
"""OpenRLHF."""
