"""Demo runs: exact distributions over answers, and what each objective promised."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polymode.diagnostics.records import Curve, Exact, Promise, Run
from polymode.errors import InputError

__all__ = ["demo_runs"]


def demo_runs(path: Path) -> list[Run]:
    """Return the three models of a demo: base, plain, anchored.

    Parameters
    ----------
    path : Path
        The `result.json` of `polymode demo`.

    Returns
    -------
    list of Run
        Their figures are exact; the trained ones have curves and a promise.

    Raises
    ------
    InputError
        If the file is not the result of a demo.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["schema_version"] != 1:
            version = result["schema_version"]
            raise InputError(f"{path} must have schema_version 1, got {version!r}")
        task = result["settings"]["task"]
        base = Run("base", "demo", path.parent, _exact(task, result["base"]["exact"]))
        return [base, *(_trained(name, run, task, path) for name, run in result["runs"].items())]
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is not the result of `polymode demo` ({reason})") from error


def _exact(task: str, measured: Mapping[str, Any]) -> Exact:
    """Return an exact distribution."""
    values = tuple(float(p) for p in measured["probabilities"].values())
    return Exact(f"demo task {task}", f"demo task {task}", values)


def _trained(name: str, run: Mapping[str, Any], task: str, path: Path) -> Run:
    """Return one of the two trained models."""
    promised, measured = run["promised"]["probabilities"], run["measured"]["exact"]
    promise = Promise(
        tuple(measured["probabilities"]),
        tuple(float(promised[answer]) for answer in measured["probabilities"]),
        tuple(map(float, measured["probabilities"].values())),
        float(run["total_variation_to_promise"]),
    )
    return Run(name, "demo", path.parent, _exact(task, measured), _curves(run["history"]), promise)


def _curves(history: list[Mapping[str, Any]]) -> tuple[Curve, ...]:
    """Return reward, diversity and KL by step."""
    steps = tuple(int(row["step"]) for row in history)
    if not steps:
        return ()
    columns = {
        "reward": [float(row["answers/frac_valid"]) for row in history],
        "effective_modes": [_effective(row) for row in history],
    }
    curves = [
        Curve("reward", steps, tuple(columns["reward"])),
        Curve("effective_modes", steps, tuple(columns["effective_modes"])),
    ]
    kl = [(step, float(row["kl"])) for step, row in zip(steps, history, strict=True) if "kl" in row]
    if kl:
        curves.append(Curve("kl", *map(tuple, zip(*kl, strict=True))))
    return tuple(curves)


def _effective(row: Mapping[str, Any]) -> float:
    """Return the effective number of answers of one step."""
    mass = [v for k, v in row.items() if k.startswith("answers/") and k != "answers/frac_valid"]
    total = sum(mass)
    if total <= 0:
        return 0.0
    return math.exp(-sum(m / total * math.log(m / total) for m in mass if m > 0))
