"""Defaults of a framework: read where it is installed, else from the table that comes with us."""

import importlib.metadata
import importlib.resources
import importlib.util
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from polymode.diagnostics.audit.frameworks.sources import EXTRACTORS, Options

__all__ = ["bundled_options", "bundled_version", "options_of", "release"]

_FOLDER = "defaults"


def bundled_version(framework: str) -> str:
    """Return the version whose defaults come with us.

    Parameters
    ----------
    framework : str
        Name of the table.

    Returns
    -------
    str
        As released.
    """
    return _table(framework)["version"]


def bundled_options(framework: str) -> Options:
    """Return the options in the table that comes with us.

    Parameters
    ----------
    framework : str
        Name of the table.

    Returns
    -------
    Options
        With defaults.
    """
    table = _table(framework)
    switches, several = tuple(table.get("switches", ())), tuple(table.get("several", ()))
    return Options(table["defaults"], switches, several)


def options_of(framework: str, title: str, *, version: str, file: str) -> tuple[Options, str]:
    """Return the options of a version, and whose they are.

    Parameters
    ----------
    framework : str
        Name of the table and of the package to import.
    title : str
        As the makers of the framework write it.
    version : str
        Which one is wanted.
    file : str
        Where the installed package keeps them, from its folder; empty where it does not.

    Returns
    -------
    options : Options
        Of the installed package if it has that version, else those that come with us.
    whose : str
        ``verl 0.9.1``, or ``verl 0.9.1 (bundled; not 0.8.0)``.
    """
    path = _installed_file(framework, file)
    if path is not None and _installed_version(framework) == version:
        return _read(framework, path), f"{title} {version}"
    newest = bundled_version(framework)
    whose = f"{title} {newest}" + ("" if version == newest else f" (bundled; not {version})")
    return bundled_options(framework), whose


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparisons.

    Parameters
    ----------
    version : str
        As released.

    Returns
    -------
    tuple of int
        Up to the first part that is no number.

    Examples
    --------
    >>> release("0.10.0.dev1") > release("0.9.1")
    True
    """
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


@lru_cache
def _table(framework: str) -> Mapping[str, Any]:
    """Return a bundled table."""
    folder = importlib.resources.files(__package__ or "") / _FOLDER
    return json.loads((folder / f"{framework}.json").read_text(encoding="utf-8"))


@lru_cache
def _read(framework: str, path: Path) -> Options:
    """Return the options in a file of an installed package."""
    return EXTRACTORS[framework](path.read_text(encoding="utf-8"))


def _installed_version(package: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed_file(package: str, file: str) -> Path | None:
    """Return a file of an installed package, found without importing it, or None."""
    spec = importlib.util.find_spec(package) if file else None
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    paths = [Path(folder) / file for folder in folders]
    return next((path for path in paths if path.is_file()), None)
