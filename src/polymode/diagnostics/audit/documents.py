"""YAML, JSON and TOML as settings with their lines; nothing in a file is ever constructed.

YAML is read as far as its nodes, which know their lines, and no further: a tag that would make an
object of anything is refused, and so is a file that unfolds into more than it shows.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polymode.diagnostics.audit.settings import Setting, Settings, Source, flatten
from polymode.diagnostics.audit.values import plain_value
from polymode.errors import InputError, MissingExtraError

__all__ = ["MAX_BYTES", "document_settings", "read_text", "yaml_value"]

MAX_BYTES = 1_000_000
"""Longest file that is read; configurations are a thousand times shorter."""

_MAX_VALUES = 20_000
_MAX_DEPTH = 40
_MAX_BRACKETS = 400
_BRACKET = re.compile(r"[\[\]{}]")
_STANDARD = "tag:yaml.org,2002:"
_PLAIN = {f"{_STANDARD}{name}" for name in ("null", "bool", "int", "float", "str", "timestamp")}
_KINDS = {*_PLAIN, f"{_STANDARD}map", f"{_STANDARD}seq", f"{_STANDARD}merge"}


def read_text(path: Path) -> str:
    """Return the text of a configuration.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        Its text.

    Raises
    ------
    InputError
        If there is no such file, or it is no text, or far too long.
    """
    if path.is_dir():
        raise InputError(f"{path} must be a file, and is a directory")
    if path.exists() and not path.is_file():  # reading a pipe or a device may never end
        raise InputError(f"{path} must be a file, and is a pipe or a device")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} has more than {MAX_BYTES // 10**6} MB: that is no configuration")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: {error.reason} at byte {error.start}") from error
    if "\0" in text:
        raise InputError(f"{path} is no text: there are zero bytes in it")
    return text


def document_settings(path: Path) -> Settings:
    """Return the settings of a YAML, JSON or TOML file.

    Parameters
    ----------
    path : Path
        The file; its ending tells what it is.

    Returns
    -------
    Settings
        With dotted keys; those of YAML know their lines.

    Raises
    ------
    InputError
        If it cannot be read, or holds no mapping.
    MissingExtraError
        If it is YAML and ruamel.yaml is not installed.
    """
    text = read_text(path)
    name = str(path)
    if path.suffix in (".yaml", ".yml"):
        return Settings(_yaml_settings(text, name), name)
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        flat = flatten(values) if isinstance(values, Mapping) else None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no {path.suffix[1:].upper()}: {_one_line(error)}") from error
    if flat is None:
        kind = "a list" if isinstance(values, list) else "a single value"
        raise InputError(f"{path} must hold a mapping of options, got {kind}")
    places = {key: Source("file", name, _line_of(text, key)) for key in flat}
    return Settings({key: Setting(key, value, places[key]) for key, value in flat.items()}, name)


def yaml_value(text: str) -> Any:
    """Return the value of a text in YAML's short form: ``[a, b]``, ``{"top_p": 0.9}`` or a word.

    Parameters
    ----------
    text : str
        One line.

    Returns
    -------
    object
        Plain values, lists and mappings; the text itself where it is no YAML.
    """
    if text[:1] not in ("[", "{"):
        return plain_value(text)
    try:
        return _Nodes("command line").plain(_compose(text, "command line"))
    except InputError:
        return text


def _yaml_settings(text: str, name: str) -> dict[str, Setting]:
    """Return the settings of a YAML text by their dotted keys."""
    root = _compose(text, name)
    if root is None or not _is_mapping(root):
        raise InputError(f"{name} must hold a mapping of options, got {_node_kind(root)}")
    found: dict[str, Setting] = {}
    for setting in _Nodes(name).settings(root):
        found.setdefault(setting.key, setting)
    return found


def _compose(text: str, name: str) -> Any:
    """Return the root node of a YAML text."""
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        raise MissingExtraError("ruamel.yaml", "app") from None
    if _bracket_depth(text) > _MAX_BRACKETS:  # the parser would take minutes to fail
        raise InputError(f"{name} is nested more than {_MAX_DEPTH} deep")
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name} is no YAML: {_one_line(error)}") from error


def _bracket_depth(text: str) -> int:
    """Return how deep brackets are nested, without a look at quotations."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth = depth + 1 if bracket in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


class _Nodes:
    """Unfolds the nodes of one file, and counts: aliases can stand for more than a file holds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_seen = 0

    def settings(self, node: Any, prefix: str = "", depth: int = 0) -> Iterator[Setting]:
        """Yield the settings of a mapping, its own before those that it merges in."""
        self._enter(node, depth)
        merged: list[Any] = []
        seen: set[str] = set()
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == f"{_STANDARD}merge":
                merged += value.value if _is_list(value) else [value]
                continue
            key = self._key(key_node, seen)
            if _is_mapping(value) and value.value:
                yield from self.settings(value, f"{prefix}{key}.", depth + 1)
            else:
                source = Source("file", self.name, line)
                yield Setting(f"{prefix}{key}", self.plain(value, depth + 1), source)
        for other in merged:
            if _is_mapping(other):
                yield from self.settings(other, prefix, depth + 1)

    def plain(self, node: Any, depth: int = 0) -> Any:
        """Return the plain value of a node."""
        self._enter(node, depth)
        if _is_mapping(node):
            return {str(k.value): self.plain(value, depth + 1) for k, value in node.value}
        if _is_list(node):
            return [self.plain(item, depth + 1) for item in node.value]
        quoted = node.style in ("'", '"', "|", ">")
        return node.value if quoted else plain_value(node.value)

    def _enter(self, node: Any, depth: int) -> None:
        """Refuse what asks for more than plain values, and what has no end."""
        self.n_seen += 1
        if node.tag not in _KINDS:
            line = node.start_mark.line + 1
            tag = str(node.tag).replace(_STANDARD, "!!")
            raise InputError(
                f"{self.name}:{line}: tag {tag} is refused: only plain values are read"
            )
        if depth > _MAX_DEPTH:
            raise InputError(f"{self.name} is nested more than {_MAX_DEPTH} deep")
        if self.n_seen > _MAX_VALUES:
            raise InputError(f"{self.name} unfolds into more than {_MAX_VALUES:,} values")

    def _key(self, node: Any, seen: set[str]) -> str:
        """Return a key, which must be a word that did not stand before."""
        self._enter(node, 0)
        line = node.start_mark.line + 1
        if not isinstance(node.value, str):
            raise InputError(f"{self.name}:{line}: a key must be a word, got {_node_kind(node)}")
        if node.value in seen:
            raise InputError(f"{self.name}:{line}: key {node.value!r} stands twice")
        seen.add(node.value)
        return node.value


def _is_mapping(node: Any) -> bool:
    """Return whether a node is a mapping."""
    return type(node).__name__ == "MappingNode"


def _is_list(node: Any) -> bool:
    """Return whether a node is a list."""
    return type(node).__name__ == "SequenceNode"


def _node_kind(node: Any) -> str:
    """Name what a node is."""
    if node is None:
        return "nothing"
    return "a mapping" if _is_mapping(node) else "a list" if _is_list(node) else "a text"


def _line_of(text: str, key: str) -> int | None:
    """Return the first line of JSON or TOML that names the last part of a key."""
    last = re.escape(key.rpartition(".")[2])
    found = re.search(rf"""^\s*["']?{last}["']?\s*[:=]""", text, re.MULTILINE)
    return None if found is None else text.count("\n", 0, found.end()) + 1


def _one_line(error: BaseException) -> str:
    """Return a message on one line."""
    return " ".join(str(error).split())
