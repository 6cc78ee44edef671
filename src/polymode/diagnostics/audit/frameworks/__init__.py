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
from polymode.diagnostics.audit.frameworks.nemo_rl import NEMO_RL
from polymode.diagnostics.audit.frameworks.openrlhf import OPENRLHF
from polymode.diagnostics.audit.frameworks.polymode import POLYMODE
from polymode.diagnostics.audit.frameworks.skyrl import SKYRL
from polymode.diagnostics.audit.frameworks.slime import SLIME
from polymode.diagnostics.audit.frameworks.trl import TRL
from polymode.diagnostics.audit.frameworks.verl import VERL

__all__ = ["FRAMEWORKS", "REMEDIES", "DefaultChange", "FieldClass", "Framework", "Remedy"]

_ALL = (TRL, POLYMODE, VERL, OPENRLHF, NEMO_RL, SKYRL, SLIME)

FRAMEWORKS: Mapping[str, Framework] = MappingProxyType({each.name: each for each in _ALL})
"""By name, read-only."""
