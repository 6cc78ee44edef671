"""The weaker of drug-likeness and synthetic accessibility: rewards soon are all high."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from rdkit.Chem import QED

__all__ = ["qed_sa"]


def qed_sa(mols: Sequence[Any]) -> Float[np.ndarray, " n"]:
    """Return min(QED, (10 - SA) / 9) of each molecule."""
    score = importlib.import_module("rdkit.Contrib.SA_Score.sascorer").calculateScore
    return np.array([min(QED.qed(mol), (10.0 - score(mol)) / 9.0) for mol in mols])
