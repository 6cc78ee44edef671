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

__all__ = ["FRAMEWORKS", "REMEDIES", "DefaultChange", "FieldClass", "Framework", "Remedy"]

FRAMEWORKS: Mapping[str, Framework] = MappingProxyType({})
"""By name, read-only."""
