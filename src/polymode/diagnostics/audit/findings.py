"""What an audit says: findings with a stable code, and how to mend them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from polymode.diagnostics.audit.settings import Setting

__all__ = ["SEVERITIES", "Finding", "Fix", "Severity"]

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first. Error: the target is not the one that the configuration names. Warning: it depends
on what is not fixed, or something bends it. Note: good to know."""


@dataclass(frozen=True, slots=True)
class Fix:
    """How to mend a finding.

    Parameters
    ----------
    text : str
        What to do, in one sentence.
    changes : mapping of str to object
        Keys of the framework to new values; empty where no key mends it.
    """

    text: str
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a configuration that its author should know.

    Parameters
    ----------
    code : str
        Stable: "PM101".
    severity : {"error", "warning", "note"}
        How bad.
    title : str
        What it is, in a few words.
    effect : str
        What it does to the target, with numbers.
    settings : tuple of Setting
        What decides it, the decisive one first.
    fix : Fix or None
        How to mend it.
    docs : str
        Address of the page that derives it.
    """

    code: str
    severity: Severity
    title: str
    effect: str
    settings: tuple[Setting, ...] = ()
    fix: Fix | None = None
    docs: str = ""

    @property
    def place(self) -> str:
        """Where to look: ``grpo.yaml:12``, or the option and whose default it is."""
        if not self.settings:
            return ""
        return f"{self.settings[0].source} ({self.settings[0].key})"
