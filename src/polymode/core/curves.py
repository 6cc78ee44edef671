r"""How the ratio ``u = t / q`` of an optimum follows from the slope ``s = f'(u)``, to all digits.

The slopes of a generator fill an interval. Where an end of it is finite, ratios near that end
depend on the distance ``y`` to it, which the slope itself no longer resolves: under the forward KL
a ratio of 1e300 belongs to a slope of -1e-300. So a curve is written in ``y``, in its own unit.

Notation: ``d_i`` how far the reward of outcome `i` lies below that of the best, in the same unit;
``x`` the unknown of a group, which moves all distances at once. With the edge above the slopes
``y_i = x + d_i``, with the edge below them ``y_i = x - d_i``, where the ratio is 0 for ``y <= 0``.

Roots are found in NumPy whatever library asks, so the functions here see NumPy arrays only.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from polymode.core.arrays import Array

__all__ = ["Curve", "JensenShannonCurve", "NumericCurve", "PowerCurve", "power_curve"]

_NEARLY_KL = 0.01  # |alpha - 1| below which powers 1 / (alpha - 1) cost more digits than log1p
_TINY = float(np.finfo(np.float64).tiny)

_Function = Callable[[Any], Any]


class Curve(ABC):
    r"""The inverse slope of a generator, as a function of a distance ``y`` to an edge.

    Attributes
    ----------
    above : bool
        Whether the edge is the upper end of the slopes, ``y = edge - s``; else ``y = s - edge``.
    edge : float
        The edge; 0 for slopes without ends, where ``y`` is the slope itself.
    unit : float
        What a distance of 1 is as a difference of slopes.
    """

    above: bool
    edge: float
    unit: float = 1.0

    @abstractmethod
    def distance(self, log_u: Array) -> Array:
        """Return ``y`` at a log-ratio: the inverse of `log_ratio`.

        Parameters
        ----------
        log_u : array
            Log-ratios.

        Returns
        -------
        array
            The distances; infinite where they overflow.
        """

    @abstractmethod
    def log_ratio(self, y: Array) -> Array:
        """Return ``log u`` at distances.

        Parameters
        ----------
        y : array
            Distances; those that are not positive have lost all mass where the edge is below.

        Returns
        -------
        array
            Log-ratios, ``-inf`` where there is no mass.
        """

    @abstractmethod
    def gain(self, y: Array) -> Array:
        r"""Return how fast ``log u`` rises with the slope, at distances.

        Parameters
        ----------
        y : array
            Distances.

        Returns
        -------
        array
            :math:`|d \log u / dy|`; 0 where there is no mass.
        """

    def prepare(self, d: Array) -> Array:
        """Return what `sums` needs of the gaps, so that each step computes it no more.

        Parameters
        ----------
        d : array, shape (w, m)
            Gaps to the best reward; may be overwritten.

        Returns
        -------
        array, shape (w, m)
            The gaps themselves, or a function of them.
        """
        return d

    def sums(self, q: Array, e: Array, x: Array, work: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return two sums over the outcomes of each group, from which `newton` goes on.

        Parameters
        ----------
        q : array, shape (w, m)
            Masses of the reference.
        e : array, shape (w, m)
            What `prepare` returned.
        x : array, shape (m,)
            The unknowns.
        work : two arrays, shape (w, m)
            Space to compute in.

        Returns
        -------
        two arrays, shape (m,)
            ``sum t`` and ``sum t d log u / dy``, here; subclasses may leave factors to `newton`.
        """
        y = self._distances(e, x, work[0])
        t = q * np.exp(self.log_ratio(y))
        return np.add.reduce(t, 0), np.add.reduce(np.where(t > 0, t * self.gain(y), 0.0), 0)

    def newton(self, total: Array, pull: Array, mass: Array) -> tuple[Array, Array]:
        """Return ``log(sum t)``, and the step of Newton's method from there.

        Parameters
        ----------
        total, pull : array, shape (m,)
            What `sums` returned.
        mass : array, shape (m,)
            Mass of the reference, ``sum q``.

        Returns
        -------
        log_mass : array, shape (m,)
            How far from the root, in nats.
        change : array, shape (m,)
            What to add to the unknowns.
        """
        m = total / mass
        log_mass = np.log(m)
        y = self.distance(log_mass)
        back = self.distance(np.zeros_like(m)) - y
        return log_mass, back * self.gain(y) * total / pull

    def _distances(self, e: Array, x: Array, out: Array) -> Array:
        """Return ``y`` of each outcome."""
        return np.add(e, x, out=out) if self.above else np.subtract(x, e, out=out)


