"""The rules by their codes: each looks at an objective, and none at a framework."""

from collections.abc import Mapping
from types import MappingProxyType

from polymode.diagnostics.audit.findings import SEVERITIES, Finding
from polymode.diagnostics.audit.rules import (
    aggregation,
    context,
    divergence,
    filtering,
    reference,
    rewards,
    sampling,
)
from polymode.diagnostics.audit.rules.rule import Case, Rule

__all__ = ["RULES", "Case", "Rule", "find_all"]

_MODULES = (divergence, rewards, aggregation, sampling, reference, filtering, context)

RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.code: rule for module in _MODULES for rule in module.RULES}
)
"""By code, read-only."""


def find_all(case: Case) -> tuple[Finding, ...]:
    """Return what all rules find, worst first.

    Parameters
    ----------
    case : Case
        What is audited.

    Returns
    -------
    tuple of Finding
        By severity, then by code.
    """
    found = [finding for rule in RULES.values() if (finding := rule.find(case)) is not None]
    return tuple(sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.code)))
