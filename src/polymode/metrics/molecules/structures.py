"""What a molecule is, and what its skeleton is: canonical SMILES and scaffolds, as text.

All of them are mode functions too: structures that are equal are one mode.
"""

from collections.abc import Callable, Mapping
from typing import Any

from polymode.core import checks
from polymode.metrics.molecules.toolkit import molecule, quiet, rdkit

__all__ = [
    "STRUCTURES",
    "canonical_smiles",
    "generic_scaffold",
    "murcko_scaffold",
    "structural_mode",
]


def canonical_smiles(smiles: str) -> str | None:
    """Return the canonical SMILES of a molecule.

    Parameters
    ----------
    smiles : str
        Any SMILES of it.

    Returns
    -------
    str or None
        RDKit's canonical SMILES, with stereochemistry; None where the SMILES is not valid.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    Examples
    --------
    >>> canonical_smiles("C(O)C"), canonical_smiles("C(O")
    ('CCO', None)
    """
    found = molecule(smiles)
    return None if found is None else _text(found)


def murcko_scaffold(smiles: str) -> str | None:
    """Return the scaffold of a molecule: its rings and what links them.

    Parameters
    ----------
    smiles : str
        Any SMILES of it.

    Returns
    -------
    str or None
        Canonical SMILES of the Bemis–Murcko scaffold, with atoms on double bonds to it, as RDKit
        defines it; ``""`` where the molecule has no ring, None where the SMILES is not valid.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    References
    ----------
    .. [1] Bemis and Murcko, "The Properties of Known Drugs. 1. Molecular Frameworks", J. Med. Chem.
       39, 1996.

    Examples
    --------
    >>> murcko_scaffold("Cc1ccccc1C(=O)NC1CC1"), murcko_scaffold("CCO")
    ('O=C(NC1CC1)c1ccccc1', '')
    """
    found = molecule(smiles)
    return None if found is None else _text(_scaffold(found))


def generic_scaffold(smiles: str) -> str | None:
    """Return the shape of a scaffold: every atom a carbon, every bond single.

    Parameters
    ----------
    smiles : str
        Any SMILES of the molecule.

    Returns
    -------
    str or None
        Canonical SMILES of RDKit's generic scaffold of the Murcko scaffold; atoms on double bonds
        stay as carbons. ``""`` where the molecule has no ring, None where the SMILES is not valid.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    Notes
    -----
    An atom with more than four neighbours makes a carbon that RDKit calls impossible: its graph is
    written all the same.

    Examples
    --------
    >>> generic_scaffold("O=C1CCN1"), murcko_scaffold("O=C1CCN1")
    ('CC1CCC1', 'O=C1CCN1')
    """
    found = molecule(smiles)
    return None if found is None else _text(_generic(_scaffold(found)))


STRUCTURES: Mapping[str, Callable[[str], str | None]] = {
    "canonical": canonical_smiles,
    "murcko": murcko_scaffold,
    "generic": generic_scaffold,
}
"""What may count as the same structure: name -> function of a SMILES."""


def structural_mode(kind: str) -> Callable[[str], str | None]:
    """Return the mode function of a kind of structure.

    Parameters
    ----------
    kind : {"canonical", "murcko", "generic"}
        What counts as the same mode: molecules, Murcko scaffolds, generic scaffolds.

    Returns
    -------
    callable
        From a SMILES to its key; None where it is not valid.

    Raises
    ------
    ArgumentError
        If the kind is not known.
    MissingExtraError
        Without RDKit.

    See Also
    --------
    polymode.metrics.mode_function : Takes the same names.

    Examples
    --------
    >>> structural_mode("murcko")("Cc1ccccc1")
    'c1ccccc1'
    """
    checks.require(checks.known("kind", kind, STRUCTURES))
    rdkit("Chem")
    return STRUCTURES[kind]


def _text(found: Any) -> str:
    """Return the canonical SMILES of RDKit's molecule."""
    return rdkit("Chem").MolToSmiles(found)


def _scaffold(found: Any) -> Any:
    """Return the Murcko scaffold of RDKit's molecule."""
    with quiet():
        return rdkit("Chem.Scaffolds.MurckoScaffold").GetScaffoldForMol(found)


def _generic(scaffold: Any) -> Any:
    """Return the generic form of a scaffold, also where carbon cannot have so many neighbours."""
    chem = rdkit("Chem")
    try:
        with quiet():
            return rdkit("Chem.Scaffolds.MurckoScaffold").MakeScaffoldGeneric(scaffold)
    except chem.MolSanitizeException:
        graph = chem.RWMol()
        for _ in scaffold.GetAtoms():
            graph.AddAtom(chem.Atom(6))
        for bond in scaffold.GetBonds():
            graph.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), chem.BondType.SINGLE)
        graph.UpdatePropertyCache(strict=False)
        return graph
