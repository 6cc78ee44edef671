"""Settings of the trainers: TRL's own, and what shaping and anchoring add."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig, RLOOConfig

from polymode.errors import ConfigError


def _field(default: Any, text: str) -> Any:
    """Return a field whose help the command line shows."""
    return field(default=default, metadata={"help": text})


def _read_options(text: str) -> dict[str, Any]:
    """Return the mapping that a JSON text holds."""
    try:
        options = json.loads(text)
    except ValueError as error:
        raise ConfigError("method_options", f"must be JSON, got {text!r}: {error}") from error
    if not isinstance(options, dict):
        raise ConfigError("method_options", f"must be a mapping in JSON, got {text!r}")
    return options


@dataclass
class ShapingFields:
    """What shaping adds to a trainer's settings; every field can be left as it is."""

    method: str = _field(
        "plain",
        "What becomes of the rewards of a group: a shaper of `polymode.shape` by name, such as "
        "plain, anchored, entropy_bonus, unlikeliness, differential_smoothing, uniform_correct, "
        "inverse_probability, pass_at_k or best_of_n.",
    )
    """A shaper of `polymode.shape` by name."""
    method_options: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "The method's own parameters, JSON on a command line: {'strength': 1}"},
    )
    """The method's own parameters; see the shaper of that name."""
    threshold: float | None = _field(
        None,
        "Rewards at or above this count as good (tau), in reward units. It has no default because "
        "it is the task's: 0.8 suits verifiers that return 0 or 1.",
    )
    """Rewards at or above this count as good (tau), in reward units."""
    threshold_percentile: float | None = _field(
        None,
        "Instead of a threshold: rewards at or above this percentile count as good. 90 suits "
        "reward models, whose scale nobody knows.",
    )
    """Rewards at or above this percentile, in [0, 100], count as good; replaces `threshold`."""
    threshold_over: str = _field(
        "batch", "What the percentile is taken over: the whole `batch`, or each prompt's `group`."
    )
    """What the percentile is taken over: "batch" (all ranks) or "group"."""
    anchor_truncated: bool = _field(
        False,
        "Let completions that hit the length limit be anchored. Off by default: their "
        "log-probability under the reference is that of a prefix, not of an answer.",
    )
    """Let completions that hit the length limit be anchored."""
    anchor_choice: str = _field(
        "most_likely",
        "Which good completion anchors its group: most_likely, as in the paper, or best_level, the "
        "one with the highest r + beta log q.",
    )
    """Which good completion anchors its group: "most_likely" or "best_level"."""
    anchor_strength: float = _field(1.0, "How far to go towards the anchored rewards, in [0, 1].")
    """How far to go towards the anchored rewards, in [0, 1]."""
    max_bonus: float | None = _field(
        None,
        "The most that anchoring adds to the anchor's reward, in reward units; no limit if unset.",
    )
    """The most that anchoring adds to the anchor's reward, in reward units."""
    carry_anchors: bool = _field(
        False,
        "Keep each prompt's best anchor so far, also over checkpoints, so that a group without its "
        "likeliest good answer is anchored as high as one with it.",
    )
    """Keep each prompt's best anchor so far, in memory and in checkpoints."""
    length: str = _field(
        "sum",
        "What log q means in the bonus: `sum` over the completion's tokens, under which the "
        "optimum is flat; `per_token` divides by their number, which flattens by one token's worth "
        "only and keeps long completions from large bonuses.",
    )
    """`log q` in the bonus: "sum" over tokens (flat optimum), or "per_token" (not flat)."""
    regulariser: str = _field(
        "reverse_kl",
        "Divergence of whole completions that beta weighs: reverse_kl, forward_kl, jensen_shannon, "
        "squared_hellinger, reverse_chi_squared, forward_chi_squared or alpha:NUMBER.",
    )
    """Divergence of whole completions from the reference, by name, `alpha:NUMBER` included."""
    log_ratio_clip: float = _field(
        5.0,
        "Bound of |log p - log q| in nats in the weights f'(p/q) of regularisers other than "
        "reverse_kl; logged as regulariser/frac_clipped.",
    )
    """Bound of `|log p - log q|` in nats, for regularisers other than reverse KL."""
    forward_kl_samples: str = _field(
        "policy",
        "Whose samples estimate the forward KL: policy, with weights q/p of unbounded size, or "
        "reference, the cross-entropy on all stored responses of each prompt.",
    )
    """Whose samples estimate the forward KL: "policy", or "reference" (stored responses)."""
    stored_responses: str | None = _field(
        None,
        "File of `store_responses`: what the reference once answered, with its log-probabilities.",
    )
    """File of `store_responses`."""
    dph_divergence: str | None = _field(
        None,
        "DPH-RL: replay stored responses to solved prompts under a divergence per token, forward, "
        "jensen_shannon or alpha; solved prompts leave the training set. Off if unset.",
    )
    """Divergence of replayed responses, "forward", "jensen_shannon" or "alpha"; None is off."""
    dph_eta: float = _field(
        0.05,
        "Weight of the replayed divergence. The paper's are 0.01 to 0.05 for forward and 0.05 to "
        "0.2 for jensen_shannon.",
    )
    """Weight of the replayed divergence, reward units per nat; the paper's ranges meet here."""
    dph_batch: int = _field(
        4, "Replayed responses per device and micro-batch; each costs a forward and a backward row."
    )
    """Replayed responses per device and micro-batch."""
    dph_perfect: float = _field(
        1.0,
        "Share of a prompt's stored responses that must be good for it to be solved; sources use "
        "0.75 to 1.",
    )
    """Share of good stored responses from which a prompt counts as solved, in (0, 1]."""
    replay_size: int = _field(
        0,
        "Good completions of distinct modes to keep for each prompt, the rarest first: they enter "
        "its gradient with their exact weight, sampled or not. RLOO only; 0 is off.",
    )
    """Good completions of distinct modes that are kept and replayed for each prompt; 0 is off."""

    def __post_init__(self) -> None:
        """Read options given as JSON."""
        if isinstance(self.method_options, str):
            self.method_options = _read_options(self.method_options)
        parent: Any = super()
        if hasattr(parent, "__post_init__"):
            parent.__post_init__()

    def own_problems(self) -> Iterable[str]:
        """Return what is wrong with settings that only this config has, one line each."""
        return ()


