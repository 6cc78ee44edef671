r"""Which policy a regularised objective asks for.

Notation: ``p`` policy, ``q`` reference, ``t`` target (the optimum), ``r`` reward, ``beta`` strength
of the regulariser, ``L`` multiplier of the constraint that ``t`` sums to 1. Logarithms are natural:
KLs are in nats. Reverse KL and total variation have closed forms, in `_CLOSED_FORMS`; all other
divergences go through one root per group, in `multipliers`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, detached, has_gradient, widen
from polymode.core.curves import Curve
from polymode.core.divergences import (
    REVERSE_KL,
    TOTAL_VARIATION,
    Divergence,
    check_divergence,
    divergence_terms,
    get_divergence,
)
from polymode.core.groups import Groups
from polymode.core.multipliers import Optimum, solve

__all__ = ["log_ratios", "multiplier", "optimal_policy", "optimal_value"]


def optimal_policy(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: float,
    divergence: str | Divergence = "reverse_kl",
    groups: Any = None,
) -> Float[Array, "*batch n"]:
    r"""Return log-probabilities of the policy that maximises ``E_p[r] - beta * D_f(p, q)``.

    .. math:: t_i = q_i \, (f')^{-1}((r_i - L) / \beta), \qquad \textstyle\sum_i t_i = 1

    The sum runs over the group of `i`. By default the divergence is the reverse KL, policy first:

    .. math:: \log t_i = \log q_i + r_i / \beta - \log \textstyle\sum_j q_j e^{r_j / \beta}

    Under the forward KL, reference first, ``t = beta q / (L - r)`` with ``L > max r``.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outcomes, in reward units. ``-inf`` forbids an outcome; NaN makes its whole
        group NaN; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outcomes, in nats; ``-inf`` marks outcomes that the reference never
        gives. Need not be normalised: a constant added to a group changes nothing.
    beta : float
        Strength of the regulariser, in reward units per nat (per unit of the divergence); finite
        and > 0.
    divergence : str or Divergence
        Which divergence regularises: an object, or one of `divergence_names`.
    groups : array or sequence of int, shape (n,), or None
        Group of each position on the last axis; None puts all into one group.

    Returns
    -------
    array, shape (..., n)
        ``log t``, normalised over each group; ``-inf`` where `q` has no mass or the optimum drops
        an outcome, NaN where no outcome of the group has any mass. Floating dtype and device of
        the arguments.

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
    multiplier : The level L.
    log_ratios : Ratios of two outcomes, without normalisation.
    anchor : Arguments for which the optimum is flat over all good outcomes.

    Notes
    -----
    Exact when the `n` outcomes of a group are its whole support. For `n` *samples* drawn from
    ``q``, pass zeros as `ref_log_probs`: the samples already carry the factor ``q``. Rewards are
    taken relative to the best one, so that neither large rewards nor small `beta` cost digits.
    Differentiable once in both arrays, by the implicit function theorem where there is no closed
    form. Cost O(n), times the 5 to 10 steps that a root takes.

    The optimum is the best policy *on the support of the reference*. Divergences that charge a
    finite price for mass outside of it (forward KL, Jensen–Shannon, Hellinger, total variation)
    would go there for a large enough reward; to allow that, give such outcomes a tiny ``q``.

    Away from reverse KL, ``log t`` is good to 1e-9 wherever ``t > 1e-300``, for rewards up to 1e6
    and `beta` from 1e-6 to 1e6; ``log q`` counts as -700 below that (relative to its group, in
    float64). Where a divergence drops outcomes (``alpha > 1``, `reverse_chi_squared`), those that
    it all but drops have no more digits than their distance to the edge, about ``1e-16 / u``.

    Total variation is a linear program: every outcome whose reward lies more than `beta` below the
    best loses all its mass to the best, every other one keeps its own. The optimum is not unique
    when there are ties: outcomes that tie for the best share the gain in the reference's ratios,
    and those exactly `beta` below stay.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, eq. 2 and Remark 3.3. Other divergences follow from the same
       stationarity condition.

    Examples
    --------
    Equal rewards keep the ratios of the reference, whatever the strength:

    >>> import numpy as np
    >>> log_q = np.log([0.68, 0.30, 0.02])
    >>> np.exp(optimal_policy([0.0, 1.0, 1.0], log_q, beta=0.01)).round(3)
    array([0.   , 0.938, 0.063])
    >>> np.exp(optimal_policy([0, 1, 1], log_q, beta=0.01, divergence="forward_kl")).round(3)
    array([0.007, 0.931, 0.062])
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        checks.positive(beta=beta),
        check_divergence(divergence),
        checks.integer_labels(rewards, groups=groups),
    )
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    log_t, _ = _optimum(r, log_q, beta, get_divergence(divergence), Groups.of(groups, like=r))
    return narrow(log_t)


