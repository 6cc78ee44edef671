"""Reinforcement learning that keeps every good answer.

The public names are listed here and load on first use, so that ``import polymode`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from polymode.errors import (
    ArgumentError,
    ConfigError,
    InputError,
    MissingExtraError,
    PolymodeError,
    PolymodeWarning,
    ShapeError,
    TooFewSamplesWarning,
    UnsupportedOptionError,
)

if TYPE_CHECKING:
    from polymode.core import (
        Anchored,
        CarriedAnchors,
        Divergence,
        PolicyStatistics,
        alpha_divergence,
        anchor,
        anchored_rewards,
        augment,
        batch_whitened,
        divergence_names,
        effective_number_beta,
        f_divergence,
        group_maximum,
        leave_one_out,
        log_ratios,
        mean_baseline,
        multiplier,
        optimal_policy,
        optimal_value,
        percentile_threshold,
        policy_statistics,
        register_divergence,
        shape,
        standardised,
        swap_beta,
        target_statistics,
    )
    from polymode.diagnosis import diagnose
    from polymode.diagnostics.audit import Audit
    from polymode.diagnostics.audit import audit_config as audit
    from polymode.diagnostics.diagnosis import RecordedSamples, Report

    __version__: str

__all__ = [
    "Anchored",
    "ArgumentError",
    "Audit",
    "CarriedAnchors",
    "ConfigError",
    "Divergence",
    "InputError",
    "MissingExtraError",
    "PolicyStatistics",
    "PolymodeError",
    "PolymodeWarning",
    "RecordedSamples",
    "Report",
    "ShapeError",
    "TooFewSamplesWarning",
    "UnsupportedOptionError",
    "__version__",
    "alpha_divergence",
    "anchor",
    "anchored_rewards",
    "audit",
    "augment",
    "batch_whitened",
    "diagnose",
    "divergence_names",
    "effective_number_beta",
    "f_divergence",
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

_ELSEWHERE = {
    "Audit": "polymode.diagnostics.audit",
    "audit": "polymode.diagnostics.audit:audit_config",
    "RecordedSamples": "polymode.diagnostics.diagnosis",
    "Report": "polymode.diagnostics.diagnosis",
    "diagnose": "polymode.diagnosis",
}
"""Where public names live that are not in the core, with their names there if these differ."""


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562); all but the errors and these are in the core."""
    if name == "__version__":
        from importlib.metadata import version

        value = version("polymode")
    elif name in __all__:
        module, _, own_name = _ELSEWHERE.get(name, "polymode.core").partition(":")
        value = getattr(importlib.import_module(module), own_name or name)
    else:
        raise AttributeError(f"module 'polymode' has no attribute {name!r}")
    globals()[name] = value  # from now on found without coming here
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
