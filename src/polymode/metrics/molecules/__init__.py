"""From molecules, as SMILES, to numbers: `pip install 'polymode[chemistry]'` brings RDKit."""

from polymode.metrics.molecules.clusters import SphereExclusion
from polymode.metrics.molecules.fingerprints import Fingerprints, Molecules, morgan_fingerprints
from polymode.metrics.molecules.structures import (
    canonical_smiles,
    generic_scaffold,
    murcko_scaffold,
    structural_mode,
)

__all__ = [
    "Fingerprints",
    "Molecules",
    "SphereExclusion",
    "canonical_smiles",
    "generic_scaffold",
    "morgan_fingerprints",
    "murcko_scaffold",
    "structural_mode",
]