def optimal_value(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: float,
    divergence: str | Divergence = "reverse_kl",
    groups: Any = None,
) -> Float[Array, "..."]:
    r"""Return the largest value of ``E_p[r] - beta * D_f(p, q)`` over all policies ``p``.

    .. math:: V = \max_p \textstyle\sum_i p_i r_i - \beta D_f(p, q)

    By default the divergence is the reverse KL, policy first:

    .. math:: V = \beta \log \textstyle\sum_i q_i e^{r_i / \beta}

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outcomes, in reward units. ``-inf`` forbids an outcome; NaN makes the value
        of its group NaN; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outcomes, in nats, normalised over each group; ``-inf`` is legal.
    beta : float
        Strength of the regulariser, in reward units per nat (per unit of the divergence); finite
        and > 0.
    divergence : str or Divergence
        Which divergence regularises: an object, or one of `divergence_names`.
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
        If `beta` is not a finite number > 0, the divergence is not known, the arrays are not real
        or not of one library, or the labels are not integers. Lists everything that is wrong.

    See Also
    --------
    optimal_policy : The policy that reaches this value.

    Notes
    -----
    Exact when the `n` outcomes of a group are its whole support. The value lies between ``E_q[r]``
    (large `beta`) and the best reward that the reference can reach (small `beta`). Its gradient
    in `rewards` is the optimal policy. Policies stay on the support of the reference, as in
    `optimal_policy`; a forbidden outcome with mass costs ``beta q f(0)``, which is infinite under
    the forward KL. Cost O(n).

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
        check_divergence(divergence),
        checks.integer_labels(rewards, groups=groups),
    )
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    group = Groups.of(groups, like=r)
    chosen = get_divergence(divergence)
    if chosen is REVERSE_KL:
        values = narrow(_gibbs_value(r, log_q, beta, group))
    else:
        values = narrow(_value(r, log_q, beta, chosen, group))
    return values[..., 0] if groups is None else values


def multiplier(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: float,
    divergence: str | Divergence = "reverse_kl",
    groups: Any = None,
) -> Float[Array, "..."]:
    r"""Return the level ``L`` that makes the optimal policy sum to 1.

    .. math:: \textstyle\sum_i q_i \, (f')^{-1}((r_i - L) / \beta) = 1

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outcomes, in reward units. ``-inf`` forbids an outcome; NaN makes the level
        of its group NaN; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outcomes, in nats; ``-inf`` is legal, normalisation not needed.
    beta : float
        Strength of the regulariser, in reward units per nat (per unit of the divergence); finite
        and > 0.
    divergence : str or Divergence
        Which divergence regularises: an object, or one of `divergence_names`.
    groups : array or sequence of int, shape (n,), or None
        Group of each position on the last axis; None puts all into one group.

    Returns
    -------
    array, shape (...,) without `groups`, else (..., number of groups)
        Levels in reward units, groups in ascending order of their label; NaN where no outcome has
        mass. Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, or there is no sample.
    ArgumentError
        If `beta` is not a finite number > 0, the divergence is not known, the arrays are not real
        or not of one library, or the labels are not integers. Lists everything that is wrong.

    See Also
    --------
    optimal_policy : The policy itself, more accurate than one gets from the level.

    Notes
    -----
    What an outcome's reward is compared with: those above it gain mass where ``f'(1) = 0``. The
    generators are those of `divergence_names`; ``f + c (u - 1)`` has a level lower by ``c beta``.
    So reverse KL, ``f = u log u``, has ``L = V - beta`` with the optimal value V. Under total
    variation it is ``max r - beta / 2``, the only level there is when mass moves. A level is
    rounded to its own digits: the distance ``L - max r``, which may be far smaller, is lost. Not
    differentiable.

    References
    ----------
    .. [1] GX-Chen et al., arXiv 2510.20817, Remark 3.3, for the forward KL.

    Examples
    --------
    Under the forward KL, with ``q = 1/2`` twice: ``1/2 / L + 1/2 / (L - 1) = 1``.

    >>> import numpy as np
    >>> level = multiplier([0.0, 1.0], np.log([0.5, 0.5]), beta=1.0, divergence="forward_kl")
    >>> float(level.round(3))  # 1 + sqrt(1/2)
    1.707
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        checks.positive(beta=beta),
        check_divergence(divergence),
        checks.integer_labels(rewards, groups=groups),
    )
    (r, log_q), narrow = widen(detached(rewards), detached(ref_log_probs))
    group = Groups.of(groups, like=r)
    _, levels = _optimum(r, log_q, beta, get_divergence(divergence), group)
    levels = narrow(levels)
    return levels[..., 0] if groups is None else levels


