r"""The peers' diversity filters: they take the reward of what has been found before.

Baselines beside anchoring. They act on what is scored, not on what is wanted: the optimum moves
with every molecule found. Formulas as in REINVENT 4 (``memories``), and MolScore for `occurrence`.

============= =========================================================================
kind          reward of a molecule with ``r >= min_score``
============= =========================================================================
murcko        0 if it was seen, or once its Murcko scaffold is in its bucket more than
              ``bucket_size`` times
topological   the same with the generic scaffold
similarity    the same; a scaffold joins the bucket of the most similar earlier scaffold (of any
              reward) from a Dice similarity of atom pairs of ``min_similarity`` on
same_smiles   ``penalty`` times the reward if it was seen, whatever its reward
occurrence    ``r (tolerance + fade - n) / fade`` once it was drawn ``n > tolerance`` times, 0 from
              ``tolerance + fade`` on
============= =========================================================================
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from polymode.chemistry.learner.modes import structure_of

__all__ = ["DiversityFilter", "FilterKind", "Filtered"]

FilterKind = Literal["none", "murcko", "topological", "similarity", "same_smiles", "occurrence"]


@dataclass(frozen=True, eq=False)
class Filtered:
    """What a filter made of the rewards of a batch."""

    rewards: np.ndarray
    """Rewards after the filter, shape (n,)."""
    penalised: frozenset[str]
    """Scaffolds whose molecules lost their reward in this batch."""


@dataclass(eq=False)
class DiversityFilter:
    """A filter and its memory.

    Parameters
    ----------
    kind : str
        Which of the filters, see the module; "none" changes nothing.
    bucket_size : int
        How many molecules of a scaffold keep their reward.
    min_score : float
        Rewards below are neither counted nor taken, in reward units.
    min_similarity : float
        From which Dice similarity on scaffolds share a bucket.
    penalty : float
        Factor of `same_smiles`.
    tolerance, fade : int
        Numbers of draws, of `occurrence`.
    """

    kind: FilterKind = "none"
    bucket_size: int = 25
    min_score: float = 0.4
    min_similarity: float = 0.4
    penalty: float = 0.5
    tolerance: int = 5
    fade: int = 10
    _buckets: Counter[str] = field(default_factory=Counter[str], init=False)
    _seen: Counter[str] = field(default_factory=Counter[str], init=False)
    _scaffolds: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    _labels: dict[str, str] = field(default_factory=dict[str, str], init=False)

    def __call__(self, rewards: np.ndarray, canonical: Sequence[str | None]) -> Filtered:
        """Return the rewards of a batch after the filter, row after row.

        Parameters
        ----------
        rewards : array, shape (n,)
            Rewards; NaN stays.
        canonical : sequence of str or None, length n
            Canonical SMILES; None where a string is no molecule.
        """
        filtered = np.array(rewards, dtype=np.float64)
        penalised: set[str] = set()
        if self.kind == "none":
            return Filtered(filtered, frozenset())
        for row, name in enumerate(canonical):
            if name is not None and not np.isnan(filtered[row]):
                filtered[row] = self._one(float(filtered[row]), name, penalised)
        return Filtered(filtered, frozenset(penalised))

    def label(self, canonical: str) -> str:
        """Return the scaffold by which a molecule is counted.

        Parameters
        ----------
        canonical : str
            Its canonical SMILES.
        """
        if canonical in self._labels:
            return self._labels[canonical]
        scaffold = structure_of("generic" if self.kind == "topological" else "murcko", canonical)
        if self.kind == "similarity" and scaffold:
            self._labels[canonical] = scaffold = self._most_similar(scaffold)
        return scaffold

    def state(self) -> dict[str, Any]:
        """Return what was seen."""
        return {
            "buckets": dict(self._buckets),
            "seen": dict(self._seen),
            "scaffolds": list(self._scaffolds),
            "labels": dict(self._labels),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            What `state` returned.
        """
        self._buckets = Counter(state["buckets"])
        self._seen = Counter(state["seen"])
        self._labels = dict(state["labels"])
        self._scaffolds = {scaffold: _atom_pairs(scaffold) for scaffold in state["scaffolds"]}

    def _one(self, reward: float, name: str, penalised: set[str]) -> float:
        """Count a molecule, and return its reward."""
        if self.kind == "same_smiles":
            factor = self.penalty if self._seen[name] else 1.0
            self._seen[name] += 1
            return factor * reward
        if self.kind == "occurrence":
            if reward < self.min_score:
                return reward
            self._seen[name] += 1
            left = (self.tolerance + self.fade - self._seen[name]) / self.fade
            return reward * min(max(left, 0.0), 1.0)
        scaffold = self.label(name)  # of all: what is not counted founds buckets, too, there
        if self._seen[name]:
            return 0.0
        if reward < self.min_score:
            return reward
        self._seen[name] += 1
        self._buckets[scaffold] += 1
        if self._buckets[scaffold] > self.bucket_size:
            penalised.add(scaffold)
            return 0.0
        return reward

    def _most_similar(self, scaffold: str) -> str:
        """Return the earlier scaffold that is similar enough, or this one, which is then kept."""
        from rdkit.DataStructs import BulkDiceSimilarity

        pairs = _atom_pairs(scaffold)
        if self._scaffolds:
            similar = BulkDiceSimilarity(pairs, list(self._scaffolds.values()))
            closest = int(np.argmax(similar))
            if similar[closest] >= self.min_similarity:
                return list(self._scaffolds)[closest]
        self._scaffolds[scaffold] = pairs
        return scaffold


def _atom_pairs(scaffold: str) -> Any:
    """Return the counts of the atom pairs of a scaffold."""
    from rdkit.Chem import MolFromSmiles
    from rdkit.Chem.rdFingerprintGenerator import GetAtomPairGenerator

    return GetAtomPairGenerator().GetSparseCountFingerprint(MolFromSmiles(scaffold))
