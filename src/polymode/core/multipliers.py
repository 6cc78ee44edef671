r"""The multiplier that makes the optimum of a regularised objective sum to 1: one root per group.

With ``u_i = (f')^-1((r_i - L) / beta)``, the mass ``sum q_i u_i`` falls as ``L`` rises. Newton's
method is applied not to the mass but to its slope ``f'(mass)``: that is a mean of the slopes,
linear in ``L`` when the regulariser is strong or one outcome has it all, and concave for the alpha
family up to 1, where the steps go straight to the root from a lower bound. A bracket catches the
rest.

All of it is done in NumPy, tile by tile, in the notation of `curves`: ``d`` gaps to the best
reward, ``x`` the unknown, ``y`` distances, ``w`` samples of ``m`` groups.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from polymode.core.arrays import Array, logsumexp
from polymode.core.curves import Curve, PowerCurve
from polymode.core.groups import Groups
from polymode.core.tiles import parts, tiles

__all__ = ["Optimum", "solve"]

_MAX_STEPS = 300  # bisection alone needs about 60; no case is known that takes 40
_FREE_STEPS = 10  # without a bracket: two groups in three need 3, one in a thousand 6
_CLOSE = 1e-8  # distance of the mass from 1 at which one more step leads to the last digits
_SLACK = 1e-6  # of brackets: bounds are rounded too
_FAR = 100.0  # |x| beyond which the distances want a base nearby
_FLOOR = -700.0  # log q counts as this below it: e**-700 and its products are normal numbers
_FAR_FROM_1 = 50.0  # nats of a reference's mass beyond which it is normalised first
_TINY = 1e-135  # unknowns below this add nothing to any gap but one of 0
_SMALLEST = 1e-300  # of positive unknowns
_NO_ROOT = 1e-6  # distance of the mass from 1 at which there is none
_LOST = 1e-12  # distance of the mass from 1 at a root that shows lost digits
_LARGEST_GAIN = 1e34  # finite in float32, and with it every product that a derivative takes


class Optimum(NamedTuple):
    """The optimum of each group.

    Parameters
    ----------
    log_t : array, shape (rows, n)
        Log-probabilities of the optimum, normalised over each group; ``-inf`` where an outcome has
        no mass, NaN in groups with a NaN or without any mass.
    levels : array, shape (rows, g), or None
        Multipliers ``L``, in reward units; None if not asked for.
    gains : array, shape (rows, n), or None
        How fast ``log(t / q)`` rises with the slope ``(r - L) / beta``; None if not asked for.
    """

    log_t: Array
    levels: Array | None
    gains: Array | None


def solve(
    curve: Curve,
    rewards: Array,
    log_q: Array,
    *,
    beta: Array,
    groups: Groups,
    with_levels: bool = False,
    with_gains: bool = False,
) -> Optimum:
    r"""Return the optimum of each group.

    .. math:: \textstyle\sum_i q_i \, (f')^{-1}((r_i - L) / \beta) = \sum_i q_i

    Parameters
    ----------
    curve : Curve
        The inverse of the slope.
    rewards, log_q : array of float64, shape (rows, n)
        Rewards and logarithms of the reference.
    beta : array, shape (rows,)
        Strengths, in reward units.
    groups : Groups
        The groups.
    with_levels, with_gains : bool
        Whether to compute these.

    Returns
    -------
    Optimum
        NumPy arrays.
    """
    log_t = np.empty_like(rewards)
    gains = np.empty_like(rewards) if with_gains else None
    levels = np.empty((len(rewards), groups.n_groups)) if with_levels else None
    with np.errstate(all="ignore"):  # steps may leave the bracket through inf and NaN
        space = _Space()
        for tile in tiles(groups, len(rewards)):
            r, log_w = tile.take(rewards), tile.mask(tile.take(log_q))
            problem = _Problem.of(curve, r, log_w, tile.spread(beta), space)
            x, sums_to_1 = _root(problem)
            rebased, x = _rebased(problem, x)
            sums_to_1, problem = sums_to_1 and rebased is problem, rebased
            found = tile.room(log_t)
            gain = None if gains is None else tile.room(gains)
            _write_policy(problem, x, found, gain, sums_to_1=sums_to_1)
            tile.put(log_t, found)
            if levels is not None:
                tile.put_groups(levels, problem.levels(x))
            if gains is not None:
                tile.put(gains, gain)
    return Optimum(log_t, levels, gains)


class _Space:
    """Memory that one tile after the other uses: fresh memory costs more than what is computed."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, Any], Array] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
        """Return an uninitialised array, which overwrites the last one of that name and type."""
        size, key = math.prod(shape), (name, np.dtype(dtype))
        block = self._blocks.get(key)
        if block is None or block.size < size:
            block = self._blocks[key] = np.empty(size, dtype)
        return block[:size].reshape(shape)


class _Problem(NamedTuple):
    """The problems of a tile, one in each column."""

    curve: Curve
    r: Array  # (w, m)
    log_q: Array  # (w, m), as given but for the floor
    scale: Any  # (m,) reward units of a distance of 1
    base: Array  # (m,) the best reward, or another one nearby
    d: Array  # (w, m) gaps to the base
    weights: Array  # (w, m) what the curve
    gaps: Array  # (w, m) makes of masses and gaps
    mass: Array  # (m,) of the reference
    best: Array  # (m,) of the outcomes without a gap
    low: Array  # (m,) the unknown lies
    high: Array  # (m,) between these
    start: Array  # (m,)
    lone: Array | None  # (m,) see `_lone`; None for nowhere
    dead: Array | None  # (w, m) where there is no mass to give; None for nowhere
    space: _Space

    @classmethod
    def of(cls, curve: Curve, r: Array, log_q: Array, beta: Array, space: _Space) -> "_Problem":
        """Return the problems, with the best reward for a base."""
        scale, base = beta * curve.unit, r.max(0)
        q, mass = _masses(log_q, space)
        if not (np.exp(-_FAR_FROM_1) < mass.min() and mass.max() < np.exp(_FAR_FROM_1)):
            log_q = log_q - logsumexp(log_q, axis=0)  # else e**log_q may leave the floats
            q, mass = _masses(log_q, space)
        d, dead = space.array("d", r.shape), None
        for part in parts(r.shape):
            np.subtract(base, r[part], out=d[part])
            np.divide(d[part], scale, out=d[part])
        regular = log_q.min() > _FLOOR + np.log(mass.max()) and np.isfinite(base + r.min()).all()
        if not regular:
            log_q, base, dead = _masked(r, log_q)
            q = np.where(dead, 0.0, np.exp(log_q))
            d = np.where(dead, 0.0, (base - r) / scale)
            mass = np.where(np.isnan(base), np.nan, 1.0)
            d = np.where(dead, d.max(0), d)
        best = 0.0
        for part in parts(r.shape):
            work = space.array("y", r[part].shape)
            best = best + np.add.reduce(np.multiply(q[part], d[part] == 0.0, out=work), 0)
        weights, gaps = q, d
        if not curve.keeps_gaps:
            gaps = space.array("gaps", d.shape)
            for part in parts(d.shape):
                curve.prepare(q[part], d[part], gaps[part])
        low, high, start = _bracket(curve, weights, gaps, mass, best)
        lone = _lone(curve, weights, gaps, mass, low)
        if lone is not None:  # all other roots are larger than that
            low, start = np.fmax(low, _TINY), np.fmax(start, _TINY)
        given = (curve, r, log_q, scale, base)
        return cls(*given, d, weights, gaps, mass, best, low, high, start, lone, dead, space)

    def total_and_pull(self, x: Array) -> tuple[Array, Array]:
        """Return the sums of the curve."""
        total, pull = 0.0, 0.0
        for part in parts(self.gaps.shape):
            gaps = self.gaps[part]
            room = partial(self.space.array, shape=gaps.shape, dtype=gaps.dtype)
            work = room("y"), room("t")
            more = self.curve.sums(self.weights[part], gaps, x, work)
            total, pull = total + more[0], pull + more[1]
        return total, pull

    def advance(self, x: Array) -> tuple[Array, Array]:
        """Return the mass of the policy at the unknowns, and better unknowns."""
        return self.curve.advance(x, *self.total_and_pull(x), self.mass, self.best)

    def nearby(self) -> Array:
        """Return unknowns near the roots, by steps in single precision, which cost half as much."""
        names = ("weights", "gaps", "mass", "best", "low", "high", "start")
        rough = self._replace(**{name: getattr(self, name).astype(np.float32) for name in names})
        x = rough.start
        for _ in range(self.curve.rough_steps):
            x = np.fmin(np.fmax(rough.advance(x)[1], rough.low), rough.high)
        return np.fmin(np.fmax(x, self.low), self.high)

    def levels(self, x: Array) -> Array:
        """Return the multipliers."""
        curve = self.curve
        y = curve.offset(x) if curve.above else -curve.offset(x)
        return self.base + self.scale * (y - curve.edge / curve.unit)

    def only(self, columns: Array) -> "_Problem":
        """Return some of the problems, as far as their roots need."""
        names = ("weights", "gaps", "mass", "best", "low", "high", "start")
        return self._replace(**{name: getattr(self, name).take(columns, axis=-1) for name in names})


def _masses(log_q: Array, space: _Space) -> tuple[Array, Array]:
    """Return ``q``, and its sum over each column."""
    q = space.array("q", log_q.shape)
    for part in parts(log_q.shape):
        np.exp(log_q[part], out=q[part])
    return q, np.add.reduce(q, 0)


def _masked(r: Array, log_q: Array) -> tuple[Array, Array, Array]:
    """Return normalised log q above the floor, the best reward of a live outcome, and the dead."""
    log_q = log_q - logsumexp(log_q, axis=0)
    dead = (log_q == -np.inf) | (r == -np.inf)
    base = np.where(dead, -np.inf, r).max(0)
    unknown = np.isnan(r).any(0) | np.isnan(log_q).any(0) | np.isinf(base)
    base = np.where(unknown, np.nan, base)
    return np.where(log_q > -np.inf, np.maximum(log_q, _FLOOR), log_q), base, dead


def _bracket(
    curve: Curve, weights: Array, gaps: Array, mass: Array, best: Array
) -> tuple[Array, Array, Array]:
    """Return a bracket of the unknown, and where to start in it.

    No outcome has more than all mass: that bounds it by the best outcomes. One ratio is >= 1, and
    no mass is missing where all are large enough for that. A convex ratio at the mean gap is a
    bound, too (Jensen).
    """
    total, moment = mass, 0.0
    for part in parts(gaps.shape):
        moment = moment + np.einsum("ij,ij->j", weights[part], gaps[part])
    if not curve.keeps_gaps:
        total = np.add.reduce(weights, 0)
    alone, one = curve.unknown(np.log(mass / best)), curve.unknown(np.zeros(1))
    start = curve.start(best / mass, total / mass, moment / mass)
    if curve.above:
        start = np.minimum(np.maximum(start, alone), one)
        return alone * (1 - _SLACK), one * (1 + _SLACK) + 0.0 * mass, start
    high = _all_that_is_left(curve, weights, mass) + gaps.max(0)
    start = np.minimum(np.maximum(np.fmin(start, alone), one), high)
    slack = _SLACK * (1 + np.abs(one))
    return one - slack + 0.0 * mass, high + _SLACK * (1 + np.abs(high)), start


def _all_that_is_left(curve: Curve, weights: Array, mass: Array) -> Array:
    """Return the distance of a ratio that gives the live outcomes all mass, the dead ones' too."""
    return curve.unknown(np.log(mass / np.add.reduce(weights, 0)))


def _lone(curve: Curve, weights: Array, gaps: Array, mass: Array, alone: Array) -> Array | None:
    """Return ``log u`` of the best outcome where its distance would underflow, NaN elsewhere.

    There it takes what the others leave, and they do not notice: their gaps are far larger.
    """
    if not (isinstance(curve, PowerCurve) and curve.kappa < -1 and (alone < _TINY).any()):
        return None
    others = gaps > 0.0
    u = np.exp(curve.log_ratio(np.where(others, gaps, 1.0)))
    left = mass - np.where(others, weights * u, 0.0).sum(0)
    log_u = np.log(left / np.where(others, 0.0, weights).sum(0))
    return np.where(curve.kappa * log_u < np.log(_TINY), log_u, np.nan)


def _root(problem: _Problem) -> tuple[Array, bool]:
    """Return the unknown of each problem, and whether the mass is 1 at all of them."""
    found = problem.start
    left = np.arange(found.size)
    exact = problem.lone is None
    if problem.lone is not None:
        left = np.flatnonzero(np.isnan(problem.lone))
        found = np.zeros_like(found)
        problem = problem.only(left)
    x = problem.nearby() if problem.curve.rough_steps else problem.start
    for _ in range(_FREE_STEPS):
        if not left.size:
            return found, exact
        sum_t, better = problem.advance(x)
        unsettled = ~problem.curve.settled(x, better, np.abs(sum_t - 1.0))
        x = np.fmin(np.fmax(better, problem.low), problem.high)  # NaN becomes the low end
        n_unsettled = np.count_nonzero(unsettled)
        if n_unsettled < 0.5 * left.size:  # they go on among themselves
            if left.size == found.size:
                found = x
            else:
                found[left] = x
            rest = np.flatnonzero(unsettled)
            left, x = left[rest], x[rest]
            problem = problem.only(rest) if rest.size else problem
    if left.size:
        found[left] = _bracketed(problem, x)
        exact = False
    return found, exact


def _bracketed(problem: _Problem, x: Array) -> Array:
    """Return the unknowns by Newton's method within a bracket.

    A problem is settled by the step from where the mass is 1 but for a last few digits.
    """
    above = problem.curve.above
    low, high = problem.low, problem.high
    last = np.inf
    settled = np.isnan(x + low)
    for n_steps in range(1, _MAX_STEPS + 1):
        sum_t, proposal = problem.advance(x)
        error = np.abs(sum_t - 1.0)
        too_low, too_high = (sum_t > 1, sum_t < 1) if above else (sum_t < 1, sum_t > 1)
        low, high = np.where(too_low, x, low), np.where(too_high, x, high)
        inside = (proposal >= problem.low) & (proposal <= problem.high)
        done = np.isnan(error) | ((error < _CLOSE) & inside)
        slow = (error > last / 2) & (n_steps % 3 == 0)  # never at the mercy of small steps
        newton = done | ((proposal > low) & (proposal < high) & ~slow)
        middle = np.where(low > 0, np.sqrt(low) * np.sqrt(high), low + (high - low) / 2)
        moved = np.where(newton, proposal, middle)
        moved = np.where(settled | (sum_t == 1), x, moved)
        settled = settled | done | (moved == x)
        x, last = moved, error
        if settled.all():
            break
    return x


def _rebased(problem: _Problem, x: Array) -> tuple[_Problem, Array]:
    """Return the problems and unknowns measured from a nearby base, where the first is far away.

    Where rewards are 1e12 times beta, or an outcome lies at the very edge of a steep ratio, the
    distances ``x - d`` lack digits. Measured from the outcome whose distance is the smallest, that
    distance is the unknown itself.
    """
    curve = problem.curve
    if curve.above:
        return problem, x
    lost = np.abs(x) > _FAR
    if isinstance(curve, PowerCurve) and curve.power < 1:  # steep at its edge
        lost = lost | (np.abs(problem.advance(x)[0] - 1.0) > _LOST)
    if not lost.any():
        return problem, x
    away = np.abs(x - problem.gaps)
    if problem.dead is not None:
        away = np.where(problem.dead, np.inf, away)
    nearest = away.argmin(0), np.arange(x.size)
    base = np.where(np.isnan(problem.base), np.nan, problem.r[nearest])
    d = (base - problem.r) / problem.scale
    if problem.dead is not None:
        d = np.where(problem.dead, np.where(problem.dead, -np.inf, d).max(0), d)
    low = curve.unknown(np.zeros_like(x)) + d.min(0)
    high = _all_that_is_left(curve, problem.weights, problem.mass) + d.max(0)
    low, high = low - _SLACK * (1 + np.abs(low)), high + _SLACK * (1 + np.abs(high))
    start = x - problem.gaps[nearest]
    problem = problem._replace(base=base, d=d, gaps=d)
    positive = problem.advance(np.zeros_like(x))[0] < 1
    low = np.where(positive, np.fmax(low, _SMALLEST), low)  # it may be the tiniest of distances
    high = np.where(positive, high, np.fmin(high, 0.0))
    problem = problem._replace(low=low, high=high)
    return problem, _bracketed(problem, np.fmin(np.fmax(start, low), high))


def _write_policy(
    problem: _Problem, x: Array, log_t: Array, gains: Array | None, *, sums_to_1: bool
) -> None:
    """Write ``log t`` of the outcomes of a tile, and the gains."""
    curve = problem.curve
    log_total = np.log(problem.mass)
    if not sums_to_1 and problem.lone is None:
        sum_t = problem.advance(x)[0]
        # No root among the slopes that floats hold: better no policy than a wrong one.
        log_total = log_total + np.where(np.abs(sum_t - 1.0) < _NO_ROOT, np.log(sum_t), np.nan)
    for part in parts(log_t.shape):
        d, gaps = problem.d[part], problem.gaps[part]
        out = log_t[part]
        curve.log_ratios(d, gaps, x, out)
        if problem.lone is not None:
            np.copyto(out, problem.lone, where=(d == 0.0) & ~np.isnan(problem.lone))
        np.add(out, problem.log_q[part], out=out)
        np.subtract(out, log_total, out=out)
        if gains is not None:
            y = curve.offset(x) + d if curve.above else curve.offset(x) - d
            gains[part] = np.minimum(curve.gain(y) / curve.unit, _LARGEST_GAIN)
    if problem.dead is not None:
        log_t[problem.dead] = -np.inf
        log_t[:, np.isnan(problem.base)] = np.nan
    if problem.lone is not None:
        np.subtract(log_t, logsumexp(log_t, axis=0), out=log_t)
