r"""What the gradient of a run descends, in words that no framework owns.

Readers fill in facts; what follows from facts is computed here. A policy-gradient step with samples
of the policy moves along

.. math::

    \sum_t \big( w_A A - \beta \, w_{KL}(D_t) \big) \nabla \log p(y_t \mid y_{<t}), \qquad
    A = (r - b) / s

with baseline `b`, deviation `s`, and weights that decide between tokens. With the KL in the reward,
``r - beta * D`` takes the place of `r`. The page on estimators says what each placement descends.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from polymode.core.estimators import ESTIMATORS
from polymode.diagnostics.audit.settings import Setting, Settings

__all__ = ["OWN_MEANS", "Aggregation", "Decided", "EffectiveObjective", "Evidence"]

Evidence = Literal["executed", "partly", "read"]
Placement = Literal["none", "reward", "loss"]
Level = Literal["token", "sequence"]
Baseline = Literal[
    "none",
    "leave_one_out",
    "group_mean",
    "length_mean",
    "token_mean",
    "batch_mean",
    "value",
    "greedy",
]
Scale = Literal["none", "group_std", "batch_std"]
Aggregation = Literal["constant", "per_sequence", "times_length"]
Descends = Literal["none", "reverse_kl", "forward_kl", "biased"]

OWN_MEANS = ("group_mean", "length_mean", "token_mean")
"""Baselines that contain the reward of the completion itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveObjective:
    """What a configuration optimises.

    Parameters
    ----------
    framework : str
        Name in `FRAMEWORKS`.
    version : str
        Version of the framework whose rules were read.
    trainer : str
        What trains, in the words of the framework: "GRPOTrainer", "grpo".
    evidence : {"executed", "partly", "read"}
        Whether our tests run the framework's own code with this combination of options and compare
        the gradient with the claimed one, or the update rule was read in its sources. "partly"
        where they run the loss, and other options that bear on the target were read.
    not_executed : tuple of str
        Options that were read, as ``key=value``, where the release is one that our tests run.
    beta : float
        Strength as configured, reward units per nat; 0 without a regulariser.
    beta_adaptive : bool
        Whether a controller moves it.
    lost_beta : float
        Strength of a KL that is asked for and that the chosen estimator never reads.
    kl_placement : {"none", "reward", "loss"}
        Where the KL stands.
    kl_estimator : str
        What stands there, per token: "k1", "k2", "k3", "k3_plus", "abs", "none".
    kl_ratio : {"none", "token", "sequence"}
        Whether a KL in the loss is multiplied by a differentiable ratio, and of what.
    kl_level : {"token", "sequence"}
        Whether a KL in the reward is credited to earlier tokens too (whole return or
        reward-to-go: "sequence"), or each token bears its own. In the loss always "token".
    kl_clip : float or None
        Bound on the log-ratio or on the estimate, in nats, beyond which the KL has no gradient.
    kl_in_advantage : bool
        Whether the KL goes through baseline and scale together with the reward.
    kl_aggregation : {"constant", "per_sequence", "times_length"}
        Weight of a token of the KL; see `aggregation`.
    reward_transformations : tuple of str
        What happens to rewards before the baseline: "clipped", "each_standardised" (each reward
        function in its group, before the sum), "lead_of_best" (the best completion of a group has
        its lead over the second, all others 0), "overlong_penalty", "whitened".
    reward_clip : tuple of two floats or None
        Bounds, where rewards are clipped.
    reward_weight : float
        Constant factor on the advantage that the KL beside it does not have.
    baseline : str
        What is subtracted. "length_mean" is the mean of the group weighted by length, "token_mean"
        that of each token's place weighted by how far its completions have moved the policy.
    scale : {"none", "group_std", "batch_std"}
        What advantages are divided by.
    scale_ddof : int
        Degrees of freedom of that deviation: 1 for the sample's, 0 for the population's.
    scale_epsilon : float
        Added to it.
    scale_of_others : bool
        Whether that deviation leaves out the completion itself; where the others are all equal,
        nothing is divided.
    aggregation : {"constant", "per_sequence", "times_length"}
        Weight of a token of the policy loss: the same for all tokens of a batch, or 1/|y| or |y|
        for a completion y.
    ratio_level : {"token", "sequence", "product"}
        Whether the importance ratio is that of a token, that of the sequence to the power 1/|y|
        (GSPO), or that of the sequence itself, the product over its tokens.
    n_updates : float or None
        Optimiser steps for each batch of samples; 1 is on-policy. None where it is not known.
    asynchronous : bool
        Whether samples may come from an older policy than that of the last update.
    clip_low : float or None
        The ratio is clipped at ``1 - clip_low``; None without a clip.
    clip_high : float or None
        The ratio is clipped at ``1 + clip_high``.
    clip_holds : bool
        Whether a ratio beyond the bound is held there and goes on counting (CISPO), where others
        stop the gradient.
    ratio_weight : str
        What else weighs a token by its ratio off-policy: "sapo", "vespo", "dual_clip" and the like;
        "" for nothing.
    sampler_engine : str
        Name of another engine that draws the samples ("vllm"), else "".
    sampler_correction : {"none", "truncated", "masked"}
        What is done about a sampler whose probabilities differ from the trainer's.
    temperature : float
        Of sampling.
    scored_at : float or None
        Temperature at which the loss takes log-probabilities; None takes that of sampling.
    truncated_sampling : mapping of str to float
        Active filters by name: top_p, top_k, min_p, repetition_penalty.
    reference : {"none", "fixed", "moving"}
        Whether there is a reference, and whether it stays.
    reference_every : int or None
        Steps after which a moving reference is updated.
    reference_mix : float
        Share of the policy in the new reference.
    drops : tuple of str
        What carries no reward gradient: "zero_variance" groups, "truncated" completions,
        "off_policy" completions, tokens of "low_entropy" or of "high_covariance", "outside_range"
        rewards, completions of a "sampler_mismatch". With "low_entropy_share" each completion
        counts by its share of tokens of high entropy.
    entropy_coef : float
        Weight of an entropy bonus in the loss; > 0 rewards entropy.
    entropy_adaptive : bool
        Whether a controller moves it.
    entropy_aggregation : {"constant", "per_sequence", "times_length"} or None
        Weight of a token of the entropy bonus; None where it is that of the KL.
    weight_decay : float
        Decoupled decay of the weights towards zero.
    extra_terms : tuple of str
        Other terms of the loss: "router_aux_loss", "value_loss", "supervised".
    group_size : int or None
        Completions for each prompt.
    anchored : str
        Name of the shaper where the configuration asks for one of polymode's, else "".
    sources : mapping of str to tuple of Setting
        For each field, the settings that decided it, the decisive one first.
    remarks : tuple of str
        What could not be told, in whole sentences.
    """

    framework: str
    version: str
    trainer: str
    evidence: Evidence = "read"
    not_executed: tuple[str, ...] = ()
    beta: float = 0.0
    beta_adaptive: bool = False
    lost_beta: float = 0.0
    kl_placement: Placement = "none"
    kl_estimator: str = "none"
    kl_ratio: Literal["none", "token", "sequence"] = "none"
    kl_level: Level = "token"
    kl_clip: float | None = None
    kl_in_advantage: bool = False
    kl_aggregation: Aggregation = "constant"
    reward_transformations: tuple[str, ...] = ()
    reward_clip: tuple[float, float] | None = None
    reward_weight: float = 1.0
    baseline: Baseline = "none"
    scale: Scale = "none"
    scale_ddof: int = 1
    scale_epsilon: float = 1e-4
    scale_of_others: bool = False
    aggregation: Aggregation = "constant"
    ratio_level: Literal["token", "sequence", "product"] = "token"
    n_updates: float | None = 1.0
    asynchronous: bool = False
    clip_low: float | None = None
    clip_high: float | None = None
    clip_holds: bool = False
    ratio_weight: str = ""
    sampler_engine: str = ""
    sampler_correction: Literal["none", "truncated", "masked"] = "none"
    temperature: float = 1.0
    scored_at: float | None = None
    truncated_sampling: Mapping[str, float] = field(default_factory=dict[str, float])
    reference: Literal["none", "fixed", "moving"] = "none"
    reference_every: int | None = None
    reference_mix: float = 1.0
    drops: tuple[str, ...] = ()
    entropy_coef: float = 0.0
    entropy_adaptive: bool = False
    entropy_aggregation: Aggregation | None = None
    weight_decay: float = 0.0
    extra_terms: tuple[str, ...] = ()
    group_size: int | None = None
    anchored: str = ""
    sources: Mapping[str, tuple[Setting, ...]] = field(
        default_factory=dict[str, tuple[Setting, ...]], compare=False
    )
    remarks: tuple[str, ...] = ()

    @property
    def estimator(self) -> str:
        """Name in `ESTIMATORS` of what stands in the loss; "none" and "abs" are not in there."""
        ratio = self.kl_placement == "loss" and self.kl_ratio != "none"
        return f"ratio_{self.kl_estimator}" if ratio else self.kl_estimator

    @property
    def divergence(self) -> Descends:
        """What the KL descends, on-policy: "none", "reverse_kl", "forward_kl" or "biased"."""
        if self.kl_placement == "none" or self.beta == 0:
            return "none"
        if self.kl_placement == "reward":
            return "reverse_kl" if self.kl_estimator == "k1" else "biased"
        if self.kl_ratio == "sequence" or self.estimator not in ESTIMATORS:
            return "biased"
        descends = ESTIMATORS[self.estimator].descends
        return cast(Descends, "none" if descends == "nothing" else descends)

    @property
    def level(self) -> Level | None:
        """Level of the divergence: over sequences, or over the next token; None without one."""
        if self.divergence == "none":
            return None
        return self.kl_level if self.kl_placement == "reward" else "token"

    @property
    def off_policy(self) -> bool:
        """Whether ratios can differ from 1."""
        return self.asynchronous or self.n_updates is None or self.n_updates > 1

    @property
    def clipping(self) -> bool:
        """Whether the clip of the ratio can act."""
        return self.off_policy and not (self.clip_low is None and self.clip_high is None)

    @property
    def loss_temperature(self) -> float:
        """Temperature at which the loss takes log-probabilities."""
        return self.temperature if self.scored_at is None else self.scored_at

    @property
    def temperature_in_loss(self) -> bool:
        """Whether the loss takes log-probabilities at the temperature of sampling."""
        return self.loss_temperature == self.temperature

    @property
    def tilts(self) -> bool:
        """Whether unequal weights of tokens move the target, and not only the way to it.

        With the KL of whole outputs in the reward, and whole returns less their mean, every
        advantage is zero at the target, and so is its multiple by any weight of the output.
        """
        whole = self.baseline in ("leave_one_out", "group_mean", "length_mean")
        zero = whole and self.kl_in_advantage and self.kl_level == "sequence"
        exact = zero and self.kl_placement == "reward" and self.divergence == "reverse_kl"
        return self.aggregation != "constant" and not exact

    def anchoring_problems(self) -> tuple[str, ...]:
        """Return why anchored rewards would have no flat optimum; empty where they have one.

        Returns
        -------
        tuple of str
            One reason each, the gravest first.
        """
        own = self.divergence != "none" and not self.kl_in_advantage
        tests = {
            "nothing regularises, so the rarest good output, which has the largest bonus, takes "
            "all": self.divergence == "none",
            f"the KL is {self.divergence.replace('_', ' ')}, and the bonus is that of the "
            "reverse KL": self.divergence in ("forward_kl", "biased"),
            "the KL is that of tokens, and the bonus is that of whole outputs": self.level
            == "token",
            "rewards are divided by a deviation and the KL is not, so that the bonus no longer "
            "fits beta": own and self.scale != "none",
            "rewards weigh less than the KL, so that the bonus no longer fits beta": own
            and self.scale == "none"
            and self.beta_eff(0.5) != self.beta,
            "each reward function is standardised, the bonus too": "each_standardised"
            in self.reward_transformations,
            "rewards are clipped, the bonus too": self.reward_clip is not None,
            "the reference moves": self.reference == "moving",
            "the target tilts with length": self.tilts,
            "an entropy bonus is a second reference": bool(self.entropy_coef)
            or self.entropy_adaptive,
            "log-probabilities are not those of the sampling distribution": bool(
                self.truncated_sampling
            )
            or not self.temperature_in_loss,
            "groups, completions or tokens are dropped": bool(
                {
                    *("zero_variance", "low_entropy", "low_entropy_share"),
                    *("high_covariance", "off_policy"),
                }
                & set(self.drops)
            ),
        }
        return tuple(reason for reason, holds in tests.items() if holds)

    def beta_eff(self, success_rate: float, group_size: int | None = None) -> float:
        r"""Return the strength of the KL beside a reward gap of 1.

        .. math::

            \beta_\text{eff} = \frac{\beta}{w \, \delta(p, G)}, \qquad
            \delta(p, G) = E[A \mid r = 1] - E[A \mid r = 0]

        Parameters
        ----------
        success_rate : float
            Probability of reward 1 rather than 0, in (0, 1).
        group_size : int or None
            Completions for each prompt; None takes that of the configuration.

        Returns
        -------
        float
            In reward units per nat; NaN where the group size is not known and counts.
        """
        if self.divergence == "none":
            return 0.0
        if self.kl_in_advantage:
            return self.beta
        return self.beta / (self.reward_weight * self.reward_gap(success_rate, group_size))

    def reward_gap(self, success_rate: float, group_size: int | None = None) -> float:
        r"""Return how far apart rewards of 1 and 0 stand as advantages, in expectation.

        Parameters
        ----------
        success_rate : float
            Probability of reward 1, in (0, 1).
        group_size : int or None
            Completions for each prompt; None takes that of the configuration.

        Returns
        -------
        float
            NaN where the group size counts and is not known, or is 1.
        """
        n = group_size or self.group_size
        own = self.baseline in OWN_MEANS
        if not own and self.scale != "group_std":
            shrink = 1.0
        elif n is None or n < 2:
            return math.nan
        else:
            shrink = (n - 1) / n if own else 1.0
        if self.scale == "none":
            return shrink
        if self.scale == "batch_std":
            deviation = math.sqrt(success_rate * (1 - success_rate))
            return shrink / (deviation + self.scale_epsilon)
        return _standardised_gap(success_rate, n, self)  # type: ignore[arg-type]


