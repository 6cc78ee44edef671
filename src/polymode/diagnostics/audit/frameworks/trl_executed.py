"""What our tests run of TRL: their cases, and what the audit calls tested by running it."""

from collections.abc import Mapping
from itertools import product

from polymode.diagnostics.audit.frameworks.executed import Case, Executed, pairwise
from polymode.diagnostics.audit.frameworks.trl_releases import Kind

__all__ = ["TRL_EXECUTED"]

RELEASE = "1.16.0"
LOSSES = ("dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo")
_KLS = ({"beta": 0.0}, {"beta": 0.3}, {"beta": 0.3, "use_bias_correction_kl": False})
_LOSS = {"use_bias_correction_kl": True, "entropy_coef": 0.0, "top_entropy_quantile": 1.0}
_REWARDS = ("scale_rewards", "multi_objective_aggregation")


def _losses() -> list[Case]:
    """Return what meets in `GRPOTrainer._compute_loss`."""
    grid = [
        {**_LOSS, "loss_type": loss, "importance_sampling_level": level, **kl}
        for loss, level, kl in product(LOSSES, ("token", "sequence"), _KLS)
    ]
    default = {**_LOSS, "loss_type": "dapo", "importance_sampling_level": "token"}
    more = ({"entropy_coef": 0.2}, {"top_entropy_quantile": 0.3})
    return [*grid, *({**default, "beta": beta, **one} for beta in (0.0, 0.3) for one in more)]


_SHARED = {
    "generation_kwargs": None,
    "mask_truncated_completions": False,
    "min_p": None,
    "neftune_noise_alpha": None,
    "repetition_penalty": 1.0,
    "reward_weights": None,
    "router_aux_loss_coef": None,
    "sync_ref_model": False,
    "top_k": 0,
    "top_p": 1.0,
    "use_vllm": False,
    "vllm_structured_outputs_regex": None,
}
_FREE = (
    "weight_decay",  # the optimiser's, which is run without a loss
    *("beta", "chat_template_kwargs", "max_completion_length", "model_init_kwargs", "temperature"),
    *("num_generations", "ref_model_mixup_alpha", "ref_model_sync_steps", "datasets"),
    *("dataset_name", "dataset_config", "dataset_train_split", "model_name_or_path"),
    *("model_revision", "reward_funcs", "reward_model_name_or_path", "model_init_kwargs.*"),
    "chat_template_kwargs.*",
)

TRL_EXECUTED: Mapping[Kind, Executed] = {
    "grpo": Executed(
        release=RELEASE,
        parts={
            "loss": _losses(),
            "rewards": [
                dict(zip(_REWARDS, values, strict=True))
                for values in (
                    *(("group", "sum_then_normalize"), ("batch", "sum_then_normalize")),
                    *(("none", "sum_then_normalize"), ("group", "normalize_then_sum")),
                    *(("batch", "normalize_then_sum"), ("none", "normalize_then_sum")),
                )
            ],
        },
        crossed=pairwise(
            {
                **{"loss_type": LOSSES, "importance_sampling_level": ("token", "sequence")},
                **{"beta": (0.3, 0.0), "use_bias_correction_kl": (True, False)},
                **{"entropy_coef": (0.0, 0.2), "top_entropy_quantile": (1.0, 0.3)},
                **{"scale_rewards": ("group", "batch", "none")},
                **{"multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum")},
                **{"temperature": (1.0, 0.7)},
            }
        ),
        plain={
            **_SHARED,
            "max_tool_calling_iterations": None,
            "off_policy_mask_threshold": None,
            "use_adaptive_entropy": False,
            "use_liger_kernel": False,
        },
        free=(
            *_FREE,
            *("entropy_coef_delta", "entropy_coef_max", "entropy_coef_min", "entropy_target"),
            *("vllm_importance_sampling_cap", "vllm_importance_sampling_clip_max"),
            *("vllm_importance_sampling_clip_min", "vllm_importance_sampling_correction"),
            "vllm_importance_sampling_mode",
        ),
        neutral={"beta": 0.0, "entropy_coef": 0.0, "top_entropy_quantile": 1.0},
        needs={"use_bias_correction_kl": ("beta", True)},
    ),
    "rloo": Executed(
        release=RELEASE,
        parts={
            "loss": [
                {"beta": beta, "normalize_advantages": whitens, "reward_clip_range": clip}
                for beta, whitens, clip in product((0.0, 0.3), (False, True), (None, (0.5, 1.5)))
            ]
        },
        crossed=pairwise(
            {
                **{"beta": (0.3, 0.0), "normalize_advantages": (False, True)},
                **{"reward_clip_range": (None, (0.5, 1.5)), "temperature": (1.0, 0.7)},
            }
        ),
        plain=_SHARED,
        free=_FREE,
        neutral={"beta": 0.0, "reward_clip_range": None},
    ),
}
"""By trainer: every loss, level and KL, every scale of rewards, alone and summed after it."""
