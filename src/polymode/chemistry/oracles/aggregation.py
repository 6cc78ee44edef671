"""From the scores of the components to one reward."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from polymode.core import checks

__all__ = ["AGGREGATIONS", "Aggregation", "aggregate"]

Aggregation = Literal["product", "geometric_mean", "arithmetic_mean"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)


def aggregate(
    scores: Float[np.ndarray, "n k"],
    weights: Float[np.ndarray, " k"],
    *,
    how: Aggregation = "geometric_mean",
) -> Float[np.ndarray, " n"]:
    r"""Return one reward for each molecule.

    .. math:: \text{product} = \prod_j s_j^{w_j}, \qquad
        \text{geometric mean} = \prod_j s_j^{w_j / \sum w}, \qquad
        \text{arithmetic mean} = \sum_j \frac{w_j}{\sum w} s_j

    Parameters
    ----------
    scores : array, shape (n, k)
        Scores of n molecules by k components, in [0, 1]; NaN: not scorable.
    weights : array, shape (k,)
        Weights >= 0, not all zero. A component of weight 0 is watched and not rewarded: not even
        its NaN counts.
    how : str
        The formula. A product or geometric mean is 0 as soon as one score is 0.

    Returns
    -------
    array, shape (n,)
        Rewards; NaN where a score with a weight is NaN, and where a negative score has no power.

    Raises
    ------
    ArgumentError
        If `how` is none of these.

    Notes
    -----
    REINVENT 4 knows the two means (its `custom_product` is the geometric one); it leaves NaN out of
    a mean and raises scores to at least 1e-8, we do neither.
    """
    checks.require(checks.known("how", how, AGGREGATIONS))
    kept = weights > 0
    scores, weights = scores[:, kept], weights[kept]
    if how == "arithmetic_mean":
        return (scores * (weights / weights.sum())).sum(axis=1)  # row by row, whatever n is
    powers = weights if how == "product" else weights / weights.sum()
    with np.errstate(invalid="ignore"):  # a power of a negative score is NaN, as it should be
        return np.where((scores < 0).any(axis=1), np.nan, np.prod(scores**powers, axis=1))
