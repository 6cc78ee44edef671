"""Cells of a column checked: numbers, texts, modes, and why the others are none.

Every function takes a column of a chunk and returns its values with a mapping from the position of
each bad cell to `(reason, detail)`. The value at such a place means nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from polymode.diagnostics.recorded.tally import excerpt
from polymode.diagnostics.runs.columns import mode_name, text_of

__all__ = ["CHECKS", "LARGEST", "Cells", "numbers_of"]

LARGEST = 1e100
"""Numbers beyond it are no measurements, and their squares have no sum."""

_ROUNDING = 1e-4
"""How far above 0, in nats, a log-probability may be that was summed in float32 or bfloat16."""

Bad = dict[int, tuple[str, str]]


class Cells(NamedTuple):
    """A column after its check.

    Parameters
    ----------
    values : array or list
        One value for each row; meaningless in a bad one.
    bad : dict of int to tuple
        From the position of each bad cell to reason and detail.
    """

    values: Any
    bad: Bad


def rewards(name: str, values: Sequence[Any], *, as_text: bool) -> Cells:
    """Return rewards as floats.

    Parameters
    ----------
    name : str
        How the column is called in reasons.
    values : sequence
        The cells.
    as_text : bool
        Whether numbers are written as text.

    Returns
    -------
    Cells
        An array of floats.
    """
    numbers, bad = numbers_of(name, values, as_text=as_text)
    tests = {
        "is NaN": np.isnan(numbers),
        "is infinite": np.isinf(numbers),
        f"is beyond {LARGEST:g} in size": np.abs(numbers) > LARGEST,
    }
    for reason, found in tests.items():
        for row in np.flatnonzero(found).tolist():
            bad.setdefault(row, (f"{name} {reason}", excerpt(values[row])))
    return Cells(numbers, bad)


def log_probabilities(name: str, values: Sequence[Any], *, as_text: bool) -> Cells:
    """Return log-probabilities in nats as floats, none above 0.

    Parameters
    ----------
    name, values, as_text
        As `rewards` takes them.

    Returns
    -------
    Cells
        An array of floats; what rounding put above 0 is 0.
    """
    numbers, bad = rewards(name, values, as_text=as_text)
    for row in np.flatnonzero(numbers > _ROUNDING).tolist():
        bad.setdefault(row, (f"{name} is positive", excerpt(values[row])))
    return Cells(np.minimum(numbers, 0.0), bad)


def whole(name: str, values: Sequence[Any], *, as_text: bool) -> Cells:
    """Return numbers that are whole and not negative.

    Parameters
    ----------
    name, values, as_text
        As `rewards` takes them.

    Returns
    -------
    Cells
        An array of int64.
    """
    numbers, bad = numbers_of(name, values, as_text=as_text)
    fine = (numbers >= 0) & (numbers < 2**53) & (numbers == np.floor(numbers))
    for row in np.flatnonzero(~fine).tolist():
        bad.setdefault(row, (f"{name} is not a whole number >= 0", excerpt(values[row])))
    return Cells(np.where(fine, numbers, 0).astype(np.int64), bad)


def numbers_of(name: str, values: Sequence[Any], *, as_text: bool) -> Cells:
    """Return numbers, whatever they are: NaN, infinite, of any size.

    Parameters
    ----------
    name : str
        How the column is called in reasons.
    values : sequence
        The cells.
    as_text : bool
        Whether numbers are written as text.

    Returns
    -------
    Cells
        An array of floats, 0 where a cell has no number.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return Cells(values.astype(np.float64), {})
    if set(map(type, values)) <= {float, int, bool}:
        try:
            return Cells(np.asarray(values, dtype=np.float64), {})
        except OverflowError:
            pass  # an integer too large for a float: found below
    out = np.zeros(len(values))
    bad: Bad = {}
    for row, value in enumerate(values):
        if value is None or (as_text and not value.strip()):
            bad[row] = (f"{name} is missing", "")
            continue
        try:
            out[row] = _number(value, as_text=as_text)
        except (ValueError, TypeError):
            bad[row] = (f"{name} is not a number", excerpt(value))
        except OverflowError:
            bad[row] = (f"{name} is beyond {LARGEST:g} in size", f"a {type(value).__name__}")
    return Cells(out, bad)


