"""Components that do what components do in practice, to molecules with bromine."""

import os
import time

import numpy as np


def n_atoms(mols):
    return np.array([mol.GetNumAtoms() / 100 for mol in mols])


def has_bromine(mol):
    return any(atom.GetSymbol() == "Br" for atom in mol.GetAtoms())


def raises(mols):
    if any(map(has_bromine, mols)):
        raise ValueError("bromine is not\nfor me")
    return n_atoms(mols)


def exits(mols):
    if any(map(has_bromine, mols)):
        raise SystemExit(1)
    return n_atoms(mols)


def gives_nan(mols):
    return [None if has_bromine(mol) else mol.GetNumAtoms() / 100 for mol in mols]


def gives_infinity(mols):
    return [np.inf if has_bromine(mol) else mol.GetNumAtoms() / 100 for mol in mols]


def drops(mols):
    return [mol.GetNumAtoms() / 100 for mol in mols if not has_bromine(mol)]


def gives_text(mols):
    return ["high" if has_bromine(mol) else mol.GetNumAtoms() / 100 for mol in mols]


def hangs(mols):
    if any(map(has_bromine, mols)):
        time.sleep(600)
    return n_atoms(mols)


def dies(mols):
    if any(map(has_bromine, mols)):
        os._exit(7)
    return n_atoms(mols)


def hangs_always(mols):
    time.sleep(600)


def two_values(mols):
    """Atoms and bonds, by name."""
    bonds = np.array([mol.GetNumBonds() / 100 for mol in mols])
    return {"bonds": bonds, "atoms": n_atoms(mols), "unused": None}


def two_columns(mols):
    values = two_values(mols)
    return np.stack([values["atoms"], values["bonds"]], axis=1)


def lengths(smiles, *, divisor=100):
    return [len(each) / divisor for each in smiles]


class Model:
    """Is made once, then called."""

    n_made = 0

    def __init__(self, *, factor=1.0):
        Model.n_made += 1
        self.factor = factor

    def __call__(self, mols):
        return self.factor * n_atoms(mols)
