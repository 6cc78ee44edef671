"""Components that look at structure: similarity, substructures, alerts."""

import csv
import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field, field_validator
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from polymode.chemistry.oracles.builtin.base import BuiltIn, Mol
from polymode.chemistry.oracles.molecules import Parser
from polymode.core import checks
from polymode.errors import MissingExtraError

__all__ = ["ALERT_SETS", "Alerts", "Similarity", "Smarts"]

ALERT_SETS = (
    "Glaxo",
    "Dundee",
    "BMS",
    "PAINS",
    "SureChEMBL",
    "MLSMR",
    "Inpharmatica",
    "LINT",
    "Alarm-NMR",
    "AlphaScreen-Hitters",
    "GST-Hitters",
    "HIS-Hitters",
    "LuciferaseInhibitor",
    "DNABinder",
    "Chelator",
    "Frequent-Hitter",
    "Electrophilic",
    "Genotoxic-Carcinogenicity",
    "LD50-Oral",
    "Non-Genotoxic-Carcinogenicity",
    "Reactive-Unstable-Toxic",
    "Skin",
    "Toxicophore",
)
"""Names of the sets of alerts that `medchem` carries."""


class Similarity(BuiltIn):
    """Tanimoto similarity of Morgan fingerprints to given molecules."""

    span = "0 to 1"
    is_score = True

    smiles: tuple[str, ...] = Field(min_length=1)
    """What to be similar to."""
    radius: int = Field(default=2, ge=0)
    """Of the fingerprint, in bonds; 2 is ECFP4."""
    n_bits: int = Field(default=2048, ge=1)
    """Of the fingerprint."""
    counts: bool = False
    """Compare how often environments occur, not only whether."""
    to: Literal["nearest", "mean"] = "nearest"
    """Of several molecules: the similarity to the nearest, or the mean."""

    @field_validator("smiles")
    @classmethod
    def _molecules(cls, smiles: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [each for each in smiles if Parser.molecule(each) is None]:
            raise ValueError(f"must be SMILES of molecules, got {', '.join(map(repr, wrong))}")
        return smiles

    def __call__(self, mols: Sequence[Mol]) -> Float[np.ndarray, " n"]:
        """Return the similarity of each molecule."""
        wanted = _fingerprints_of(self.smiles, self.radius, self.n_bits, self.counts)
        prints = _fingerprints(mols, self.radius, self.n_bits, self.counts)
        table = [DataStructs.BulkTanimotoSimilarity(each, wanted) for each in prints]
        similar = np.array(table, dtype=np.float64).reshape(len(prints), len(wanted))
        return similar.max(axis=1) if self.to == "nearest" else similar.mean(axis=1)


class Smarts(BuiltIn):
    """Substructures, as SMARTS."""

    span = "0 or 1; 0, 1, 2, … with mode = count"

    patterns: tuple[str, ...] = Field(min_length=1)
    """What to look for."""
    mode: Literal["any", "all", "none", "count"] = "any"
    """1 if one of the patterns is there (any), if each is (all), or if none is (none: forbidden
    substructures); or the number of different matches of all patterns (count)."""

    @field_validator("patterns")
    @classmethod
    def _queries(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [each for each in patterns if _query(each) is None]:
            raise ValueError(f"must be SMARTS, got {', '.join(map(repr, wrong))}")
        return patterns

    @property
    def scored(self) -> bool:
        """Whether the values are scores."""
        return self.mode != "count"

    def __call__(self, mols: Sequence[Mol]) -> Float[np.ndarray, " n"]:
        """Return the value of each molecule."""
        queries = [_query(each) for each in self.patterns]
        if self.mode == "count":
            values = [sum(len(mol.GetSubstructMatches(q)) for q in queries) for mol in mols]
        else:
            found = ((mol.HasSubstructMatch(query) for query in queries) for mol in mols)
            values = [
                all(each) if self.mode == "all" else any(each) != (self.mode == "none")
                for each in found
            ]
        return np.array(values, dtype=np.float64)


class Alerts(BuiltIn):
    """Structural alerts of the package medchem: 1 for a molecule without any, else 0."""

    span = "0 or 1; number of alerts with count = true"

    sets: tuple[str, ...] = Field(default=("BMS",), min_length=1)
    """Which sets of alerts: BMS, PAINS, Glaxo, Dundee, SureChEMBL, …"""
    count: bool = False
    """Return how many alerts a molecule raises."""

    @field_validator("sets")
    @classmethod
    def _known(cls, sets: tuple[str, ...]) -> tuple[str, ...]:
        if problems := [line for each in sets for line in checks.known("set", each, ALERT_SETS)]:
            raise ValueError("\n".join(problems))
        return sets

    @property
    def scored(self) -> bool:
        """Whether the values are scores."""
        return not self.count

    def __call__(self, mols: Sequence[Mol]) -> Float[np.ndarray, " n"]:
        """Return the value of each molecule."""
        queries = _alerts(self.sets)
        if self.count:
            values = [sum(mol.HasSubstructMatch(query) for query in queries) for mol in mols]
        else:
            values = [not any(mol.HasSubstructMatch(query) for query in queries) for mol in mols]
        return np.array(values, dtype=np.float64)


@functools.lru_cache(maxsize=64)
def _fingerprints_of(smiles: tuple[str, ...], radius: int, n_bits: int, counts: bool) -> list[Any]:
    """Return the fingerprints of the molecules of a configuration."""
    mols = [Chem.MolFromSmiles(each) for each in smiles]
    return _fingerprints(mols, radius, n_bits, counts)


def _fingerprints(mols: Sequence[Mol], radius: int, n_bits: int, counts: bool) -> list[Any]:
    generator = _morgan(radius, n_bits)
    take = generator.GetCountFingerprint if counts else generator.GetFingerprint
    return [take(mol) for mol in mols]


@functools.cache
def _morgan(radius: int, n_bits: int) -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)


@functools.lru_cache(maxsize=4096)
def _query(smarts: str) -> Any:
    """Return the query of a SMARTS, None if it is none."""
    with Parser.silence():
        return Chem.MolFromSmarts(smarts) if smarts else None


@functools.lru_cache(maxsize=64)
def _alerts(sets: tuple[str, ...]) -> list[Any]:
    """Return the queries of sets of alerts, from medchem's table: importing it takes long."""
    found = importlib.util.find_spec("medchem")
    if found is None or not found.origin:
        raise MissingExtraError("medchem", "chemistry")
    table = Path(found.origin).parent / "data" / "common_alerts_collection.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        smarts = [row["smarts"] for row in csv.DictReader(stream) if row["rule_set_name"] in sets]
    return [query for query in map(_query, smarts) if query is not None]
