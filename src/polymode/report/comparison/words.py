"""How numbers of a comparison are written."""

import math

from polymode.diagnostics.figures import FIGURES
from polymode.metrics.intervals import Estimate

__all__ = ["figure_words", "interval", "number", "p_words", "signed"]


def number(value: float) -> str:
    """Return a number in three significant digits; a dash where there is none.

    Parameters
    ----------
    value : float
        Any number.

    Returns
    -------
    str
        Without an exponent between .001 and 100,000.

    Examples
    --------
    >>> number(0.41234), number(55.706), number(12345.6), number(float("nan"))
    ('0.412', '55.7', '12,346', '-')
    """
    if math.isnan(value):
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = abs(round(value, 3)) or abs(value)
    if size < 0.001 or size >= 1e5:
        return f"{value:.2e}"
    return f"{value:,.{max(0, 3 if size < 1 else 2 - math.floor(math.log10(size)))}f}"


def signed(value: float) -> str:
    """Return a difference with its sign.

    Parameters
    ----------
    value : float
        Any number.

    Returns
    -------
    str
        As `number` writes it.
    """
    return f"+{number(value)}" if value > 0 else number(value)


def interval(found: Estimate) -> str:
    """Return the interval of an estimate; empty where there is none.

    Parameters
    ----------
    found : Estimate
        Any estimate.

    Returns
    -------
    str
        In brackets.
    """
    if math.isnan(found.low):
        return ""
    return f"[{number(found.low)}, {number(found.high)}]"


def p_words(p: float) -> str:
    """Return a p-value as one writes it.

    Parameters
    ----------
    p : float
        In [0, 1].

    Returns
    -------
    str
        With an upper bound where it is small.
    """
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def figure_words(name: str, k: int | None) -> str:
    """Return what a figure is called.

    Parameters
    ----------
    name : str
        One of `FIGURES`.
    k : int or None
        The k of pass@k.

    Returns
    -------
    str
        Its label.
    """
    return f"pass@{k}" if name == "pass_k" and k is not None else FIGURES[name].label
