"""Docking with AutoDock Vina: from a SMILES to the best pose's score, on one core."""

import functools
import importlib
import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field, PositiveFloat, field_validator
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from polymode.chemistry.oracles.builtin.base import BuiltIn, Mol
from polymode.chemistry.oracles.transforms import ReverseSigmoid
from polymode.errors import MissingExtraError

__all__ = ["Docking"]

N_EMBEDDINGS = 3
"""How many starting structures are tried before a molecule is given up."""

_Triple = tuple[float, float, float]


class Docking(BuiltIn):
    """Docking score of AutoDock Vina (Eberhardt et al. 2021); more negative binds better.

    A conformer is embedded (ETKDG), relaxed (MMFF94) and prepared by meeko; the protonation state
    is the one that the SMILES has.
    """

    unit = "kcal/mol"
    span = "mostly -14 to 0; positive for clashes"
    default_transform = ReverseSigmoid(low=-12.0, high=-6.0)
    guarded = True
    batch_size = 1

    receptor: Path
    """A PDBQT file."""
    center: _Triple
    """Middle of the box, in Å."""
    size: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Edges of the box, in Å."""
    exhaustiveness: int = Field(default=8, ge=1)
    """How many searches are made for each molecule; time grows in proportion."""
    seed: int = Field(default=42, ge=1)
    """Of the conformer and of the search: the same molecule gets the same score."""
    scoring: Literal["vina", "vinardo"] = "vina"
    """The scoring function."""

    @field_validator("receptor")
    @classmethod
    def _file(cls, receptor: Path) -> Path:
        if receptor.suffix != ".pdbqt" or not receptor.is_file():
            raise ValueError(f"must be a PDBQT file, got {str(receptor)!r}")
        return receptor.absolute()

    def __call__(self, mols: Sequence[Mol]) -> Float[np.ndarray, " n"]:
        """Return the score of each molecule's best pose, in kcal/mol."""
        return np.array([self._score(mol) for mol in mols], dtype=np.float64)

    def _score(self, mol: Mol) -> float:
        vina = _prepared(self.receptor, self.center, self.size, self.scoring, self.seed)
        vina.set_ligand_from_string(_pdbqt(_structure(mol, self.seed)))
        vina.dock(exhaustiveness=self.exhaustiveness, n_poses=1)
        return float(vina.energies(n_poses=1)[0][0])


@functools.lru_cache(maxsize=4)
def _prepared(receptor: Path, center: _Triple, size: _Triple, scoring: str, seed: int) -> Any:
    """Return Vina with the maps of the receptor, which take seconds; kept by each process."""
    vina: Any = _module("vina").Vina(sf_name=scoring, cpu=1, seed=seed, verbosity=0)
    vina.set_receptor(str(receptor))
    vina.compute_vina_maps(center=list(center), box_size=list(size))
    return vina


def _structure(mol: Mol, seed: int) -> Mol:
    """Return a relaxed structure with hydrogens."""
    full = Chem.AddHs(mol)
    for attempt in range(N_EMBEDDINGS):
        if rdDistGeom.EmbedMolecule(full, randomSeed=seed + attempt) == 0:
            rdForceFieldHelpers.MMFFOptimizeMolecule(full)
            return full
    raise ValueError("no structure could be embedded")


def _pdbqt(structure: Mol) -> str:
    """Return a structure as Vina reads it."""
    meeko = _module("meeko")
    with redirect_stdout(io.StringIO()):  # meeko prints
        (setup,) = meeko.MoleculePreparation(rigid_macrocycles=True).prepare(structure)
        text, is_ok, problem = meeko.PDBQTWriterLegacy.write_string(setup)
    if not is_ok:
        raise ValueError(f"meeko cannot prepare it: {problem}")
    return str(text)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or name, "docking") from error
