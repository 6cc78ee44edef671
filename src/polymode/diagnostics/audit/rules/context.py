"""PM7xx: versions, options that do nothing, and whether anchoring would be exact."""

from collections.abc import Iterable, Iterator

from polymode.diagnostics.audit.rules.rule import Case, Rule
from polymode.diagnostics.audit.settings import Setting

__all__ = ["RULES"]


def _changed(case: Case) -> str | None:
    if not case.history:
        return None
    listed = "; ".join(
        f"{c.key} is {c.after!r} since {c.release}, and was {c.before!r}" for c in case.history
    )
    return f"Another release of the same framework has another objective here: {listed}."


def _not_flat(case: Case) -> str | None:
    o = case.objective
    if o.anchored != "anchored":
        return None
    problems = o.anchoring_problems()
    return None if not problems else f"Anchored rewards have no flat optimum here: {problems[0]}."


def _would_not_be_flat(case: Case) -> str | None:
    o = case.objective
    problems = o.anchoring_problems()
    if o.anchored == "anchored" or not problems:
        return None
    more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more)"
    return f"Anchored rewards would not be flat over good outputs here: {problems[0]}{more}."


def _foreign(case: Case) -> str | None:
    if not case.foreign:
        return None
    listed = "; ".join(f"{key}: {known}" for key, known in case.foreign.items())
    return f"{case.title} does not have every option that is set ({listed})."


def _unknown(case: Case) -> str | None:
    if not case.unknown:
        return None
    listed = ", ".join(setting.key for setting in case.unknown)
    return (
        f"{case.title} has no option {listed}: it belongs to your own script, or does nothing. "
        "It was not audited."
    )


def _settings(case: Case, keys: Iterable[str]) -> Iterator[Setting]:
    """Yield the settings of keys."""
    for key in keys:
        if (setting := case.settings.setting(key)) is not None:
            yield setting


RULES = (
    Rule(
        *("PM701", "note", "A default that you rely on has changed", _changed),
        places=lambda case: _settings(case, [change.key for change in case.history]),
    ),
    Rule(
        *("PM702", "error", "Anchored, but not flat", _not_flat),
        *("kl_placement scale beta", "kl_in_reward"),
    ),
    Rule(
        *("PM703", "note", "Anchoring would not be exact", _would_not_be_flat),
        *("kl_placement scale beta", "kl_in_reward"),
    ),
    Rule(
        *("PM704", "warning", "Options of another release", _foreign),
        places=lambda case: _settings(case, case.foreign),
    ),
    Rule(
        *("PM705", "note", "Options that are not the framework's", _unknown),
        places=lambda case: case.unknown,
    ),
)