def _number(value: Any, *, as_text: bool) -> float:
    """Return one number; raise what float() raises where there is none."""
    if as_text:
        if "_" in value:  # Python reads 1_000, other programs do not
            raise ValueError
        return float(value)
    if isinstance(value, int | float | np.number | np.bool_ | Decimal):
        return float(value)
    raise TypeError


def texts(name: str, values: Sequence[Any], *, as_text: bool) -> Cells:  # noqa: ARG001
    """Return texts; the messages of a conversation become one.

    Parameters
    ----------
    name, values, as_text
        As `rewards` takes them.

    Returns
    -------
    Cells
        A list of str.
    """
    bad: Bad = {}
    if set(map(type, values)) == {str}:
        out = values
    else:
        out = [_text(name, row, value, bad) for row, value in enumerate(values)]
    return _encodable(name, out, bad)


def _encodable(name: str, out: Sequence[str], bad: Bad) -> Cells:
    """Find texts that cannot be written: half a surrogate pair, bytes that were no UTF-8."""
    try:
        "".join(set(out)).encode()  # a text that comes a million times is joined once
    except UnicodeEncodeError:
        for row, text in enumerate(out):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                shown = excerpt(text[max(0, error.start - 10) : error.start + 10])
                bad.setdefault(row, (f"{name} is not valid Unicode text", shown))
    return Cells(out, bad)


def _text(name: str, row: int, value: Any, bad: Bad) -> str:
    """Return one text, empty where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping) and "content" in value:
        value = [value]
    if isinstance(value, list) and value and all(isinstance(m, Mapping) for m in value):
        return text_of(value)
    missing = value is None or (isinstance(value, float) and value != value)
    reason = "is missing" if missing else "is neither text nor messages"
    bad[row] = (f"{name} {reason}", "" if missing else excerpt(value))
    return ""


def keys(name: str, values: Sequence[Any], *, as_text: bool) -> Cells:
    """Return what tells prompts apart: texts, numbers as text, or messages.

    Parameters
    ----------
    name, values, as_text
        As `rewards` takes them.

    Returns
    -------
    Cells
        A list of str.
    """
    found = [
        str(value) if isinstance(value, int | np.integer) else value
        for value in (values.tolist() if isinstance(values, np.ndarray) else values)
    ]
    return texts(name, found, as_text=as_text)


def modes(name: str, values: Sequence[Any], *, as_text: bool) -> Cells:
    """Return names of modes, None where an output gives no answer.

    Parameters
    ----------
    name, values, as_text
        As `rewards` takes them; an empty cell of a text file is no answer.

    Returns
    -------
    Cells
        A list of str or None.
    """
    bad: Bad = {}
    out: list[str | None] = []
    for row, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        if as_text and not value:
            value = None
        if value is not None and not isinstance(value, str | int | float | bool | np.generic):
            bad[row] = (f"{name} is neither text nor a number", excerpt(value))
            value = None
        out.append(_named(value))
    named = _encodable(name, [mode or "" for mode in out], bad)
    return Cells(out, named.bad)


def _named(value: Any) -> str | None:
    """Return the name of one mode."""
    try:
        return mode_name(value.item() if isinstance(value, np.generic) else value)
    except ValueError:  # Python does not write integers of thousands of digits
        return f"{value:#x}"


CHECKS: Mapping[str, Callable[..., Cells]] = {
    "prompt": texts,
    "group": keys,
    "output": texts,
    "reward": rewards,
    "ref_log_prob": log_probabilities,
    "log_prob": log_probabilities,
    "n_tokens": whole,
    "mode": modes,
    "step": whole,
    "id": keys,
}
"""What checks each column."""
