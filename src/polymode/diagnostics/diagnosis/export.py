"""A report as plain data, for JSON, and as a frame."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from polymode.diagnostics.results import environment
from polymode.errors import MissingExtraError
from polymode.files import json_ready

if TYPE_CHECKING:
    from polymode.diagnostics.diagnosis.report import Report

__all__ = ["prompt_frame", "report_dict"]


def report_dict(report: "Report", *, outputs: bool) -> dict[str, Any]:
    """Return a report as plain data.

    Parameters
    ----------
    report : Report
        The report.
    outputs : bool
        Whether the table of outputs is part of it.

    Returns
    -------
    dict
        Ready for JSON.
    """
    from polymode.diagnostics.diagnosis.report import SCHEMA_VERSION

    head = {
        "schema_version": SCHEMA_VERSION,
        "script": "polymode diagnose",
        "environment": environment(),
    }
    skipped = {"settings"} if outputs else {"settings", "outputs"}
    found = {f.name: getattr(report, f.name) for f in fields(report) if f.name not in skipped}
    return json_ready(head | {"settings": report.settings.to_dict()} | found)


def prompt_frame(report: "Report") -> Any:
    """Return the numbers of each prompt as a frame, worst first.

    Parameters
    ----------
    report : Report
        The report.

    Returns
    -------
    pandas.DataFrame
        One row for each prompt, those that keep the smallest share of their good modes first. An
        estimate has three columns: its value, and its name with ``_low`` and ``_high``.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError("pandas") from None
    table, reliability = report.prompts, report.reliability
    columns: dict[str, Any] = {
        "prompt": list(table.texts),
        "verdict": list(table.verdicts),
        "reliable": reliability.reliable,
        "n_samples": table.n_samples,
        "n_outputs": table.n_outputs,
        "n_modes": table.n_modes,
        "n_good_modes_seen": table.n_good_modes_seen,
        "group_size": table.group_size,
    }
    for name in ("kept", "n_good_modes", "reference_bias", "reward_gaps", "optimiser", "left"):
        estimate = getattr(table.budget, name)
        if estimate is not None:
            columns |= _spread(name, estimate)
    for policy, figures in table.figures.items():
        for name, estimate in figures.items():
            columns |= _spread(f"{policy}_{name}", estimate)
    for name in ("ess", "pareto_k", "coverage", "target_coverage", "seen_mass"):
        columns[name] = getattr(reliability, name)
    return pd.DataFrame(columns).sort_values("kept", kind="stable", na_position="last")


def _spread(name: str, estimate: Any) -> dict[str, Any]:
    """Return the three columns of an estimate."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
