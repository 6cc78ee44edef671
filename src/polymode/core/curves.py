r"""How the ratio ``u = t / q`` of an optimum follows from the slope ``s = f'(u)``, to all digits.

The slopes of a generator fill an interval. Where an end of it is finite, ratios near that end
depend on the distance ``y`` to it, which the slope itself no longer resolves: under the forward KL
a ratio of 1e300 belongs to a slope of -1e-300. So a curve is written in ``y``, in its own unit.

Notation: ``d_i >= 0`` how far the reward of outcome `i` lies below that of the best, in the same
unit; ``x`` the unknown of a group, which moves all distances at once. With the edge above the
slopes ``y_i = x + d_i``, with the edge below them ``y_i = x - d_i``, where the ratio is 0 for
``y <= 0``.

Roots are found in NumPy whatever library asks, so the functions here see NumPy arrays only.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from polymode.core.arrays import Array

__all__ = ["Curve", "JensenShannonCurve", "NumericCurve", "PowerCurve", "power_curve"]

_SMALLEST = float(np.finfo(np.float64).tiny)
_CLOSE = 1e-8  # distance of the mass from 1 at which one more step leads to the last digits
_LEFT = 1e-13  # distance of the mass from 1 that a step may leave
_NEAR = 0.01  # d below which 1 - e^-d loses two digits
_FARTHEST = 1e100  # distance of a pole, in unknowns, whose square is a float
_NEARLY_KL = 0.01  # |alpha - 1| below which powers 1 / (alpha - 1) cost more digits than log1p

_Function = Callable[[Any], Any]
_Pair = tuple[Array, Array]


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
    bend : float or None
        Bound of the half second derivative of the distance that belongs to the mass, times ``x``
        and over the first one; None for slopes that may jump.
    rough_steps : int
        Number of steps to take in single precision, where that pays, before those in double.
    keeps_gaps : bool
        Whether `prepare` returns the gaps as they are.
    """

    above: bool
    edge: float
    unit: float = 1.0
    bend: float | None = None
    rough_steps: int = 0
    keeps_gaps: bool = True

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
        r"""Return how fast ``log u`` changes with the distance.

        Parameters
        ----------
        y : array
            Distances.

        Returns
        -------
        array
            :math:`|d \log u / dy|`; 0 where there is no mass.
        """

    def unknown(self, log_u: Array) -> Array:
        """Return the unknown at which the best outcome has a log-ratio.

        Parameters
        ----------
        log_u : array
            Log-ratios.

        Returns
        -------
        array
            The unknowns: here the distances themselves, as the best outcome has no gap.
        """
        return self.distance(log_u)

    def offset(self, x: Array) -> Array:
        """Return the distance of the best outcome.

        Parameters
        ----------
        x : array
            Unknowns.

        Returns
        -------
        array
            The distances: here the unknowns themselves.
        """
        return x

    def prepare(self, q: Array, d: Array, out: Array) -> _Pair:  # noqa: ARG002
        """Return what `sums` needs of masses and gaps, so that no step computes it again.

        Parameters
        ----------
        q, d : array, shape (w, m)
            Masses of the reference, which may be overwritten, and gaps to the best reward.
        out : array, shape (w, m)
            Space for other gaps than those.

        Returns
        -------
        two arrays, shape (w, m)
            Weights and gaps: here those that were given.
        """
        return q, d

    def sums(self, weights: Array, gaps: Array, x: Array, work: _Pair) -> _Pair:
        """Return two sums over the outcomes of each group, from which `advance` goes on.

        Parameters
        ----------
        weights, gaps : array, shape (w, m)
            What `prepare` returned.
        x : array, shape (m,)
            The unknowns.
        work : two arrays, shape (w, m)
            Space to compute in.

        Returns
        -------
        two arrays, shape (m,)
            ``sum t`` and ``sum t |d log u / dy|``, here; subclasses may leave factors to `advance`.
        """
        y = self._distances(gaps, x, work[0])
        t = weights * np.exp(self.log_ratio(y))
        return np.add.reduce(t, 0), np.add.reduce(np.where(t > 0, t * self.gain(y), 0.0), 0)

    def start(self, first: Array, total: Array, moment: Array) -> Array:  # noqa: ARG002
        """Return unknowns to start from: Jensen's bound, as ratios are convex where that matters.

        Parameters
        ----------
        first, total : array, shape (m,)
            Weights of the best outcomes and of all, as shares of the mass of the reference.
        moment : array, shape (m,)
            Sum of weights times gaps, likewise.

        Returns
        -------
        array, shape (m,)
            The unknowns.
        """
        one, mean = self.unknown(np.zeros(1)), moment / total
        return one * total - mean if self.above else one + mean

    def settled(self, x: Array, better: Array, error: Array) -> Array:
        """Return where a step is the last that is needed.

        Parameters
        ----------
        x, better : array, shape (m,)
            The unknowns, and those that `advance` returned.
        error : array, shape (m,)
            Distance of the mass from 1 at `x`.

        Returns
        -------
        array of bool, shape (m,)
            Where the mass at `better` is 1 to the last digits, as far as can be told.
        """
        if self.bend is None:
            return (error < _CLOSE) & ~np.isnan(better)
        return self.bend * error * np.abs(better - x) < _LEFT * x

    def advance(
        self,
        x: Array,
        total: Array,
        pull: Array,
        mass: Array,
        best: Array,  # noqa: ARG002 - for curves that know what the best outcomes add
    ) -> _Pair:
        """Return the mass of the policy at the unknowns, and better unknowns.

        Parameters
        ----------
        x : array, shape (m,)
            The unknowns.
        total, pull : array, shape (m,)
            What `sums` returned there.
        mass, best : array, shape (m,)
            Mass of the reference, and of the outcomes without a gap.

        Returns
        -------
        sum_t : array, shape (m,)
            The mass as a share of that of the reference; 1 at the root.
        x : array, shape (m,)
            Here by a step of Newton's method in the distance that belongs to the mass.
        """
        sum_t = total / mass
        y = self.distance(np.log(sum_t))
        back = self.distance(np.zeros_like(y)) - y
        return sum_t, x + back * self.gain(y) * total / pull

    def log_ratios(
        self,
        d: Array,
        gaps: Array,  # noqa: ARG002 - for curves that made something of them
        x: Array,
        out: Array,
    ) -> None:
        """Write the log-ratios of the outcomes of a tile.

        Parameters
        ----------
        d, gaps : array, shape (w, m)
            Gaps to the best reward, and what `prepare` made of them.
        x : array, shape (m,)
            The unknowns.
        out : array, shape (w, m)
            Where to write.
        """
        out[...] = self.log_ratio(self._distances(d, x, out))

    def _distances(self, d: Array, x: Array, out: Array) -> Array:
        """Return ``y`` of each outcome."""
        return np.add(d, x, out=out) if self.above else np.subtract(x, d, out=out)


