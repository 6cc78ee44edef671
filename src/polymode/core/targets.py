r"""Which policy a regularised objective asks for.

Notation: ``p`` policy, ``q`` reference, ``t`` target (the optimum), ``r`` reward, ``beta`` strength
of the regulariser, ``eta`` weight of an entropy bonus, ``L`` multiplier of the constraint that
``t`` sums to 1. Logarithms are natural: KLs are in nats.

Every strength may be an array with one number for each row of the leading axes, which makes a sweep
one call: ``beta`` of shape (b,) with rewards of shape (n,) gives results of shape (b, n).
"""

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

from jaxtyping import Float
from jaxtyping import Real as RealArray

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, detached, device, library, widen
from polymode.core.divergences import (
    REVERSE_KL,
    TOTAL_VARIATION,
    Divergence,
    check_regulariser,
    divergence_terms,
    get_divergence,
)
from polymode.core.groups import Groups
from polymode.core.optima import gibbs_value, levels, log_optimum, scores

__all__ = ["log_ratios", "multiplier", "optimal_policy", "optimal_value"]


def optimal_policy(
    rewards: RealArray[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: Any,
    entropy: Any = 0.0,
    divergence: str | Divergence = "reverse_kl",
    groups: Any = None,
) -> Float[Array, "..."]:
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
    beta : float, or array that broadcasts with the leading axes
        Strength of the regulariser, in reward units per nat (per unit of the divergence); finite
        and > 0. An array has a strength for each row: one of shape (b,) makes a sweep of rewards
        of shape (n,). Rows of torch and JAX arrays whose strength is not > 0 mean nothing.
    entropy : float, or array as `beta`
        Weight eta of an entropy bonus ``eta H(p)`` beside the regulariser, in reward units per nat,
        >= 0; under reverse KL only.
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
        If the arrays differ in shape, a strength does not broadcast, or there is no sample.
    ArgumentError
        If `beta` is not finite and > 0, `entropy` not finite and >= 0, or used without reverse KL,
        the divergence is not known, the arrays are not real or not of one library, or the labels
        are not integers. Lists everything that is wrong.

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
    Differentiable once in both arrays and in `beta`, by the implicit function theorem where there
    is no closed form. Cost O(n), times the 5 to 10 steps that a root takes.

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
    given = _read(rewards, ref_log_probs, beta, entropy, divergence, groups)
    return given.narrow(log_optimum(*given.problem))


def optimal_value(
    rewards: RealArray[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: Any,
    entropy: Any = 0.0,
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
    beta : float, or array that broadcasts with the leading axes
        Strength of the regulariser, in reward units per nat (per unit of the divergence); finite
        and > 0; see `optimal_policy`.
    entropy : float, or array as `beta`
        Weight of an entropy bonus, in reward units per nat, >= 0; under reverse KL only.
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
        If the arrays differ in shape, a strength does not broadcast, or there is no sample.
    ArgumentError
        If `beta` is not finite and > 0, `entropy` not finite and >= 0, or used without reverse KL,
        the divergence is not known, the arrays are not real or not of one library, or the labels
        are not integers. Lists everything that is wrong.

    See Also
    --------
    optimal_policy : The policy that reaches this value.

    Notes
    -----
    Exact when the `n` outcomes of a group are its whole support. The value lies between ``E_q[r]``
    (large `beta`) and the best reward that the reference can reach (small `beta`). Its gradient
    in `rewards` is the optimal policy. Policies stay on the support of the reference, as in
    `optimal_policy`; a forbidden outcome with mass costs ``beta q f(0)``, which is infinite under
    the forward KL. Differentiable once. Cost O(n).

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
    given = _read(rewards, ref_log_probs, beta, entropy, divergence, groups)
    if given.divergence is REVERSE_KL:
        values = gibbs_value(given.r, given.log_q, given.beta, given.groups)
    else:
        values = _value(*given.problem)
    return given.per_group(values)


def multiplier(
    rewards: RealArray[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: Any,
    entropy: Any = 0.0,
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
    beta : float, or array that broadcasts with the leading axes
        Strength of the regulariser, in reward units per nat (per unit of the divergence); finite
        and > 0; see `optimal_policy`.
    entropy : float, or array as `beta`
        Weight of an entropy bonus, in reward units per nat, >= 0; under reverse KL only.
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
        If the arrays differ in shape, a strength does not broadcast, or there is no sample.
    ArgumentError
        If `beta` is not finite and > 0, `entropy` not finite and >= 0, or used without reverse KL,
        the divergence is not known, the arrays are not real or not of one library, or the labels
        are not integers. Lists everything that is wrong.

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
    rewards, ref_log_probs = detached(as_array(rewards)), detached(as_array(ref_log_probs))
    given = _read(rewards, ref_log_probs, beta, entropy, divergence, groups, normalise=True)
    return given.per_group(levels(*given.problem))


def _value(r: Array, log_q: Array, beta: Any, divergence: Divergence, groups: Groups) -> Array:
    """Return ``E_t[r] - beta D_f(t, q)``, rewards taken relative to the best one.

    At an optimum the derivative of t adds nothing (envelope theorem), so t is held fixed; but total
    variation has a kink there, where ``t = q``.
    """
    xp = array_namespace(r)
    held = (r, log_q) if divergence is TOTAL_VARIATION else (detached(r), detached(log_q))
    log_t = log_optimum(*held, beta, divergence, groups)
    empty = groups.max(xp.where(r == -xp.inf, -xp.inf, log_q)) == -xp.inf
    log_t = xp.where(groups.expand(empty), -xp.inf, log_t)
    _, r_max = scores(r, log_q, beta, groups)
    gaps = xp.where(log_t == -xp.inf, 0.0, r - groups.expand(r_max))
    cost = groups.sum(divergence_terms(divergence, log_t, log_q))
    return xp.where(empty, -xp.inf, r_max + groups.sum(xp.exp(log_t) * gaps) - beta * cost)


class _Given(NamedTuple):
    """The arguments of a function, in wide floats and of one batch shape."""

    r: Array
    log_q: Array
    beta: Any  # a number, or an array of shape (..., 1)
    divergence: Divergence
    groups: Groups
    grouped: bool
    narrow: Callable[[Array], Array]

    @property
    def problem(self) -> tuple[Array, Array, Any, Divergence, Groups]:
        """The arguments of the functions in `optima`."""
        return self.r, self.log_q, self.beta, self.divergence, self.groups

    def per_group(self, values: Array) -> Array:
        """Return one value for each group, without that axis where no groups were given."""
        values = self.narrow(values)
        return values if self.grouped else values[..., 0]


def _read(
    rewards: Any,
    ref_log_probs: Any,
    beta: Any,
    entropy: Any,
    divergence: Any,
    groups: Any,
    *,
    normalise: bool = False,
) -> _Given:
    """Check the arguments and prepare them."""
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        check_regulariser(rewards, beta=beta, entropy=entropy, divergence=divergence),
        checks.integer_labels(rewards, groups=groups),
    )
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    xp = array_namespace(r)
    group = Groups.of(groups, like=r)
    bonus = not _is_zero(entropy)
    if normalise or bonus:
        log_mass = group.logsumexp(log_q)
        log_mass = xp.where(log_mass == -xp.inf, 0.0, log_mass)
        log_q = log_q - group.expand(log_mass)
    beta = _per_row(beta, r)
    if bonus:
        # beta KL(p, q) - eta H(p) = (beta + eta) sum p (log p - beta / (beta + eta) log q)
        total = beta + _per_row(entropy, r)
        log_q = log_q * (beta / total)
        beta = total
    if not isinstance(beta, float):
        r, log_q, _ = xp.broadcast_arrays(r, log_q, beta)
    return _Given(r, log_q, beta, get_divergence(divergence), group, groups is not None, narrow)


def _is_zero(entropy: Any) -> bool:
    """Return whether there is no entropy bonus."""
    return isinstance(entropy, Real) and entropy == 0


def _per_row(strength: Any, like: Array) -> Any:
    """Return a strength as a number, or as an array that broadcasts with the columns."""
    if isinstance(strength, Real):
        return float(strength)
    xp = array_namespace(like)
    if library(as_array(strength)) != library(like):  # NumPy arrays and lists go with all
        strength = xp.asarray(as_array(strength), device=device(like))
    return xp.astype(as_array(strength), like.dtype, copy=False)[..., None]


def log_ratios(
    rewards: RealArray[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: Any,
    entropy: Any = 0.0,
) -> Float[Array, "..."]:
    r"""Return the log-ratio of every two outcomes under the optimum of reverse-KL regularisation.

    .. math:: \log (t_i / t_j) = \log (q_i / q_j) + (r_i - r_j) / \beta

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outcomes, in reward units. ``-inf`` forbids an outcome; NaN propagates to
        the pairs with it; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outcomes, in nats; ``-inf`` is legal, normalisation not needed.
    beta : float, or array that broadcasts with the leading axes
        Strength of the KL, in reward units per nat; finite and > 0; see `optimal_policy`.
    entropy : float, or array as `beta`
        Weight of an entropy bonus, in reward units per nat, >= 0.

    Returns
    -------
    array, shape (..., n, n)
        Element ``[..., i, j]`` is ``log t_i - log t_j`` in nats: ``inf`` or ``-inf`` where one of
        the two has no mass, NaN where neither has. Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, a strength does not broadcast, or there is no sample.
    ArgumentError
        If `beta` is not finite and > 0, `entropy` not finite and >= 0, or the arrays are not real
        or not of one library. Lists everything that is wrong.

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
    given = _read(rewards, ref_log_probs, beta, entropy, "reverse_kl", None)
    r, log_q, xp = given.r, given.log_q, array_namespace(given.r)
    dead = (log_q == -xp.inf) | (r == -xp.inf)
    differences = _pairwise_difference(xp.where(dead, 0.0, log_q))
    strength = given.beta if isinstance(given.beta, float) else given.beta[..., None]
    differences = differences + _pairwise_difference(xp.where(dead, 0.0, r)) / strength
    # Adding the logarithms of 0 and 1 makes 0/1 and 1/0 infinite; 0/0 has no value.
    lost = xp.where(dead, -xp.inf, xp.zeros_like(r))
    both = dead[..., :, None] & dead[..., None, :]
    ratios = differences + lost[..., :, None] - xp.where(both, xp.nan, lost[..., None, :])
    return given.narrow(ratios)


def _pairwise_difference(x: Array) -> Array:
    """Return ``x_i - x_j`` for all pairs on the last axis."""
    return x[..., :, None] - x[..., None, :]
