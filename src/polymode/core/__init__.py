"""Pure functions, arrays in and arrays out: no files, no state, no framework.

Arrays come first and in the order ``rewards, ref_log_probs``; everything else goes by keyword. All
functions accept NumPy, torch and JAX arrays with any leading axes, and return the same kind.
"""

from polymode.core.advantages import batch_whitened, leave_one_out, mean_baseline, standardised
from polymode.core.anchoring import Anchored, anchor, anchored_rewards, augment
from polymode.core.anchors import CarriedAnchors
from polymode.core.divergences import (
    Divergence,
    alpha_divergence,
    divergence_names,
    f_divergence,
    register_divergence,
)
from polymode.core.estimators import ESTIMATORS, Estimator, estimate_kl
from polymode.core.optimise import gradient_flow
from polymode.core.shaping import shape
from polymode.core.statistics import PolicyStatistics, policy_statistics, target_statistics
from polymode.core.strengths import effective_number_beta, swap_beta
from polymode.core.targets import log_ratios, multiplier, optimal_policy, optimal_value
from polymode.core.thresholds import group_maximum, percentile_threshold

__all__ = [
    "ESTIMATORS",
    "Anchored",
    "CarriedAnchors",
    "Divergence",
    "Estimator",
    "PolicyStatistics",
    "alpha_divergence",
    "anchor",
    "anchored_rewards",
    "augment",
    "batch_whitened",
    "divergence_names",
    "effective_number_beta",
    "estimate_kl",
    "f_divergence",
    "gradient_flow",
    "group_maximum",
    "leave_one_out",
    "log_ratios",
    "mean_baseline",
    "multiplier",
    "optimal_policy",
    "optimal_value",
    "percentile_threshold",
    "policy_statistics",
    "register_divergence",
    "shape",
    "standardised",
    "swap_beta",
    "target_statistics",
]
