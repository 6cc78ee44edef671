"""NeMo-RL: YAML, by itself or over one of its exemplars, and dotted overrides.

Read in the sources of the version that the bundled table names, and not executed.
`tests/diagnostics/audit/descriptions.py` restates its update rule, and the claims are tested
against that. Defaults are those of ``examples/configs/grpo_math_1B.yaml``, which its recipes
inherit.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from polymode.diagnostics.audit.documents import document_settings
from polymode.diagnostics.audit.findings import Fix
from polymode.diagnostics.audit.frameworks.framework import (
    DefaultChange,
    FieldClass,
    Framework,
    Remedy,
)
from polymode.diagnostics.audit.frameworks.tables import (
    bundled_options,
    bundled_version,
    options_of,
    release,
)
from polymode.diagnostics.audit.frameworks.values import Values, classified, updates, with_foreign
from polymode.diagnostics.audit.objective import Baseline, EffectiveObjective, Scale
from polymode.diagnostics.audit.settings import Setting, Settings

__all__ = ["NEMO_RL"]

_TITLE = "NeMo-RL"
_ESTIMATORS = ("grpo", "gdpo", "reinforce_plus_plus", "gae", "raw_reward", "opd")
_NAME = "grpo.adv_estimator.name"
_STD, _LOO = "grpo.adv_estimator.normalize_rewards", "grpo.adv_estimator.use_leave_one_out_baseline"
_BETA, _KIND = "loss_fn.reference_policy_kl_penalty", "loss_fn.reference_policy_kl_type"
_IN_REWARD, _CLAMP = "loss_fn.use_kl_in_reward", "loss_fn.kl_output_clamp_value"
_DECAY = "policy.optimizer.kwargs.weight_decay"
_EXEMPLAR, _MAX_INHERITED = "grpo_math_1B.yaml", 8
_RATIO_SINCE = (0, 7)  # before, the KL in the loss had no ratio, and descended the forward KL

_TARGET = (
    *(_NAME, _STD, _LOO, _BETA, _KIND, _IN_REWARD, _CLAMP, "grpo.adv_estimator.minus_baseline"),
    *("grpo.normalize_rewards", "grpo.use_leave_one_out_baseline", "grpo.use_dynamic_sampling"),
    *("grpo.overlong_filtering", "grpo.num_generations_per_prompt", "grpo.advantage_clip_low"),
    *("grpo.advantage_clip_high", "grpo.reward_shaping.enabled", "grpo.reward_scaling.enabled"),
    *(f"grpo.reward_scaling.{end}_{side}" for end in ("source", "target")
      for side in ("min", "max")),
    *("loss_fn.kl_input_clamp_value", "loss_fn.token_level_loss"),
    *("loss_fn.sequence_level_importance_ratios", "loss_fn.positive_example_nll_weight"),
    *("policy.generation.temperature", "policy.generation.top_p", "policy.generation.top_k"),
    *(_DECAY, "policy.model_name"),
    *("grpo.seq_logprob_error_threshold", "loss_fn.truncated_importance_sampling_type"),
)  # fmt: skip
_PATH = (
    *("grpo.num_prompts_per_step", "policy.train_global_batch_size", "grpo.async_grpo.", "data."),
    *("loss_fn.", "policy.optimizer.", "policy.scheduler", "grpo.max_num_epochs", "ppo."),
    *(
        "policy.max_grad_norm",
        "grpo.batch_multiplier",
        "grpo.max_num_steps",
        *("grpo.reward_shaping.", "policy.generation.backend"),
    ),
)
_FREE = (
    *("defaults", "env", "data", "policy.dtensor_cfg", "policy.megatron_cfg", "policy.generation"),
    *(
        "policy.optimizer",
        "policy.tokenizer",
        "policy.hf_config_overrides",
        "logger",
        "checkpointing",
    ),
    *(
        "policy.draft",
        "data_plane",
        "cluster",
        "teacher",
        "on_policy_distillation",
        "reward_penalties",
    ),
    *("reward_model_env", "policy.router_replay", "grpo.adv_estimator", "value", "critic"),
)


def _detect(settings: Settings) -> float:
    """Return how likely these settings are NeMo-RL's."""
    if "nemo_rl" in settings.program or "run_grpo" in settings.program:
        return 1.0
    sections = {key.partition(".")[0] for key in settings}
    own = sections & {"loss_fn", "grpo", "ppo"}
    if own and sections & {"policy", "cluster", "loss_fn", "defaults"}:
        return 1.0
    inherits = str(settings.get("defaults", "")).endswith((".yaml", ".yml"))
    if inherits and sections & {"policy", "cluster", "checkpointing", "data_plane", "env", "data"}:
        return 0.9
    return 0.8 if own else 0.0


