r"""The multiplier that makes the optimum of a regularised objective sum to 1: one root per group.

With ``u_i = (f')^-1((r_i - L) / beta)``, the mass ``sum q_i u_i`` falls as ``L`` rises. Newton's
method is applied not to the mass but to its slope ``f'(mass)``: that is a mean of the slopes,
linear in ``L`` when the regulariser is strong or one outcome has it all, and concave for the alpha
family up to 1, where the steps go straight to the root from a lower bound. A bracket catches the
rest.

All of it is done in NumPy, tile by tile, in the notation of `curves`: ``d`` gaps to the best
reward, ``x`` the unknown, ``y`` distances, ``w`` samples of ``m`` groups.
"""

from typing import Any, NamedTuple

import numpy as np

from polymode.core.arrays import Array, logsumexp
from polymode.core.curves import Curve, PowerCurve
from polymode.core.groups import Groups
from polymode.core.tiles import parts, tiles

__all__ = ["Optimum", "solve"]

_MAX_STEPS = 300  # bisection alone needs about 60; no case is known that takes 40
_FREE_STEPS = 4  # half of all groups need no more; then the others go on among themselves
_CLOSE = 1e-8  # nats of mass from which one more step leads to the last digits
_FAR = 100.0  # |x| beyond which the distances want a base nearby
_FLOOR = -700.0  # log q counts as this below it: e**-700 and its products are normal numbers
_TINY_X = -300.0  # log x below which x adds nothing to any gap but one of 0
_LARGEST_GAIN = 1e34  # finite in float32, and with it every product that a derivative takes


class Optimum(NamedTuple):
    """The optimum of each group.

    Parameters
    ----------
    log_t : array, shape (rows, n)
        Log-probabilities of the optimum, normalised over each group; ``-inf`` where an outcome has
        no mass, NaN in groups with a NaN or without any mass.
    levels : array, shape (rows, g)
        Multipliers ``L``, in reward units.
    gains : array, shape (rows, n), or None
        How fast ``log(t / q)`` rises with the slope ``(r - L) / beta``; None if not asked for.
    """

    log_t: Array
    levels: Array
    gains: Array | None


