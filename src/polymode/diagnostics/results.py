"""A comparison as plain data, for JSON."""

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from polymode.diagnostics.comparison import Compared, Comparison
from polymode.diagnostics.figures import FIGURES
from polymode.files import json_ready

__all__ = ["SCHEMA_VERSION", "comparison_dict", "environment"]

SCHEMA_VERSION = 1


def environment() -> dict[str, str]:
    """Return the versions that the numbers of a comparison depend on.

    Returns
    -------
    dict
        Name to version.
    """
    found = {"python": platform.python_version()}
    for name in ("polymode", "numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def comparison_dict(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data.

    Parameters
    ----------
    comparison : Comparison
        What was compared.

    Returns
    -------
    dict
        All numbers, without completions; None stands for what is not known.
    """
    return json_ready(
        {
            "schema_version": SCHEMA_VERSION,
            "script": "polymode compare",
            "environment": environment(),
            "settings": asdict(comparison.settings),
            "shared_prompts": comparison.shared,
            "runs": [_run(found) for found in comparison.runs],
            "pairs": [asdict(pair) for pair in comparison.pairs],
            "notes": comparison.notes,
        }
    )


def _run(found: Compared) -> dict[str, Any]:
    """Return one run."""
    run, prompts = found.run, found.prompts
    return {
        "name": run.name,
        "kind": run.kind,
        "path": str(run.path),
        "n_prompts": 0 if prompts is None else len(prompts.keys),
        "figures": {name: asdict(value) for name, value in found.figures.items()},
        "resampled": found.resampled,
        "on_front": found.on_front,
        "front_share": found.front_share,
        "found": None if run.found is None else asdict(run.found),
        "promise": None if run.promise is None else asdict(run.promise),
        "curves": [asdict(curve) for curve in run.curves],
        "prompts": []
        if prompts is None
        else [
            {"key": key, "n_samples": n, **dict(zip(FIGURES, row, strict=True))}
            for key, n, row in zip(
                prompts.keys, prompts.n_samples.tolist(), prompts.values.tolist(), strict=True
            )
        ],
    }
