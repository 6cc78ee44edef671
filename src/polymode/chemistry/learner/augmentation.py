"""The same molecules in other strings: SMILES that start at a random atom (Augmented Memory)."""

from collections.abc import Sequence

import numpy as np

from polymode.chemistry.vocabulary import Vocabulary
from polymode.metrics.molecules.toolkit import molecule, rdkit

__all__ = ["randomised_smiles"]

_LARGEST_SEED = 2**31 - 1


def randomised_smiles(
    smiles: Sequence[str], *, vocabulary: Vocabulary, rng: np.random.Generator
) -> list[str]:
    """Return each molecule as a random one of its SMILES.

    Parameters
    ----------
    smiles : sequence of str
        The molecules; strings that are none come back as they are.
    vocabulary : Vocabulary
        Of the model that is to read the strings: where it lacks a token of the new string, the old
        one is kept.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    list of str
        One string for each molecule.

    Notes
    -----
    Aromatic atoms stay lower case, as in the data that priors are trained on.

    References
    ----------
    .. [1] Guo and Schwaller, "Augmented Memory: Sample-Efficient Generative Molecular Design with
       Reinforcement Learning", JACS Au 4 (2024), arXiv 2305.16160.
    """
    random_smiles = rdkit("Chem").MolToRandomSmilesVect
    written: list[str] = []
    for one in smiles:
        seed = int(rng.integers(1, _LARGEST_SEED))  # drawn for all, so that streams stay in step
        mol = molecule(one)
        other = one if mol is None else random_smiles(mol, 1, seed)[0]
        written.append(one if vocabulary.n_unknown(other) else other)
    return written