def _normalise(settings: Settings) -> Settings:
    """Return settings over the files that they inherit; PPO's section under the name of GRPO's."""
    named: dict[str, Setting] = {}
    for key, setting in _inherited(settings, _MAX_INHERITED).items_by_key.items():
        new = f"grpo.{key[4:]}" if key.startswith("ppo.") else key
        named[new] = replace(setting, key=new)
    return Settings(named, settings.name, settings.program)


def _inherited(settings: Settings, n_left: int) -> Settings:
    """Return settings over the file that ``defaults:`` names, where that lies beside them."""
    parent = settings.setting("defaults")
    if parent is None or not isinstance(parent.value, str) or parent.source.kind != "file":
        return settings
    path = Path(parent.source.where).parent / parent.value
    if not path.is_file() or n_left == 0:
        return settings
    own = {key: item for key, item in settings.items_by_key.items() if key != "defaults"}
    child = Settings(own, settings.name, settings.program)
    return child.over(_inherited(document_settings(path), n_left - 1))


def _defaults(_: Settings, version: str) -> tuple[Mapping[str, Any], str]:
    """Return defaults; the package has no exemplar in it, so they are always those we bring."""
    options, whose = options_of("nemo_rl", _TITLE, version=version, file="")
    return options.defaults, whose


def _fields(settings: Settings) -> Mapping[str, FieldClass]:
    """Return what each option can change; the exemplar does not have all of them."""
    fields = classified(bundled_options("nemo_rl"), _TARGET, _PATH, _FREE)
    return with_foreign(fields, settings)


def _read(settings: Settings, version: str) -> EffectiveObjective:
    """Return what a run of these settings descends."""
    values = Values(settings, _TITLE)
    name = values.word("trainer baseline scale", _NAME, of=_ESTIMATORS)
    facts = (
        _kl(values, name, version) | _advantage(values, name) | _loss(values) | _sampling(values)
    )
    if values.word("trainer", "defaults"):
        values.remarks.append(
            f"The file that defaults: names is not there: what is not set here is taken to be as "
            f"in {_EXEMPLAR}."
        )
    return EffectiveObjective(
        framework="nemo_rl", version=version, trainer=name, **facts, **values.finish()
    )


def _kl(values: Values, name: str, version: str) -> dict[str, Any]:
    """Return where the KL stands, and which one."""
    beta = values.number("beta kl_placement reference", _BETA) or 0.0
    in_reward = values.on("kl_placement", _IN_REWARD)
    kind = values.word("kl_estimator", _KIND, of=("k1", "k2", "k3"))
    if beta <= 0:
        return {"kl_placement": "none", "reference": "none"}
    facts: dict[str, Any] = {
        "beta": beta,
        "reference": "fixed",
        "kl_estimator": kind,
        "kl_clip": values.number("kl_clip", _CLAMP),
    }
    if not in_reward:
        ratio = "token" if release(version)[:2] >= _RATIO_SINCE else "none"
        return facts | {"kl_placement": "loss", "kl_ratio": ratio}
    if name not in ("reinforce_plus_plus", "gae"):
        values.decided("lost_beta", _IN_REWARD, _NAME, _BETA)  # taken out of the loss as well
        return facts | {"kl_placement": "none", "beta": 0.0, "lost_beta": beta}
    own = name == "reinforce_plus_plus"  # each token bears its own KL
    return facts | {
        "kl_placement": "reward",
        "kl_level": "token" if own else "sequence",
        "kl_in_advantage": not own,
    }


