"""Properties that RDKit computes from the graph alone."""

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from rdkit.Chem import QED, Crippen, Descriptors, rdMolDescriptors

from polymode.chemistry.oracles.builtin.base import BuiltIn, Mol

__all__ = ["HBA", "HBD", "MW", "SA", "TPSA", "LogP", "Qed", "Rings", "RotatableBonds"]


_DESCRIPTORS: Any = Descriptors  # RDKit makes some of their functions when they are imported
_CRIPPEN: Any = Crippen


class _Property(BuiltIn):
    """A number that one function gives for one molecule."""

    function: ClassVar[Callable[..., float]]

    def __call__(self, mols: Sequence[Mol]) -> Float[np.ndarray, " n"]:
        """Return the value of each molecule."""
        return np.array([type(self).function(mol) for mol in mols], dtype=np.float64)


class Qed(_Property):
    """Quantitative estimate of drug-likeness, with the mean weights (Bickerton et al. 2012)."""

    span = "0 to 1"
    is_score = True
    function = staticmethod(QED.qed)


class MW(_Property):
    """Average molecular weight, hydrogens included."""

    unit = "Da"
    span = "> 0"
    function = staticmethod(_DESCRIPTORS.MolWt)


class LogP(_Property):
    """Octanol–water partition coefficient, as a decadic logarithm (Wildman and Crippen 1999)."""

    span = "any; drugs mostly -1 to 6"
    function = staticmethod(_CRIPPEN.MolLogP)


class TPSA(_Property):
    """Topological polar surface area (Ertl et al. 2000), nitrogen and oxygen only."""

    unit = "Å²"
    span = "≥ 0"
    function = staticmethod(rdMolDescriptors.CalcTPSA)


class HBD(_Property):
    """Number of hydrogen-bond donors (RDKit's definition)."""

    span = "0, 1, 2, …"
    function = staticmethod(rdMolDescriptors.CalcNumHBD)


class HBA(_Property):
    """Number of hydrogen-bond acceptors (RDKit's definition)."""

    span = "0, 1, 2, …"
    function = staticmethod(rdMolDescriptors.CalcNumHBA)


class Rings(_Property):
    """Number of rings: the size of the smallest set of smallest rings."""

    span = "0, 1, 2, …"
    function = staticmethod(rdMolDescriptors.CalcNumRings)


class RotatableBonds(_Property):
    """Number of rotatable bonds (RDKit's strict definition: no amides)."""

    span = "0, 1, 2, …"
    function = staticmethod(rdMolDescriptors.CalcNumRotatableBonds)


class SA(BuiltIn):
    """Synthetic accessibility (Ertl and Schuffenhauer 2009): easy 1, hard 10."""

    span = "0 to 1, more is easier; 1 to 10, less is easier, with normalised = false"
    is_score = True

    normalised: bool = True
    """Return (10 - SA) / 9, a score, instead of SA itself."""

    @property
    def scored(self) -> bool:
        """Whether the values are scores."""
        return self.normalised

    def __call__(self, mols: Sequence[Mol]) -> Float[np.ndarray, " n"]:
        """Return the score of each molecule."""
        score = _sa_scorer()
        values = np.array([score(mol) for mol in mols], dtype=np.float64)
        return (10.0 - values) / 9.0 if self.normalised else values


@functools.cache
def _sa_scorer() -> Any:
    """Return RDKit's function, whose table of fragments is read from a file on first use."""
    return importlib.import_module("rdkit.Contrib.SA_Score.sascorer").calculateScore
