"""An audit as plain data, for JSON."""

from typing import TYPE_CHECKING, Any

from polymode.diagnostics.results import environment
from polymode.files import json_ready

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
        "objective": json_ready(o) | json_ready(derived),
        "findings": [json_ready(f) | {"place": f.place} for f in audit.findings],
        "settings": [json_ready(s) for s in audit.settings.items_by_key.values() if s.given],
    }
