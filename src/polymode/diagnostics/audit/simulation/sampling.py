"""Who draws the outputs of the toy: the policy at a temperature, with what is cut off."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.diagnostics.audit.simulation.toy import log_softmax

__all__ = ["cuts", "sampled_table"]


def cuts(objective: EffectiveObjective, n_tokens: int) -> dict[str, float]:
    """Return the filters that can act on a vocabulary.

    Parameters
    ----------
    objective : EffectiveObjective
        Says how samples are drawn.
    n_tokens : int
        Size of the vocabulary.

    Returns
    -------
    dict
        By name. A penalty for repetition is none: it looks at prompts, too.
    """
    filters = objective.truncated_sampling
    acting = {name: filters[name] for name in ("top_p", "min_p") if name in filters}
    if filters.get("top_k", n_tokens) < n_tokens:
        acting["top_k"] = filters["top_k"]
    return acting


def sampled_table(
    logits: Float[np.ndarray, "h v"], objective: EffectiveObjective
) -> Float[np.ndarray, "h v"]:
    """Return the distribution that outputs are drawn from, token by token.

    Parameters
    ----------
    logits : array, shape (h, v)
        Of the policy, at temperature 1, normalised.
    objective : EffectiveObjective
        Says how samples are drawn.

    Returns
    -------
    array, shape (h, v)
        Log-probabilities; ``-inf`` for what is never drawn.
    """
    cold = objective.temperature
    table = logits if cold == 1 else log_softmax(logits / cold)
    filters = cuts(objective, logits.shape[1])
    if not filters:
        return table
    return log_softmax(np.where(_kept(np.exp(table), filters), table, -np.inf))


def _kept(p: Float[np.ndarray, "h v"], filters: Mapping[str, float]) -> Bool[np.ndarray, "h v"]:
    """Return which tokens pass all filters."""
    order = np.argsort(-p, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable")
    before = np.cumsum(np.take_along_axis(p, order, 1), 1) - np.take_along_axis(p, order, 1)
    keep = np.ones_like(p, dtype=bool)
    if "top_k" in filters:
        keep &= ranks < filters["top_k"]
    if "top_p" in filters:
        keep &= (np.take_along_axis(before, ranks, 1) < filters["top_p"]) | (ranks == 0)
    if "min_p" in filters:
        keep &= p >= filters["min_p"] * p.max(1, keepdims=True)
    return keep
