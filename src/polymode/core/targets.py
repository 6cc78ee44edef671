r"""Which policy a KL-regularised objective asks for.

Notation: ``p`` policy, ``q`` reference, ``t`` target (the optimum), ``r`` reward, ``beta`` strength
of the regulariser. Logarithms are natural: divergences are in nats. `_OPTIMA` lists the
divergences; a new one is one function and one line there.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, widen
from polymode.core.groups import Groups

__all__ = ["log_ratios", "optimal_policy", "optimal_value"]


def optimal_policy(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: float,
    divergence: str = "reverse_kl",
    groups: Any = None,
) -> Float[Array, "*batch n"]:
    r"""Return log-probabilities of the policy that maximises ``E_p[r] - beta * kl(p, q)``.

    .. math:: \log t_i = \log q_i + r_i / \beta - \log \textstyle\sum_j q_j e^{r_j / \beta}

    The sum runs over the group of `i`. The divergence is the reverse KL: policy first.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outcomes, in reward units. ``-inf`` forbids an outcome; NaN makes its whole
        group NaN; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outcomes, in nats; ``-inf`` marks outcomes that the reference never
        gives. Need not be normalised: a constant added to a group changes nothing.
    beta : float
        Strength of the KL, in reward units per nat; finite and > 0.
    divergence : {"reverse_kl"}
        Which divergence regularises.
    groups : array or sequence of int, shape (n,), or None
        Group of each position on the last axis; None puts all into one group.

    Returns
    -------
    array, shape (..., n)
        ``log t``, normalised over each group; ``-inf`` where `q` has no mass, NaN where no outcome
        of the group has any. Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, or there is no sample.
    ArgumentError
        If `beta` is not a finite number > 0, the divergence is not known, the arrays are not real
        or not of one library, or the labels are not integers. Lists everything that is wrong.

    See Also
    --------
    optimal_value : What the objective is worth at this policy.
    log_ratios : Ratios of two outcomes, without normalisation.
    anchor : Arguments for which the optimum is flat over all good outcomes.

    Notes
    -----
    Exact when the `n` outcomes of a group are its whole support. For `n` *samples* drawn from
    ``q``, pass zeros as `ref_log_probs`: the samples already carry the factor ``q``. Rewards are
    taken relative to the best one, so that neither large rewards nor small `beta` cost digits.
    Differentiable in both arrays. Cost O(n).

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, eq. 2.

    Examples
    --------
    Equal rewards keep the ratios of the reference, whatever the strength:

    >>> import numpy as np
    >>> log_q = np.log([0.68, 0.30, 0.02])
    >>> np.exp(optimal_policy([0.0, 1.0, 1.0], log_q, beta=0.01)).round(3)
    array([0.   , 0.938, 0.063])
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        checks.positive(beta=beta),
        checks.known("divergence", divergence, _OPTIMA),
        checks.integer_labels(rewards, groups=groups),
    )
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    return narrow(_OPTIMA[divergence](r, log_q, beta, Groups.of(groups, like=r)))


def _reverse_kl_optimum(r: Array, log_q: Array, beta: float, groups: Groups) -> Array:
    """Return ``log t`` of the Gibbs policy ``t ∝ q exp(r / beta)`` in each group."""
    xp = array_namespace(r)
    scores, _ = _scores(r, log_q, beta, groups)
    log_norm = groups.logsumexp(scores)
    log_norm = xp.where(log_norm == -xp.inf, xp.nan, log_norm)  # no mass: no policy
    return scores - groups.expand(log_norm)


_Optimum = Callable[[Array, Array, float, Groups], Array]

_OPTIMA: Mapping[str, _Optimum] = MappingProxyType({"reverse_kl": _reverse_kl_optimum})


def _scores(r: Array, log_q: Array, beta: float, groups: Groups) -> tuple[Array, Array]:
    """Return ``log q + (r - r_max) / beta``, and per group r_max, the best reward in q's reach.

    Without the shift, rewards of 1e6 at a beta of 1e-6 leave four digits for log q.
    """
    xp = array_namespace(r)
    reachable = xp.isfinite(log_q) & xp.isfinite(r)
    r_max = groups.max(xp.where(reachable, r, -xp.inf))
    r_max = xp.where(xp.isfinite(r_max), r_max, 0.0)
    return log_q + (r - groups.expand(r_max)) / beta, r_max


