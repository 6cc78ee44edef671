r"""The expected update of an objective on the toy: what each token is pushed by.

.. math::

    g(h, a) = \sum_{y \ni (h, a)} s(y) \big( w_A c(\rho) A - \beta \, w_{KL} \big)

with the sampler `s`, and `c` the ratio where no clip stops it. Along ``sum g grad log p`` the
natural gradient moves ``log p(a | h)`` by ``g / p(h, a)``, less its mean at the prefix: it has the
zeros of the plain one, and does not slow down where a prefix is rare.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from polymode.core.estimators import ESTIMATORS
from polymode.diagnostics.audit.objective import Aggregation, EffectiveObjective
from polymode.diagnostics.audit.simulation.groups import (
    Advantages,
    Draws,
    Listing,
    expected_advantages,
)
from polymode.diagnostics.audit.simulation.sampling import sampled_table
from polymode.diagnostics.audit.simulation.toy import Toy, log_softmax

__all__ = ["Batch", "draw", "expected_gradient", "natural_step", "scored_table"]

_KINK = 0.01
"""|D| is rounded within so many nats of 0, where its gradient would jump."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch in expectation: what stays while the policy takes several steps on it.

    Parameters
    ----------
    p : array, shape (n,)
        Probability of drawing each output.
    log_probs : array, shape (n, t)
        Of the policy that drew them, as the loss takes them.
    log_q : array, shape (n, t)
        Of the reference, as the loss takes them.
    advantages : Advantages
        Of the outputs.
    weights, kl_weights, entropy_weights : array, shape (n, 1)
        Of a token of the policy loss, of the KL, and of an entropy bonus; 1 on average over tokens.
    """

    p: Float[np.ndarray, " n"]
    log_probs: Float[np.ndarray, "n t"]
    log_q: Float[np.ndarray, "n t"]
    advantages: Advantages
    weights: Float[np.ndarray, "n 1"]
    kl_weights: Float[np.ndarray, "n 1"]
    entropy_weights: Float[np.ndarray, "n 1"]


def scored_table(
    logits: Float[np.ndarray, "h v"], objective: EffectiveObjective
) -> Float[np.ndarray, "h v"]:
    """Return the log-probabilities that a loss takes, at its temperature.

    Parameters
    ----------
    logits : array, shape (h, v)
        At temperature 1, normalised.
    objective : EffectiveObjective
        Says at which temperature.

    Returns
    -------
    array, shape (h, v)
        Normalised.
    """
    cold = objective.loss_temperature
    return logits if cold == 1 else log_softmax(logits / cold)


def draw(
    objective: EffectiveObjective,
    toy: Toy,
    logits: Float[np.ndarray, "h v"],
    reference: Float[np.ndarray, "h v"],
    rewards: Float[np.ndarray, " n"],
    listing: Listing | None,
) -> Batch:
    """Return a batch of the policy, in expectation.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.
    toy : Toy
        The tree.
    logits, reference : array, shape (h, v)
        Of the policy and of the reference, at temperature 1.
    rewards : array, shape (n,)
        Of outputs.
    listing : Listing or None
        Of its groups.

    Returns
    -------
    Batch
        Frozen.
    """
    o = objective
    sampler = toy.of_tokens(np.exp(sampled_table(logits, o)))
    p = np.where(toy.mask, sampler, 1.0).prod(1)
    table = scored_table(logits, o)
    log_probs, log_q = toy.of_tokens(table), toy.of_tokens(scored_table(reference, o))
    if o.reward_clip is not None:
        rewards = np.clip(rewards, *o.reward_clip)
    found = np.exp(table)
    moves = toy.of_tokens(1 - 2 * found + (found**2).sum(1, keepdims=True))
    draws = Draws(p, rewards, _penalties(o, log_probs - log_q), moves)
    advantages = expected_advantages(o, toy, draws, listing)
    hows = (o.aggregation, o.kl_aggregation, o.entropy_aggregation or o.kl_aggregation)
    weights = [_weights(how, toy.lengths, p) for how in hows]
    return Batch(p, log_probs, log_q, advantages, *weights)


def expected_gradient(
    objective: EffectiveObjective,
    toy: Toy,
    batch: Batch,
    table: Float[np.ndarray, "h v"],
) -> tuple[Float[np.ndarray, "h v"], float]:
    """Return what ``log p(a | h)`` is pushed by, and how much of the reward's push is clipped.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.
    toy : Toy
        The tree.
    batch : Batch
        What was drawn.
    table : array, shape (h, v)
        The policy by now, as the loss takes it.

    Returns
    -------
    gradient : array, shape (h, v)
        Coefficient of each ``grad log p(a | h)``, in reward units.
    frac_clipped : float
        Share of the reward's gradient, by size, that the clip stops or holds.
    """
    o = objective
    log_p = toy.of_tokens(table)
    pushed, frac_clipped = _policy_weights(o, toy, batch, log_p)
    if o.kl_placement == "loss" and o.beta:
        pushed = pushed - o.beta * batch.kl_weights * _kl_weights(o, toy, batch, log_p)
    found = toy.to_table(np.where(toy.mask, batch.p[:, None] * pushed, 0.0))
    if o.entropy_coef:
        passed = batch.p[:, None] * batch.entropy_weights * batch.advantages.kept[:, None]
        at_prefix = toy.to_table(np.where(toy.mask, passed, 0.0)).sum(1, keepdims=True)
        found = found - o.entropy_coef * at_prefix * np.exp(table) * table
    return found, frac_clipped


def natural_step(
    toy: Toy, gradient: Float[np.ndarray, "h v"], table: Float[np.ndarray, "h v"]
) -> Float[np.ndarray, "h v"]:
    """Return the direction of the natural gradient in log-probabilities.

    Parameters
    ----------
    toy : Toy
        The tree.
    gradient : array, shape (h, v)
        See `expected_gradient`.
    table : array, shape (h, v)
        The policy, as the loss takes it.

    Returns
    -------
    array, shape (h, v)
        Nats for a step of length 1; its mean under the policy is 0 at each prefix.
    """
    p = np.exp(table)
    reached = np.exp(toy.of_tokens(table).sum(1, keepdims=True))
    at_prefix = toy.to_table(np.where(toy.mask, reached, 0.0)).sum(1, keepdims=True)
    found = gradient / (at_prefix * p)
    return found - (p * found).sum(1, keepdims=True)


def _penalties(o: EffectiveObjective, d: Float[np.ndarray, "n t"]) -> Float[np.ndarray, "n t"]:
    """Return ``beta * KL`` of a KL in the reward."""
    if o.kl_placement != "reward" or not o.beta:
        return np.zeros_like(d)
    bounded = d if o.kl_clip is None else np.clip(d, -o.kl_clip, o.kl_clip)
    found = o.beta * _value(o.kl_estimator, bounded)
    if o.kl_level == "token":
        return found
    return np.repeat(found.sum(1, keepdims=True), d.shape[1], axis=1)


def _weights(
    how: Aggregation, lengths: Float[np.ndarray, " n"], p: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 1"]:
    """Return the weight of a token of each output, 1 on average over the tokens of a batch."""
    shapes = {"constant": np.ones_like(lengths), "per_sequence": 1 / lengths}
    found = shapes.get(how, lengths)
    return (found * (p @ lengths) / (p @ (lengths * found)))[:, None]


def _policy_weights(
    o: EffectiveObjective, toy: Toy, batch: Batch, log_p: Float[np.ndarray, "n t"]
) -> tuple[Float[np.ndarray, "n t"], float]:
    """Return the weight of each token in the policy loss, and the share that is clipped."""
    gains = batch.advantages
    ratio = _ratio(o.ratio_level, toy, log_p - batch.log_probs)
    rise = np.inf if o.clip_high is None else 1 + o.clip_high
    fall = 0.0 if o.clip_low is None else 1 - o.clip_low
    free = ratio * (gains.positive - gains.negative)
    if o.clip_holds:
        found = np.clip(ratio, fall, rise) * (gains.positive - gains.negative)
    else:
        found = ratio * (gains.positive * (ratio <= rise) - gains.negative * (ratio >= fall))
    found = found if o.clipping else free
    weight = batch.p[:, None] * batch.weights * toy.mask
    size = float((weight * np.abs(free)).sum())
    clipped = float((weight * np.abs(found - free)).sum())
    return o.reward_weight * batch.weights * found, clipped / size if size else 0.0


def _ratio(level: str, toy: Toy, moved: Float[np.ndarray, "n t"]) -> Float[np.ndarray, "n t"]:
    """Return the importance ratio of each token."""
    if level == "token":
        return np.exp(moved)
    whole = moved.sum(1, keepdims=True)
    whole = whole / toy.lengths[:, None] if level == "sequence" else whole
    return np.exp(np.repeat(whole, moved.shape[1], axis=1))


def _kl_weights(
    o: EffectiveObjective, toy: Toy, batch: Batch, log_p: Float[np.ndarray, "n t"]
) -> Float[np.ndarray, "n t"]:
    """Return what multiplies ``grad log p`` of each token in a KL in the loss."""
    d = log_p - batch.log_q
    found = np.tanh(d / _KINK) if o.kl_estimator == "abs" else ESTIMATORS[o.kl_estimator].weight(d)
    if o.kl_ratio != "none":
        value = np.where(toy.mask, _value(o.kl_estimator, d), 0.0)
        level = "token"
        if o.kl_ratio == "sequence":
            value, level = value.sum(1, keepdims=True) / toy.lengths[:, None], "sequence"
        found = _ratio(level, toy, log_p - batch.log_probs) * (found + value)
    if o.kl_clip is not None:
        found = np.where(np.abs(d) < o.kl_clip, found, 0.0)
    return found * batch.advantages.kept[:, None]


def _value(kind: str, d: Float[np.ndarray, "n t"]) -> Float[np.ndarray, "n t"]:
    """Return an estimate of the KL for each token; 0 where an output has ended."""
    return np.abs(d) if kind == "abs" else ESTIMATORS[kind].value(d)
