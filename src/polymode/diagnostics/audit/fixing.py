"""A corrected copy of a configuration: its comments, order and quotes stay."""

import io
import json
from collections.abc import Mapping, MutableMapping
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from polymode.diagnostics.audit.documents import read_text
from polymode.errors import InputError, MissingExtraError

__all__ = ["corrected"]

_YAML = (".yaml", ".yml")


def corrected(path: Path, changes: Mapping[str, Any]) -> str:
    """Return the text of a YAML configuration with some options changed.

    Parameters
    ----------
    path : Path
        The file, which stays as it is.
    changes : mapping of str to object
        Dotted keys to new values; options that the file does not have are added.

    Returns
    -------
    str
        The corrected text.

    Raises
    ------
    InputError
        If it is no YAML, or an option lies below something that is no mapping.
    MissingExtraError
        If ruamel.yaml is not installed.
    """
    if path.suffix not in _YAML:
        listed = ", ".join(f"{key}={json.dumps(value)}" for key, value in changes.items())
        raise InputError(f"{path} is no YAML: only that is corrected; change by hand {listed}")
    try:
        from ruamel.yaml import YAML
    except ImportError:
        raise MissingExtraError("ruamel.yaml", "app") from None
    text = read_text(path)
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 2**16  # lines are the author's to break
    yaml.allow_duplicate_keys = False
    yaml.indent(mapping=2, sequence=_sequence_indent(text), offset=_sequence_indent(text) - 2)
    content = yaml.load(text)
    for key, value in changes.items():
        _set(content, key, value, str(path))
    out = io.StringIO()
    yaml.dump(content, out)
    return out.getvalue()


def _set(content: Any, key: str, value: Any, name: str) -> None:
    """Set a dotted key, also where the file spells it with dots."""
    if key in content:
        content[key] = value
        return
    *parents, last = key.split(".")
    for parent in parents:
        below = content.get(parent)
        if below is None:
            content[parent] = below = {}
        if not isinstance(below, MutableMapping):
            raise InputError(f"{name}: {parent} must be a mapping to hold {key}")
        content = cast(Any, below)
    content[last] = value


def _sequence_indent(text: str) -> int:
    """Return how far the items of lists are indented: 2 or 4 columns, dash included."""
    lines = text.splitlines()
    for above, line in pairwise(lines):
        if line.lstrip().startswith("- ") and above.rstrip().endswith(":"):
            inner = len(line) - len(line.lstrip())
            return 4 if inner > len(above) - len(above.lstrip()) else 2
    return 2