class PowerCurve(Curve):
    r"""The curve of a slope that is a power of the ratio: in its unit, ``u = y**(1/kappa)``.

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
        self.unit = scale / abs(kappa)
        self.kappa = kappa
        self.power = 1 / kappa
        self.bend = (1 - self.power) / 2 if self.above else None
        self.rough_steps = 0 if self.power == 1 else 4 if self.above else 2

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

    def sums(self, weights: Array, gaps: Array, x: Array, work: _Pair) -> _Pair:
        """Return ``sum q y**power`` and ``sum q y**(power - 1)``."""
        y, t = work
        self._distances(gaps, x, y)
        if self.power > 1:  # what is dead adds nothing to either sum
            np.maximum(y, 0.0, out=y)
            _times_power(weights, y, self.power - 1, out=t)
            pull = np.add.reduce(t, 0)
            return np.add.reduce(np.multiply(t, y, out=t), 0), pull
        if self.power == 1:
            pull = np.add.reduce(np.multiply(weights, y > 0, out=t), 0)
            return np.add.reduce(np.multiply(t, np.maximum(y, 0.0, out=y), out=t), 0), pull
        if self.above:
            _times_power(weights, y, self.power, out=t)
        else:
            np.maximum(y, np.finfo(y.dtype).tiny, out=y)
            _times_power(weights, y, self.power, out=t)
            np.multiply(t, y > np.finfo(y.dtype).tiny, out=t)
        total = np.add.reduce(t, 0)
        return total, np.add.reduce(np.divide(t, y, out=t), 0)

    def advance(
        self,
        x: Array,
        total: Array,
        pull: Array,
        mass: Array,
        best: Array,  # noqa: ARG002
    ) -> _Pair:
        """Return the mass and Newton's step, in which factors cancel."""
        sum_t = total / mass
        return sum_t, x + (_power(sum_t, -self.kappa) - 1.0) * total / pull

    def log_ratios(
        self,
        d: Array,  # noqa: ARG002
        gaps: Array,
        x: Array,
        out: Array,
    ) -> None:
        """Write ``log(y) / kappa``."""
        self._distances(gaps, x, out)
        if self.above:
            np.multiply(np.log(out, out=out), self.power, out=out)
            return
        dead = np.flatnonzero(out <= 0.0)
        np.maximum(out, _SMALLEST, out=out)  # the logarithm of 0 takes twice the time
        np.multiply(np.log(out, out=out), self.power, out=out)
        out.reshape(-1)[dead] = -np.inf  # contiguous: a view


