"""Defaults of TRL's configs: of the installed release from its own files, of others from a table.

Sources are parsed and never run: importing TRL takes five seconds. `tools/trl_defaults.py` writes
the table, which knows when each option came, went, and changed its default.
"""

import ast
import importlib.metadata
import importlib.resources
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "CONFIGS",
    "REMOVED",
    "Kind",
    "dataclass_defaults",
    "defaults_of",
    "first_release",
    "history_of",
    "installed_release",
    "newest_release",
    "release_number",
]

Kind = Literal["grpo", "rloo"]

CONFIGS: Mapping[Kind, tuple[str, str]] = {
    "grpo": ("trainer/grpo_config.py", "GRPOConfig"),
    "rloo": ("trainer/rloo_config.py", "RLOOConfig"),
}
"""File and class of each config, in TRL's package."""

REMOVED = "removed"
"""What the table says of an option from the release on that no longer has it."""

_FIRST: Mapping[Kind, str] = {"grpo": "0.14.0", "rloo": "0.22.0"}
_BASES = (
    ("transformers", "training_args.py", "TrainingArguments"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
)


def release_number(version: str) -> tuple[int, ...]:
    """Return a version as numbers that compare: "1.10.0.dev0" is (1, 10, 0).

    Parameters
    ----------
    version : str
        As released.

    Returns
    -------
    tuple of int
        Its leading numbers.

    Examples
    --------
    >>> release_number("1.9.2") < release_number("1.10.0.dev0")
    True
    """
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def newest_release() -> str:
    """Return the newest release in the table.

    Returns
    -------
    str
        Its version.
    """
    return _table()["releases"][-1]


def first_release(kind: Kind) -> str:
    """Return the first release that had this trainer as it is read here.

    Parameters
    ----------
    kind : {"grpo", "rloo"}
        Which trainer.

    Returns
    -------
    str
        Its version.
    """
    return _FIRST[kind]


def defaults_of(kind: Kind, version: str) -> tuple[dict[str, Any], str]:
    """Return the defaults of a release, and whose they are.

    Parameters
    ----------
    kind : {"grpo", "rloo"}
        Which config.
    version : str
        Which release.

    Returns
    -------
    defaults : dict
        Options to values; without what transformers' options default to, unless TRL is installed
        in that version.
    whose : str
        "TRL 1.16.0".
    """
    if installed_release() == version:
        found = dict(_installed_defaults(kind))
        if found:
            return found, f"TRL {version}"
    wanted = release_number(version)
    found = {
        key: values[release]
        for key, values in history_of(kind).items()
        if (release := _latest(values, wanted)) is not None and values[release] != REMOVED
    }
    known = [r for r in _table()["releases"] if release_number(r) <= wanted]
    source = known[-1] if known else _table()["releases"][0]
    return found, f"TRL {version}" if source == version else f"TRL {source} (read for {version})"


def history_of(kind: Kind) -> Mapping[str, Mapping[str, Any]]:
    """Return for each option the releases that set its default, oldest first, and to what.

    Parameters
    ----------
    kind : {"grpo", "rloo"}
        Which config.

    Returns
    -------
    mapping
        Options to releases to values; `REMOVED` where an option went.
    """
    return _table()[kind]


def installed_release() -> str | None:
    """Return the version of TRL that is installed, or None.

    Returns
    -------
    str or None
        The version.
    """
    try:
        return importlib.metadata.version("trl")
    except importlib.metadata.PackageNotFoundError:
        return None


def dataclass_defaults(source: str, name: str) -> dict[str, Any]:
    r"""Return the constant defaults of a dataclass, None where a default is no constant.

    Parameters
    ----------
    source : str
        Text of the module.
    name : str
        Name of the class.

    Returns
    -------
    dict
        Its own fields, without those that it inherits.

    Examples
    --------
    >>> dataclass_defaults("class C:\n    beta: float = field(default=0.1)", "C")
    {'beta': 0.1}
    """
    classes = [n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == name]
    return dict(_fields(classes[0])) if classes else {}


def _fields(body: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Yield the annotated fields of a class."""
    for item in body.body:
        if not (isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)):
            continue
        value = item.value
        if isinstance(value, ast.Call):
            value = next((k.value for k in value.keywords if k.arg == "default"), None)
        try:
            yield item.target.id, None if value is None else ast.literal_eval(value)
        except ValueError:
            yield item.target.id, None


@lru_cache
def _table() -> Mapping[str, Any]:
    """Return the bundled table."""
    folder = importlib.resources.files("polymode.diagnostics.audit.frameworks") / "defaults"
    return json.loads((folder / "trl.json").read_text(encoding="utf-8"))


def _latest(values: Mapping[str, Any], wanted: tuple[int, ...]) -> str | None:
    """Return the last release of a history that is not newer than the wanted one."""
    past = [release for release in values if release_number(release) <= wanted]
    return past[-1] if past else None


@lru_cache
def _installed_defaults(kind: Kind) -> Mapping[str, Any]:
    """Return the defaults of the installed config, those that it inherits included."""
    file, name = CONFIGS[kind]
    found: dict[str, Any] = {}
    for package, path, owner in (*_BASES, ("trl", file, name)):
        text = _installed_text(package, path)
        found |= dataclass_defaults(text, owner) if text else {}
    return found if "beta" in found else {}


def _installed_text(package: str, path: str) -> str:
    """Return the text of a file of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    paths = [Path(folder) / path for folder in folders]
    return next((p.read_text(encoding="utf-8") for p in paths if p.is_file()), "")
