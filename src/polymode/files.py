"""Files that are there as a whole or not at all, and values as JSON has them."""

import contextlib
import json
import math
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

__all__ = ["json_ready", "whole_file", "write_json", "write_text"]


@contextlib.contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """Give a path to write to, which takes the place of another when all is written.

    Parameters
    ----------
    path : Path
        The file that is to be there; its folder is made. What was there stays until then, also
        where writing fails or the process is killed.

    Yields
    ------
    Path
        A hidden file beside it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "result.txt"
    >>> with whole_file(path) as scratch:
    ...     _ = scratch.write_text("all of it")
    ...     path.exists()
    False
    >>> path.read_text()
    'all of it'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write text as a whole file.

    Parameters
    ----------
    path : Path
        Where to.
    text : str
        What.

    Returns
    -------
    Path
        The path.
    """
    with whole_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> Path:
    """Write JSON as a whole file.

    Parameters
    ----------
    path : Path
        Where to.
    value : object
        What `json` can write; see `json_ready` for all else.
    indent : int or None
        Spaces of a level; None writes one line.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    ValueError
        If a number is not finite: JSON has none such.
    """
    return write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def json_ready(value: Any) -> Any:
    """Return a value as JSON has it.

    Parameters
    ----------
    value : object
        Mappings, sequences, arrays and dataclasses of plain values; others count as their text.

    Returns
    -------
    object
        Dictionaries with string keys, lists and plain values; None stands for a number that is not
        finite.

    Examples
    --------
    >>> json_ready({1: (0.5, float("nan"))})
    {'1': [0.5, None]}
    """
    if is_dataclass(value):
        names = [field.name for field in fields(cast(Any, value))]
        return {name: json_ready(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in cast(Any, value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [json_ready(item) for item in cast(Any, value)]
    if hasattr(value, "tolist"):  # of NumPy or torch
        return json_ready(cast(Any, value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
