"""A report as plain data, for JSON, and as a frame."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from polymode.diagnostics.diagnosis.settings import DiagnosisSettings
from polymode.diagnostics.results import environment
from polymode.errors import MissingExtraError

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
    skipped = set[str]() if outputs else {"outputs"}
    return head | {
        field.name: _plain(getattr(report, field.name))
        for field in fields(report)
        if field.name not in skipped
    }


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


def _plain(value: Any) -> Any:
    """Return a value in what JSON knows: None stands for numbers that are not finite."""
    if isinstance(value, DiagnosisSettings):
        return _plain(value.to_dict())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast(Any, value).items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in cast(Any, value)]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return None if isinstance(value, float) and not math.isfinite(value) else value