def _advantage(values: Values, name: str) -> dict[str, Any]:
    """Return what becomes of rewards."""
    divides, others = values.on("scale", _STD), values.on("baseline", _LOO)
    minus = values.on("baseline", "grpo.adv_estimator.minus_baseline")
    baseline: Baseline = "leave_one_out" if others else "group_mean"
    scale: Scale = "group_std" if divides else "none"
    transformations: tuple[str, ...] = ()
    if name == "gdpo":
        scale, transformations = "batch_std", ("each_standardised",) if divides else ()
    elif name == "reinforce_plus_plus":
        baseline = "group_mean" if minus else "batch_mean"
        scale = "none" if values.on("scale", _IN_REWARD) else "batch_std"
    elif name == "gae":
        baseline, scale = "value", "batch_std"
    elif name in ("raw_reward", "opd"):
        baseline, scale = "none", "none"
    present = {
        "overlong_penalty": values.on("reward_transformations", "grpo.reward_shaping.enabled"),
        "scaled": values.on("reward_transformations", "grpo.reward_scaling.enabled"),
    }
    drops = {
        "zero_variance": values.on("drops", "grpo.use_dynamic_sampling"),
        "truncated": values.on("drops", "grpo.overlong_filtering"),
    }
    return {
        "baseline": baseline,
        "scale": scale,
        "scale_epsilon": 1e-6 if scale == "group_std" else 1e-8,
        "scale_of_others": scale == "group_std" and others,
        "reward_weight": _reward_weight(values) if present["scaled"] else 1.0,
        "reward_transformations": (
            *transformations,
            *(word for word, on in present.items() if on),
        ),
        "drops": tuple(word for word, on in drops.items() if on),
        "group_size": values.whole("group_size", "grpo.num_generations_per_prompt"),
    }


def _reward_weight(values: Values) -> float:
    """Return by how much a linear map of rewards stretches them."""
    ends = [
        values.number("reward_weight", f"grpo.reward_scaling.{end}") or 0.0
        for end in ("source_min", "source_max", "target_min", "target_max")
    ]
    width = ends[1] - ends[0]
    if width == 0:
        values.problems.append("grpo.reward_scaling.source_max must differ from source_min")
        return 1.0
    return (ends[3] - ends[2]) / width


def _loss(values: Values) -> dict[str, Any]:
    """Return what the policy loss does."""
    per_token = values.on("aggregation kl_aggregation", "loss_fn.token_level_loss")
    aggregation = "constant" if per_token else "per_sequence"
    prompts = values.number("n_updates", "grpo.num_prompts_per_step")
    n_samples = values.number("n_updates", "grpo.num_generations_per_prompt") or 1.0
    batch = values.number("n_updates", "policy.train_global_batch_size")
    completions = None if prompts is None else prompts * n_samples
    forced = values.on("clip_low clip_high", "loss_fn.force_on_policy_ratio")
    plain = values.on("clip_low clip_high", "loss_fn.disable_ppo_ratio")
    low = values.number("clip_low", "loss_fn.ratio_clip_min")
    high = values.number("clip_high", "loss_fn.ratio_clip_max")
    dual = values.number("ratio_weight", "loss_fn.ratio_clip_c")
    kind = values.word("sampler_correction", "loss_fn.truncated_importance_sampling_type")
    sequence = values.on("ratio_level", "loss_fn.sequence_level_importance_ratios")
    weight = values.number("extra_terms", "loss_fn.positive_example_nll_weight")
    return {
        "aggregation": aggregation,
        "kl_aggregation": aggregation,
        "ratio_level": "sequence" if sequence else "token",
        "clip_low": None if forced or plain else low,
        "clip_high": None if forced or plain else high,
        "ratio_weight": "dual_clip" if dual is not None and not (forced or plain) else "",
        "n_updates": updates(completions, batch, None),
        "asynchronous": values.on("asynchronous", "grpo.async_grpo.enabled"),
        "sampler_engine": values.word("sampler_engine", "policy.generation.backend"),
        "sampler_correction": "none" if not kind else "truncated" if kind == "tis" else "masked",
        "weight_decay": values.number("weight_decay", "policy.optimizer.kwargs.weight_decay")
        or 0.0,
        "extra_terms": ("supervised",) if weight else (),
    }


