"""Clusters of molecules that grow as molecules come: sphere exclusion around the first of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt64

from polymode.core import checks
from polymode.metrics.molecules.fingerprints import (
    Fingerprints,
    bit_vectors,
    fingerprint_problems,
    morgan_fingerprints,
)
from polymode.metrics.molecules.similarity import tanimoto
from polymode.metrics.molecules.toolkit import molecule

__all__ = ["SphereExclusion"]

_CHOICES = ("first", "nearest")


class SphereExclusion:
    r"""Clusters around centroids: a molecule that lies far from all of them becomes the next one.

    Parameters
    ----------
    distance : float
        Radius of a cluster, a Tanimoto distance in [0, 1]: a molecule with ``d(x, c) <= distance``
        to a centroid belongs to it.
    radius, n_bits : int
        Of the Morgan fingerprints.
    choice : {"first", "nearest"}
        Which centroid takes a molecule that several could take: the oldest, so that a molecule
        stays in its cluster for ever, or the most similar among those that are there when it comes,
        the older of two.

    Raises
    ------
    ArgumentError
        If a setting is not what it must be.

    See Also
    --------
    n_circles : The number of centroids, of all molecules at once.

    Notes
    -----
    The number of clusters is #Circles by sequential greedy choice, in the order in which the
    molecules came: it depends on that order, not on how they are split into calls. Cost O(n k) for
    ``k`` clusters, about 10 million comparisons a second.

    References
    ----------
    .. [1] Butina, "Unsupervised Data Base Clustering Based on Daylight's Fingerprint and Tanimoto
       Similarity", Journal of Chemical Information and Computer Sciences 39, 1999 (centroids there
       are the molecules with most neighbours, here the first to come).

    Examples
    --------
    >>> clusters = SphereExclusion(distance=0.7)
    >>> clusters.assign(["CCO", "c1ccccc1", "CCCO", "no molecule"]).tolist()
    [0, 1, 0, -1]
    >>> clusters.centroids
    ('CCO', 'c1ccccc1')
    """

    def __init__(
        self,
        distance: float = 0.7,
        radius: int = 2,
        n_bits: int = 2048,
        *,
        choice: str = "first",
    ) -> None:
        checks.require(
            checks.within(0.0, 1.0, distance=distance),
            fingerprint_problems(radius, n_bits),
            checks.known("choice", choice, _CHOICES),
        )
        self.distance = distance
        self.radius = radius
        self.n_bits = n_bits
        self.choice = choice
        self._smiles: list[str] = []
        self._words = np.empty((0, n_bits // 64), dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._smiles)

    @property
    def centroids(self) -> tuple[str, ...]:
        """SMILES of the first molecule of each cluster, as it was given, by cluster."""
        return tuple(self._smiles)

    def assign(self, smiles: Sequence[str]) -> Integer[np.ndarray, " n"]:
        """Return the cluster of each molecule; new ones begin where none is near.

        Parameters
        ----------
        smiles : sequence of str
            Molecules in the order in which they come.

        Returns
        -------
        array of int, shape (n,)
            Numbers of clusters, from 0 in the order of their centroids; -1 where a SMILES is not
            valid.

        Raises
        ------
        MissingExtraError
            Without RDKit.
        """
        smiles = list(smiles)
        rows, words = self._read(smiles)
        found = np.full(len(smiles), -1, dtype=np.int64)
        found[rows] = self._nearest(words, since=0)
        n_before = len(self)
        for row, bits in zip(rows.tolist(), words, strict=True):
            if found[row] < 0:  # far from all that were there before this call
                (own,) = self._nearest(bits[None], since=n_before)
                found[row] = own if own >= 0 else self._add(smiles[row], bits)
            elif self.choice == "nearest" and len(self) > n_before:
                (found[row],) = self._nearest(bits[None], since=0)
        return found

    def find(self, smiles: Sequence[str]) -> Integer[np.ndarray, " n"]:
        """Return the cluster of each molecule among those that are there; none begins.

        Parameters
        ----------
        smiles : sequence of str
            The molecules.

        Returns
        -------
        array of int, shape (n,)
            Numbers of clusters; -1 where no centroid is near, or a SMILES is not valid.

        Raises
        ------
        MissingExtraError
            Without RDKit.
        """
        rows, words = self._read(smiles)
        found = np.full(len(smiles), -1, dtype=np.int64)
        found[rows] = self._nearest(words, since=0)
        return found

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on later.

        Returns
        -------
        dict
            Of plain Python values, ready for JSON.
        """
        return {
            "distance": self.distance,
            "radius": self.radius,
            "n_bits": self.n_bits,
            "choice": self.choice,
            "centroids": list(self._smiles),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            As `state` returned it.

        Raises
        ------
        ArgumentError
            If its settings are not those of these clusters, or a centroid is not valid.
        """
        mine = self.state()
        checks.require(
            f"state must have the {name} of these clusters, {mine[name]!r}, got {state.get(name)!r}"
            for name in ("distance", "radius", "n_bits", "choice")
            if state.get(name) != mine[name]
        )
        centroids = list(state["centroids"])
        read = morgan_fingerprints(centroids, radius=self.radius, n_bits=self.n_bits)
        self._smiles, self._words = centroids, read.words

    def _read(
        self, smiles: Sequence[str]
    ) -> tuple[Integer[np.ndarray, " m"], UInt64[np.ndarray, "m w"]]:
        """Return where the valid molecules stand, and their bits."""
        molecules = {i: found for i, each in enumerate(smiles) if (found := molecule(each))}
        vectors = bit_vectors(list(molecules.values()), radius=self.radius, n_bits=self.n_bits)
        rows = np.fromiter(molecules, dtype=np.int64, count=len(molecules))
        return rows, Fingerprints(vectors, self.radius, self.n_bits).words

    def _nearest(
        self, words: UInt64[np.ndarray, "m w"], *, since: int
    ) -> Integer[np.ndarray, " m"]:
        """Return the centroid that takes each molecule, from a number on; -1 for none."""
        centroids = self._words[since : len(self)]
        if not len(centroids):
            return np.full(len(words), -1, dtype=np.int64)
        similar = tanimoto(words, centroids)
        near = self._near(similar)
        best = (near if self.choice == "first" else np.where(near, similar, -1.0)).argmax(axis=1)
        return np.where(near.any(axis=1), best + since, -1)

    def _near(self, similar: Float[np.ndarray, "m k"]) -> Any:
        """Return which centroids are near enough; RDKit's pickers compare the same numbers."""
        return 1.0 - similar <= self.distance

    def _add(self, smiles: str, bits: UInt64[np.ndarray, " w"]) -> int:
        """Add a centroid, and return its number."""
        n = len(self)
        if n == len(self._words):  # room for twice as many: adding costs O(1) on average
            room = np.zeros((max(64, n), self._words.shape[1]), dtype=np.uint64)
            self._words = np.concatenate([self._words, room])
        self._words[n] = bits
        self._smiles.append(smiles)
        return n
