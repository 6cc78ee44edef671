"""Host settings under which anchored rewards would silently have another target than promised."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from polymode.core.checks import known
from polymode.language.cross_entropy import cross_entropy_problems
from polymode.language.dph import dph_problems
from polymode.language.extra_loss import extra_problems
from polymode.language.methods import ANCHORED, method_problems
from polymode.language.regularisers import regulariser_problems
from polymode.language.replay import replay_problems
from polymode.language.stored import stored_problems


def config_problems(args: Any, *, has_log_probs: bool) -> Iterator[str]:
    """Yield what is wrong with a trainer's config, one line each: what must hold, and why.

    Parameters
    ----------
    args : ShapedConfig or MARAGRPOConfig
        The settings.
    has_log_probs : bool
        Whether the trainer scores the policy before the rewards.
    """
    if not hasattr(args, "method"):
        given = type(args).__name__
        yield f"args must be a MARAConfig or MARAGRPOConfig with a threshold, got {given}"
        return
    missing = list(_threshold_problems(args))
    yield from missing
    beta_is_fine = math.isfinite(args.beta) and args.beta > 0
    if not beta_is_fine:
        yield (
            f"beta must be a finite number > 0, got {args.beta!r}: the bonus is beta * log q, and "
            "without beta TRL scores no reference"
        )
    yield from known("length", args.length, ("sum", "per_token"))
    unfit = regulariser_problems(args)
    yield from unfit
    if not (missing or unfit) and beta_is_fine:
        yield from method_problems(args, has_log_probs=has_log_probs)
    if not has_log_probs and args.regulariser != "reverse_kl":
        yield "regulariser must be reverse_kl with GRPO, which does not score the policy in time"
    yield from _sampling_problems(args)
    yield from _reward_problems(args)
    yield from _loss_problems(args)
    yield from args.own_problems()
    yield from stored_problems(args)
    yield from dph_problems(args)
    yield from cross_entropy_problems(args, scores_policy=has_log_probs)
    yield from replay_problems(args, scores_policy=has_log_probs)
    if args.stored_responses is not None or args.replay_size:
        yield from extra_problems(args)


def _threshold_problems(args: Any) -> Iterator[str]:
    """What is good has to be said once, and in numbers."""
    both = args.threshold is not None and args.threshold_percentile is not None
    if both:
        yield "threshold and threshold_percentile must not be given together"
    if args.threshold_percentile is not None:
        if not 0 <= args.threshold_percentile <= 100:
            yield f"threshold_percentile must lie in [0, 100], got {args.threshold_percentile!r}"
        yield from known("threshold_over", args.threshold_over, ("batch", "group"))
        return
    unknown = args.threshold is None and args.method == ANCHORED
    if unknown or (args.threshold is not None and not math.isfinite(args.threshold)):
        yield (
            f"threshold must be a finite number, got {args.threshold!r}: rewards at or above it "
            "count as good (0.8 suits verifiers that return 0 or 1)"
        )


def batch_mode_problems(args: Any) -> Iterator[str]:
    """Yield what needs modes that mean the same in every batch; clusters of a batch do not."""
    if getattr(args, "replay_size", 0):
        yield "replay_size must be 0 with modes of a batch: those of two batches do not compare"
    if getattr(args, "forward_kl_samples", "policy") == "reference":
        yield "forward_kl_samples must be 'policy' with modes of a batch: stored ones have none"


def foreign_token_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield what puts tokens into a completion that the policy did not write."""
    for name in ("tools", "environment_factory", "rollout_func"):
        if given.get(name):
            yield (
                f"{name} must not be set: tokens that the policy did not write would enter "
                "log q(completion), and no mask for them reaches the rewards"
            )


def _sampling_problems(args: Any) -> Iterator[str]:
    """Samples must come from the policy that is scored, and the reference must stay."""
    neutral: dict[str, tuple[Any, ...]] = {
        "top_p": (1.0, None),
        "top_k": (0, None, -1),
        "min_p": (None, 0.0),
        "repetition_penalty": (1.0, None),
    }
    overrides = args.generation_kwargs or {}
    for name, allowed in neutral.items():
        value = overrides.get(name, getattr(args, name, allowed[0]))
        if value not in allowed:
            yield f"{name} must be {allowed[0]!r}, got {value!r}: log p and log q ignore it"
    temperature = overrides.get("temperature", args.temperature)
    if temperature != args.temperature:
        yield (
            f"generation_kwargs['temperature'] must equal temperature, got {temperature!r} and "
            f"{args.temperature!r}: log p and log q are taken at `temperature`"
        )
    if args.sync_ref_model:
        yield "sync_ref_model must be False: a moving reference has no fixed target"
    if args.mask_truncated_completions and args.anchor_truncated:
        yield (
            "anchor_truncated must be False with mask_truncated_completions: a masked completion "
            "has no log q and would pass for the likeliest"
        )


def _reward_problems(args: Any) -> Iterator[str]:
    """Nothing may bend the reward after it was anchored."""
    if getattr(args, "reward_clip_range", None):
        yield f"reward_clip_range must be None, got {args.reward_clip_range!r}: it cuts the bonus"
    scale = getattr(args, "scale_rewards", "none")
    if scale not in ("none", False):
        yield (
            f"scale_rewards must be 'none', got {scale!r}: dividing by a standard deviation makes "
            "beta depend on the group, and inverts the target where all completions are good"
        )
    if getattr(args, "normalize_advantages", False):
        yield "normalize_advantages must be False: steps would depend on the spread of the bonus"
    aggregation = getattr(args, "multi_objective_aggregation", "sum_then_normalize")
    if aggregation != "sum_then_normalize":
        yield (
            f"multi_objective_aggregation must be 'sum_then_normalize', got {aggregation!r}: it "
            "standardises the bonus as if it were a reward of its own"
        )


_LOSSES = ("dr_grpo", "dapo", "bnpo", "luspo", "cispo")  # all tokens of a batch weigh the same


def _loss_problems(args: Any) -> Iterator[str]:
    """GRPO's loss must add no term and weigh completions alike; RLOO has none of these settings."""
    loss = getattr(args, "loss_type", _LOSSES[0])
    if loss not in _LOSSES:
        yield f"loss_type must be one of {', '.join(_LOSSES)}, got {loss!r}: it tilts with length"
    neutral: dict[str, tuple[Any, str]] = {
        "importance_sampling_level": ("token", "the loss would be weighed by length"),
        "entropy_coef": (0.0, "an entropy bonus is another objective"),
        "use_adaptive_entropy": (False, "an entropy bonus is another objective"),
        "top_entropy_quantile": (1.0, "tokens of low entropy would get no update, hence no KL"),
        "off_policy_mask_threshold": (None, "completions would be dropped by their KL"),
        "use_liger_kernel": (False, "its fused loss bypasses the per-token log-probabilities"),
    }
    for name, (allowed, why) in neutral.items():
        value = getattr(args, name, allowed)
        if value != allowed:
            yield f"{name} must be {allowed!r}, got {value!r}: {why}"
