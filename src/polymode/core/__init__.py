"""Pure functions, arrays in and arrays out: no files, no state, no framework.

Arrays come first and in the order ``rewards, ref_log_probs``; everything else goes by keyword. All
functions accept NumPy, torch and JAX arrays with any leading axes, and return the same kind.
"""

from polymode.core.advantages import batch_whitened, leave_one_out, mean_baseline, standardised
from polymode.core.anchoring import Anchored, anchor, anchored_rewards, augment
from polymode.core.estimators import ESTIMATORS, Estimator, estimate_kl
from polymode.core.optimise import gradient_flow
from polymode.core.shaping import shape
from polymode.core.targets import log_ratios, optimal_policy, optimal_value

__all__ = [
    "ESTIMATORS",
    "Anchored",
    "Estimator",
    "anchor",
    "anchored_rewards",
    "augment",
    "batch_whitened",
    "estimate_kl",
    "gradient_flow",
    "leave_one_out",
    "log_ratios",
    "mean_baseline",
    "optimal_policy",
    "optimal_value",
    "shape",
    "standardised",
]