class _Found(NamedTuple):
    """An optimum: ``log t`` of each outcome, and the multiplier of each group."""

    log_t: Array
    level: Array


def _optimum(r: Array, log_q: Array, beta: float, divergence: Divergence, groups: Groups) -> _Found:
    """Return the optimum of each group, by its closed form where there is one."""
    closed = _CLOSED_FORMS.get(divergence)
    if closed is not None:
        return closed(r, log_q, beta, groups)
    xp = array_namespace(r)
    log_norm = groups.logsumexp(log_q)
    log_norm = xp.where(log_norm == -xp.inf, xp.nan, log_norm)  # no mass: no policy
    log_q = log_q - groups.expand(log_norm)
    live = (log_q != -xp.inf) & (r != -xp.inf)
    floor = float(xp.log(xp.asarray(xp.finfo(r.dtype).smallest_normal, dtype=r.dtype))) + 8
    log_q = xp.where(live & (log_q < floor), floor, log_q)
    curve = cast(Curve, divergence.curve)
    found = solve(curve, detached(r), detached(log_q), live=live, beta=beta, groups=groups)
    log_t = xp.where(live, log_q, -xp.inf) + xp.where(live, found.log_ratios, 0.0)
    if has_gradient(r, log_q):
        log_t = xp.where(live, detached(log_t), -xp.inf) + _zero_with_gradient(
            r, log_q, log_t, found, live=live, beta=beta, groups=groups
        )
    return _Found(log_t - groups.expand(groups.logsumexp(log_t)), found.multipliers)


def _zero_with_gradient(
    r: Array,
    log_q: Array,
    log_t: Array,
    found: Optimum,
    *,
    live: Array,
    beta: float,
    groups: Groups,
) -> Array:
    r"""Return zeros that carry the derivative of ``log t``, by the implicit function theorem.

    .. math::

        d \log t_i = d \log q_i + g_i \, (dr_i - dL) / \beta, \qquad
        dL = \frac{\sum_j t_j (\beta \, d \log q_j + g_j \, dr_j)}{\sum_j t_j g_j}

    Here ``g = d log u / ds`` are the gains.
    """
    xp = array_namespace(r)
    t = detached(xp.exp(log_t))
    gains = xp.where(live & (t > 0), found.gains, 0.0)
    dr = xp.where(live, r - detached(r), 0.0) / beta
    dq = xp.where(live, log_q - detached(log_q), 0.0)
    pull = groups.sum(t * gains)
    level = groups.sum(t * (dq + gains * dr)) / xp.where(pull > 0, pull, 1.0)
    return dq + gains * (dr - groups.expand(level))


