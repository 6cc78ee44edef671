"""GRPO with TRL's own KL term, whose divergence is chosen by name: token-local regularisers.

Both compare the policy with the reference one token at a time, on the prefixes that the policy
visits, and hold the prefixes fixed. Their targets are other than those of whole completions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from trl import GRPOConfig, GRPOTrainer

from polymode.core.checks import known
from polymode.language.config import ShapingFields
from polymode.language.hook import ShapingMixin
from polymode.language.methods import ANCHORED

_BIAS_CORRECTED = {"reverse_kl": True, "forward_kl": False}


@dataclass
class TokenKLConfig(ShapingFields, GRPOConfig):
    """Settings of `TokenKLTrainer`: `trl.GRPOConfig`, the fields of shaping, and which KL.

    Changed from TRL: `beta` 0.05 instead of 0, `scale_rewards` "none" instead of "group",
    `loss_type` "dr_grpo" instead of "dapo"; `use_bias_correction_kl` follows `token_regulariser`.
    The fields `regulariser` and `log_ratio_clip` are for whole completions and stay as they are.
    """

    token_regulariser: str = field(
        default="reverse_kl",
        metadata={
            "help": "KL of each token's distribution from the reference's: reverse_kl (TRL's k3 "
            "times the importance ratio) or forward_kl (plain k3)."
        },
    )
    """KL of each token's distribution from the reference's: "reverse_kl" or "forward_kl"."""
    allow_token_local_anchoring: bool = field(
        default=False,
        metadata={
            "help": "Let the method be anchored all the same. Its target is flat under a KL of "
            "whole completions only; here it leans to answers behind prefixes that seldom succeed."
        },
    )
    """Let the method be "anchored" although its target is not flat here."""
    # TRL's own is a plain bool, which cannot tell whether anybody chose it.
    use_bias_correction_kl: bool | None = field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=None,
        metadata={
            "help": "TRL's name for the choice that token_regulariser makes; leave it unset."
        },
    )
    """TRL's name for the choice that `token_regulariser` makes; unset, it follows."""
    beta: float = field(
        default=0.05, metadata={"help": "KL strength in reward units per nat, per token."}
    )
    """KL strength in reward units per nat; TRL's default of 0 loads no reference."""
    scale_rewards: str = field(
        default="none",
        metadata={"help": "Must stay 'none': standardised rewards make beta depend on the group."},
    )
    """Must stay "none": standardised rewards make beta depend on the group."""
    loss_type: str = field(
        default="dr_grpo",
        metadata={"help": "One of the losses that weigh all tokens of a batch alike."},
    )
    """One of the losses that weigh all tokens of a batch alike."""

    def __post_init__(self) -> None:
        """Let TRL's switch follow the name."""
        mine: Any = self
        if mine.use_bias_correction_kl is None:
            mine.use_bias_correction_kl = _BIAS_CORRECTED.get(self.token_regulariser, True)
        super().__post_init__()

    def own_problems(self) -> Iterator[str]:
        """Yield what is wrong with the settings that only this trainer has."""
        unknown = list(known("token_regulariser", self.token_regulariser, _BIAS_CORRECTED))
        yield from unknown
        wanted = _BIAS_CORRECTED.get(self.token_regulariser)
        if not unknown and self.use_bias_correction_kl != wanted:
            yield (
                f"use_bias_correction_kl must be {wanted} or unset with token_regulariser="
                f"{self.token_regulariser!r}, got {self.use_bias_correction_kl!r}"
            )
        if self.method == ANCHORED and not self.allow_token_local_anchoring:
            yield (
                "method must not be anchored under a token-local KL, whose anchored target is not "
                "flat: take MARAGRPOTrainer, or set allow_token_local_anchoring"
            )


class TokenKLTrainer(ShapingMixin, GRPOTrainer):
    r"""`trl.GRPOTrainer` on the rewards of any method, under a token-local KL chosen by name.

    The KL stays TRL's term in the loss. With h a prefix and Q(h, a) the mean shaped reward of the
    policy's completions that go on from h with the token a, the policy rests where, at every h that
    it visits,

    - `token_regulariser="reverse_kl"` (k3 times the ratio): `p(a|h) ∝ q(a|h) exp(Q(h, a) / beta)`;
    - `token_regulariser="forward_kl"` (plain k3): `p(a|h) = beta q(a|h) / (L(h) - Q(h, a))`, with
      `L(h)` from normalisation.

    Q is the policy's own mean, not the soft value, so that neither is the target `q exp(r/beta)`
    of whole completions, but for answers of one token. Anchoring is flat under neither: under
    the reverse KL, for small beta, an answer gets a share in proportion to one over the chance that
    the reference completes its prefixes well. The method `anchored` therefore has to be asked for
    with `allow_token_local_anchoring`.

    GRPO's baseline includes the sample itself, which scales rewards by `(G - 1) / G` and not the
    KL: `beta` counts for `G / (G - 1)` times itself.

    Parameters
    ----------
    model, reward_funcs, args, train_dataset, ...
        As `trl.GRPOTrainer`; `args` is a `TokenKLConfig`.
    mode_fn : callable, optional
        As in `ShapedTrainer`.

    Raises
    ------
    UnsupportedOptionError
        If any setting would silently change the target; lists all of them.

    See Also
    --------
    MARAGRPOTrainer : GRPO under the reverse KL of whole completions.

    References
    ----------
    "Rethinking KL Regularization in RLHF", arXiv 2510.01555 (gradients of k3). DeepSeek-V3.2, arXiv
    2512.02556 (k3 times the ratio). `polymode.core.gradient_flow` computes where both end.
    """

    _tag_names: ClassVar = ["trl", "grpo", "polymode"]
