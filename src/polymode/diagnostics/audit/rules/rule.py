"""What a rule is, and how it becomes a finding."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from polymode.diagnostics.audit.findings import Finding, Fix, Severity
from polymode.diagnostics.audit.frameworks.framework import DefaultChange
from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.diagnostics.audit.settings import Setting, Settings

__all__ = ["DOCS", "RATES", "Case", "Check", "Rule", "beta_range", "number"]

DOCS = "docs/reference/audit-findings.md"
"""Page with an anchor for each code."""

RATES = (0.1, 0.5, 0.9, 0.99)
"""Success rates of a prompt at which an effective beta is quoted."""


@dataclass(frozen=True, slots=True)
class Case:
    """What rules look at.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.
    settings : Settings
        Complete settings.
    title : str
        Framework and version: "TRL 1.16.0".
    remedies : mapping of str to Fix
        What each remedy means in this framework.
    history : tuple of DefaultChange
        Defaults that changed, and that the configuration relies on.
    foreign : mapping of str to str
        Options that this version does not have, to what is known of them.
    unknown : tuple of Setting
        Options that the framework never had.
    """

    objective: EffectiveObjective
    settings: Settings = field(default_factory=lambda: Settings({}))
    title: str = ""
    remedies: Mapping[str, Fix] = field(default_factory=dict[str, Fix])
    history: tuple[DefaultChange, ...] = ()
    foreign: Mapping[str, str] = field(default_factory=dict[str, str])
    unknown: tuple[Setting, ...] = ()


Check = Callable[[Case], str | None]
"""Returns what it does to the target, with numbers, or None where the rule does not apply."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One code.

    Parameters
    ----------
    code : str
        Stable: "PM101".
    severity : {"error", "warning", "note"}
        How bad.
    title : str
        What it is, in a few words.
    check : callable
        From a case to the effect, or None.
    fields : str
        Fields of the objective that decide it, the decisive one first.
    remedy : str
        Name in `REMEDIES`, or "".
    places : callable or None
        From a case to the settings that decide it, where these are not those of fields.
    """

    code: str
    severity: Severity
    title: str
    check: Check
    fields: str = ""
    remedy: str = ""
    places: Callable[[Case], Iterable[Setting]] | None = None

    def find(self, case: Case) -> Finding | None:
        """Return the finding, or None.

        Parameters
        ----------
        case : Case
            What is audited.

        Returns
        -------
        Finding or None
            With what decided it and how to mend it.
        """
        effect = self.check(case)
        if effect is None:
            return None
        found = self.places(case) if self.places else self._deciding(case.objective)
        settings: dict[str, Setting] = {}
        for setting in found:
            settings.setdefault(setting.key, setting)
        return Finding(
            self.code,
            self.severity,
            self.title,
            effect,
            tuple(settings.values()),
            case.remedies.get(self.remedy),
            f"{DOCS}#{self.code.lower()}",
        )

    def _deciding(self, objective: EffectiveObjective) -> Iterator[Setting]:
        """Yield the settings that decide the rule's fields: of each field those given first."""
        for name in self.fields.split():
            yield from sorted(objective.sources.get(name, ()), key=lambda found: not found.given)


def number(value: float) -> str:
    """Return a number in three digits.

    Parameters
    ----------
    value : float
        Any.

    Returns
    -------
    str
        "unknown" for NaN.

    Examples
    --------
    >>> number(0.0123456), number(float("nan"))
    ('0.0123', 'unknown')
    """
    return "unknown" if math.isnan(value) else f"{value:.3g}"


def beta_range(objective: EffectiveObjective, of: str = "prompt") -> str:
    """Return the effective beta at several success rates, in words.

    Parameters
    ----------
    objective : EffectiveObjective
        With a KL.
    of : str
        Whose success rate counts.

    Returns
    -------
    str
        "0.0046 at a success rate of .5, …".
    """
    parts = [f"{number(objective.beta_eff(rate))} at {rate:g}" for rate in RATES]
    return f"{', '.join(parts)} (success rate of the {of})"
