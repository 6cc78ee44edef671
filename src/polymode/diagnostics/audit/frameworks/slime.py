"""slime: the command line of its ``train.py``.

Read in the sources of the version that the bundled table names, and not executed: slime needs
Megatron and GPUs. `tests/diagnostics/audit/descriptions.py` restates its update rule, and the
claims are tested against that.

Options of Megatron and SGLang share the command line: a flag that is not slime's own and does not
look like one is theirs.
"""

from collections.abc import Mapping
from typing import Any

from polymode.diagnostics.audit.findings import Fix
from polymode.diagnostics.audit.frameworks.framework import FieldClass, Framework, Remedy
from polymode.diagnostics.audit.frameworks.tables import (
    bundled_options,
    bundled_version,
    options_of,
)
from polymode.diagnostics.audit.frameworks.values import Values, classified, updates, with_foreign
from polymode.diagnostics.audit.objective import Baseline, EffectiveObjective, Scale
from polymode.diagnostics.audit.settings import Setting, Settings

__all__ = ["SLIME"]

_TITLE = "slime"
_GRPO = ("grpo", "gspo", "cispo")
_BASELINE = "reinforce_plus_plus_baseline"
_ESTIMATORS = (*_GRPO, "reinforce_plus_plus", _BASELINE, "ppo")
_MEGATRON = {"weight-decay": 0.01, "moe-aux-loss-coeff": 0.0}  # Megatron's own, with its defaults

_TARGET = (
    *("advantage-estimator", "kl-coef", "use-kl-loss", "kl-loss-coef", "kl-loss-type"),
    *("use-unbiased-kl", "entropy-coef", "gamma", "lambd", "normalize-advantages"),
    *("disable-grpo-std-normalization", "disable-rewards-normalization", "ref-update-interval"),
    *("calculate-per-token-loss", "dynamic-sampling-filter-path", "rollout-temperature"),
    *("rollout-top-p", "rollout-top-k", "n-samples-per-prompt", "loss-type", "use-opd"),
    *("opd-kl-coef", "custom-advantage-function-path", "custom-loss-function-path"),
    *("custom-pg-loss-reducer-function-path", "custom-reward-post-process-path", "ref-load"),
    *("use-tis", "use-opsm", "custom-rm-path", "rm-type", "enable-mtp-training"),
    *("rollout-sample-filter-path", "buffer-filter-path", *_MEGATRON),
)
_PATH = (
    *("eps-clip", "eps-clip-high", "eps-clip-c", "global-batch-size", "num-steps-per-rollout"),
    *("rollout-batch-size", "over-sampling-batch-size", "partial-rollout", "lr", "clip-grad"),
    *("tis-clip", "tis-clip-low", "opsm-delta", "update-weights-interval", "num-rollout"),
    *("keep-old-actor", "use-rollout-logprobs", "rollout-max-response-len", "value-clip"),
)


def _normalise(settings: Settings) -> Settings:
    """Return flags with the dashes that slime's own documentation has."""
    items = {
        key.replace("_", "-"): Setting(key.replace("_", "-"), s.value, s.source)
        for key, s in settings.items_by_key.items()
    }
    return Settings(items, settings.name, settings.program)


def _detect(settings: Settings) -> float:
    """Return how likely these settings are slime's."""
    own = ("rollout-batch-size", "advantage-estimator", "kl-loss-type", "num-rollout")
    found = sum(key in settings for key in own)  # OpenRLHF has some of them with underscores
    return 1.0 if "slime" in settings.program else (0.0, 0.6, 0.95, 1.0, 1.0)[found]


def _defaults(_: Settings, version: str) -> tuple[Mapping[str, Any], str]:
    """Return defaults, with two of Megatron's that bear on the target."""
    options, whose = options_of("slime", _TITLE, version=version, file="utils/arguments.py")
    return {**_MEGATRON, **options.defaults}, whose


def _fields(settings: Settings) -> Mapping[str, FieldClass]:
    """Return what each option can change; flags of Megatron and SGLang change nothing."""
    return with_foreign(classified(bundled_options("slime"), _TARGET, _PATH), settings)


