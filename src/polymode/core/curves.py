r"""How the ratio ``u = t / q`` of an optimum follows from the slope ``s = f'(u)``, to all digits.

The slopes of a generator fill an interval. Where an end of it is finite, ratios near that end
depend on the distance ``y`` to it, which the slope itself no longer resolves: under the forward KL
a ratio of 1e300 belongs to a slope of -1e-300. So a curve is written in ``y``, and in ``log y``
where the ratio grows without bound as ``y`` goes to 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from polymode.core.arrays import Array, array_namespace

__all__ = ["Curve", "jensen_shannon_curve", "numeric_curve", "power_curve"]

_NEARLY_KL = 0.01  # |alpha - 1| below which powers 1 / (alpha - 1) cost more digits than log1p

_Function = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Curve:
    r"""The inverse slope of a generator, as a function of a distance ``y`` to an edge.

    Parameters
    ----------
    above : bool
        Whether the edge is the upper end of the slopes, ``y = edge - s``; else ``y = s - edge``.
    edge : float
        The edge; 0 for slopes without ends, where ``y`` is the slope itself.
    log_ratio : callable
        ``log u`` at an argument: at ``log y`` if `above`, else at ``y``.
    gain : callable
        How fast ``log u`` rises with the slope, at the same argument: :math:`y \, d \log u / ds`
        if `above`, else :math:`d \log u / ds`.
    argument : callable
        The way back: the argument at ``log u``.
    fast : callable or None
        Ratio ``u`` and :math:`d \log u / ds` at ``y`` itself, for curves `above` whose ``y`` stays
        within the range of floats at every ratio that a reference can ask for.
    """

    above: bool
    edge: float
    log_ratio: _Function
    gain: _Function
    argument: _Function
    fast: Callable[[Array], tuple[Array, Array]] | None = None


def power_curve(exponent: float, *, scale: float = 1.0, shift: float = 0.0) -> Curve:
    r"""Return the curve of a slope that is a power of the ratio.

    .. math:: s = c \, (u^\kappa - 1) / \kappa + b

    Parameters
    ----------
    exponent : float
        The power, kappa; at 0 the slope is a logarithm.
    scale : float
        The factor, c.
    shift : float
        The slope at a ratio of 1, b.

    Returns
    -------
    Curve
        With an upper edge for negative, a lower one for positive exponents, none near 0.
    """
    if abs(exponent) < _NEARLY_KL:
        return _nearly_logarithmic_curve(exponent, scale, shift)
    edge = shift - scale / exponent
    width = abs(exponent) / scale  # u**kappa = width * y
    if exponent < 0:
        return Curve(
            above=True,
            edge=edge,
            log_ratio=lambda log_y: (log_y + math.log(width)) / exponent,
            gain=lambda log_y: array_namespace(log_y).full_like(log_y, -1 / exponent),
            argument=lambda log_u: exponent * log_u - math.log(width),
            fast=(lambda y: ((width * y) ** (1 / exponent), 1 / (-exponent * y)))
            if exponent >= -1
            else None,
        )

    def log_ratio(y: Array) -> Array:
        return _log_or_dead(y, lambda y: array_namespace(y).log(width * y) / exponent)

    def gain(y: Array) -> Array:
        alive = y > 0
        xp = array_namespace(y)
        return xp.where(alive, 1 / (exponent * xp.where(alive, y, 1.0)), 0.0)

    def argument(log_u: Array) -> Array:
        return array_namespace(log_u).exp(exponent * log_u) / width

    return Curve(above=False, edge=edge, log_ratio=log_ratio, gain=gain, argument=argument)


def _nearly_logarithmic_curve(exponent: float, scale: float, shift: float) -> Curve:
    """Return a power's curve for a small exponent, in the slope: its edges lie 100 or more away."""

    def log_ratio(y: Array) -> Array:
        xp = array_namespace(y)
        if exponent == 0:
            return y / scale
        growth = y * (exponent / scale)  # u**kappa - 1
        beyond = growth <= -1
        end = -xp.inf if exponent > 0 else xp.inf
        return xp.where(beyond, end, xp.log1p(xp.where(beyond, 0.0, growth)) / exponent)

    def gain(y: Array) -> Array:
        xp = array_namespace(y)
        power = scale + exponent * y
        return xp.where(power > 0, 1 / xp.where(power > 0, power, 1.0), 0.0)

    def argument(log_u: Array) -> Array:
        if exponent == 0:
            return scale * log_u
        return scale * array_namespace(log_u).expm1(exponent * log_u) / exponent

    return Curve(above=False, edge=shift, log_ratio=log_ratio, gain=gain, argument=argument)


