r"""How many outcomes a distribution really has: entropy and Hill numbers, in one place.

The formulas are written for any kind of reduction, so that an axis (in `metrics`) and ragged groups
(in `statistics`) share them. All arrays are log-probabilities in wide floats; ``-inf`` is legal and
``0 log 0 = 0``.
"""

import math
from collections.abc import Callable, Iterator
from numbers import Real

from polymode.core.arrays import Array, array_namespace
from polymode.core.groups import Groups

__all__ = [
    "check_order",
    "entropy_by",
    "hill_number_by",
    "hill_number_of_groups",
    "normalised",
]

_Reduction = Callable[[Array], Array]


def check_order(order: object) -> Iterator[str]:
    """Check that the order of a Hill number is a number >= 0; infinity is one.

    Parameters
    ----------
    order : object
        What a caller passed.

    Yields
    ------
    str
        The problem.
    """
    if isinstance(order, bool) or not (isinstance(order, Real) and float(order) >= 0):
        yield f"order must be a number >= 0, got {order!r}"


def entropy_by(log_p: Array, *, total: _Reduction) -> Array:
    r"""Return the Shannon entropy in nats, for any kind of reduction.

    .. math:: H(p) = - \textstyle\sum_i p_i \log p_i

    Parameters
    ----------
    log_p : array, shape (..., n)
        Normalised log-probabilities; NaN propagates.
    total : callable
        The reduction as a sum.

    Returns
    -------
    array
        The reduced array.
    """
    xp = array_namespace(log_p)
    finite = xp.where(log_p == -xp.inf, 0.0, log_p)
    return total(xp.exp(log_p) * -finite)


def hill_number_by(
    log_p: Array, order: float, *, total: _Reduction, largest: _Reduction, log_total: _Reduction
) -> Array:
    r"""Return the Hill number of an order, for any kind of reduction.

    .. math:: N_a(p) = \left( \textstyle\sum_i p_i^a \right)^{1 / (1 - a)}

    Parameters
    ----------
    log_p : array, shape (..., n)
        Normalised log-probabilities; NaN propagates.
    order : float
        The order ``a >= 0``: 0 counts the outcomes with mass, 1 (the limit) is the exponential of
        the entropy, 2 one over the probability that two draws agree, infinity one over the largest
        probability.
    total, largest, log_total : callable
        The reduction as a sum, as a maximum and as a `logsumexp`.

    Returns
    -------
    array
        The reduced array.

    Notes
    -----
    Near order 1 the sum of powers is taken relative to the sum of the probabilities, 1: what is
    left of a difference of the two would be noise, blown up by ``1 / (1 - a)``.
    """
    xp = array_namespace(log_p)
    if order == 0:
        counted = xp.where(log_p == -xp.inf, 0.0, xp.ones_like(log_p))
        return total(xp.where(xp.isnan(log_p), log_p, counted))
    if order == 1:
        return xp.exp(entropy_by(log_p, total=total))
    if order == math.inf:
        return xp.exp(-largest(log_p))
    excess = float(order) - 1
    if excess >= 1:
        return xp.exp(-log_total(order * log_p) / excess)
    power = excess * log_p
    near = xp.abs(power) < 1
    terms = xp.where(
        near,
        xp.exp(log_p) * xp.expm1(xp.where(near, power, 0.0)),
        xp.exp(order * log_p) - xp.exp(log_p),
    )
    return xp.exp(-xp.log1p(total(terms)) / excess)


def hill_number_of_groups(log_p: Array, order: float, groups: Groups) -> Array:
    """Return the Hill number of each group.

    Parameters
    ----------
    log_p : array, shape (..., n)
        Log-probabilities, normalised over each group; NaN makes its group NaN.
    order : float
        The order; see `hill_number_by`.
    groups : Groups
        The groups.

    Returns
    -------
    array, shape (..., g)
        The numbers.
    """
    return hill_number_by(
        log_p, order, total=groups.sum, largest=groups.max, log_total=groups.logsumexp
    )


def normalised(log_p: Array, groups: Groups) -> Array:
    """Return log-probabilities that sum to 1 over each group.

    Parameters
    ----------
    log_p : array, shape (..., n)
        Log-probabilities up to a constant for each group.
    groups : Groups
        The groups.

    Returns
    -------
    array, shape (..., n)
        The same, normalised; NaN where a group has a NaN, or no mass.
    """
    xp = array_namespace(log_p)
    log_norm = groups.logsumexp(log_p)
    return log_p - groups.expand(xp.where(log_norm == -xp.inf, xp.nan, log_norm))
