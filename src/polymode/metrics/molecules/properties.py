"""Drug-likeness and ease of synthesis of molecules, as RDKit computes them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from polymode.metrics.molecules.toolkit import molecule, rdkit

__all__ = ["qed_scores", "sa_scores"]


def qed_scores(smiles: Sequence[str]) -> Float[np.ndarray, " n"]:
    """Return the quantitative estimate of drug-likeness (QED) of molecules.

    Parameters
    ----------
    smiles : sequence of str
        The molecules.

    Returns
    -------
    array, shape (n,)
        In [0, 1], 1 the most like a drug, with RDKit's average weights; NaN where a SMILES is not
        valid.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    Notes
    -----
    Cost: about a millisecond for a molecule.

    References
    ----------
    .. [1] Bickerton et al., "Quantifying the chemical beauty of drugs", Nature Chemistry 4, 2012.

    Examples
    --------
    >>> qed_scores(["CC(=O)Oc1ccccc1C(=O)O", "C1C"]).round(2)
    array([0.55,  nan])
    """
    return _each(smiles, rdkit("Chem.QED").qed)


def sa_scores(smiles: Sequence[str]) -> Float[np.ndarray, " n"]:
    """Return the synthetic accessibility (SA) score of molecules.

    Parameters
    ----------
    smiles : sequence of str
        The molecules.

    Returns
    -------
    array, shape (n,)
        From 1, easy to make, to 10, hard; NaN where a SMILES is not valid.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    References
    ----------
    .. [1] Ertl and Schuffenhauer, "Estimation of synthetic accessibility score of drug-like
       molecules based on molecular complexity and fragment contributions", Journal of
       Cheminformatics 1, 2009. The script of the authors comes with RDKit.

    Examples
    --------
    >>> sa_scores(["CC(=O)Oc1ccccc1C(=O)O", "C1C"]).round(2)
    array([1.58,  nan])
    """
    return _each(smiles, rdkit("Contrib.SA_Score.sascorer").calculateScore)


def _each(smiles: Sequence[str], score: Callable[[Any], float]) -> Float[np.ndarray, " n"]:
    """Return the score of each molecule, NaN for none."""
    molecules = (molecule(each) for each in smiles)
    return np.asarray([np.nan if each is None else float(score(each)) for each in molecules])
