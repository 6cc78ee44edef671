"""From molecules, as SMILES, to numbers: `pip install 'polymode[chemistry]'` brings RDKit."""

from polymode.metrics.molecules.calls import calls_to_hits, n_hits, top_auc
from polymode.metrics.molecules.circles import circle_centres, n_circles, n_diverse_hits
from polymode.metrics.molecules.clusters import SphereExclusion
from polymode.metrics.molecules.collapse import CollapseFigures, collapse_figures, frac_repeats
from polymode.metrics.molecules.diversity import (
    hamiltonian_diversity,
    internal_diversity,
    mean_similarity,
    tanimoto_vendi_score,
)
from polymode.metrics.molecules.fingerprints import Fingerprints, Molecules, morgan_fingerprints
from polymode.metrics.molecules.properties import qed_scores, sa_scores
from polymode.metrics.molecules.sets import (
    distinct_molecules,
    frac_novel,
    frac_unique,
    frac_valid,
)
from polymode.metrics.molecules.structures import (
    canonical_smiles,
    generic_scaffold,
    murcko_scaffold,
    structural_mode,
)

__all__ = [
    "CollapseFigures",
    "Fingerprints",
    "Molecules",
    "SphereExclusion",
    "calls_to_hits",
    "canonical_smiles",
    "circle_centres",
    "collapse_figures",
    "distinct_molecules",
    "frac_novel",
    "frac_repeats",
    "frac_unique",
    "frac_valid",
    "generic_scaffold",
    "hamiltonian_diversity",
    "internal_diversity",
    "mean_similarity",
    "morgan_fingerprints",
    "murcko_scaffold",
    "n_circles",
    "n_diverse_hits",
    "n_hits",
    "qed_scores",
    "sa_scores",
    "structural_mode",
    "tanimoto_vendi_score",
    "top_auc",
]
