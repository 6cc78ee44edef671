"""Configurations as TOML: files, presets that ship with polymode, overrides, and writing them."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from polymode.chemistry.learner.config import ChemistryConfig, check_config
from polymode.core.checks import did_you_mean
from polymode.errors import InputError

__all__ = ["preset_names", "preset_text", "read_config", "read_preset", "to_toml"]

_PRESETS = "polymode.chemistry.learner.presets"


def read_config(path: Path, overrides: tuple[str, ...] = ()) -> ChemistryConfig:
    """Return the configuration of a TOML file.

    Parameters
    ----------
    path : Path
        The file.
    overrides : tuple of str
        ``section.key=value``, in TOML, on top of the file.

    Raises
    ------
    InputError
        If the file cannot be read, or is no TOML, or an override is none.
    ConfigError
        If anything in it is wrong; lists everything.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"config {path} cannot be read: {error}") from error
    return _checked(text, str(path), overrides)


def read_preset(name: str, overrides: tuple[str, ...] = ()) -> ChemistryConfig:
    """Return a configuration that ships with polymode.

    Parameters
    ----------
    name : str
        One of `preset_names`.
    overrides : tuple of str
        As for `read_config`.

    Raises
    ------
    InputError, ConfigError
        As `read_config` does, or if there is no such preset.
    """
    return _checked(preset_text(name), f"preset {name}", overrides)


def preset_names() -> list[str]:
    """Return the names of the presets."""
    found = files(_PRESETS).iterdir()
    return sorted(each.name.removesuffix(".toml") for each in found if each.name.endswith(".toml"))


def preset_text(name: str) -> str:
    """Return a preset as it is written.

    Parameters
    ----------
    name : str
        One of `preset_names`.

    Raises
    ------
    InputError
        If there is no such preset.
    """
    names = preset_names()
    if name not in names:
        hint = did_you_mean(name, names)
        raise InputError(f"preset must be one of {', '.join(names)}, got {name!r}{hint}")
    return (files(_PRESETS) / f"{name}.toml").read_text("utf-8")


def to_toml(content: Mapping[str, Any]) -> str:
    """Return a nested mapping as TOML.

    Parameters
    ----------
    content : mapping
        Strings, numbers, booleans, and mappings and lists of those; None is left out.
    """
    return "\n".join(_lines(content, ())).lstrip("\n") + "\n"


def _checked(text: str, owner: str, overrides: tuple[str, ...]) -> ChemistryConfig:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{owner} is no TOML: {error}") from error
    for override in overrides:
        _apply(content, override)
    return check_config(content, owner=owner)


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one value of the content; numbers among the keys count components."""
    key, equals, value = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise InputError(f"an override must read section.key=value, got {override!r}")
    here: Any = content
    for part in parts[:-1]:
        here = _below(here, part, override)
    if isinstance(here, list):
        raise InputError(f"override {override!r}: name a key behind the number")
    here[parts[-1]] = _value(value.strip())


def _below(here: Any, part: str, override: str) -> Any:
    """Return the section or the list entry of a name."""
    if isinstance(here, list) and part.isdigit() and int(part) < len(here):
        below = here[int(part)]
    elif isinstance(here, dict):
        below = here.setdefault(part, {})
    else:
        below = None
    if not isinstance(below, dict | list):
        raise InputError(f"override {override!r}: {part} is no section")
    return below


def _value(text: str) -> Any:
    """Return a TOML value; what is none is taken as a string without quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield a table's own values first, then the tables in it."""
    given = {key: value for key, value in table.items() if value is not None}
    tables = {key: value for key, value in given.items() if _is_table(value)}
    if path and (len(tables) < len(given) or not given):
        yield f"\n[{'.'.join(path)}]"
    for key, value in given.items():
        if key not in tables:
            yield f"{_key(key)} = {_inline(value)}"
    for key, value in tables.items():
        below = (*path, _key(key))
        if isinstance(value, Mapping):
            yield from _lines(value, below)
            continue
        for entry in value:
            yield f"\n[[{'.'.join(below)}]]"
            yield from (f"{_key(k)} = {_inline(v)}" for k, v in entry.items() if v is not None)


def _is_table(value: Any) -> bool:
    """Whether a value is written under a head of its own."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(each, Mapping) for each in value)
    return isinstance(value, Mapping)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = (f"{_key(k)} = {_inline(v)}" for k, v in value.items() if v is not None)
        return f"{{ {', '.join(inside)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, float):
        return repr(value)  # TOML writes inf and nan as Python does
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "a").replace("-", "a").isalnum()
    return key if bare else json.dumps(key)
