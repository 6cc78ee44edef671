"""From outputs and distributions to numbers."""

from polymode.metrics.distributions import effective_number, entropy, total_variation

__all__ = ["effective_number", "entropy", "total_variation"]
