"""An audit as plain data, for JSON."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

from polymode.diagnostics.results import environment

if TYPE_CHECKING:
    from polymode.diagnostics.audit.audit import Audit

__all__ = ["SCHEMA_VERSION", "audit_dict"]

SCHEMA_VERSION = 1


def audit_dict(audit: "Audit") -> dict[str, Any]:
    """Return an audit as plain data.

    Parameters
    ----------
    audit : Audit
        What was found.

    Returns
    -------
    dict
        Ready for JSON: without settings that are left at their defaults.
    """
    o = audit.objective
    derived = {
        "estimator": o.estimator,
        "divergence": o.divergence,
        "level": o.level,
        "temperature_in_loss": o.temperature_in_loss,
        "clipping": o.clipping,
        "anchoring_is_exact": not o.anchoring_problems(),
        "beta_eff": {str(rate): o.beta_eff(rate) for rate in (0.1, 0.5, 0.9, 0.99)},
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "script": "polymode audit",
        "environment": environment(),
        "config": audit.settings.name,
        "objective": _plain(o) | _plain(derived),
        "findings": [_plain(f) | {"place": f.place} for f in audit.findings],
        "settings": [_plain(s) for s in audit.settings.items_by_key.values() if s.given],
    }


def _plain(value: Any) -> Any:
    """Return a value in what JSON knows: None stands for numbers that are not finite."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast(Any, value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(Any, value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
