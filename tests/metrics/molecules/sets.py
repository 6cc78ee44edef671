"""Small sets of molecules for the tests of their metrics, and their distances by another road."""

import numpy as np
from hypothesis import strategies as st

DRUGS = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(=O)Nc1ccc(O)cc1",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "CN1CCC[C@H]1c1cccnc1",
    "Clc1ccccc1",
    "Brc1ccccc1",
    "c1ccc2ccccc2c1",
    "O=C(NC1CC1)c1ccccc1",
    "O=S(=O)(N)c1ccccc1",
    "CCO",
    "CCCO",
    "CCCCCCO",
    "C",
    "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1",
    "OCC1OC(O)C(O)C(O)C1O",
)
SETS = st.lists(st.sampled_from(DRUGS), min_size=2, max_size=12)
"""Molecules in any order, some of them twice."""


def similarities(smiles, *, n_bits=2048):
    """Tanimoto similarities from Python's sets of the bits that are on."""
    from rdkit import Chem
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    generator = GetMorganGenerator(radius=2, fpSize=n_bits)
    bits = [set(generator.GetFingerprint(Chem.MolFromSmiles(s)).GetOnBits()) for s in smiles]
    return np.array([[len(a & b) / len(a | b) for b in bits] for a in bits])