def _read(settings: Settings, version: str) -> EffectiveObjective:
    """Return what a run of these settings descends."""
    values = Values(settings, _TITLE)
    name = values.word("trainer baseline scale", "advantage-estimator", of=_ESTIMATORS)
    facts = _kl(values, name) | _advantage(values, name) | _loss(values, name) | _sampling(values)
    for key in ("custom-advantage-function-path", "custom-loss-function-path"):
        if values.word("baseline", key):
            values.remarks.append(f"{key} replaces what is read here by a function of your own.")
    return EffectiveObjective(
        framework="slime", version=version, trainer=name, **facts, **values.finish()
    )


def _kl(values: Values, name: str) -> dict[str, Any]:
    """Return where the KL stands, and which one."""
    in_reward = values.number("beta kl_placement", "kl-coef") or 0.0
    in_loss = values.on("kl_placement", "use-kl-loss")
    beta = values.number("beta", "kl-loss-coef") or 0.0
    text = values.word("kl_estimator", "kl-loss-type", of=("k1", "k2", "k3", "low_var_kl"))
    every = values.whole("reference reference_every", "ref-update-interval")
    if in_reward and beta:
        values.problems.append("kl-coef and kl-loss-coef must not both be set: slime refuses that")
    facts: dict[str, Any] = {
        "reference": "moving" if every else "fixed" if in_reward or in_loss else "none",
        "reference_every": every,
        "kl_estimator": "k3" if text == "low_var_kl" else text,
        "kl_clip": 10.0 if text == "low_var_kl" else None,
    }
    if in_loss:
        ratio = "token" if values.on("kl_ratio", "use-unbiased-kl") else "none"
        return facts | {"kl_placement": "loss", "beta": beta, "kl_ratio": ratio}
    if in_reward and name in _GRPO:
        values.decided("lost_beta", "kl-coef", "advantage-estimator")
        return facts | {"kl_placement": "none", "lost_beta": in_reward}
    if in_reward:
        own = name == _BASELINE  # each token bears its own KL
        return facts | {
            "kl_placement": "reward",
            "beta": in_reward,
            "kl_level": "token" if own else "sequence",
            "kl_in_advantage": not own,
        }
    return facts | {"kl_placement": "none"}


def _advantage(values: Values, name: str) -> dict[str, Any]:
    """Return what becomes of rewards."""
    whitens = values.on("scale", "normalize-advantages")
    centred = not values.on("baseline scale", "disable-rewards-normalization")
    divides = not values.on("scale", "disable-grpo-std-normalization")
    baseline: Baseline = "batch_mean" if whitens else "none"
    if name == "ppo":
        baseline = "value"
    elif name != "reinforce_plus_plus" and centred:
        baseline = "group_mean"
    scale: Scale = "none"
    if name in _GRPO and centred and divides:
        scale = "group_std"
    elif whitens and name != _BASELINE:
        scale = "batch_std"
    elif whitens:
        beside = values.on("scale", "use-kl-loss")
        scale = "batch_std" if beside else "none"  # else reward and KL alike
    if scale == "group_std" and whitens:
        values.remarks.append("Advantages are whitened over the batch once more.")
    filtered = values.word("drops", "dynamic-sampling-filter-path")
    if filtered and "nonzero_std" not in filtered:
        values.remarks.append(f"dynamic-sampling-filter-path {filtered} is a function of your own.")
    drops = ("zero_variance",) if "nonzero_std" in filtered else ()
    return {
        "baseline": baseline,
        "scale": scale,
        "scale_epsilon": 1e-6 if scale == "group_std" else 1e-8,
        "drops": (*drops, "off_policy") if values.on("drops", "use-opsm") else drops,
        "group_size": values.whole("group_size", "n-samples-per-prompt"),
    }