def solve(
    curve: Curve, rewards: Array, log_q: Array, *, beta: Array, groups: Groups, with_gains: bool
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
    with_gains : bool
        Whether to compute the gains.

    Returns
    -------
    Optimum
        NumPy arrays.
    """
    log_t = np.empty_like(rewards)
    gains = np.empty_like(rewards) if with_gains else None
    levels = np.empty((len(rewards), groups.n_groups))
    with np.errstate(all="ignore"):  # steps may leave the bracket through inf and NaN
        for tile in tiles(groups, len(rewards)):
            r, log_w = tile.take(rewards), tile.mask(tile.take(log_q))
            problem = _Problem.of(curve, r, log_w, tile.spread(beta))
            x = _root(problem)
            problem, x = _rebased(problem, x)
            found = tile.room(log_t)
            gain = None if gains is None else tile.room(gains)
            _policy(problem, x, found, gain)
            tile.put(log_t, found)
            tile.put_groups(levels, problem.level(x))
            if gains is not None:
                tile.put(gains, gain)
    return Optimum(log_t, levels, gains)


class _Problem(NamedTuple):
    """The problems of a tile, one in each column."""

    curve: Curve
    r: Array  # (w, m)
    log_q: Array  # (w, m), as given but for the floor
    scale: Any  # reward units of a distance of 1
    base: Array  # (m,) the best reward, or another one nearby
    e: Array  # (w, m) what the curve makes of the gaps
    q: Array  # (w, m)
    mass: Array  # (m,) of the reference
    low: Array  # (m,) the unknown lies
    high: Array  # (m,) between these
    start: Array  # (m,)
    lone: Array | None  # (m,) see `_lone`; None for nowhere
    dead: Array | None  # (w, m) where there is no mass to give; None for nowhere

    @classmethod
    def of(cls, curve: Curve, r: Array, log_q: Array, beta: Any) -> "_Problem":
        """Return the problems, with the best reward for a base."""
        scale = beta * curve.unit
        base, worst, lowest = r.max(0), r.min(0), log_q.min(0)
        q = np.empty(r.shape)
        for part in parts(r.shape):
            np.exp(log_q[part], out=q[part])
        mass = q.sum(0)
        regular = (lowest > _FLOOR + np.log(mass)) & np.isfinite(mass + base + worst)
        dead = None
        if not regular.all():
            log_q, base, dead = _masked(r, log_q)
            q = np.where(dead, 0.0, np.exp(log_q))
            mass = np.where(np.isnan(base), np.nan, 1.0)
        d = np.empty(r.shape)
        for part in parts(r.shape):
            np.subtract(base, r[part], out=d[part])
            np.divide(d[part], scale, out=d[part])
        if dead is not None:
            d[dead] = 0.0
        low, high, start = _bounds(curve, d, q, mass)
        lone = _lone(curve, d, q, mass, low)
        if lone is not None:  # all other roots are larger than that
            low, start = np.fmax(low, 1e-135), np.fmax(start, 1e-135)
        if dead is not None:
            d = np.where(dead, np.inf if curve.above else d.max(0), d)
        e = curve.prepare(d)
        return cls(curve, r, log_q, scale, base, e, q, mass, low, high, start, lone, dead)

    def step(self, x: Array) -> tuple[Array, Array]:
        """Return the log-mass at `x`, and the step of Newton's method from there."""
        total, pull = 0.0, 0.0
        for part in parts(self.q.shape):
            work = np.empty(self.q[part].shape), np.empty(self.q[part].shape)
            more = self.curve.sums(self.q[part], self.e[part], x, work)
            total, pull = total + more[0], pull + more[1]
        return self.curve.newton(total, pull, self.mass)

    def level(self, x: Array) -> Array:
        """Return the multipliers."""
        beta = self.scale / self.curve.unit
        side = 1.0 if self.curve.above else -1.0
        return self.base + side * (self.scale * x) - beta * self.curve.edge

    def only(self, columns: Array) -> "_Problem":
        """Return some of the problems."""
        own = {
            name: getattr(self, name)[..., columns]
            for name in ("e", "q", "mass", "low", "high", "start")
        }
        return self._replace(**own)


def _masked(r: Array, log_q: Array) -> tuple[Array, Array, Array]:
    """Return normalised log q above the floor, the best reward of a live outcome, and the dead."""
    log_q = log_q - logsumexp(log_q, axis=0)
    dead = (log_q == -np.inf) | (r == -np.inf)
    base = np.where(dead, -np.inf, r).max(0)
    unknown = np.isnan(r).any(0) | np.isnan(log_q).any(0) | np.isinf(base)
    base = np.where(unknown, np.nan, base)
    return np.where(log_q > -np.inf, np.maximum(log_q, _FLOOR), log_q), base, dead


def _bounds(curve: Curve, d: Array, q: Array, mass: Array) -> tuple[Array, Array, Array]:
    """Return a bracket of the unknown, and where to start in it.

    No outcome has more than all mass: that bounds it by the best outcomes. All ratios are <= 1 at
    one end, and >= 1 at the other. A convex ratio at the mean gap is a bound, too (Jensen).
    """
    best, mean = 0.0, 0.0
    for part in parts(d.shape):
        work = np.equal(d[part], 0.0).astype(np.float64)
        np.multiply(work, q[part], out=work)
        best = best + np.add.reduce(work, 0)
        np.multiply(q[part], d[part], out=work)
        mean = mean + np.add.reduce(work, 0)
    alone, one = curve.distance(np.log(mass / best)), curve.distance(np.zeros_like(mass))
    mean = mean / mass
    if curve.above:
        return alone * 0.999999, one * 1.000001, np.clip(one - mean, alone, one)
    slack = 1e-6 * (1 + np.abs(one))
    high = one + d.max(0)
    start = np.clip(np.fmin(one + mean, alone), one, high)
    return one - slack, high + slack + 1e-6 * np.abs(high), start


def _lone(curve: Curve, d: Array, q: Array, mass: Array, alone: Array) -> Array | None:
    """Return ``log u`` of the best outcome where its distance would underflow, NaN elsewhere.

    There it takes what the others leave, and they do not notice: their gaps are far larger.
    """
    if not (curve.above and isinstance(curve, PowerCurve) and (alone < 1e-280).any()):
        return None
    others = np.where(d > 0.0, q, 0.0)
    left = mass - (others * np.exp(curve.log_ratio(np.where(d > 0.0, d, 1.0)))).sum(0)
    log_u = np.log(left / np.where(d > 0.0, 0.0, q).sum(0))
    return np.where(curve.kappa * log_u < _TINY_X, log_u, np.nan)


def _root(problem: _Problem) -> Array:
    """Return the unknown of each problem."""
    x = problem.start
    if problem.lone is not None:
        rest = np.flatnonzero(np.isnan(problem.lone))
        x = np.zeros_like(x)
        if rest.size:
            x[rest] = _bracketed(problem.only(rest), problem.start[rest])
        return x
    settled = np.zeros(x.shape, dtype=bool)
    for _ in range(_FREE_STEPS):
        log_mass, change = problem.step(x)
        x = np.clip(x + change, problem.low, problem.high)
        settled = np.abs(log_mass) < _CLOSE
        if settled.all():
            return x
    rest = np.flatnonzero(~settled)
    x[rest] = _bracketed(problem.only(rest), x[rest])
    return x


def _bracketed(problem: _Problem, x: Array) -> Array:
    """Return the unknowns by Newton's method within a bracket.

    A problem is settled by the step from where the mass is 1 but for a last few digits.
    """
    above = problem.curve.above
    low, high = problem.low, problem.high
    last = np.inf
    settled = np.isnan(x)
    for n_steps in range(1, _MAX_STEPS + 1):
        log_mass, change = problem.step(x)
        error = np.abs(log_mass)
        too_low, too_high = (log_mass > 0, log_mass < 0) if above else (log_mass < 0, log_mass > 0)
        low, high = np.where(too_low, x, low), np.where(too_high, x, high)
        proposal = x + change
        done = np.isnan(error) | ((error < _CLOSE) & np.isfinite(proposal))
        slow = (error > last / 2) & (n_steps % 3 == 0)  # never at the mercy of small steps
        newton = done | ((proposal > low) & (proposal < high) & ~slow)
        middle = np.sqrt(low) * np.sqrt(high) if above else low + (high - low) / 2
        moved = np.where(newton, proposal, middle)
        moved = np.where(settled | (log_mass == 0), x, moved)
        settled = settled | done | (moved == x)
        x, last = moved, error
        if settled.all():
            break
    return x


def _rebased(problem: _Problem, x: Array) -> tuple[_Problem, Array]:
    """Return the problems and unknowns measured from a nearby base, where the first is far away.

    Where rewards are 1e12 times beta, `x` lacks digits. Measured from the reward at which the
    distance is 0, rounded, differences of nearby rewards are exact, and the rest is found anew.
    """
    curve = problem.curve
    if curve.above or not (np.abs(x) > _FAR).any():
        return problem, x
    base = problem.base - problem.scale * x
    d = (base - problem.r) / problem.scale
    if problem.dead is not None:
        d = np.where(problem.dead, np.where(problem.dead, -np.inf, d).max(0), d)
    one = curve.distance(np.zeros_like(x))
    slack = 1e-6 * (1 + np.abs(one))
    bracket = {"low": one + d.min(0) - slack, "high": one + d.max(0) + slack}
    problem = problem._replace(base=base, e=curve.prepare(d), **bracket)
    return problem, _bracketed(problem, np.zeros_like(x))


def _policy(problem: _Problem, x: Array, log_t: Array, gains: Array | None) -> None:
    """Write ``log t`` of the outcomes of a tile, and the gains."""
    curve = problem.curve
    log_mass, _ = problem.step(x)
    log_total = np.log(problem.mass) + log_mass
    for part in parts(log_t.shape):
        d = (problem.base - problem.r[part]) / problem.scale
        y = x + d if curve.above else x - d
        log_u = curve.log_ratio(y)
        if problem.lone is not None:
            log_u = np.where((d == 0.0) & ~np.isnan(problem.lone), problem.lone, log_u)
        np.add(problem.log_q[part], log_u, out=log_t[part])
        if gains is not None:
            gains[part] = np.minimum(curve.gain(y) / curve.unit, _LARGEST_GAIN)
    if problem.dead is not None:
        log_t[problem.dead] = -np.inf
        log_t[:, np.isnan(problem.base)] = np.nan
    if problem.lone is not None:
        log_total = logsumexp(log_t, axis=0)
    for part in parts(log_t.shape):
        np.subtract(log_t[part], log_total, out=log_t[part])
