"""From sampled strings to molecules: each string is parsed once."""

from collections import OrderedDict
from typing import Any

from rdkit import Chem, rdBase

__all__ = ["Parser"]


class Parser:
    """Parses SMILES, and remembers the canonical SMILES of the strings that it has seen.

    Parameters
    ----------
    n_kept : int
        How many strings are remembered; the ones used least recently are forgotten first.
    """

    def __init__(self, n_kept: int = 200_000) -> None:
        self._canonical: OrderedDict[str, str | None] = OrderedDict()
        self._n_kept = n_kept

    def __call__(self, smiles: str) -> tuple[str | None, Any]:
        """Return the canonical SMILES and the molecule.

        The molecule is None where the string was seen before, and both are None where it is none:
        RDKit does not parse or sanitise it, or it has no atom.
        """
        if smiles in self._canonical:
            self._canonical.move_to_end(smiles)
            return self._canonical[smiles], None
        mol = self.molecule(smiles)
        canonical = None if mol is None else Chem.MolToSmiles(mol)
        self._canonical[smiles] = canonical
        if len(self._canonical) > self._n_kept:
            self._canonical.popitem(last=False)
        return canonical, mol

    @staticmethod
    def molecule(smiles: str) -> Any:
        """Return the molecule of a string, None if it is none."""
        with rdBase.BlockLogs():  # invalid strings are counted, not shouted
            mol: Any = Chem.MolFromSmiles(smiles)
        return None if mol is None or mol.GetNumAtoms() == 0 else mol
