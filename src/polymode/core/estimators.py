r"""Estimators of the KL from sampled log-probabilities, and what their gradients descend.

An estimator has two jobs that are easily mixed up: its *value* estimates ``kl(p, q)``, and its
*gradient*, once it stands in a loss, moves the policy. With ``D = log p - log q`` of a sample drawn
from the policy, the gradient of every estimator is ``weight(D) * grad log p``; the table says what
that descends in expectation.

========  ==========================  ====================  ============================
name      value                       weight                descends
========  ==========================  ====================  ============================
k1        ``D``                       ``1``                 nothing
k2        ``D^2 / 2``                 ``D``                 reverse KL
k3        ``e^-D - 1 + D``            ``1 - e^-D``          forward KL
ratio_k1  ``D``                       ``1 + D``             reverse KL
ratio_k2  ``D^2 / 2``                 ``D + D^2 / 2``       biased: ``E_p[D^2] / 2``, no KL
ratio_k3  ``e^-D - 1 + D``            ``D``                 reverse KL
k3_plus   ``e^-D - 1 + D``            ``D``                 reverse KL
========  ==========================  ====================  ============================

On tokens, "reverse KL" and "forward KL" are those of the next token's distribution, at prefixes
that count as given: the objective is then token-local, and its optimum is not that over sequences.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jaxtyping import Float

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, detached, widen

__all__ = ["ESTIMATORS", "Estimator", "estimate_kl"]


@dataclass(frozen=True, slots=True)
class Estimator:
    """What an estimator of ``kl(p, q)`` is worth, as a value and as a loss.

    Parameters
    ----------
    value : callable
        Value as a function of ``D = log p - log q``, in nats, differentiable through `D`.
    weight : callable
        What multiplies ``grad log p`` in the gradient of the estimator, as a function of `D`.
    descends : {"reverse_kl", "forward_kl", "nothing", "biased"}
        What the gradient descends in expectation over samples of the policy.
    unbiased : bool
        Whether the expected value is the reverse KL.
    with_ratio : bool
        Whether the value is multiplied by ``p / p_sampled``, through which the gradient passes.
    """

    value: Callable[[Array], Array]
    weight: Callable[[Array], Array]
    descends: str
    unbiased: bool
    with_ratio: bool = False


def estimate_kl(
    log_probs: Float[Array, "..."],
    ref_log_probs: Float[Array, "..."],
    *,
    estimator: str,
    sampled_log_probs: Any = None,
) -> Float[Array, "..."]:
    r"""Return an estimate of ``kl(p, q)``, the reverse KL, for each sample drawn from the policy.

    .. math::

        k_1 = D, \quad k_2 = \tfrac12 D^2, \quad k_3 = e^{-D} - 1 + D, \qquad D = \log p - \log q

    The estimators ``ratio_k*`` multiply these by ``p / p_sampled``, whose value is 1 on-policy.
    ``k3_plus`` has the value of k3 and the gradient of k2 (straight-through).

    Parameters
    ----------
    log_probs : array, shape (...)
        ``log p`` of sampled tokens, or of whole sequences (summed), in nats: one estimate for
        each. The gradient passes through it.
    ref_log_probs : array, shape (...)
        ``log q`` of the same, in nats. ``-inf`` gives ``+inf``, and NaN where both are ``-inf``.
    estimator : str
        Name in `ESTIMATORS`.
    sampled_log_probs : array, shape (...), or None
        Log-probabilities under the policy that drew the samples, in nats; read by the ``ratio_k*``
        only. None takes `log_probs` as a constant: on-policy.

    Returns
    -------
    array, shape (...)
        Estimates in nats; those of k2, k3 and k3+ are never negative. Floating dtype and device of
        the first two arrays.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, or are empty.
    ArgumentError
        If the estimator is not known, or the arrays are not real or not of one library. Lists
        everything that is wrong.

    See Also
    --------
    gradient_flow : Where the policy ends under each of them.

    Notes
    -----
    In expectation over the policy, the values of k1 and k3 are the reverse KL; that of k2 is not.
    As a loss, each descends what ``ESTIMATORS[name].descends`` says: k1 nothing at all, k3 the
    *forward* KL, k2 the reverse KL although its value is biased. The tests verify that by exact
    enumeration. To have the reverse KL over *sequences*, subtract k1 of the sequence from its
    reward instead. ``e^-D`` overflows to ``+inf`` where ``log q`` exceeds ``log p`` by 709 nats.

    References
    ----------
    .. [1] Schulman, "Approximating KL Divergence", 2020, http://joschu.net/blog/kl-approx.html
       (the values of k1, k2 and k3).
    .. [2] "Rethinking KL Regularization in RLHF", 2025, arXiv 2510.01555 (their gradients).

    Examples
    --------
    >>> import numpy as np
    >>> log_p, log_q = np.log([0.5, 0.25]), np.log([0.25, 0.5])
    >>> estimate_kl(log_p, log_q, estimator="k1").round(3)
    array([ 0.693, -0.693])
    >>> estimate_kl(log_p, log_q, estimator="k3").round(3)
    array([0.193, 0.307])
    """
    arrays = {"log_probs": as_array(log_probs), "ref_log_probs": as_array(ref_log_probs)}
    if sampled_log_probs is not None:
        arrays["sampled_log_probs"] = as_array(sampled_log_probs)
    checks.require(checks.columns(**arrays), checks.known("estimator", estimator, ESTIMATORS))
    (log_p, log_q), narrow = widen(arrays["log_probs"], arrays["ref_log_probs"])
    chosen = ESTIMATORS[estimator]
    value = chosen.value(log_p - log_q)
    if chosen.with_ratio:
        (sampled,), _ = widen(arrays.get("sampled_log_probs", log_p))
        value = value * array_namespace(log_p).exp(log_p - detached(sampled))
    return narrow(value)


def _k1(d: Array) -> Array:
    """Return the log-ratio itself: unbiased, of either sign."""
    return d


def _k2(d: Array) -> Array:
    """Return half its square: biased as a value, right as a gradient."""
    return d * d / 2.0


def _k3(d: Array) -> Array:
    """Return ``e^-D - 1 + D``: unbiased and never negative."""
    return array_namespace(d).expm1(-d) + d


def _k3_plus(d: Array) -> Array:
    """Return the value of k3 with the gradient of k2."""
    xp = array_namespace(d)
    square = _k2(xp.where(xp.isfinite(d), d, 0.0))  # inf - inf would be NaN
    return detached(_k3(d)) + (square - detached(square))


def _k1_weight(d: Array) -> Array:
    """Return 1: the expectation of ``grad log p`` is 0."""
    return array_namespace(d).ones_like(d)


def _k3_weight(d: Array) -> Array:
    """Return ``1 - q/p``."""
    return -array_namespace(d).expm1(-d)


ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {
        "k1": Estimator(_k1, _k1_weight, "nothing", unbiased=True),
        "k2": Estimator(_k2, _k1, "reverse_kl", unbiased=False),
        "k3": Estimator(_k3, _k3_weight, "forward_kl", unbiased=True),
        "ratio_k1": Estimator(_k1, lambda d: d + 1.0, "reverse_kl", True, with_ratio=True),
        "ratio_k2": Estimator(_k2, lambda d: d + _k2(d), "biased", False, with_ratio=True),
        "ratio_k3": Estimator(_k3, _k1, "reverse_kl", True, with_ratio=True),
        "k3_plus": Estimator(_k3_plus, _k1, "reverse_kl", unbiased=True),
    }
)
"""The estimators by name, read-only; the table at the top of this module is made of these facts."""