class PowerCurve(Curve):
    r"""The curve of a slope that is a power of the ratio: in the right unit, ``u = y**(1/kappa)``.

    .. math:: s = c \, (u^\kappa - 1) / \kappa + b

    Parameters
    ----------
    kappa : float
        The exponent, not 0: with an upper edge if negative, else a lower one.
    scale : float
        The factor, c.
    shift : float
        The slope at a ratio of 1, b.
    """

    def __init__(self, kappa: float, *, scale: float, shift: float) -> None:
        self.above = kappa < 0
        self.edge = shift - scale / kappa
        self.kappa = kappa
        self.unit = scale / abs(kappa)
        self.power = 1 / kappa

    def distance(self, log_u: Array) -> Array:
        """Return ``u**kappa``."""
        return np.exp(self.kappa * log_u)

    def log_ratio(self, y: Array) -> Array:
        """Return ``log(y) / kappa``."""
        if self.above:
            return np.log(y) * self.power
        alive = y > 0
        return np.where(alive, np.log(np.where(alive, y, 1.0)) * self.power, -np.inf)

    def gain(self, y: Array) -> Array:
        """Return ``1 / (|kappa| y)``."""
        alive = y > 0
        return np.where(alive, abs(self.power) / np.where(alive, y, 1.0), 0.0)

    def sums(self, q: Array, e: Array, x: Array, work: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return ``sum q y**power`` and ``sum q y**(power - 1)``."""
        y, t = work
        self._distances(e, x, y)
        if not self.above:
            q = np.multiply(q, y > 0, out=t)
            np.maximum(y, _TINY, out=y)
        _times_power(q, y, self.power, out=t)
        total = np.add.reduce(t, 0)
        np.divide(t, y, out=t)
        return total, np.add.reduce(t, 0)

    def newton(self, total: Array, pull: Array, mass: Array) -> tuple[Array, Array]:
        """Return the log-mass and ``(total / pull) (m**-kappa - 1)``, in which factors cancel."""
        log_mass = np.log(total / mass)
        return log_mass, np.expm1(log_mass * -self.kappa) * total / pull


class JensenShannonCurve(Curve):
    r"""The curve of the slope ``log(2 u / (u + 1))``, whose ratio is ``1 / (e^y - 1)``."""

    above = True
    edge = math.log(2)

    def distance(self, log_u: Array) -> Array:
        """Return ``log(1 + 1/u)``."""
        return np.log1p(np.exp(-log_u))

    def log_ratio(self, y: Array) -> Array:
        """Return ``-log(e^y - 1) = -y - log(1 - e^-y)``, neither of which overflows."""
        return -y - np.log(-np.expm1(-y))

    def gain(self, y: Array) -> Array:
        """Return ``1 + u``."""
        return -1 / np.expm1(-y)

    def prepare(self, d: Array) -> Array:
        """Return ``e^d - 1``: from it ``e^y - 1`` follows without an exponential in each step."""
        return np.expm1(d, out=d)

    def sums(self, q: Array, e: Array, x: Array, work: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return ``sum q u`` and ``sum q u**2``."""
        y, t = work
        rest = np.expm1(x)
        np.multiply(e, rest + 1, out=y)
        np.add(y, rest, out=y)  # e^(x + d) - 1
        np.divide(q, y, out=t)
        total = np.add.reduce(t, 0)
        np.divide(t, y, out=t)
        return total, np.add.reduce(t, 0)

    def newton(self, total: Array, pull: Array, mass: Array) -> tuple[Array, Array]:
        """Return the log-mass, and the step in ``log(1 + 1/m)``."""
        m = total / mass
        back = self.edge - np.log1p(1 / m)
        return np.log(m), back * (1 + m) * total / (total + pull)


class NumericCurve(Curve):
    r"""The curve of functions that somebody else wrote, in the slope itself.

    Parameters
    ----------
    slope, inverse_slope : callable
        ``f'`` and its inverse, on arrays.
    domain : tuple of float
        The ends of the slopes: ``f'(0)`` and ``f'(∞)``.
    curvature : callable or None
        ``f''``; None takes differences of the slope.

    Notes
    -----
    As accurate as `inverse_slope` is.
    """

    above = False
    edge = 0.0

    def __init__(
        self,
        slope: _Function,
        inverse_slope: _Function,
        *,
        domain: tuple[float, float],
        curvature: _Function | None,
    ) -> None:
        self._slope = slope
        self._inverse_slope = inverse_slope
        self._low, self._high = domain
        self._curvature = curvature

    def distance(self, log_u: Array) -> Array:
        """Return the slope."""
        return np.asarray(self._slope(np.exp(log_u))) + 0 * log_u

    def log_ratio(self, y: Array) -> Array:
        """Return the logarithm of the inverse slope."""
        inside = (y > self._low) & (y < self._high)
        anywhere = np.zeros_like(y) + self._slope(np.ones_like(y))  # a slope that is surely inside
        u = self._inverse_slope(np.where(inside, y, anywhere))
        alive = u > 0
        log_u = np.where(alive, np.log(np.where(alive, u, 1.0)), -np.inf)
        beyond = np.where(y <= self._low, -np.inf, np.inf)
        return np.where(inside | np.isnan(y), log_u + 0 * y, beyond)

    def gain(self, y: Array) -> Array:
        """Return ``1 / (u f''(u))``."""
        log_u = self.log_ratio(y)
        alive = np.isfinite(log_u)
        u = np.exp(np.where(alive, log_u, 0.0))
        rise = u * self._curvature(u) if self._curvature else _log_derivative(self._slope, u)
        usable = alive & (rise > 0)
        return np.where(usable, 1 / np.where(usable, rise, 1.0), 0.0)


class _NearlyLogarithmicCurve(Curve):
    """A power's curve for a small exponent, in the slope: its edges lie 100 or more away."""

    above = False

    def __init__(self, kappa: float, *, scale: float, shift: float) -> None:
        self.edge = shift
        self.kappa = kappa
        self.scale = scale

    def distance(self, log_u: Array) -> Array:
        """Return ``c (u**kappa - 1) / kappa``."""
        if self.kappa == 0:
            return self.scale * log_u
        return self.scale * np.expm1(self.kappa * log_u) / self.kappa

    def log_ratio(self, y: Array) -> Array:
        """Return ``log(1 + kappa y / c) / kappa``."""
        if self.kappa == 0:
            return y / self.scale
        growth = y * (self.kappa / self.scale)  # u**kappa - 1
        beyond = growth <= -1
        end = -np.inf if self.kappa > 0 else np.inf
        return np.where(beyond, end, np.log1p(np.where(beyond, 0.0, growth)) / self.kappa)

    def gain(self, y: Array) -> Array:
        """Return ``1 / (c + kappa y)``."""
        power = self.scale + self.kappa * y
        return np.where(power > 0, 1 / np.where(power > 0, power, 1.0), 0.0)


def power_curve(kappa: float, *, scale: float = 1.0, shift: float = 0.0) -> Curve:
    r"""Return the curve of a slope that is a power of the ratio, or its limit, a logarithm.

    .. math:: s = c \, (u^\kappa - 1) / \kappa + b

    Parameters
    ----------
    kappa : float
        The exponent; at 0 the slope is a logarithm.
    scale : float
        The factor, c.
    shift : float
        The slope at a ratio of 1, b.

    Returns
    -------
    Curve
        With an upper edge for negative, a lower one for positive exponents, none near 0.
    """
    kind = _NearlyLogarithmicCurve if abs(kappa) < _NEARLY_KL else PowerCurve
    return kind(kappa, scale=scale, shift=shift)


def _times_power(q: Array, y: Array, power: float, *, out: Array) -> None:
    """Write ``q * y**power`` to `out`, which may be `q`; common powers without a logarithm."""
    if power == -1:
        np.divide(q, y, out=out)
    elif power == 1:
        np.multiply(q, y, out=out)
    elif power == -2:
        np.divide(q, y, out=out)
        np.divide(out, y, out=out)
    elif power == -0.5:
        np.divide(q, np.sqrt(y), out=out)
    else:
        np.multiply(q, np.exp(power * np.log(y)), out=out)


def _log_derivative(slope: _Function, u: Array) -> Array:
    """Return ``u f''(u)`` by a central difference, good to about ten digits."""
    step = 6e-6  # about the cube root of the precision, where both errors are small
    return (slope(u * math.exp(step)) - slope(u * math.exp(-step))) / (2 * step)
