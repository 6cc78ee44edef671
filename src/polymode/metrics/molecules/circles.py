r"""How many molecules of a set are far from each other: #Circles, and diverse hits.

.. math::

    \#\text{Circles}(S; D) = \max |C|, \quad C \subseteq S, \quad d(x, y) > D
    \text{ for all } x \ne y \in C

The largest such set is hard to find. Both methods here find one to which no molecule of `S` can be
added: a lower bound.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Integer, Real

from polymode.core import checks
from polymode.core.arrays import as_array
from polymode.metrics.molecules.fingerprints import Fingerprints, Molecules, fingerprints_of
from polymode.metrics.molecules.similarity import bits_of
from polymode.metrics.molecules.toolkit import rdkit

__all__ = ["circle_centres", "n_circles", "n_diverse_hits"]

_METHODS = ("sequential", "maxmin")
_ROWS = 2048  # molecules at a time
_CENTRES = 64  # centres at a time, twice as many in each further round
_MAX_CENTRES = 1024


def n_circles(molecules: Molecules, *, distance: float = 0.75, method: str = "sequential") -> int:
    """Return #Circles: how many molecules are pairwise further apart than a distance.

    Parameters
    ----------
    molecules : Fingerprints or sequence of str
        Fingerprints, or valid SMILES (then Morgan, radius 2, 2048 bits).
    distance : float
        The Tanimoto distance ``D`` in [0, 1]. Peers take 0.75, and 0.70 for diverse hits.
    method : {"sequential", "maxmin"}
        As in `circle_centres`.

    Returns
    -------
    int
        The number of centres found; 0 without a molecule.

    Raises
    ------
    ArgumentError
        If a SMILES is not valid, `distance` not in [0, 1], or `method` not known.
    MissingExtraError
        Without RDKit.

    See Also
    --------
    SphereExclusion : The same as molecules come, with their clusters.

    Notes
    -----
    Repeated molecules change nothing. The order of the molecules does, by some per cent: say which
    it was. Do not compare sets of very different sizes.

    References
    ----------
    .. [1] Xie et al., "How Much Space Has Been Explored? Measuring the Chemical Space Covered by
       Databases and Machine-Generated Molecules", ICLR 2023, definition 3 and appendix.

    Examples
    --------
    >>> n_circles(["CCO", "CCCO", "c1ccccc1"], distance=0.75)
    2
    """
    return len(circle_centres(molecules, distance=distance, method=method))


def circle_centres(
    molecules: Molecules, *, distance: float = 0.75, method: str = "sequential"
) -> Integer[np.ndarray, " c"]:
    """Return which molecules are the centres that `n_circles` counts.

    Parameters
    ----------
    molecules : Fingerprints or sequence of str
        Fingerprints, or valid SMILES (then Morgan, radius 2, 2048 bits).
    distance : float
        The Tanimoto distance ``D`` in [0, 1].
    method : {"sequential", "maxmin"}
        ``sequential`` takes every molecule that is further than ``D`` from all taken before it, in
        the order given: what RDKit's LeaderPicker finds, and the authors of #Circles do.
        ``maxmin`` begins with the first and always takes the molecule that is furthest from those
        taken, until none is further than ``D``: RDKit's MaxMinPicker, some 10 % more centres.

    Returns
    -------
    array of int, shape (c,)
        Positions of the centres in the order in which they were taken.

    Raises
    ------
    ArgumentError
        If a SMILES is not valid, `distance` not in [0, 1], or `method` not known.
    MissingExtraError
        Without RDKit.

    Notes
    -----
    Exact, and without chance. Sequential: a molecule is compared with the centres that excluded
    most others first, which changes nothing but the time, since one near centre is enough. Memory
    8 KiB for each centre.

    References
    ----------
    .. [1] Xie et al., "How Much Space Has Been Explored? Measuring the Chemical Space Covered by
       Databases and Machine-Generated Molecules", ICLR 2023.
    .. [2] Ashton et al., "Identification of Diverse Database Subsets using Property-Based and
       Fragment-Based Molecular Descriptions", Quantitative Structure-Activity Relationships 21,
       2002 (MaxMin).

    Examples
    --------
    >>> circle_centres(["CCO", "CCCO", "c1ccccc1"], distance=0.75).tolist()
    [0, 2]
    """
    checks.require(
        checks.within(0.0, 1.0, distance=distance), checks.known("method", method, _METHODS)
    )
    prints = fingerprints_of(molecules)
    if not len(prints):
        return np.empty(0, dtype=np.int64)
    return _maxmin(prints, distance) if method == "maxmin" else _sequential(prints, distance)


def n_diverse_hits(
    molecules: Molecules,
    scores: Real[Any, " n"],
    *,
    threshold: float = 0.5,
    distance: float = 0.7,
) -> int:
    """Return how many good molecules are pairwise further apart than a distance.

    Parameters
    ----------
    molecules : Fingerprints or sequence of str
        Fingerprints, or valid SMILES (then Morgan, radius 2, 2048 bits).
    scores : array, shape (n,)
        Score of each molecule; NaN is no hit.
    threshold : float
        Hits have a score of at least this.
    distance : float
        Tanimoto distance in [0, 1].

    Returns
    -------
    int
        #Circles of the hits by the MaxMin picker, in the order given. The benchmark also asks for
        limits of properties: leave out what is beyond them first.

    Raises
    ------
    ArgumentError
        If scores are not one real number for each molecule, a SMILES is not valid, or a setting is
        not what it must be.
    MissingExtraError
        Without RDKit.

    References
    ----------
    .. [1] Renz, Luukkonen and Klambauer, "Diverse Hits in De Novo Molecule Design: Diversity-Based
       Comparison of Goal-Directed Generators", J. Chem. Inf. Model. 64, 2024.

    Examples
    --------
    >>> n_diverse_hits(["CCO", "CCCO", "c1ccccc1", "CN"], [0.9, 0.8, 0.7, 0.1])
    2
    """
    scores = as_array(scores)
    checks.require(
        checks.real_arrays(scores=scores),
        _one_each(scores, len(molecules)),
        checks.finite(threshold=threshold),
    )
    prints = fingerprints_of(molecules)
    hits = np.flatnonzero(np.asarray(scores) >= threshold).tolist()
    return n_circles(prints.take(hits), distance=distance, method="maxmin")


def _one_each(scores: Any, n: int) -> Iterator[str]:
    """Check that there is one score for each molecule."""
    if tuple(scores.shape) != (n,):
        yield f"scores must be one for each of {n} molecules, got shape {tuple(scores.shape)}"


def _maxmin(prints: Fingerprints, distance: float) -> Integer[np.ndarray, " c"]:
    """Return what RDKit's MaxMinPicker takes, beginning with the first molecule."""
    n = len(prints)
    if n == 1:
        return np.zeros(1, dtype=np.int64)
    picker = rdkit("SimDivFilters.rdSimDivPickers").MaxMinPicker()
    taken, _ = picker.LazyBitVectorPickWithThreshold(prints.vectors, n, n, distance, [0])
    return np.asarray(list(taken), dtype=np.int64)


