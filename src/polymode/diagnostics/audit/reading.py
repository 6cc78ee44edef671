"""From whatever a configuration is given as to `Settings`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from polymode.diagnostics.audit.commands import (
    override_settings,
    script_settings,
    word_settings,
)
from polymode.diagnostics.audit.documents import document_settings
from polymode.diagnostics.audit.settings import Setting, Settings, Source, flatten
from polymode.errors import ArgumentError, InputError

__all__ = ["read_settings"]

_DOCUMENTS = (".yaml", ".yml", ".json", ".toml")
_SCRIPTS = (".sh", ".bash", ".slurm", ".sbatch", ".txt")


def read_settings(config: Any, overrides: Sequence[str] = ()) -> Settings:
    """Return the settings of a configuration, as given: without defaults.

    Parameters
    ----------
    config : path, mapping, config object, or sequence of str
        A YAML, JSON or TOML file, a shell script with the command that starts the run, a mapping
        (nested, or with dotted keys), a dataclass or namespace of options, or the words of a
        command line.
    overrides : sequence of str
        ``key=value`` or ``--key value``, over what the config says.

    Returns
    -------
    Settings
        With dotted keys.

    Raises
    ------
    ArgumentError
        If `config` is nothing of the above.
    InputError
        If a file cannot be read, or holds no configuration.
    MissingExtraError
        If it is YAML and ruamel.yaml is not installed.
    """
    settings = _with_files(_read(config))
    if not overrides:
        return settings
    laid = override_settings(overrides).over(settings)
    return replace(laid, name=settings.name, program=settings.program)


def _read(config: Any) -> Settings:
    """Return the settings of one source."""
    if isinstance(config, Settings):
        return config
    if isinstance(config, str | os.PathLike):
        return _read_file(Path(config))
    if hasattr(config, "keys") and hasattr(config, "__getitem__"):  # OmegaConf's are no Mapping
        values = {str(key): config[key] for key in config.keys()}  # noqa: SIM118
        name = type(config).__name__
        return Settings.from_mapping(_plain_mapping(values), Source("object", name), name=name)
    if is_dataclass(config) and not isinstance(config, type):
        return _read_dataclass(config)
    if isinstance(config, Sequence) and all(isinstance(word, str) for word in config):
        return word_settings(list(config))
    if hasattr(config, "__dict__") and not callable(config):
        name = type(config).__name__
        return Settings.from_mapping(vars(config), Source("object", name), name=name, program=name)
    raise ArgumentError(
        "config must be a path, a mapping, a config object or the words of a command line, got "
        f"{type(config).__name__}"
    )


def _read_file(path: Path) -> Settings:
    """Return the settings of a file, by its ending."""
    if path.suffix in _SCRIPTS:
        return script_settings(path)
    if path.suffix in _DOCUMENTS or path.is_dir() or not path.exists():
        return document_settings(path)
    listed = ", ".join((*_DOCUMENTS, *_SCRIPTS[:1]))
    raise InputError(f"{path} must end in one of {listed}, to tell what it is")


def _with_files(settings: Settings) -> Settings:
    """Lay options of a command over the file that it names with --config."""
    named = settings.setting("config")
    if named is None or not isinstance(named.value, str) or not settings.program:
        return settings
    path = Path(named.value)
    if named.source.kind == "file" and not path.exists():
        path = Path(named.source.where).parent / path
    if path.suffix not in _DOCUMENTS:
        return settings
    own = {key: item for key, item in settings.items_by_key.items() if key != "config"}
    return replace(settings, items_by_key=own).over(document_settings(path))


def _plain_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return mappings of other libraries as dicts, all the way down."""
    plain: dict[str, Any] = {}
    for key, value in values.items():
        nested = hasattr(value, "keys") and hasattr(value, "__getitem__")
        items = {str(k): value[k] for k in value.keys()} if nested else {}  # noqa: SIM118
        plain[key] = _plain_mapping(items) if nested else value
    return plain


def _read_dataclass(config: Any) -> Settings:
    """Return the fields of a config object; what equals its default counts as default."""
    name = type(config).__name__
    given, default = Source("object", name), Source("default", name)
    found: dict[str, Setting] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        standard = field.default
        if standard is MISSING and field.default_factory is not MISSING:
            standard = field.default_factory()
        source = default if type(value) is type(standard) and value == standard else given
        for key, item in flatten({field.name: value}).items():
            found[key] = Setting(key, item, source)
    return Settings(found, name, name)
