"""How numbers are written on every page."""

import math

from polymode.metrics.intervals import Estimate

__all__ = ["factor", "interval", "number", "percent", "signed"]


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
    >>> number(0.41234), number(55.706), number(12345.6), number(-0.0), number(float("nan"))
    ('0.412', '55.7', '12,346', '0', '-')
    """
    if math.isnan(value):
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value + 0.0:g}"  # no minus before a zero
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


def percent(share: float) -> str:
    """Return a share as a percentage; a dash where there is none.

    Parameters
    ----------
    share : float
        In [0, 1].

    Returns
    -------
    str
        Whole where that says enough.

    Examples
    --------
    >>> percent(0.4249), percent(0.0213), percent(0.00001), percent(0.0)
    ('42 %', '2.1 %', '< 0.1 %', '0 %')
    """
    if math.isnan(share):
        return "-"
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.0995 else f"{100 * share:.1f} %"


def factor(nats: float) -> str:
    """Return what a difference of entropies does to an effective number.

    Parameters
    ----------
    nats : float
        The difference.

    Returns
    -------
    str
        As a factor.

    Examples
    --------
    >>> factor(math.log(0.5)) == "\u00d7 0.500"
    True
    """
    return f"\u00d7 {number(math.exp(nats))}"
