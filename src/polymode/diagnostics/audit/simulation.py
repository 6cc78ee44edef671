r"""Where an objective ends on a toy that can be solved exactly, beside where its author thinks.

A tree of two steps: four first tokens, four second ones after each, eight of the sixteen outputs
good. It is the smallest in which the KL of tokens and that of whole outputs differ. The end is the
stationary point of the policy gradient from the reference, in closed form: tokens are solved from
the last to the first, since what follows a prefix does not depend on how it was reached. Where the
scale of rewards depends on the success rate, both are solved together.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from polymode.core import augment, gradient_flow, optimal_policy
from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.errors import UnsupportedOptionError
from polymode.metrics.distributions import effective_number, total_variation

__all__ = ["GOOD", "LOG_Q", "Ending", "simulate"]

_FIRST = np.array([0.55, 0.30, 0.10, 0.05])
_SECOND = np.array(
    [
        [0.40, 0.30, 0.20, 0.10],
        [0.70, 0.10, 0.10, 0.10],
        [0.25, 0.25, 0.25, 0.25],
        [0.05, 0.05, 0.05, 0.85],
    ]
)
_REWARDS = np.array([[1, 1, 1, 1], [0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=float)

LOG_Q: Float[np.ndarray, "4 4"] = np.log(_FIRST[:, None] * _SECOND)
"""Log-probabilities of the reference: first token, second token."""

GOOD: Bool[np.ndarray, "4 4"] = _REWARDS == 1
"""Which outputs are good."""

_N_ROUNDS = 400
_GREEDY_STEPS = 4000


@dataclass(frozen=True, eq=False)
class Ending:
    """Where a run ends, and where its author believes that it does.

    Parameters
    ----------
    anchored : bool
        Whether rewards were anchored.
    believed : array, shape (4, 4)
        ``log t`` of the target that beta names: ``q exp(r/beta)`` over whole outputs.
    ended : array, shape (4, 4)
        ``log p`` at the end.
    beta_eff : float
        Strength at the end, reward units per nat.
    left_out : tuple of str
        What the configuration has and the toy does not show.
    """

    anchored: bool
    believed: Float[np.ndarray, "4 4"]
    ended: Float[np.ndarray, "4 4"]
    beta_eff: float
    left_out: tuple[str, ...] = ()

    @property
    def distance(self) -> float:
        """Total variation between the two, in [0, 1]."""
        return float(total_variation(self.believed.reshape(-1), self.ended.reshape(-1)))

    @property
    def success_rate(self) -> float:
        """Probability of a good output at the end."""
        return float(np.exp(self.ended)[GOOD].sum())

    @property
    def effective_good(self) -> float:
        """Effective number of good outputs at the end, of eight."""
        good = self.ended[GOOD]
        return float(effective_number(good - np.logaddexp.reduce(good)))


def simulate(objective: EffectiveObjective, *, anchored: bool = False) -> Ending:
    """Return where an objective ends on the toy.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised; rewards of the toy are 0 and 1.
    anchored : bool
        Whether rewards are anchored at the configured beta first.

    Returns
    -------
    Ending
        Beside the believed target.

    Raises
    ------
    UnsupportedOptionError
        If the KL has the gradient of no divergence, so that there is no closed form.
    """
    problems = list(_unsolvable(objective, anchored=anchored))
    if problems:
        raise UnsupportedOptionError("simulate", problems)
    beta = objective.beta
    rewards = _REWARDS
    if anchored:
        flat = augment(_REWARDS.reshape(-1), LOG_Q.reshape(-1), beta=beta, threshold=1.0)
        rewards = flat.rewards.reshape(4, 4)
    ended, beta_eff = _end(objective, rewards, LOG_Q)
    if objective.reference == "moving" and objective.divergence != "none":
        ended = _with_moving_reference(objective, rewards)
    believed = _limit() if beta == 0 else optimal_policy(rewards.reshape(-1), _flat(), beta=beta)
    left_out = tuple(_left_out(objective))
    return Ending(anchored, believed.reshape(4, 4), ended, beta_eff, left_out)


def _unsolvable(objective: EffectiveObjective, *, anchored: bool) -> Iterator[str]:
    """Yield why there is no closed form."""
    o = objective
    if o.divergence == "biased":
        yield f"{o.estimator} {o.kl_placement} has the gradient of no divergence: no closed form"
    if math.isnan(o.reward_weight):
        yield "how much rewards weigh depends on the batch"
    if anchored and o.beta == 0:
        yield "anchoring needs a beta > 0"
    scaled = o.scale != "none" and not o.kl_in_advantage
    if anchored and scaled and o.divergence != "none":
        yield "a deviation of anchored rewards has no closed form"
    if o.scale == "group_std" and o.group_size is None:
        yield "the group size must be known, where groups are standardised"


def _flat() -> Float[np.ndarray, " 16"]:
    """Return the reference over whole outputs."""
    return LOG_Q.reshape(-1)


def _limit() -> Float[np.ndarray, " 16"]:
    """Return the reference restricted to good outputs: the target as beta goes to 0."""
    kept = np.where(GOOD.reshape(-1), _flat(), -np.inf)
    return kept - np.logaddexp.reduce(kept)


def _end(
    objective: EffectiveObjective,
    rewards: Float[np.ndarray, "4 4"],
    log_q: Float[np.ndarray, "4 4"],
) -> tuple[Float[np.ndarray, "4 4"], float]:
    """Return the end with a fixed reference, and the effective beta there."""
    if objective.divergence == "none":
        flow = gradient_flow(
            rewards, log_q, beta=1.0, kl="k1", n_tokens=2, n_steps=_GREEDY_STEPS, log_probs=LOG_Q
        )
        return flow, 0.0
    rate = float(np.exp(LOG_Q)[GOOD].sum())
    log_p, beta = log_q, objective.beta
    for _ in range(_N_ROUNDS):
        beta = objective.beta_eff(min(max(rate, 1e-9), 1 - 1e-9))
        log_p = _stationary(objective, rewards, log_q, beta)
        moved = float(np.exp(log_p)[GOOD].sum())
        if abs(moved - rate) < 1e-12:
            break
        rate += 0.5 * (moved - rate)
    return log_p, beta


def _stationary(
    objective: EffectiveObjective,
    rewards: Float[np.ndarray, "4 4"],
    log_q: Float[np.ndarray, "4 4"],
    beta: float,
) -> Float[np.ndarray, "4 4"]:
    """Return the stationary policy at a fixed strength."""
    if objective.level == "sequence":
        whole = optimal_policy(rewards.reshape(-1), log_q.reshape(-1), beta=beta)
        return whole.reshape(4, 4)
    divergence = objective.divergence
    log_first = np.logaddexp.reduce(log_q, axis=1)
    second = optimal_policy(rewards, log_q - log_first[:, None], beta=beta, divergence=divergence)
    values = np.sum(np.exp(second) * rewards, axis=1)
    first = optimal_policy(values, log_first, beta=beta, divergence=divergence)
    return first[:, None] + second


def _with_moving_reference(
    objective: EffectiveObjective, rewards: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "4 4"]:
    """Return the end where the reference follows: each update ends at its target first."""
    log_q = LOG_Q
    share = min(max(objective.reference_mix, 1e-3), 1.0)
    log_p = log_q
    for _ in range(_N_ROUNDS):
        log_p, _beta = _end(replace(objective, reference="fixed"), rewards, log_q)
        moved = share * np.exp(log_p) + (1 - share) * np.exp(log_q)
        log_q = np.log(np.maximum(moved, 1e-300))
    return log_p


def _left_out(objective: EffectiveObjective) -> Iterator[str]:
    """Yield what a configuration has and the toy does not show."""
    o = objective
    if o.tilts or (o.kl_placement == "loss" and o.kl_aggregation != "constant"):
        yield "lengths (all outputs of the toy are equally long)"
    if o.clipping and not (o.divergence == "reverse_kl" and o.kl_in_advantage):
        small = o.kl_placement == "loss" and o.divergence != "none"
        yield "the clip (with steps that it stops, the KL weighs more)" if small else "the clip"
    if o.truncated_sampling or not o.temperature_in_loss:
        yield "how samples are drawn"
    if o.entropy_coef or o.entropy_adaptive:
        yield "the entropy bonus"
    if o.drops:
        yield "what is dropped"
    if o.reward_transformations:
        yield "what becomes of rewards first"
    if o.beta_adaptive:
        yield "the controller of beta"