def _loss(values: Values, name: str) -> dict[str, Any]:
    """Return what the policy loss does."""
    per_token = values.on("aggregation kl_aggregation", "calculate-per-token-loss")
    aggregation = "constant" if per_token else "per_sequence"
    low = values.number("clip_low clip_high", "eps-clip")
    high = values.number("clip_high", "eps-clip-high")
    steps = values.number("n_updates", "num-steps-per-rollout")
    batch = values.number("n_updates", "global-batch-size")
    rollouts = values.number("n_updates", "rollout-batch-size")
    n_samples = values.number("n_updates", "n-samples-per-prompt") or 1.0
    if steps is None:
        steps = updates(None if rollouts is None else rollouts * n_samples, batch, None)
    terms = {
        "router_aux_loss": bool(values.number("extra_terms", "moe-aux-loss-coeff")),
        "distillation": values.on("extra_terms", "use-opd"),
    }
    return {
        "aggregation": aggregation,
        "kl_aggregation": aggregation,
        "ratio_level": "sequence" if name == "gspo" else "token",
        "clip_low": low,
        "clip_high": low if high is None else high,
        "clip_holds": name == "cispo",
        "n_updates": steps,
        "asynchronous": "async" in values.decided.settings.program,
        "sampler_engine": "sglang",
        "sampler_correction": "truncated" if values.on("sampler_correction", "use-tis") else "none",
        "entropy_coef": values.number("entropy_coef", "entropy-coef") or 0.0,
        "weight_decay": values.number("weight_decay", "weight-decay") or 0.0,
        "extra_terms": tuple(word for word, on in terms.items() if on),
    }


def _sampling(values: Values) -> dict[str, Any]:
    """Return how completions are sampled; log-probabilities are taken at that temperature."""
    temperature = values.number("temperature", "rollout-temperature")
    return {
        "temperature": 1.0 if temperature is None else temperature,
        "truncated_sampling": values.filters(top_p="rollout-top-p", top_k="rollout-top-k"),
    }


def _remedies(settings: Settings) -> Mapping[str, Remedy]:
    """Return which flags do what a rule asks for; False takes a flag away."""
    off = {"use-kl-loss": False, "kl-loss-coef": 0.0}
    sequence = {"advantage-estimator": "reinforce_plus_plus", "normalize-advantages": True}
    in_reward = {**off, **sequence, "kl-loss-type": "k1"}
    in_reward["kl-coef"] = settings.get("kl-coef") or settings.get("kl-loss-coef") or 0.01
    return {
        "positive_beta": Fix("Turn on a KL in the reward.", in_reward),
        "read_kl": Fix("Take reinforce_plus_plus, which subtracts the KL.", in_reward),
        "kl_in_reward": Fix(
            "Take reinforce_plus_plus, the estimator that subtracts the KL of all later tokens.",
            in_reward,
        ),
        "reverse_kl_in_loss": Fix(
            "Weigh k3 by the ratio.", {"use-unbiased-kl": True, "kl-loss-type": "k3"}
        ),
        "no_scale": Fix("Do not divide.", {"disable-grpo-std-normalization": True}),
        "constant_aggregation": Fix("Average over tokens.", {"calculate-per-token-loss": True}),
        "token_ratio": Fix("Take the ratio of a token.", {"advantage-estimator": "grpo"}),
        "on_policy": Fix("Train on a batch once.", {"num-steps-per-rollout": 1}),
        "full_sampling": Fix(
            "Sample from the whole distribution.", {"rollout-top-p": 1.0, "rollout-top-k": -1}
        ),
        "unit_temperature": Fix("Sample at temperature 1.", {"rollout-temperature": 1.0}),
        "fixed_reference": Fix("Keep the reference.", {"ref-update-interval": None}),
        "keep_all": Fix("Keep all groups.", {"dynamic-sampling-filter-path": None}),
        "no_entropy_bonus": Fix("Drop the entropy bonus.", {"entropy-coef": 0.0}),
        "no_weight_decay": Fix("Do not decay weights.", {"weight-decay": 0.0}),
        "no_kl_clip": Fix("Take k3, which is not clamped.", {"kl-loss-type": "k3"}),
    }


SLIME = Framework(
    name="slime",
    title=_TITLE,
    package="slime",
    newest=bundled_version("slime"),
    detect=_detect,
    defaults=_defaults,
    read=_read,
    fields=_fields,
    remedies=_remedies,
    normalise=_normalise,
)
"""slime."""
