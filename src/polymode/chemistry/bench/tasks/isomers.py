"""How close a molecule is to a molecular formula: GuacaMol's score, and the one of PMO's figures.

GuacaMol takes a bell of width 1 for the number of atoms of each element, and one of width 2 for
their sum, and averages them. PMO's figures were made with an earlier PyTDC (the functions that
its later versions name `_prev`), which reads the *SMILES* as if it were a formula to get the sum:
hydrogens and aromatic atoms are not in it, and the digits of rings are taken for numbers of atoms.
"""

import re
from typing import Any, Literal

from rdkit import Chem

from polymode.chemistry.bench.tasks.measures import Measure, count_of, gaussian, scored

__all__ = ["Definition", "formula_terms"]

Definition = Literal["pmo", "guacamol"]
"""Whose definition of a task: that of PMO's published figures, or GuacaMol's."""

_ELEMENT = re.compile(r"([A-Z][a-z]*)(\d*)")


def formula_terms(formula: str, definition: Definition) -> tuple[Measure, ...]:
    """Return the scores of a formula: one for each element, and one for the number of atoms."""
    wanted = _numbers(formula)
    total = sum(number for _, number in wanted)
    atoms = _n_atoms if definition == "guacamol" else _n_atoms_of_the_string
    each = [scored(count_of(element), gaussian(number, 1.0)) for element, number in wanted]
    return (*each, scored(atoms, gaussian(total, 2.0)))


def _numbers(formula: str) -> list[tuple[str, int]]:
    """Return elements and their numbers, in the order in which they are written."""
    return [(element, int(number or 1)) for element, number in _ELEMENT.findall(formula)]


def _n_atoms(mol: Any) -> float:
    return float(Chem.AddHs(mol).GetNumAtoms())


def _n_atoms_of_the_string(mol: Any) -> float:
    """Return what PMO's figures take for the number of atoms."""
    return float(sum(number for _, number in _numbers(Chem.MolToSmiles(mol))))