def _sampling(values: Values) -> dict[str, Any]:
    """Return how completions are sampled; log-probabilities are taken at that temperature."""
    temperature = values.number("temperature", "policy.generation.temperature")
    filters = {"top_p": "policy.generation.top_p", "top_k": "policy.generation.top_k"}
    return {
        "temperature": 1.0 if temperature is None else temperature,
        "truncated_sampling": values.filters(**filters),
    }


def _remedies(settings: Settings) -> Mapping[str, Remedy]:
    """Return which keys do what a rule asks for; no estimator has the KL of whole sequences."""
    prompts = settings.get("grpo.num_prompts_per_step")
    n_samples = settings.get("grpo.num_generations_per_prompt")
    whole: dict[str, Any] = {}
    if isinstance(prompts, int) and isinstance(n_samples, int):
        whole = {"policy.train_global_batch_size": prompts * n_samples}
    full = {"policy.generation.top_p": 1.0, "policy.generation.top_k": None}
    return {
        "read_kl": Fix("Leave the KL in the loss, where it is read.", {_IN_REWARD: False}),
        "positive_beta": Fix("Set a KL coefficient above 0.", {_BETA: 0.01, _IN_REWARD: False}),
        "reverse_kl_in_loss": Fix(
            "Put k3 into the loss, which the ratio makes right; without it, before 0.7.0, k2.",
            {_IN_REWARD: False, _KIND: "k3" if settings.get(_KIND) == "k2" else "k2"},
        ),
        "no_scale": Fix("Do not divide.", {"grpo.normalize_rewards": False, _STD: False}),
        "leave_one_out": Fix(
            "Take the others as the baseline.",
            {"grpo.use_leave_one_out_baseline": True, _LOO: True},
        ),
        "constant_aggregation": Fix("Average over tokens.", {"loss_fn.token_level_loss": True}),
        "token_ratio": Fix(
            "Take the ratio of a token.", {"loss_fn.sequence_level_importance_ratios": False}
        ),
        "on_policy": Fix("Train on a batch once.", whole),
        "full_sampling": Fix("Sample from the whole distribution.", full),
        "unit_temperature": Fix("Sample at temperature 1.", {"policy.generation.temperature": 1.0}),
        "keep_all": Fix(
            "Keep all groups.",
            {"grpo.use_dynamic_sampling": False, "grpo.overlong_filtering": False},
        ),
        "no_weight_decay": Fix("Do not decay.", {_DECAY: 0.0}),
        "unit_reward_weight": Fix("Leave rewards alone.", {"grpo.reward_scaling.enabled": False}),
        "no_kl_clip": Fix("Do not clamp.", {_CLAMP: None, "loss_fn.kl_input_clamp_value": None}),
    }


def _history(settings: Settings, _: str) -> tuple[DefaultChange, ...]:
    """Return the release that put the ratio into the KL, where a KL stands in the loss."""
    in_loss = bool(settings.get(_BETA)) and not settings.get(_IN_REWARD)
    change = DefaultChange(_KIND, "0.7.0", "without the ratio", "weighed by the ratio")
    return (change,) if in_loss else ()


NEMO_RL = Framework(
    name="nemo_rl",
    title=_TITLE,
    package="nemo_rl",
    newest=bundled_version("nemo_rl"),
    detect=_detect,
    defaults=_defaults,
    read=_read,
    fields=_fields,
    remedies=_remedies,
    normalise=_normalise,
    history=_history,
)
"""NeMo-RL."""