def _standardised_gap(success_rate: float, n: int, objective: EffectiveObjective) -> float:
    """Return the gap where advantages are divided by the deviation of a binomial group."""
    shrink = 1.0 if objective.baseline in OWN_MEANS else n / (n - 1)
    gap = 0.0
    for others in range(n):  # good ones among the other n - 1
        weight = math.comb(n - 1, others)
        weight *= success_rate**others * (1 - success_rate) ** (n - 1 - others)
        if objective.scale_of_others:
            mixed = 0 < others < n - 1
            gap += weight / (_deviation(others, n - 1, objective) if mixed else 1.0)
            continue
        good = (1 - (others + 1) / n) / _deviation(others + 1, n, objective)
        bad = (0 - others / n) / _deviation(others, n, objective)
        gap += weight * (good - bad)
    return gap if objective.scale_of_others else shrink * gap


def _deviation(n_good: int, n: int, objective: EffectiveObjective) -> float:
    """Return the divisor of a group in which `n_good` of `n` rewards are 1, the others 0."""
    variance = n_good * (n - n_good) / (n * (n - objective.scale_ddof))
    return math.sqrt(variance) + objective.scale_epsilon


class Decided:
    """Notes which settings decide which field, while a reader reads.

    Parameters
    ----------
    settings : Settings
        Complete settings.

    Examples
    --------
    >>> from polymode.diagnostics.audit.settings import Source
    >>> decided = Decided(Settings.from_mapping({"beta": 0.1}, Source("object", "GRPOConfig")))
    >>> decided("beta", "beta")
    0.1
    >>> [str(setting.source) for setting in decided.sources["beta"]]
    ['GRPOConfig']
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sources: dict[str, tuple[Setting, ...]] = {}

    def __call__(self, fields: str, *keys: str, default: Any = None) -> Any:
        """Return the value of the first key, and note that all keys decide these fields.

        Parameters
        ----------
        fields : str
            Fields of the objective, with spaces between them.
        *keys : str
            Dotted keys of settings.
        default : object
            Returned where the first key is not set at all.

        Returns
        -------
        object
            The plain value.
        """
        found = tuple(s for key in keys if (s := self.settings.setting(key)) is not None)
        for name in fields.split():
            self.sources[name] = (*self.sources.get(name, ()), *found)
        return self.settings.get(keys[0], default)