class _RationalCurve(Curve):
    """A curve under which the mass is a sum of poles, ``sum w / (x + gap)``."""

    above = True

    def sums(self, weights: Array, gaps: Array, x: Array, work: _Pair) -> _Pair:
        """Return ``sum w / v`` and ``sum w / v**2`` with ``v = x + gap``."""
        v, t = work
        np.add(gaps, x, out=v)
        np.divide(weights, v, out=t)
        total = np.add.reduce(t, 0)
        np.divide(t, v, out=t)
        return total, np.add.reduce(t, 0)

    def advance(self, x: Array, total: Array, pull: Array, mass: Array, best: Array) -> _Pair:
        """Return the mass, and the root if all but the first pole were a single other one.

        The pole of the best outcomes is kept, ``c / (x + a)`` has value and slope of the others:
        ``step**2 + b step + c = 0`` for the relative step. The reciprocal of a sum of poles is
        concave, so that no step goes beyond the root.
        """
        sum_t, slope, alone = total / mass, pull * x / mass, best / (mass * x)
        others = sum_t - alone
        steepness = np.fmax(slope - alone, others / _FARTHEST)  # none of it but rounding: far away
        distance = np.fmax(others / steepness, 1.0)  # (x + a) / x
        b = 1.0 - alone + distance * (1.0 - others)
        c = distance * (1.0 - sum_t)
        size = 0.5 * (np.abs(b) + np.sqrt(b * b - 4.0 * c))
        return sum_t, x + x * np.where(b > 0, -c / size, size)  # of both, that without cancelling

    def start(self, first: Array, total: Array, moment: Array) -> Array:
        """Return the root if all but the best outcomes had the same gap, which is a lower bound."""
        gap = np.fmax(moment / (total - first), 0.0)
        b, ends = total - gap, first * gap
        size = 0.5 * (np.abs(b) + np.sqrt(b * b + 4.0 * ends))
        return np.where(b > 0, size, ends / size)


class _ReciprocalCurve(_RationalCurve, PowerCurve):
    """The power curve of an exponent of -1, which is that of the forward KL."""

    def __init__(self, *, scale: float, shift: float) -> None:
        super().__init__(-1.0, scale=scale, shift=shift)
        self.rough_steps = 0


class JensenShannonCurve(_RationalCurve):
    r"""The curve of the slope ``log(2 u / (u + 1))``, whose ratio is ``1 / (e^y - 1)``.

    With ``x = e^(y of the best) - 1`` the ratio is ``e^-d / (x + 1 - e^-d)``: a pole.
    """

    edge = math.log(2)
    bend = 1.0
    keeps_gaps = False

    def distance(self, log_u: Array) -> Array:
        """Return ``log(1 + 1/u)``."""
        return np.log1p(np.exp(-log_u))

    def log_ratio(self, y: Array) -> Array:
        """Return ``-log(e^y - 1) = -y - log(1 - e^-y)``, neither of which overflows."""
        return -y - np.log(-np.expm1(-y))

    def gain(self, y: Array) -> Array:
        """Return ``1 + u``."""
        return -1 / np.expm1(-y)

    def unknown(self, log_u: Array) -> Array:
        """Return ``1/u``."""
        return np.exp(-log_u)

    def offset(self, x: Array) -> Array:
        """Return ``log(1 + x)``."""
        return np.log1p(x)

    def prepare(self, q: Array, d: Array, out: Array) -> _Pair:
        """Return ``q e^-d`` and ``1 - e^-d``, by the slower `expm1` where that has more digits."""
        np.negative(d, out=out)
        np.exp(out, out=out)
        np.multiply(q, out, out=q)
        np.subtract(1.0, out, out=out)
        near = np.flatnonzero((d > 0.0) & (d < _NEAR))
        out.reshape(-1)[near] = -np.expm1(-d.reshape(-1)[near])  # contiguous: a view
        return q, out

    def log_ratios(self, d: Array, gaps: Array, x: Array, out: Array) -> None:
        """Write ``-d - log(x + 1 - e^-d)``."""
        np.log(np.add(gaps, x, out=out), out=out)
        np.subtract(np.negative(out, out=out), d, out=out)


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
    if abs(kappa) < _NEARLY_KL:
        return _NearlyLogarithmicCurve(kappa, scale=scale, shift=shift)
    if kappa == -1:
        return _ReciprocalCurve(scale=scale, shift=shift)
    return PowerCurve(kappa, scale=scale, shift=shift)


def _times_power(q: Array, y: Array, power: float, *, out: Array) -> None:
    """Write ``q * y**power`` to `out`; common powers without a logarithm."""
    if power == 1:
        np.multiply(q, y, out=out)
    elif power == -2:
        np.divide(np.divide(q, y, out=out), y, out=out)
    elif power == 0.5:
        np.multiply(q, np.sqrt(y, out=out), out=out)
    elif power == -0.5:
        np.divide(q, np.sqrt(y, out=out), out=out)
    else:
        np.multiply(np.log(y, out=out), power, out=out)
        np.multiply(np.exp(out, out=out), q, out=out)


def _power(x: Array, power: float) -> Array:
    """Return ``x**power``; common powers without a logarithm."""
    if power == 1:
        return x
    if power == 2:
        return x * x
    if power == 0.5:
        return np.sqrt(x)
    if power == -0.5:
        return 1.0 / np.sqrt(x)
    return 1.0 / x if power == -1 else x**power


def _log_derivative(slope: _Function, u: Array) -> Array:
    """Return ``u f''(u)`` by a central difference, good to about ten digits."""
    step = 6e-6  # about the cube root of the precision, where both errors are small
    return (slope(u * math.exp(step)) - slope(u * math.exp(-step))) / (2 * step)