def jensen_shannon_curve() -> Curve:
    r"""Return the curve of the slope ``log(2 u / (u + 1))``, whose ratio is ``1 / (e^y - 1)``.

    Returns
    -------
    Curve
        With its upper edge at ``log 2``.
    """

    def log_ratio(log_y: Array) -> Array:
        xp = array_namespace(log_y)
        y = xp.exp(log_y)
        # -log(e^y - 1) = -y - log(1 - e^-y), neither of which overflows
        return -y - xp.log(-xp.expm1(-y))

    def gain(log_y: Array) -> Array:
        xp = array_namespace(log_y)
        y = xp.exp(log_y)
        return -y / xp.expm1(-y)

    def argument(log_u: Array) -> Array:
        xp = array_namespace(log_u)
        return xp.log(xp.log1p(xp.exp(-log_u)))

    def fast(y: Array) -> tuple[Array, Array]:
        u = 1 / array_namespace(y).expm1(y)
        return u, 1 + u

    return Curve(
        above=True,
        edge=math.log(2),
        log_ratio=log_ratio,
        gain=gain,
        argument=argument,
        fast=fast,
    )


def numeric_curve(
    slope: _Function,
    inverse_slope: _Function,
    *,
    domain: tuple[float, float],
    curvature: _Function | None,
) -> Curve:
    r"""Return the curve of functions that somebody else wrote.

    Parameters
    ----------
    slope, inverse_slope : callable
        ``f'`` and its inverse, on arrays.
    domain : tuple of float
        The ends of the slopes: ``f'(0)`` and ``f'(∞)``.
    curvature : callable or None
        ``f''``; None takes differences of the slope.

    Returns
    -------
    Curve
        In the slope itself, as accurate as `inverse_slope` is.
    """
    low, high = domain

    def log_ratio(y: Array) -> Array:
        xp = array_namespace(y)
        inside = (y > low) & (y < high)
        anywhere = xp.zeros_like(y) + slope(xp.ones_like(y))  # a slope that is surely inside
        u = inverse_slope(xp.where(inside, y, anywhere))
        alive = u > 0
        log_u = xp.where(alive, xp.log(xp.where(alive, u, 1.0)), -xp.inf)
        return xp.where(inside | xp.isnan(y), log_u + 0 * y, xp.where(y <= low, -xp.inf, xp.inf))

    def gain(y: Array) -> Array:
        xp = array_namespace(y)
        log_u = log_ratio(y)
        alive = xp.isfinite(log_u)
        u = xp.exp(xp.where(alive, log_u, 0.0))
        rise = u * curvature(u) if curvature else _log_derivative(slope, u)
        usable = alive & (rise > 0)
        return xp.where(usable, 1 / xp.where(usable, rise, 1.0), 0.0)

    def argument(log_u: Array) -> Array:
        return slope(array_namespace(log_u).exp(log_u))

    return Curve(above=False, edge=0.0, log_ratio=log_ratio, gain=gain, argument=argument)


def _log_derivative(slope: _Function, u: Array) -> Array:
    """Return ``u f''(u)`` by a central difference, good to about ten digits."""
    step = 6e-6  # about the cube root of the precision, where both errors are small
    return (slope(u * math.exp(step)) - slope(u * math.exp(-step))) / (2 * step)


def _log_or_dead(y: Array, log_ratio: Callable[[Any], Any]) -> Array:
    """Return the log-ratio where the distance is positive, and -inf beyond the edge."""
    xp = array_namespace(y)
    beyond = y <= 0
    return xp.where(beyond, -xp.inf, log_ratio(xp.where(beyond, 1.0, y)))
