"""The frameworks that can be audited: one module for each, registered here."""

from collections.abc import Mapping
from types import MappingProxyType

from polymode.diagnostics.audit.frameworks.framework import (
    REMEDIES,
    DefaultChange,
    FieldClass,
    Framework,
    Remedy,
)
from polymode.diagnostics.audit.frameworks.trl import TRL

__all__ = ["FRAMEWORKS", "REMEDIES", "DefaultChange", "FieldClass", "Framework", "Remedy"]

FRAMEWORKS: Mapping[str, Framework] = MappingProxyType({each.name: each for each in (TRL,)})
"""By name, read-only."""
