"""Which molecules fall apart at amides only: the proxy for ALL-AMIDE, without retrosynthesis."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from rdkit.Chem import MolFromSmarts

__all__ = ["AllAmide"]

_AMIDE = ("[C;!$(C([#7])[#7])](=!@O)-!@[#7;+0;!D1]", ((0, 2),))
_OTHERS = (
    ("[#7;+0;D2,D3]-!@C(=!@O)-!@[#7;+0;D2,D3]", ((0, 1), (1, 3))),  # urea
    ("C(=!@O)-!@[O;+0;D2]", ((0, 2),)),  # ester
    ("[N;!D1;+0;!$(N-C=[#7,#8,#15,#16])](-!@*)-!@*", ((0, 1), (0, 2))),  # amine
    ("[#7;R;D3;+0]-!@*", ((0, 1),)),  # nitrogen in a ring
    ("[#6]-!@[O;+0;D2]-!@[#6]", ((0, 1), (1, 2))),  # ether
    ("C=!@C", ((0, 1),)),  # olefin
    ("[n;+0]-!@C", ((0, 1),)),  # aromatic nitrogen to aliphatic carbon
    ("O=C-@[N;+0]-!@C", ((2, 3),)),  # lactam nitrogen to aliphatic carbon
    ("c-!@c", ((0, 1),)),  # biaryl
    ("[n;+0]-!@c", ((0, 1),)),
    ("[#7;+0;D2,D3]-!@S(=O)=O", ((0, 1),)),  # sulfonamide
)
"""RECAP's bonds: a pattern, and which of its atoms the cut parts."""


class AllAmide:
    """Whether a molecule can be cut, and every cut is an amide bond: 1 or 0.

    Notes
    -----
    Cuts are those of RECAP [1]_. The task that this stands for asks a retrosynthesis program
    whether amide couplings lead to the molecule from molecules for sale; the proxy knows neither
    routes nor stock.

    References
    ----------
    .. [1] Lewell et al., "RECAP: Retrosynthetic Combinatorial Analysis Procedure", Journal of
       Chemical Information and Computer Sciences 38, 1998.
    """

    def __call__(self, mols: Sequence[Any]) -> Float[np.ndarray, " n"]:
        """Return whether each molecule is cut at amides only."""
        return np.array([_all_amide(mol) for mol in mols], dtype=np.float64)


def _all_amide(mol: Any) -> bool:
    amides = _bonds(mol, *_AMIDE)
    if not amides:
        return False
    return all(_bonds(mol, smarts, ends) <= amides for smarts, ends in _OTHERS)


def _bonds(mol: Any, smarts: str, ends: tuple[tuple[int, int], ...]) -> set[frozenset[int]]:
    """Return the bonds that a pattern cuts, as pairs of atoms."""
    matches = mol.GetSubstructMatches(_pattern(smarts), uniquify=False, maxMatches=10_000)
    return {frozenset((match[a], match[b])) for match in matches for a, b in ends}


@functools.cache
def _pattern(smarts: str) -> Any:
    return MolFromSmarts(smarts)
