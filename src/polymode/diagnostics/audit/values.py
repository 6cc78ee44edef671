"""Plain values from text: what a word of a YAML file or of a command line stands for."""

import re
from typing import Any

__all__ = ["is_number", "plain_value"]

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL", "None"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}
_WHOLE = re.compile(r"[-+]?\d[\d_]*")
_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?inf")


def plain_value(text: str) -> Any:
    """Return what an unquoted word stands for.

    Words of truth are those of YAML 1.1, which the frameworks' own parsers read; numbers with an
    exponent need no point, which those parsers read as text and convert later.

    Parameters
    ----------
    text : str
        The word.

    Returns
    -------
    object
        None, a bool, an int, a float, or the text.

    Examples
    --------
    >>> [plain_value(word) for word in ("1e-3", "8", "on", "null", "dapo")]
    [0.001, 8, True, None, 'dapo']
    """
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text) and len(text) < 400:  # longer ones Python refuses to convert
        return int(text.replace("_", ""))
    if _NUMBER.fullmatch(text):
        return float(text.replace("_", ""))
    return text


def is_number(value: Any) -> bool:
    """Return whether a value is a number, which True and False are not.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    bool
        Whether it is.
    """
    return isinstance(value, int | float) and not isinstance(value, bool)
