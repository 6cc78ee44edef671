"""What each remedy means in TRL's options."""

from collections.abc import Mapping
from typing import Any

from polymode.diagnostics.audit.findings import Fix
from polymode.diagnostics.audit.settings import Settings

__all__ = ["remedies"]


def remedies(settings: Settings) -> Mapping[str, Fix]:
    """Return what to do for each remedy.

    Parameters
    ----------
    settings : Settings
        Complete settings.

    Returns
    -------
    mapping of str to Fix
        Names of `REMEDIES` to changes of TRL's options.
    """
    shared = {
        "positive_beta": Fix("Set beta > 0; 0.05 is RLOO's default.", {"beta": 0.05}),
        "full_sampling": Fix("Sample from the whole distribution.", _neutral(settings)),
        "unit_temperature": Fix("Sample at temperature 1.", _tempered(settings)),
        "fixed_reference": Fix("Keep the reference fixed.", {"sync_ref_model": False}),
        "on_policy": Fix("Take one update for each batch of completions.", _aligned(settings)),
        "keep_all": Fix("Let every completion and token count.", _kept(settings)),
        "no_weight_decay": Fix("Set the decay to 0.", {"weight_decay": 0.0}),
    }
    return {**shared, **(_rloo() if "reward_clip_range" in settings else _grpo(settings))}


def _grpo(settings: Settings) -> dict[str, Fix]:
    """Return the remedies of GRPO."""
    constant = "dr_grpo" if "importance_sampling_level" not in settings else "dapo"
    weighted = {"use_bias_correction_kl": True}
    if settings.get("importance_sampling_level") == "sequence":
        weighted["importance_sampling_level"] = "token"  # type: ignore[assignment]
    in_loss = (
        Fix("Weigh the KL by the ratio of each token.", weighted)
        if "use_bias_correction_kl" in settings
        else Fix("Move to TRL 0.26 or later, and set use_bias_correction_kl.")
    )
    return {
        "kl_in_reward": Fix(
            "Train with RLOOTrainer (`trl rloo`), whose beta is that of whole completions, or with "
            "polymode's MARAGRPOTrainer."
        ),
        "reverse_kl_in_loss": in_loss,
        "no_scale": Fix("Do not scale rewards.", {"scale_rewards": "none"}),
        "leave_one_out": Fix("Multiply beta by (G - 1)/G, or train with RLOOTrainer."),
        "constant_aggregation": Fix("Weigh all tokens alike.", {"loss_type": constant}),
        "token_ratio": Fix("Take the ratio of tokens.", {"importance_sampling_level": "token"}),
        "sum_rewards": Fix(
            "Sum rewards first.", {"multi_objective_aggregation": "sum_then_normalize"}
        ),
        "no_entropy_bonus": Fix(
            "Drop the entropy bonus.", {"entropy_coef": 0.0, "use_adaptive_entropy": False}
        ),
        "unit_reward_weight": Fix(
            "Set epsilon_high as CISPO means it, an upper bound of the ratio itself.",
            {"epsilon_high": 5.0},
        ),
    }


def _rloo() -> dict[str, Fix]:
    """Return the remedies of RLOO."""
    return {
        "no_scale": Fix("Do not normalise advantages.", {"normalize_advantages": False}),
        "no_reward_clip": Fix("Do not clip rewards.", {"reward_clip_range": None}),
    }


def _neutral(settings: Settings) -> dict[str, Any]:
    """Return the filters that are set, at the values that switch them off."""
    off = {"top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}
    keys = {key: value for key, value in off.items() if settings.get(key) not in (value, None, -1)}
    inner = {f"generation_kwargs.{key}": value for key, value in off.items()}
    return keys | {key: value for key, value in inner.items() if key in settings}


def _tempered(settings: Settings) -> dict[str, Any]:
    """Return what makes sampling and loss take temperature 1."""
    drawn_at = "generation_kwargs.temperature"
    return {"temperature": 1.0, **({drawn_at: 1.0} if drawn_at in settings else {})}


def _aligned(settings: Settings) -> dict[str, Any]:
    """Return one update for each batch."""
    changes: dict[str, Any] = {}
    if settings.get("num_iterations", 1) != 1:
        changes["num_iterations"] = 1
    steps = settings.get("steps_per_generation")
    if steps is not None and steps != settings.get("gradient_accumulation_steps", 1):
        changes["steps_per_generation"] = settings.get("gradient_accumulation_steps", 1)
    if settings.get("generation_batch_size") is not None and steps is None:
        changes["generation_batch_size"] = None
    return changes


def _kept(settings: Settings) -> dict[str, Any]:
    """Return what drops completions or tokens, switched off."""
    changes: dict[str, Any] = {}
    if settings.get("mask_truncated_completions"):
        changes["mask_truncated_completions"] = False
    if settings.get("off_policy_mask_threshold") is not None:
        changes["off_policy_mask_threshold"] = None
    if (settings.get("top_entropy_quantile") or 1.0) < 1.0:
        changes["top_entropy_quantile"] = 1.0
    corrected = settings.get("use_vllm") and settings.get("vllm_importance_sampling_correction")
    if corrected and str(settings.get("vllm_importance_sampling_mode")).endswith("_mask"):
        changes["vllm_importance_sampling_mode"] = "token_truncate"
    return changes
