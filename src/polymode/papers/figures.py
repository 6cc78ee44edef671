"""The figures of the MARA paper by number: results that JSON keeps and `polymode.plots` draws."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from polymode.papers import optima
from polymode.papers.plateaus import Progress, plateaus
from polymode.papers.settings import TRAINED, FigureSettings

SCRIPT = "polymode paper figures"

_EXACT: Mapping[int, Callable[[], dict[str, Any]]] = {
    2: optima.equal_mass,
    3: optima.reward_gap,
    4: optima.reference_bias,
    6: optima.anchoring,
}


def figure_result(number: int, settings: FigureSettings, progress: Progress) -> dict[str, Any]:
    """Return all numbers of a figure, with what they came from."""
    trains = number == TRAINED
    packages = ["polymode", "numpy", "scipy", "matplotlib"] + ["torch"] * trains
    numbers = plateaus(settings, progress) if trains else _EXACT[number]()
    return {
        "schema_version": 1,
        "script": SCRIPT,
        "figure": number,
        "environment": {"python": platform.python_version()} | _versions(packages),
        "seed": settings.seed if trains else None,
        "settings": asdict(settings) if trains else {},
        **numbers,
    }


def _versions(packages: list[str]) -> dict[str, str]:
    """Versions by package; one that runs from its sources has none."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