def _gibbs(r: Array, log_q: Array, beta: float, groups: Groups) -> _Found:
    """Return the optimum under reverse KL: ``t ∝ q exp(r / beta)``."""
    xp = array_namespace(r)
    scores, r_max = _scores(r, log_q, beta, groups)
    log_norm = groups.logsumexp(scores)
    log_norm = xp.where(log_norm == -xp.inf, xp.nan, log_norm)  # no mass: no policy
    log_mass = groups.logsumexp(log_q)
    level = r_max + beta * (log_norm - log_mass - 1)
    return _Found(scores - groups.expand(log_norm), level)


def _best_reply(r: Array, log_q: Array, beta: float, groups: Groups) -> _Found:
    """Return the optimum under total variation: what lies beyond beta moves to the best reward."""
    xp = array_namespace(r)
    log_norm = groups.logsumexp(log_q)
    log_norm = xp.where(log_norm == -xp.inf, xp.nan, log_norm)  # no mass: no policy
    log_q = log_q - groups.expand(log_norm)
    live = (log_q > -xp.inf) & (r != -xp.inf)
    r_max = groups.max(xp.where(live | xp.isnan(r), r, -xp.inf))
    r_max = xp.where(r_max == -xp.inf, xp.nan, r_max)
    gap = groups.expand(r_max) - r
    best = gap == 0
    leaves = ~live | (gap > beta)
    log_best = groups.logsumexp(xp.where(best, log_q, -xp.inf))
    log_gain = groups.logsumexp(xp.where(best | leaves, log_q, -xp.inf))
    log_best = xp.where(log_best == -xp.inf, xp.nan, log_best)
    moved = groups.expand(log_gain - log_best)
    log_t = xp.where(best, log_q + moved, xp.where(leaves, -xp.inf, log_q))
    return _Found(xp.where(xp.isnan(gap), xp.nan, log_t), r_max - beta / 2)


_ClosedForm = Callable[[Array, Array, float, Groups], _Found]

_CLOSED_FORMS: Mapping[Divergence, _ClosedForm] = MappingProxyType(
    {REVERSE_KL: _gibbs, TOTAL_VARIATION: _best_reply}
)


def _scores(r: Array, log_q: Array, beta: float, groups: Groups) -> tuple[Array, Array]:
    """Return ``log q + (r - r_max) / beta``, and per group r_max, the best reward in q's reach.

    Without the shift, rewards of 1e6 at a beta of 1e-6 leave four digits for log q.
    """
    xp = array_namespace(r)
    reachable = xp.isfinite(log_q) & xp.isfinite(r)
    r_max = groups.max(xp.where(reachable, r, -xp.inf))
    r_max = xp.where(xp.isfinite(r_max), r_max, 0.0)
    return log_q + (r - groups.expand(r_max)) / beta, r_max


def _gibbs_value(r: Array, log_q: Array, beta: float, groups: Groups) -> Array:
    """Return the optimal value under reverse KL."""
    scores, r_max = _scores(r, log_q, beta, groups)
    return r_max + beta * groups.logsumexp(scores)


def _value(r: Array, log_q: Array, beta: float, divergence: Divergence, groups: Groups) -> Array:
    """Return ``E_t[r] - beta D_f(t, q)``, rewards taken relative to the best one.

    At an optimum the derivative of t adds nothing (envelope theorem), so t is held fixed.
    """
    xp = array_namespace(r)
    log_t, _ = _optimum(detached(r), detached(log_q), beta, divergence, groups)
    empty = groups.max(log_q) == -xp.inf
    log_t = xp.where(groups.expand(empty), -xp.inf, log_t)
    _, r_max = _scores(r, log_q, beta, groups)
    gaps = xp.where(log_t == -xp.inf, 0.0, r - groups.expand(r_max))
    cost = groups.sum(divergence_terms(divergence, log_t, log_q))
    return xp.where(empty, -xp.inf, r_max + groups.sum(xp.exp(log_t) * gaps) - beta * cost)


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
