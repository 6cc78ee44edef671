"""From a configuration to an `Audit`."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from polymode.core.checks import did_you_mean, known
from polymode.diagnostics.audit.export import audit_dict
from polymode.diagnostics.audit.findings import SEVERITIES, Finding, Severity
from polymode.diagnostics.audit.frameworks import FRAMEWORKS, Framework
from polymode.diagnostics.audit.frameworks.framework import class_in
from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.diagnostics.audit.reading import read_settings
from polymode.diagnostics.audit.rules import Case, find_all
from polymode.diagnostics.audit.settings import Setting, Settings, Source
from polymode.errors import ArgumentError, ConfigError, InputError

__all__ = ["Audit", "audit_config"]

_LIKELY = 0.5  # below it, settings are not taken for a framework's


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

    def worst(self) -> Severity | None:
        """Return the severity of the worst finding.

        Returns
        -------
        str or None
            None where nothing was found.
        """
        return self.findings[0].severity if self.findings else None

    def fix(self, severity: Severity = "warning") -> Mapping[str, Any]:
        """Return the changes that findings ask for, together.

        Parameters
        ----------
        severity : {"error", "warning", "note"}
            Findings of this severity or worse.

        Returns
        -------
        mapping of str to object
            Keys to new values; where two findings disagree, the worse one decides.
        """
        limit = SEVERITIES.index(severity)
        changes: dict[str, Any] = {}
        for finding in reversed(self.findings):
            if finding.fix is not None and SEVERITIES.index(finding.severity) <= limit:
                changes |= finding.fix.changes
        return changes

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as plain data.

        Returns
        -------
        dict
            Ready for JSON.
        """
        return audit_dict(self)


def audit_config(
    config: Any,
    *,
    framework: str | None = None,
    version: str | None = None,
    overrides: Sequence[str] = (),
    unknown: Literal["refuse", "note"] = "refuse",
) -> Audit:
    """Return which objective a configuration really optimises.

    Parameters
    ----------
    config : path, mapping, config object, or sequence of str
        A YAML, JSON or TOML file, a shell script with the command that starts the run, a mapping,
        a `GRPOConfig` or its like, or the words of a command line.
    framework : str or None
        Name in `FRAMEWORKS`, with the trainer after a colon where it has several ("trl:rloo");
        None finds out.
    version : str or None
        Version of the framework; None takes the installed one, else that of the bundled table.
    overrides : sequence of str
        ``key=value`` or ``--key value``, over what the config says.
    unknown : {"refuse", "note"}
        What becomes of an option that the framework never had, and that looks like one of its own
        misspelt. Others are noted.

    Returns
    -------
    Audit
        Findings, worst first.

    Raises
    ------
    ArgumentError
        If an argument is not what it must be.
    InputError
        If a file cannot be read, or is the configuration of no framework that we know.
    ConfigError
        If options of two frameworks are mixed, are misspelt, or have values that the framework
        does not take. Lists everything that is wrong.
    MissingExtraError
        If the file is YAML and ruamel.yaml is not installed.

    Examples
    --------
    >>> audit = audit_config({"beta": 0.04, "loss_type": "dapo"}, version="1.9.2")
    >>> audit.objective.divergence, [f.code for f in audit.findings if f.severity == "error"]
    ('forward_kl', ['PM103', 'PM201'])
    """
    given = read_settings(config, overrides)
    chosen, settings = _choose(given, framework)
    settings = chosen.normalise(settings)
    version = _version(chosen, version)
    foreign, strangers = _strangers(chosen, settings, version, refuse=unknown == "refuse")
    values, whose = chosen.defaults(settings, version)
    complete = settings.over(Settings.from_mapping(values, Source("default", whose)))
    read = chosen.read(complete, version)
    if not read.beta >= 0:  # NaN, too
        raise ConfigError(settings.name, f"the KL's coefficient must be >= 0, got {read.beta!r}")
    objective = replace(read, remarks=(*given.remarks, *read.remarks))
    case = Case(
        objective,
        complete,
        f"{chosen.title} {version}",
        chosen.remedies(complete),
        chosen.history(complete, version),
        foreign,
        strangers,
    )
    return Audit(objective, find_all(case), complete)


def _choose(settings: Settings, asked: str | None) -> tuple[Framework, Settings]:
    """Return the framework that settings are for; with a trainer, as if its command were given."""
    scores = {name: each.detect(settings) for name, each in FRAMEWORKS.items()}
    likely = [name for name, score in scores.items() if score > _LIKELY]
    if asked is not None:
        name, _, trainer = asked.partition(":")
        problems = list(known("framework", name, FRAMEWORKS))
        if problems:
            raise ArgumentError(problems)
        if trainer:
            settings = Settings(settings.items_by_key, settings.name, f"{name} {trainer}")
        return FRAMEWORKS[name], settings
    if len(likely) > 1:
        titles = " and ".join(FRAMEWORKS[name].title for name in likely)
        raise ConfigError(
            settings.name, f"options of {titles} are mixed; name one with framework={likely[0]!r}"
        )
    if not likely:
        titles = ", ".join(each.title for each in FRAMEWORKS.values())
        raise InputError(
            f"{settings.name} is no configuration of {titles} that we recognise: name the framework"
        )
    return FRAMEWORKS[likely[0]], settings


def _version(framework: Framework, asked: str | None) -> str:
    """Return the version that counts."""
    if asked is not None:
        if not asked[:1].isdigit():
            raise ArgumentError(
                f"version must be a release such as {framework.newest}, got {asked!r}"
            )
        return asked
    try:
        return importlib.metadata.version(framework.package)
    except importlib.metadata.PackageNotFoundError:
        return framework.newest


def _strangers(
    framework: Framework, settings: Settings, version: str, *, refuse: bool
) -> tuple[Mapping[str, str], tuple[Setting, ...]]:
    """Return options of other releases, and those of nobody; refuse what looks misspelt."""
    foreign: dict[str, str] = {}
    strangers: list[Setting] = []
    problems: list[str] = []
    fields = framework.fields(settings)
    names = [key for key in fields if not key.endswith(".*")]
    for key, setting in settings.items_by_key.items():
        elsewhere = framework.elsewhere(settings, key, version)
        if elsewhere:
            foreign[key] = elsewhere
        elif class_in(fields, key) is None:
            hint = did_you_mean(key, names)
            line = "" if setting.source.line is None else f"line {setting.source.line}: "
            if refuse and hint and not setting.added:
                problems.append(f"{line}unknown option {key!r}{hint}")
            strangers.append(setting)
    if problems:
        raise ConfigError(settings.name, problems)
    return foreign, tuple(strangers)
