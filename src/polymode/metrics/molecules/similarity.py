r"""Tanimoto similarities of packed fingerprints, exactly, a tile at a time.

.. math:: T(x, y) = \frac{|x \cap y|}{|x| + |y| - |x \cap y|}, \qquad T(\emptyset, \emptyset) = 1
"""

import numpy as np
from jaxtyping import Float, UInt64

__all__ = ["tanimoto"]

_TILE = 2**16  # words of 64 bits at a time: they stay in a cache


def tanimoto(
    first: UInt64[np.ndarray, "m w"], second: UInt64[np.ndarray, "n w"]
) -> Float[np.ndarray, "m n"]:
    """Return the similarity of each molecule of one set to each of another.

    Parameters
    ----------
    first, second : array of uint64, shape (m, w) and (n, w)
        Bits of the molecules, as `Fingerprints.words` has them.

    Returns
    -------
    array, shape (m, n)
        Similarities in [0, 1]; 1 between two molecules without any bit.

    Notes
    -----
    Exact: whole numbers, divided once, as RDKit does.

    Examples
    --------
    >>> from polymode.metrics.molecules import morgan_fingerprints
    >>> words = morgan_fingerprints(["CCO", "CCCO"]).words
    >>> tanimoto(words[:1], words).round(3)
    array([[1.   , 0.556]])
    """
    n_first = np.bitwise_count(first).sum(axis=1, dtype=np.int64)
    n_second = np.bitwise_count(second).sum(axis=1, dtype=np.int64)
    similar = np.empty((len(first), len(second)))
    step = max(1, _TILE // max(1, second.size))
    for start in range(0, len(first), step):
        rows = slice(start, start + step)
        both = np.bitwise_count(first[rows, None] & second).sum(axis=-1, dtype=np.int64)
        either = n_first[rows, None] + n_second - both
        similar[rows] = np.where(either == 0, 1.0, both / np.maximum(either, 1))
    return similar
