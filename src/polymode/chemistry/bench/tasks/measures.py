"""What the tasks of GuacaMol and PMO measure of a molecule, and how a measure becomes a score.

A measure takes one RDKit molecule and gives a number; a modifier takes that number and gives a
score in [0, 1]. Fingerprints are unfolded and count how often each feature occurs, as there.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

__all__ = [
    "Measure",
    "Modifier",
    "Print",
    "at_least",
    "at_most",
    "clipped",
    "count_of",
    "gaussian",
    "has",
    "lacks",
    "scored",
    "similarity",
]

Measure = Callable[[Any], float]
Modifier = Callable[[float], float]
Print = Literal["ECFP4", "ECFP6", "FCFP4", "AP", "PHCO"]
"""Kinds of fingerprints: Morgan of radius 2 and 3, Morgan of radius 2 over pharmacophore features,
atom pairs up to 10 bonds apart, Gobbi's two-dimensional pharmacophores."""


def scored(measure: Measure, modifier: Modifier) -> Measure:
    """Return the score that a modifier makes of a measure."""
    return lambda mol: modifier(measure(mol))


def gaussian(mean: float, sigma: float) -> Modifier:
    """Return a bell: 1 at the mean."""
    return lambda x: math.exp(-0.5 * ((x - mean) / sigma) ** 2)


def at_most(mean: float, sigma: float) -> Modifier:
    """Return a bell whose left half is 1."""
    bell = gaussian(mean, sigma)
    return lambda x: bell(max(x, mean))


def at_least(mean: float, sigma: float) -> Modifier:
    """Return a bell whose right half is 1."""
    bell = gaussian(mean, sigma)
    return lambda x: bell(min(x, mean))


def clipped(upper: float) -> Modifier:
    """Return a line from 0 at 0 to 1 at `upper`, and 1 above."""
    return lambda x: min(max(x / upper, 0.0), 1.0)


def similarity(smiles: str, kind: Print) -> Measure:
    """Return the Tanimoto similarity to a molecule."""
    fingerprint = _fingerprint(kind)
    target = fingerprint(Chem.MolFromSmiles(smiles))
    return lambda mol: DataStructs.TanimotoSimilarity(fingerprint(mol), target)


def has(smarts: str) -> Measure:
    """Return whether a substructure is there, 1 or 0."""
    pattern = Chem.MolFromSmarts(smarts)
    return lambda mol: float(mol.HasSubstructMatch(pattern))


def lacks(smarts: str) -> Measure:
    """Return whether a substructure is not there, 1 or 0."""
    present = has(smarts)
    return lambda mol: 1.0 - present(mol)


def count_of(element: str) -> Measure:
    """Return the number of atoms of an element; hydrogens count also where no string names them."""

    def count(mol: Any) -> float:
        atoms = (Chem.AddHs(mol) if element == "H" else mol).GetAtoms()
        return float(sum(atom.GetSymbol() == element for atom in atoms))

    return count


def _fingerprint(kind: Print) -> Callable[[Any], Any]:
    """Return the function that makes a kind of fingerprint."""
    if kind == "PHCO":
        return lambda mol: Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory)
    make: Any = rdFingerprintGenerator
    generator: Any
    if kind == "AP":
        generator = make.GetAtomPairGenerator(maxDistance=10)
    elif kind == "FCFP4":
        features = make.GetMorganFeatureAtomInvGen()
        generator = make.GetMorganGenerator(radius=2, atomInvariantsGenerator=features)
    else:
        generator = make.GetMorganGenerator(radius=2 if kind == "ECFP4" else 3)
    return generator.GetSparseCountFingerprint
