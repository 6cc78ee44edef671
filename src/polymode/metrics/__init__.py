"""From outputs and distributions to numbers."""

from polymode.metrics.best_of import max_at_k, pass_at_k
from polymode.metrics.classes import cosine_at_least, equivalence_classes, n_classes
from polymode.metrics.distributions import effective_number, entropy, total_variation
from polymode.metrics.embeddings import semantic_diversity, vendi_score
from polymode.metrics.intervals import Estimate, bootstrap_mean, jackknife
from polymode.metrics.modes import MODE_FUNCTIONS, ModeFunction, mode_function
from polymode.metrics.samples import (
    answer_coverage,
    effective_modes,
    mode_entropy,
    n_modes,
    sample_coverage,
)
from polymode.metrics.text import distinct_n, expectation_adjusted_distinct, self_bleu

__all__ = [
    "MODE_FUNCTIONS",
    "Estimate",
    "ModeFunction",
    "answer_coverage",
    "bootstrap_mean",
    "cosine_at_least",
    "distinct_n",
    "effective_modes",
    "effective_number",
    "entropy",
    "equivalence_classes",
    "expectation_adjusted_distinct",
    "jackknife",
    "max_at_k",
    "mode_entropy",
    "mode_function",
    "n_classes",
    "n_modes",
    "pass_at_k",
    "sample_coverage",
    "self_bleu",
    "semantic_diversity",
    "total_variation",
    "vendi_score",
]
