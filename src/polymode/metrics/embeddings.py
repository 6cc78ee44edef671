r"""How far a prompt's completions lie apart in meaning: from one embedding for each.

Embeddings are rows of any length: all metrics take their directions only, so that similarities are
cosines. Notation: ``x_i`` the unit vectors of the ``m`` completions of a prompt.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real

from polymode.core import checks
from polymode.core.arrays import as_array
from polymode.metrics.distributions import effective_number
from polymode.metrics.members import check_groups, groups_of, per_group, positions

__all__ = ["semantic_diversity", "vendi_score"]

_TILE = 2**17  # numbers at a time: 1 MiB


def semantic_diversity(embeddings: Real[Any, "m d"], *, groups: Any = None) -> Any:
    r"""Return the mean cosine distance between two completions of a prompt.

    .. math:: \frac{1}{m (m - 1)} \sum_{i \ne j} (1 - x_i \cdot x_j)

    Parameters
    ----------
    embeddings : array, shape (m, d)
        One row for each completion, of any length.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each completion; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Means in [0, 2]: 0 where all point the same way, 1 where they are orthogonal. Prompts in
        ascending order of their label; NaN for a single completion, or where a row is 0 or NaN. A
        number where `groups` is None.

    Raises
    ------
    ArgumentError
        If the embeddings are not real numbers in two axes, or labels are not one for each row.

    Notes
    -----
    Exact, from the length of the sum of the rows: cost O(m d).

    References
    ----------
    .. [1] Kirk et al., "Understanding the Effects of RLHF on LLM Generalisation and Diversity",
       ICLR 2024, arXiv 2310.06452.
    .. [2] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817.

    Examples
    --------
    Of three pairs, one is equal and two are orthogonal:

    >>> float(semantic_diversity([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]).round(3))
    0.667
    """
    x = _checked(embeddings, groups)
    distances = np.empty(groups_of(len(x), groups).n_groups)
    for prompts, rows in _tiles(x, groups):
        m, total = rows.shape[1], np.sum(rows, axis=1)
        pairs = m * (m - 1) if m > 1 else np.nan  # a single completion has no pair
        distances[prompts] = 1 - (np.sum(total * total, axis=-1) - m) / pairs
    return per_group(np.maximum(distances, 0.0), groups)


def vendi_score(embeddings: Real[Any, "m d"], *, order: float = 1, groups: Any = None) -> Any:
    r"""Return the Vendi score: how many completions, no two alike, would be as diverse.

    .. math::

        \text{VS} = \exp\Big( - \sum_i \lambda_i \log \lambda_i \Big), \qquad
        \lambda \text{ the eigenvalues of } K / m, \quad K_{ij} = x_i \cdot x_j

    Parameters
    ----------
    embeddings : array, shape (m, d)
        One row for each completion, of any length.
    order : float
        Order of the Hill number of the eigenvalues, >= 0, ``inf`` allowed; 1 is the score of [1]_.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each completion; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Numbers between 1 (all point the same way) and m (all are orthogonal), prompts in ascending
        order of their label; NaN where a row is 0 or NaN. A number where `groups` is None.

    Raises
    ------
    ArgumentError
        If the embeddings are not real numbers in two axes, labels are not one for each row, or
        `order` is not a number >= 0.

    See Also
    --------
    semantic_diversity : The mean distance: cheaper, and blind to how many groups there are.

    Notes
    -----
    Eigenvalues of the smaller of ``X X'`` and ``X' X``, which share those that are not 0: cost
    O(m d min(m, d)) for each prompt. Eigenvalues below ``1e-12`` are rounding and count as 0.

    References
    ----------
    .. [1] Friedman and Dieng, "The Vendi Score: A Diversity Evaluation Metric for Machine
       Learning", TMLR 2023, arXiv 2210.02410, definition 3.1 and section 3.2.

    Examples
    --------
    >>> float(vendi_score([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]).round(6))
    2.0
    """
    x = _checked(embeddings, groups)
    scores = np.empty(groups_of(len(x), groups).n_groups)
    for prompts, rows in _tiles(x, groups):
        scores[prompts] = effective_number(_log_eigenvalues(rows), order=order)
    return per_group(scores, groups)


def _checked(embeddings: Any, groups: Any) -> Real[np.ndarray, "m d"]:
    """Check embeddings and return them as a NumPy array."""
    x = as_array(embeddings)
    checks.require(
        checks.real_arrays(embeddings=x),
        _axes_problems(x),
        check_groups(len(x) if x.ndim else 0, groups),
    )
    return np.asarray(x)


def _tiles(
    x: Real[np.ndarray, "m d"], groups: Any
) -> Iterator[tuple[Integer[np.ndarray, " p"], Float[np.ndarray, "p k d"]]]:
    """Yield prompts of one size, few at a time, and the unit vectors of their completions.

    A row without a direction is NaN. A tile fits a cache: each is read several times.
    """
    own = positions(groups_of(len(x), groups))
    sizes = np.asarray([len(each) for each in own])
    for m in np.unique(sizes).tolist():
        same = np.flatnonzero(sizes == m)
        step = max(1, _TILE // (m * x.shape[1]))
        for start in range(0, same.size, step):
            prompts = same[start : start + step]
            rows = np.asarray(x[np.stack([own[i] for i in prompts])], dtype=np.float64)
            with np.errstate(invalid="ignore"):
                yield prompts, rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _axes_problems(x: Any) -> Iterator[str]:
    """Check that there are two axes."""
    if x.ndim != 2 or x.shape[1] == 0:
        yield f"embeddings must have shape (m, d) with d >= 1, got {tuple(x.shape)}"


def _log_eigenvalues(rows: Float[np.ndarray, "p m d"]) -> Float[np.ndarray, "p r"]:
    """Return the logarithms of the eigenvalues of ``K / m``, of the smaller Gram matrix."""
    m, d = rows.shape[1:]
    left, right = (rows, rows.mT) if m <= d else (rows.mT, rows)
    spoilt = np.any(np.isnan(rows), axis=(1, 2), keepdims=True)
    logs = log_spectrum(np.where(spoilt, 0.0, left @ right / m))  # LAPACK refuses NaN
    return np.where(spoilt[:, 0], np.nan, logs)


def log_spectrum(kernel: Float[np.ndarray, "*batch n n"]) -> Float[np.ndarray, "*batch n"]:
    """Return the logarithms of the eigenvalues of kernels with trace 1; rounding counts as 0."""
    values = np.linalg.eigvalsh(kernel)
    with np.errstate(divide="ignore"):
        return np.log(np.where(values > 1e-12, values, 0.0))
