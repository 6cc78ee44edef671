"""How spread a distribution is, and how far two of them lie apart.

All arguments are log-probabilities, normalised over the axis that is reduced; ``-inf`` is legal and
``0 log 0 = 0``. NumPy, torch and JAX arrays are accepted.
"""

from functools import partial

from jaxtyping import Float

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, logsumexp, widen
from polymode.core.diversity import check_order, entropy_by, hill_number_by

__all__ = ["effective_number", "entropy", "total_variation"]


def entropy(log_probs: Float[Array, "..."], *, axis: int = -1) -> Float[Array, "..."]:
    r"""Return the Shannon entropy of distributions, in nats.

    .. math:: H(p) = - \textstyle\sum_i p_i \log p_i

    Parameters
    ----------
    log_probs : array, shape (..., n)
        Log-probabilities in nats, normalised over `axis`. ``-inf`` adds nothing; NaN propagates.
    axis : int
        Axis over which the outcomes lie.

    Returns
    -------
    array, shape (...,)
        Entropies in nats, between 0 and ``log n``. Floating dtype and device of `log_probs`.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing on it.
    ArgumentError
        If `log_probs` is not an array of real numbers.

    See Also
    --------
    effective_number : The same as a number of outcomes.

    Notes
    -----
    Exact. Differentiable: outcomes without mass get gradient 0.

    References
    ----------
    .. [1] Shannon, "A Mathematical Theory of Communication", Bell System Technical Journal 27,
       1948, section 6.

    Examples
    --------
    >>> import numpy as np
    >>> float(entropy(np.log([0.5, 0.5])).round(3))
    0.693
    """
    log_probs = as_array(log_probs)
    checks.require(
        checks.real_arrays(log_probs=log_probs), checks.axis_of(axis, log_probs=log_probs)
    )
    (log_p,), narrow = widen(log_probs)
    return narrow(entropy_by(log_p, total=partial(array_namespace(log_p).sum, axis=axis)))


def effective_number(
    log_probs: Float[Array, "..."], *, order: float = 1, axis: int = -1
) -> Float[Array, "..."]:
    r"""Return how many equally likely outcomes are as diverse: the Hill number.

    .. math:: N_a(p) = \left( \textstyle\sum_i p_i^a \right)^{1 / (1 - a)}, \qquad N_1 = e^{H(p)}

    Parameters
    ----------
    log_probs : array, shape (..., n)
        Log-probabilities in nats, normalised over `axis`. ``-inf`` adds nothing; NaN propagates.
    order : float
        The order ``a``, >= 0, ``inf`` allowed: how little rare outcomes count. 0 counts every
        outcome with mass, 1 has the same entropy, 2 is one over the probability that two draws
        agree, infinity one over the largest probability.
    axis : int
        Axis over which the outcomes lie.

    Returns
    -------
    array, shape (...,)
        Numbers between 1 (all mass on one outcome) and `n` (all equally likely). Floating dtype
        and device of `log_probs`.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing on it.
    ArgumentError
        If `order` is not a number >= 0, or `log_probs` is not an array of real numbers.

    See Also
    --------
    entropy : The logarithm of the number of order 1.

    Notes
    -----
    Exact, and smooth in the order: orders near 1 lose no digits. Falls as the order rises.
    Differentiable, for order 0 with gradient 0.

    References
    ----------
    .. [1] Hill, "Diversity and Evenness: A Unifying Notation and Its Consequences", Ecology 54,
       1973, eq. 3.

    Examples
    --------
    >>> import numpy as np
    >>> log_p = np.log([0.7, 0.1, 0.1, 0.1])
    >>> [float(effective_number(log_p, order=a).round(2)) for a in (0, 1, 2, np.inf)]
    [4.0, 2.56, 1.92, 1.43]
    """
    log_probs = as_array(log_probs)
    checks.require(
        checks.real_arrays(log_probs=log_probs),
        check_order(order),
        checks.axis_of(axis, log_probs=log_probs),
    )
    (log_p,), narrow = widen(log_probs)
    xp = array_namespace(log_p)
    number = hill_number_by(
        log_p,
        order,
        total=partial(xp.sum, axis=axis),
        largest=partial(xp.max, axis=axis),
        log_total=partial(logsumexp, axis=axis),
    )
    return narrow(number)


def total_variation(
    log_p: Float[Array, "..."], log_q: Float[Array, "..."], *, axis: int = -1
) -> Float[Array, "..."]:
    r"""Return the total variation distance of two distributions.

    .. math:: \mathrm{TV}(p, q) = \tfrac12 \textstyle\sum_i |p_i - q_i|

    Parameters
    ----------
    log_p, log_q : array, shape (..., n)
        Log-probabilities in nats, normalised over `axis`. ``-inf`` is legal; NaN propagates.
    axis : int
        Axis over which the outcomes lie.

    Returns
    -------
    array, shape (...,)
        Distances in [0, 1]: the largest difference in probability over all sets of outcomes.
        Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the shapes differ, there is no such axis, or nothing on it.
    ArgumentError
        If the arguments are not arrays of real numbers of one library.

    Notes
    -----
    Exact. Symmetric. Differentiable except where ``p_i = q_i``.

    References
    ----------
    .. [1] Levin and Peres, "Markov Chains and Mixing Times", 2nd edition, 2017, Proposition 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> float(total_variation(np.log([0.5, 0.5]), np.log([0.9, 0.1])).round(3))
    0.4
    """
    log_p, log_q = as_array(log_p), as_array(log_q)
    checks.require(checks.columns(log_p=log_p, log_q=log_q), checks.axis_of(axis, log_p=log_p))
    (log_p, log_q), narrow = widen(log_p, log_q)
    xp = array_namespace(log_p)
    return narrow(xp.sum(xp.abs(xp.exp(log_p) - xp.exp(log_q)), axis=axis) / 2)