class _Tile(NamedTuple):
    """Some molecules at a time."""

    bits: Float32[np.ndarray, "m b"]
    n_on: Integer[np.ndarray, " m"]


class _Centres:
    """The centres so far, and how many molecules each of them has excluded."""

    def __init__(self, n_bits: int) -> None:
        self.positions: list[int] = []
        self._bits = np.empty((_CENTRES, n_bits), dtype=np.float32)
        self._n_on = np.empty(_CENTRES, dtype=np.int64)
        self._excluded = np.zeros(_CENTRES)

    def add(self, position: int, bits: Any, n_on: int, excluded: int) -> None:
        """Add a centre."""
        n = len(self.positions)
        if n == len(self._n_on):  # room for twice as many
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
            self._n_on = np.concatenate([self._n_on, np.zeros_like(self._n_on)])
            self._excluded = np.concatenate([self._excluded, np.zeros_like(self._excluded)])
        self._bits[n], self._n_on[n], self._excluded[n] = bits, n_on, excluded
        self.positions.append(position)

    def far(self, tile: _Tile, enough: Float32[np.ndarray, " s"]) -> Integer[np.ndarray, " m"]:
        """Return which molecules of a tile are far from all centres."""
        alive = np.arange(len(tile.n_on))
        order = np.argsort(-self._excluded[: len(self.positions)], kind="stable")
        start, step = 0, _CENTRES
        while start < len(order) and len(alive):
            some = order[start : start + step]
            both = tile.bits[alive] @ self._bits[some].T
            near = both >= enough[tile.n_on[alive, None] + self._n_on[some]]
            self._excluded[some] += near.sum(axis=0)
            alive = alive[~near.any(axis=1)]
            start, step = start + step, min(2 * step, _MAX_CENTRES)
        return alive


def _sequential(prints: Fingerprints, distance: float) -> Integer[np.ndarray, " c"]:
    """Return the molecules that are far from all taken before them."""
    enough = _shared_when_near(distance, prints.n_bits)
    centres = _Centres(prints.n_bits)
    for start in range(0, len(prints), _ROWS):
        rows = slice(start, start + _ROWS)
        tile = _Tile(bits_of(prints.words[rows]), prints.n_on[rows])
        left = centres.far(tile, enough)
        bits, n_on = tile.bits[left], tile.n_on[left]
        near = bits @ bits.T >= enough[n_on[:, None] + n_on]
        excluded = np.zeros(len(left), dtype=bool)
        for i in range(len(left)):
            if not excluded[i]:
                excluded |= near[i]
                centres.add(start + int(left[i]), bits[i], int(n_on[i]), int(near[i, i:].sum()))
    return np.asarray(centres.positions, dtype=np.int64)


def _shared_when_near(distance: float, n_bits: int) -> Float32[np.ndarray, " s"]:
    """Return how many bits two molecules of ``s`` bits together must share to be near.

    Near is ``1 - c / (s - c) <= D`` in double precision, as RDKit's pickers compare it; the left
    side falls as ``c`` grows, so that a bisection finds the smallest ``c``.
    """
    total = np.arange(2 * n_bits + 1)
    low, high = np.full(total.shape, -1), total.copy()  # never near with low, near with high
    while (high - low > 1).any():
        middle = (low + high) // 2
        near = _distance(middle, total) <= distance
        low, high = np.where(near, low, middle), np.where(near, middle, high)
    return high.astype(np.float32)


def _distance(
    both: Integer[np.ndarray, " s"], total: Integer[np.ndarray, " s"]
) -> Float[np.ndarray, " s"]:
    """Return the distance of molecules that share `both` of their `total` bits, at most half."""
    return 1.0 - np.minimum(both / np.maximum(total - both, 1), 1.0)