@dataclass
class ShapedConfig(ShapingFields, RLOOConfig):
    """Settings of `ShapedTrainer`: `trl.RLOOConfig` and the fields of shaping.

    `num_generations` is 8 instead of 2, and 16 to 64 are better where memory allows: a mode never
    sampled is not kept.
    """

    num_generations: int | None = _field(
        8, "Completions per prompt; rare modes need 16 or more to be seen."
    )
    """Completions per prompt."""


@dataclass
class MARAConfig(ShapedConfig):
    """Settings of `MARATrainer`: those of `ShapedTrainer`, with anchoring for a method.

    `beta` is both the strength of the KL penalty and the scale of the anchored bonus; they must be
    equal for the target to be flat, so there is one setting for both. `threshold` or
    `threshold_percentile` is required.
    """

    method: str = _field("anchored", "Anchored, or another shaper to compare it with.")
    """Anchored, or another shaper to compare it with."""


@dataclass
class MARAGRPOConfig(ShapingFields, GRPOConfig):
    """Settings of `MARAGRPOTrainer`: `trl.GRPOConfig` with defaults that keep the promised target.

    Changed from TRL: `beta` 0.05 instead of 0 (anchoring needs the reference), `scale_rewards`
    "none" instead of "group", `loss_type` "dr_grpo" instead of "dapo".
    """

    method: str = _field("anchored", "Anchored, or another shaper to compare it with.")
    """Anchored, or another shaper to compare it with."""
    beta: float = _field(
        0.05, "KL strength in reward units per nat, and the scale of the anchored bonus."
    )
    """KL strength in reward units per nat; TRL's default of 0 loads no reference."""
    scale_rewards: str = _field(
        "none", "Must stay 'none': standardised rewards have another target."
    )
    """Must stay "none": standardised rewards have another target."""
    loss_type: str = _field("dr_grpo", "One of the losses that weigh all tokens equally.")
    """One of the losses that weigh all tokens equally."""
