"""From a configuration to an `Audit`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polymode.diagnostics.audit.findings import Finding
from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.diagnostics.audit.settings import Settings

__all__ = ["Audit", "audit_config"]


@dataclass(frozen=True, slots=True)
class Audit:
    """What a configuration optimises, and what is wrong with that.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.
    findings : tuple of Finding
        Worst first.
    settings : Settings
        Complete, with defaults.
    """

    objective: EffectiveObjective
    findings: tuple[Finding, ...]
    settings: Settings

    def fix(self) -> Mapping[str, Any]:
        """Return the changes that the findings ask for, together.

        Returns
        -------
        mapping of str to object
            Keys to new values.
        """
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as plain data.

        Returns
        -------
        dict
            Ready for JSON.
        """
        raise NotImplementedError


def audit_config(
    config: Any,
    *,
    framework: str | None = None,
    version: str | None = None,
    overrides: Sequence[str] = (),
) -> Audit:
    """Return which objective a configuration really optimises.

    Parameters
    ----------
    config : path, mapping, config object, or sequence of str
        A YAML, JSON or TOML file, a shell script with the command that starts the run, a mapping,
        a `GRPOConfig` or its like, or the words of a command line.
    framework : str or None
        Name in `FRAMEWORKS`; None finds out.
    version : str or None
        Version of the framework; None takes the installed one, else that of the bundled table.
    overrides : sequence of str
        ``key=value`` or ``--key value``, over what the config says.

    Returns
    -------
    Audit
        Findings, worst first.
    """
    raise NotImplementedError
