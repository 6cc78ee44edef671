"""Entropy over modes, expressed for a number of samples: what makes unequal runs comparable."""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import hypergeom

from polymode.core.groups import Groups

__all__ = ["rarefied_entropy"]


def rarefied_entropy(
    groups: Groups, keys: Any, mask: Bool[Any, " n"], *, draws: Any = None
) -> Float[Any, " g"]:
    r"""Return the entropy over modes that subsamples of each group have on average.

    .. math::

        E[H_d] = - \textstyle\sum_m \sum_j P(j \text{ of } d \text{ draws have mode } m) \,
        \tfrac{j}{d} \log \tfrac{j}{d}

    Parameters
    ----------
    groups : Groups
        The group (prompt) of each of n samples.
    keys : array of str, shape (n,)
        The mode of each.
    mask : array of bool, shape (n,)
        True keeps a sample.
    draws : array of int, shape (g,), or None
        Size d of the subsamples, drawn without replacement; at most all samples that are kept,
        which None takes.

    Returns
    -------
    array, shape (g,)
        In nats; NaN for a group of which no sample is kept, or with a size of 0.

    Notes
    -----
    Exact: the probabilities are hypergeometric. Each combination of counts is computed once.

    References
    ----------
    .. [1] Chao et al., "Rarefaction and Extrapolation with Hill Numbers", Ecological Monographs 84,
       2014, eq. 3.
    """
    out = np.full(groups.n_groups, np.nan)
    if not mask.any():
        return out
    inside = Groups(groups.index[mask], groups.n_groups)
    cells = inside.split(keys[mask])
    kept = np.ones(int(mask.sum()), dtype=bool)
    home = cells.max(inside.index)
    count, total = cells.count(kept), inside.count(kept)
    size = total if draws is None else np.minimum(draws, total)
    terms = _terms(count, total[home], size[home])
    summed = np.bincount(home, weights=terms, minlength=groups.n_groups)
    return np.where(size > 0, summed, out)


def _terms(x: Any, n: Any, m: Any) -> Float[Any, " cells"]:
    """Return what each mode adds to the entropy expected in m of n samples, x of them its own."""
    triples, where = np.unique(np.stack([x, n, m], axis=1), axis=0, return_inverse=True)
    values = np.zeros(len(triples))
    for i, (own, of, size) in enumerate(triples.tolist()):
        if size == of:
            values[i] = -own / of * math.log(own / of)
        elif size > 0:
            j = np.arange(1, min(own, size) + 1)
            weights = hypergeom.pmf(j, of, own, size)
            values[i] = -(weights * (j / size) * np.log(j / size)).sum()
    return values[where.reshape(-1)]