def optimal_value(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: float,
    groups: Any = None,
) -> Float[Array, "..."]:
    r"""Return the largest value of ``E_p[r] - beta * kl(p, q)`` over all policies ``p``.

    .. math:: V = \beta \log \textstyle\sum_i q_i e^{r_i / \beta}

    The divergence is the reverse KL: policy first.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outcomes, in reward units. ``-inf`` forbids an outcome; NaN makes the value
        of its group NaN; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outcomes, in nats, normalised over each group; ``-inf`` is legal.
    beta : float
        Strength of the KL, in reward units per nat; finite and > 0.
    groups : array or sequence of int, shape (n,), or None
        Group of each position on the last axis; None puts all into one group.

    Returns
    -------
    array, shape (...,) without `groups`, else (..., number of groups)
        Values in reward units, groups in ascending order of their label; ``-inf`` where no outcome
        has mass. Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, or there is no sample.
    ArgumentError
        If `beta` is not a finite number > 0, the arrays are not real or not of one library, or the
        labels are not integers. Lists everything that is wrong.

    See Also
    --------
    optimal_policy : The policy that reaches this value.

    Notes
    -----
    Exact when the `n` outcomes of a group are its whole support. The value lies between ``E_q[r]``
    (large `beta`) and the best reward that the reference can reach (small `beta`). Its gradient
    in `rewards` is the optimal policy. Cost O(n).

    References
    ----------
    .. [1] GX-Chen et al., arXiv 2510.20817, Remark 3.2: :math:`V = \beta \log \zeta`.

    Examples
    --------
    >>> import numpy as np
    >>> value = optimal_value([0.0, 1.0], np.log([0.5, 0.5]), beta=1.0)
    >>> float(value.round(3))  # log((1 + e) / 2)
    0.62
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        checks.positive(beta=beta),
        checks.integer_labels(rewards, groups=groups),
    )
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    group = Groups.of(groups, like=r)
    scores, r_max = _scores(r, log_q, beta, group)
    values = narrow(r_max + beta * group.logsumexp(scores))
    return values[..., 0] if groups is None else values


def log_ratios(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: float,
) -> Float[Array, "*batch n n"]:
    r"""Return the log-ratio of every two outcomes under the optimum of reverse-KL regularisation.

    .. math:: \log (t_i / t_j) = \log (q_i / q_j) + (r_i - r_j) / \beta

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outcomes, in reward units. ``-inf`` forbids an outcome; NaN propagates to
        the pairs with it; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outcomes, in nats; ``-inf`` is legal, normalisation not needed.
    beta : float
        Strength of the KL, in reward units per nat; finite and > 0.

    Returns
    -------
    array, shape (..., n, n)
        Element ``[..., i, j]`` is ``log t_i - log t_j`` in nats: ``inf`` or ``-inf`` where one of
        the two has no mass, NaN where neither has. Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, or there is no sample.
    ArgumentError
        If `beta` is not a finite number > 0, or the arrays are not real or not of one library.
        Lists everything that is wrong.

    See Also
    --------
    optimal_policy : The normalised policy.

    Notes
    -----
    Exact, and finite where the probabilities themselves underflow: the policy is never formed.
    The two terms are the two ways to collapse, which the sum lets one compare: reward gaps, blown
    up by 1 / beta, and the bias of the reference. Differentiable in both arrays. Cost O(n²).

    References
    ----------
    .. [1] GX-Chen et al., arXiv 2510.20817, Proposition 4.1.

    Examples
    --------
    A gap of 0.1 at a strength of 0.001 is a factor of e^100, about 2.7e43:

    >>> float(log_ratios([1.0, 0.9], [0.0, 0.0], beta=1e-3)[0, 1].round(6))
    100.0
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs), checks.positive(beta=beta)
    )
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    xp = array_namespace(r)
    dead = (log_q == -xp.inf) | (r == -xp.inf)
    differences = _pairwise_difference(xp.where(dead, 0.0, log_q))
    differences = differences + _pairwise_difference(xp.where(dead, 0.0, r)) / beta
    # Adding the logarithms of 0 and 1 makes 0/1 and 1/0 infinite; 0/0 has no value.
    lost = xp.where(dead, -xp.inf, xp.zeros_like(r))
    both = dead[..., :, None] & dead[..., None, :]
    ratios = differences + lost[..., :, None] - xp.where(both, xp.nan, lost[..., None, :])
    return narrow(ratios)


def _pairwise_difference(x: Array) -> Array:
    """Return ``x_i - x_j`` for all pairs on the last axis."""
    return x[..., :, None] - x[..., None, :]
