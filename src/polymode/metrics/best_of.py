r"""How good the best of k samples is, without bias, from more samples than k.

Notation: ``n`` samples of a prompt, ``c`` of them correct, ``r`` rewards.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real

from polymode.core import checks
from polymode.core.arrays import as_array
from polymode.metrics.members import groups_of

__all__ = ["max_at_k", "pass_at_k"]


def pass_at_k(n_correct: Real[Any, "..."], n_samples: Real[Any, "..."], *, k: Any) -> Any:
    r"""Return the probability that at least one of `k` samples is correct, from counts.

    .. math:: \text{pass@}k = 1 - \binom{n - c}{k} \Big/ \binom{n}{k}

    Parameters
    ----------
    n_correct : array of int, shape (...)
        How many samples of each prompt are correct, ``c``, between 0 and ``n``.
    n_samples : array of int, shape (...)
        How many samples each prompt has, ``n``; prompts may have different numbers.
    k : int or array of int
        Size of the draw, >= 1; all three broadcast. ``n_correct[:, None]``, ``n_samples[:, None]``
        and ``k=np.arange(1, 17)`` give a row for each prompt.

    Returns
    -------
    array, shape (...)
        Probabilities in [0, 1]; NaN where ``k > n``: too few samples to tell.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    ArgumentError
        If a count is no whole number, ``c`` is not within 0 and ``n``, or `k` is below 1. Lists
        everything that is wrong.

    See Also
    --------
    max_at_k : The same for rewards that are not 0 or 1.

    Notes
    -----
    Unbiased for samples drawn independently, unlike ``1 - (1 - c/n)**k``. Exact to about
    ``1e-12 n``.

    References
    ----------
    .. [1] Chen et al., "Evaluating Large Language Models Trained on Code", arXiv 2107.03374,
       eq. 1.

    Examples
    --------
    One of four is right; of two that are drawn, one of them is it in half of the draws:

    >>> pass_at_k(1, 4, k=np.array([1, 2, 4, 5]))
    array([0.25, 0.5 , 1.  ,  nan])
    """
    counts = {"n_correct": n_correct, "n_samples": n_samples, "k": k}
    c, n, k = (np.asarray(count) for count in counts.values())
    checks.require(_count_problems(n_correct=c, n_samples=n, k=k))
    c, n, k = np.broadcast_arrays(c, n, k)
    enough = k <= n
    wrong = np.where(enough, n - c, k)  # any number that the formula takes
    log_miss = _log_binomial(wrong, k) - _log_binomial(np.where(enough, n, k), k)
    return np.where(enough, -np.expm1(log_miss), np.nan)[()]


def max_at_k(rewards: Real[Any, " n"], *, k: Any, groups: Any = None) -> Any:
    r"""Return the expected largest reward of `k` samples, for each prompt.

    .. math::

        \text{max@}k = \sum_{i=k}^{n} \binom{i-1}{k-1} \Big/ \binom{n}{k} \; r_{(i)}, \qquad
        r_{(1)} \le \dots \le r_{(n)}

    Parameters
    ----------
    rewards : array, shape (n,)
        Rewards of samples, in reward units; NaN makes its prompt NaN.
    k : int or array of int, shape (m,)
        Sizes of the draw, >= 1.
    groups : array or sequence of int, shape (n,), or None
        Prompt of each sample; None puts all into one.

    Returns
    -------
    array, shape (g, m)
        In reward units, prompts in ascending order of their label; NaN where ``k > n``. Without
        the axis of prompts where `groups` is None, without that of `k` where `k` is a number.

    Raises
    ------
    ShapeError
        If there is no sample, or labels are not one for each.
    ArgumentError
        If `k` is not whole numbers >= 1, or an argument has the wrong type.

    See Also
    --------
    pass_at_k : The same for rewards of 0 and 1, from counts.

    Notes
    -----
    Unbiased for samples drawn independently: the mean over all subsets of `k` samples. Cost
    O(n log n) and O(n) for each `k`.

    References
    ----------
    .. [1] Chen et al., "Evaluating Large Language Models Trained on Code", arXiv 2107.03374,
       eq. 1, which this is for rewards of 0 and 1.

    Examples
    --------
    The pairs of 1, 2 and 4 have the largest 2, 4 and 4:

    >>> max_at_k([1.0, 4.0, 2.0], k=np.array([1, 2, 3])).round(3)
    array([2.333, 3.333, 4.   ])
    """
    r, sizes = as_array(rewards), np.asarray(k)
    checks.require(
        checks.columns(rewards=r),
        checks.single_row("max@k", r),
        checks.integer_labels(r, groups=groups),
        _size_problems(sizes),
    )
    r = np.asarray(r, dtype=np.float64)
    own = groups_of(r.size, groups)
    order = np.lexsort((r, own.index))
    label = np.asarray(own.index)[order]
    n = np.bincount(label)
    rank = np.arange(r.size) - (np.cumsum(n) - n)[label] + 1
    rows = [
        _mean_of_maxima(r[order], label, rank, n, size) for size in np.atleast_1d(sizes).tolist()
    ]
    found = np.stack(rows, axis=-1)
    found = found if sizes.ndim else found[:, 0]
    return found[0] if groups is None else found


def _mean_of_maxima(
    r: Float[np.ndarray, " n"],
    label: Integer[np.ndarray, " n"],
    rank: Integer[np.ndarray, " n"],
    n: Integer[np.ndarray, " g"],
    k: int,
) -> Float[np.ndarray, " g"]:
    """Return the mean over all subsets of size `k` of the largest reward; rewards are sorted."""
    highest = rank >= k  # a reward of a lower rank is the largest of no subset
    log_weight = _log_binomial(rank[highest] - 1, k - 1) - _log_binomial(n, k)[label[highest]]
    terms = np.exp(log_weight) * r[highest]
    total = np.bincount(label[highest], weights=terms, minlength=n.size)
    spoilt = np.bincount(label, weights=np.isnan(r), minlength=n.size) > 0
    return np.where((n >= k) & ~spoilt, total, np.nan)


def _log_binomial(n: Integer[np.ndarray, "..."], k: Any) -> Float[np.ndarray, "..."]:
    """Return the logarithm of a binomial coefficient, -inf where ``k > n``."""
    from scipy.special import gammaln

    rest = n - k
    logs = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(rest, 0) + 1.0)
    return np.where(rest < 0, -np.inf, logs)


def _size_problems(k: Any) -> Any:
    """Check sizes of a draw."""
    if k.dtype.kind not in "iu" or np.any(k < 1) or k.ndim > 1:
        yield f"k must be whole numbers >= 1, got {k.tolist()!r}"


def _count_problems(**counts: Any) -> Any:
    """Check counts of samples."""
    bad = [name for name, count in counts.items() if count.dtype.kind not in "iu"]
    for name in bad:
        yield f"{name} must be whole numbers, got dtype {counts[name].dtype}"
    if not bad and np.any(counts["k"] < 1):
        yield f"k must be whole numbers >= 1, got {counts['k'].tolist()!r}"
    shapes = {name: count.shape for name, count in counts.items()}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        yield f"n_correct, n_samples and k must broadcast together, got {listed}"
        return
    if not bad and not np.all(
        (counts["n_correct"] >= 0) & (counts["n_correct"] <= counts["n_samples"])
    ):
        yield "n_correct must lie between 0 and n_samples, which it does not"
