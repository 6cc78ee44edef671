"""The limits of the diverse-hits benchmark: molecules beyond them are worth nothing.

A molecule must have a molecular weight and a logP within those of 99 % of ChEMBL, and few features
that ChEMBL does not know.
"""

import functools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Float, UInt32
from rdkit.Chem import Crippen, Descriptors, rdFingerprintGenerator

from polymode.errors import InputError

__all__ = ["KNOWN_SHARE", "LOG_P", "WEIGHT", "DrugLimits", "features", "known_features"]

WEIGHT = (157.11027872, 761.3414418201)
"""Of the exact mass, in Da, both ends excluded."""
LOG_P = (-2.0107999999999997, 8.831511500000007)
"""Of Crippen's logP, both ends excluded."""
KNOWN_SHARE = 0.8651
"""Of the features of a molecule, more than this must be known: 99 % of molecules that our list has
not seen exceed it. The benchmark's own limit, for its longer list, is 11/12."""

_DESCRIPTORS: Any = Descriptors  # RDKit makes some of their functions when they are imported
_CRIPPEN: Any = Crippen


class DrugLimits:
    """The limits as a component: 1 within all of them, else 0.

    Parameters
    ----------
    known_share : float or None
        Share of known features that must be exceeded; None: features do not count.

    Notes
    -----
    The benchmark takes the features (Morgan, radius 2, unfolded) of 1.3 million molecules of
    ChEMBL for known. That list is not to be had; ours is of fewer molecules, so that the share is
    calibrated in the same way: 99 % of molecules that the list has not seen are within it.
    """

    def __init__(self, known_share: float | None = KNOWN_SHARE) -> None:
        self._known_share = known_share

    def __call__(self, mols: Sequence[Any]) -> Float[np.ndarray, " n"]:
        """Return whether each molecule is within the limits."""
        return np.array([self._within(mol) for mol in mols], dtype=np.float64)

    def _within(self, mol: Any) -> bool:
        weight, log_p = _DESCRIPTORS.ExactMolWt(mol), _CRIPPEN.MolLogP(mol)
        if not (WEIGHT[0] < weight < WEIGHT[1] and LOG_P[0] < log_p < LOG_P[1]):
            return False
        if self._known_share is None:
            return True
        own, known = features(mol), known_features()
        place = np.searchsorted(known, own).clip(max=len(known) - 1)
        return bool(np.mean(known[place] == own) > self._known_share)


def features(mol: Any) -> UInt32[np.ndarray, " k"]:
    """Return the distinct features of a molecule, neighbourhoods of two bonds, sorted."""
    bits = _generator().GetSparseFingerprint(mol).GetOnBits()
    return np.unique(np.array([bit & 0xFFFFFFFF for bit in bits], dtype=np.uint32))


@functools.cache
def known_features() -> UInt32[np.ndarray, " k"]:
    """Return the features that are known, sorted; they lie in the package.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = files("polymode.chemistry.bench.tasks") / "known_features.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        steps = kept["steps"]
    known = np.cumsum(steps, dtype=np.uint64)
    if not len(known) or known[-1] > 0xFFFFFFFF:
        raise InputError("known_features.npz is damaged: install polymode again")
    return known.astype(np.uint32)


@functools.cache
def _generator() -> Any:
    make: Any = rdFingerprintGenerator
    return make.GetMorganGenerator(radius=2)
