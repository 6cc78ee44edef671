"""From outputs and distributions to numbers."""

from polymode.metrics.distributions import effective_number, entropy, total_variation
from polymode.metrics.modes import MODE_FUNCTIONS, ModeFunction, mode_function

__all__ = [
    "MODE_FUNCTIONS",
    "ModeFunction",
    "effective_number",
    "entropy",
    "mode_function",
    "total_variation",
]
