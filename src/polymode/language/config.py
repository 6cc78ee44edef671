"""Settings of the anchored trainers: TRL's own, and what anchoring adds."""

from dataclasses import dataclass, field

from trl import GRPOConfig, RLOOConfig

_THRESHOLD_HELP = (
    "Rewards at or above this count as good (tau), in reward units. It has no default because it "
    "is the task's: 0.8 suits verifiers that return 0 or 1."
)
_TRUNCATED_HELP = (
    "Let completions that hit the length limit be anchored. Off by default: their log-probability "
    "under the reference is that of a prefix, not of an answer."
)


@dataclass
class MARAConfig(RLOOConfig):
    """Settings of `MARATrainer`: `trl.RLOOConfig` and the fields of anchoring.

    `beta` is both the strength of the KL penalty and the scale of the anchored bonus; they must be
    equal for the target to be flat, so there is one setting for both. `num_generations` is 8
    instead of 2, and 16 to 64 are better where memory allows: a mode never sampled is not kept.
    """

    threshold: float | None = field(default=None, metadata={"help": _THRESHOLD_HELP})
    """Rewards at or above this count as good (tau), in reward units. Required."""
    anchor_truncated: bool = field(default=False, metadata={"help": _TRUNCATED_HELP})
    """Let completions that hit the length limit be anchored."""
    num_generations: int | None = field(
        default=8,
        metadata={"help": "Completions per prompt; rare modes need 16 or more to be seen."},
    )
    """Completions per prompt."""


@dataclass
class MARAGRPOConfig(GRPOConfig):
    """Settings of `MARAGRPOTrainer`: `trl.GRPOConfig` with defaults that keep the promised target.

    Changed from TRL: `beta` 0.05 instead of 0 (anchoring needs the reference), `scale_rewards`
    "none" instead of "group", `loss_type` "dr_grpo" instead of "dapo".
    """

    threshold: float | None = field(default=None, metadata={"help": _THRESHOLD_HELP})
    """Rewards at or above this count as good (tau), in reward units. Required."""
    anchor_truncated: bool = field(default=False, metadata={"help": _TRUNCATED_HELP})
    """Let completions that hit the length limit be anchored."""
    beta: float = field(
        default=0.05,
        metadata={
            "help": "KL strength in reward units per nat, and the scale of the anchored bonus."
        },
    )
    """KL strength in reward units per nat; TRL's default of 0 loads no reference."""
    scale_rewards: str = field(
        default="none",
        metadata={"help": "Must stay 'none': standardised rewards have another target."},
    )
    """Must stay "none": standardised rewards have another target."""
    loss_type: str = field(
        default="dr_grpo", metadata={"help": "One of the losses that weigh all tokens equally."}
    )
    """One of the losses that weigh all tokens equally."""
