r"""Tanimoto similarities of packed fingerprints, exactly, a tile at a time.

.. math:: T(x, y) = \frac{|x \cap y|}{|x| + |y| - |x \cap y|}, \qquad T(\emptyset, \emptyset) = 1
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float32, Integer, UInt64

from polymode.metrics.molecules.fingerprints import Fingerprints

__all__ = ["bits_of", "similarity_sums", "tanimoto"]

_TILE = 2**16  # words of 64 bits at a time: they stay in a cache
_ROWS = 2048  # molecules at a time in products of matrices: 16 MiB for each factor and the product


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


def bits_of(words: UInt64[np.ndarray, "n w"]) -> Float32[np.ndarray, "n b"]:
    """Return bits as numbers 0 and 1, whose products count what two molecules share.

    Parameters
    ----------
    words : array of uint64, shape (n, w)
        Bits in words.

    Returns
    -------
    array of float32, shape (n, 64 w)
        The bits. Sums of them up to 2^24 are exact.
    """
    return np.unpackbits(words.view(np.uint8), axis=1).astype(np.float32)


def similarity_sums(prints: Fingerprints, *, powers: Sequence[float]) -> Float[np.ndarray, "p n"]:
    r"""Return the sum of powers of the similarities of each molecule to all, itself included.

    .. math:: \sum_j T(x_i, x_j)^p

    Parameters
    ----------
    prints : Fingerprints
        The molecules.
    powers : sequence of float
        The exponents.

    Returns
    -------
    array, shape (p, n)
        One row for each exponent.

    Notes
    -----
    From all pairs, by products of matrices: what two molecules share is exact, quotients and sums
    are rounded to about ``1e-7``. Cost O(n²), about 30 million pairs a second; the memory does not
    grow with `n`.
    """
    sums = np.zeros((len(powers), len(prints)))
    for rows, columns, similar in _pairs(prints):
        for row, p in zip(sums, powers, strict=True):
            powered = similar if p == 1 else similar * similar if p == 2 else similar**p
            row[rows] += powered.sum(axis=1, dtype=np.float64)
            if columns != rows:
                row[columns] += powered.sum(axis=0, dtype=np.float64)
    return sums


def _pairs(
    prints: Fingerprints,
) -> Iterator[tuple[slice, slice, Float32[np.ndarray, "m n"]]]:
    """Yield similarities of all pairs of tiles, each once."""
    tiles = [slice(start, start + _ROWS) for start in range(0, len(prints), _ROWS)]
    for i, rows in enumerate(tiles):
        first = bits_of(prints.words[rows])
        for columns in tiles[i:]:
            second = first if columns == rows else bits_of(prints.words[columns])
            yield (
                rows,
                columns,
                _quotient(first @ second.T, prints.n_on[rows], prints.n_on[columns]),
            )


def _quotient(
    both: Float32[np.ndarray, "m n"],
    n_first: Integer[np.ndarray, " m"],
    n_second: Integer[np.ndarray, " n"],
) -> Float32[np.ndarray, "m n"]:
    """Divide what pairs share by what one of them has."""
    either = np.add.outer(n_first.astype(np.float32), n_second.astype(np.float32))
    either -= both
    if not (n_first.all() and n_second.all()):
        empty = either == 0
        both[empty] = either[empty] = 1.0
    return np.divide(both, either, out=both)
