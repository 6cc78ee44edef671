r"""Exact gradient flow on a tabular policy: where an objective ends, without sampling.

A policy over sequences of `d` tokens is a table of conditionals, ``p(y_l | y_1 … y_{l-1})``; its
joint distribution is an array with one axis for each token. Every outcome enters with its
probability, so what is seen is the objective and not the noise of an estimate.

Notation: ``p`` policy, ``q`` reference, ``r`` reward, ``beta`` strength, ``h`` prefix, ``a`` next
token. The flow is that of the natural gradient: it ends where the plain gradient ends, for it has
the same zeros, and does not slow down where a prefix is rare.
"""

from typing import Any

from jaxtyping import Float

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, logsumexp, widen
from polymode.core.estimators import ESTIMATORS

__all__ = ["gradient_flow"]

_SEQUENCE = "sequence_k1"


def gradient_flow(
    rewards: Any,
    ref_log_probs: Float[Array, "..."],
    *,
    beta: float,
    kl: str = _SEQUENCE,
    n_tokens: int = 1,
    n_steps: int = 2000,
    step: float = 0.25,
    log_probs: Any = None,
) -> Float[Array, "..."]:
    r"""Return the policy at which gradient ascent on a regularised reward ends.

    .. math::

        \frac{d}{dt} \log p(a \mid h) = s(h, a) - \sum_b p(b \mid h) \, s(h, b), \qquad
        s = \begin{cases}
        E_p[r - \beta D(y) \mid h, a] & \text{KL of the sequence, in the reward} \\
        E_p[r \mid h, a] - \beta \, w(D(h, a)) & \text{estimator of weight } w
        \text{ in the loss, per token} \end{cases}

    with :math:`D = \log p - \log q`, of the sequence or of the token.

    Parameters
    ----------
    rewards : array, shape (..., v_1, …, v_d), or callable
        Rewards of all sequences, in reward units, finite. A callable gets the current ``log p`` of
        all sequences, and returns rewards of that shape: a shaper that reads the policy.
    ref_log_probs : array, shape (..., v_1, …, v_d)
        ``log q`` of all sequences, in nats, finite; normalised over the last `n_tokens` axes.
    beta : float
        Strength of the KL, in reward units per nat; finite and > 0.
    kl : str
        ``"sequence_k1"`` for k1 of the whole sequence, subtracted from its reward, or the name of
        an estimator in `ESTIMATORS`, in the loss and per token.
    n_tokens : int
        Length of the sequences, `d`: 1 for a single choice, 2 for a tree of two steps.
    n_steps : int
        Number of steps.
    step : float
        Length of a step, in nats per reward unit; finite and > 0. Stable up to about ``1 / beta``,
        and less under forward KL.
    log_probs : array of the shape of `ref_log_probs`, or None
        The policy to start from; None starts from the reference.

    Returns
    -------
    array, shape (..., v_1, …, v_d)
        ``log p`` of all sequences, normalised. Floating dtype and device of `ref_log_probs`.

    Raises
    ------
    ShapeError
        If shapes differ, or there are fewer than `n_tokens` axes.
    ArgumentError
        If `beta` or `step` is not a finite number > 0, `n_tokens` or `n_steps` not an integer >= 1,
        the KL is not known, or the arrays are not real or not of one library. Lists everything
        that is wrong.

    See Also
    --------
    optimal_policy : Where ``"sequence_k1"`` ends, in closed form.
    ESTIMATORS : What each estimator descends.

    Notes
    -----
    Explicit Euler steps; an error of the order of `step` on the way, none where it ends. With one
    token, ``"sequence_k1"`` approaches its optimum by the factor ``1 - step * beta`` per step. With
    a KL that descends nothing the policy collapses, and takes for ever to; under ``"ratio_k2"`` an
    outcome that falls below about ``q / e^2`` runs away, until its log-probability overflows. Cost
    O(size * n_tokens * n_steps). Differentiable, at the memory of all steps.

    References
    ----------
    .. [1] Kakade, "A Natural Policy Gradient", NIPS 2001.
    .. [2] "Rethinking KL Regularization in RLHF", 2025, arXiv 2510.01555 (placements of the KL).

    Examples
    --------
    Two good outcomes, one of them unlikely: k1 in the reward keeps the ratio, k1 in the loss does
    not regularise at all.

    >>> import numpy as np
    >>> log_q = np.log([0.6, 0.3, 0.1])
    >>> np.exp(gradient_flow([0.0, 1.0, 1.0], log_q, beta=0.5)).round(3)
    array([0.169, 0.623, 0.208])
    >>> np.exp(gradient_flow([0.0, 1.0, 1.0], log_q, beta=0.5, kl="k1")).round(3)
    array([0.  , 0.75, 0.25])
    """
    ref_log_probs = as_array(ref_log_probs)
    start = ref_log_probs if log_probs is None else as_array(log_probs)
    given = {} if callable(rewards) else {"rewards": as_array(rewards)}
    checks.require(
        checks.columns(ref_log_probs=ref_log_probs, log_probs=start, **given),
        checks.positive(beta=beta, step=step),
        checks.whole(n_tokens=n_tokens, n_steps=n_steps),
        checks.known("kl", kl, (_SEQUENCE, *ESTIMATORS)),
        checks.axes_of(n_tokens, ref_log_probs=ref_log_probs),
    )
    (log_q, log_p), narrow = widen(ref_log_probs, start)
    r = rewards if callable(rewards) else widen(given["rewards"])[0][0]
    q_tokens, p_tokens = _conditionals(log_q, n_tokens), _conditionals(log_p, n_tokens)
    for _ in range(n_steps):
        r_now = r(_joint(p_tokens)) if callable(r) else r
        scores = _scores(r_now, p_tokens, q_tokens, beta, kl)
        moved = [p + step * s for p, s in zip(p_tokens, scores, strict=True)]
        p_tokens = [p - logsumexp(p, axis=i - n_tokens, keepdims=True) for i, p in enumerate(moved)]
    return narrow(_joint(p_tokens))


def _conditionals(log_p: Array, n_tokens: int) -> list[Array]:
    """Return ``log p(token | prefix)`` for each token, with axes of length 1 for later ones."""
    tables: list[Array] = []
    for axis in range(-1, -n_tokens - 1, -1):
        log_prefix = logsumexp(log_p, axis=axis, keepdims=True)
        tables.insert(0, log_p - log_prefix)
        log_p = log_prefix
    return tables


def _joint(tokens: list[Array]) -> Array:
    """Return log-probabilities of whole sequences."""
    joint = tokens[0]
    for table in tokens[1:]:
        joint = joint + table
    return joint


def _scores(
    r: Array, p_tokens: list[Array], q_tokens: list[Array], beta: float, kl: str
) -> list[Array]:
    """Return, for each token, what multiplies ``grad log p(token | prefix)`` in expectation."""
    if kl == _SEQUENCE:
        return _values(r - beta * (_joint(p_tokens) - _joint(q_tokens)), p_tokens)
    weight = ESTIMATORS[kl].weight
    pairs = zip(_values(r, p_tokens), p_tokens, q_tokens, strict=True)
    return [value - beta * weight(p - q) for value, p, q in pairs]


def _values(x: Array, tokens: list[Array]) -> list[Array]:
    """Return the expectation of a function of the sequence, given each prefix with its token."""
    xp = array_namespace(x)
    values = [x]
    for axis, table in zip(range(-1, -len(tokens), -1), reversed(tokens), strict=False):
        values.insert(0, xp.sum(xp.exp(table) * values[0], axis=axis, keepdims=True))
    return values
