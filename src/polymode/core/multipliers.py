r"""The multiplier that makes the optimum of a regularised objective sum to 1: one root per group.

With ``u_i = (f')^-1((r_i - L) / beta)``, the mass ``sum q_i u_i`` falls as ``L`` rises. Newton's
method is applied not to the mass but to its slope ``f'(mass)``: that is a mean of the slopes,
linear in ``L`` when the regulariser is strong or one outcome has it all, and concave for the alpha
family up to 1, where the steps go straight to the root from a lower bound. A bracket catches the
rest.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from polymode.core.arrays import Array, array_namespace
from polymode.core.curves import Curve
from polymode.core.groups import Groups

__all__ = ["Optimum", "solve"]

_MAX_STEPS = 300  # bisection alone needs about 60; no case is known that takes 40
_HUGE = (
    80.0  # e**80 and its products are finite even in float32; only derivatives are cut off there
)
_FAR = 1e30  # distance at which outcomes without mass are kept: large, and finite in float32
_SLACK = 1e-6  # of brackets, in nats or slopes: bounds are rounded too


class Optimum(NamedTuple):
    """The optimum of each group; all arrays are in wide floats, and none carries a gradient.

    Parameters
    ----------
    log_ratios : array, shape (..., n)
        ``log(t / q)``; of no meaning where an outcome has no mass.
    gains : array, shape (..., n)
        How fast they rise with the slope ``(r - L) / beta``.
    multipliers : array, shape (..., g)
        ``L`` in reward units.
    n_steps : int
        How many steps were taken.
    """

    log_ratios: Array
    gains: Array
    multipliers: Array
    n_steps: int


def solve(
    curve: Curve, rewards: Array, log_q: Array, *, live: Array, beta: float, groups: Groups
) -> Optimum:
    r"""Return the optimum of each group.

    .. math:: \textstyle\sum_i q_i \, (f')^{-1}((r_i - L) / \beta) = 1

    Parameters
    ----------
    curve : Curve
        The inverse of the slope.
    rewards : array, shape (..., n)
        Rewards, finite wherever `live`; NaN makes its group NaN.
    log_q : array, shape (..., n)
        ``log q``, normalised over each group, finite wherever `live`.
    live : array of bool, shape (..., n)
        Which outcomes take part.
    beta : float
        Strength, in reward units.
    groups : Groups
        The groups.

    Returns
    -------
    Optimum
        NaN in groups with a NaN, or without a live outcome.
    """
    xp = array_namespace(rewards)
    rewards = xp.where(live | xp.isnan(rewards), rewards, 0.0)
    base = groups.max(xp.where(live, rewards, -xp.inf))
    base = xp.where(base > -xp.inf, base, xp.nan)
    log_q = xp.where(live, log_q, -xp.inf)
    problem = _Problem(curve, rewards, log_q, live, beta, groups)
    with np.errstate(all="ignore"):  # steps may leave the bracket through inf and NaN
        if curve.above:
            return _from_above(problem, base)
        first = _from_below(problem, base, None)
        # Where rewards are 1e12 times beta, the multiplier itself lacks digits. Measured from its
        # rounded value, differences of nearby rewards are exact, and the rest gets digits anew.
        base = first.multipliers + beta * curve.edge
        second = _from_below(problem, base, xp.zeros_like(base))
        return second._replace(n_steps=first.n_steps + second.n_steps)


class _Problem(NamedTuple):
    """What stays the same during a solution."""

    curve: Curve
    rewards: Array
    log_q: Array
    live: Array
    beta: float
    groups: Groups

    def distances(self, base: Array) -> Array:
        """Return how far each reward lies below the base of its group, in units of beta."""
        gaps = self.groups.expand(base) - self.rewards
        xp = array_namespace(gaps)
        return xp.where(self.live | xp.isnan(gaps), gaps / self.beta, _FAR)

    def argument_at(self, log_u: float) -> Array:
        """Return the argument of the curve at one ratio, as an array without axes."""
        xp = array_namespace(self.rewards)
        return self.curve.argument(xp.zeros_like(self.rewards[..., :1]) + log_u)


def _from_above(problem: _Problem, base: Array) -> Optimum:
    """Solve for ``x = log λ``, where ``y_i = λ + d_i``; d is 0 for the best reward, the base."""
    curve, _, log_q, live, beta, groups = problem
    xp = array_namespace(log_q)
    d = problem.distances(base)
    top = d == 0
    one = problem.argument_at(0.0)

    def log_y(x: Array) -> Array:
        return xp.where(top, groups.expand(x), xp.log(d + groups.expand(xp.exp(x))))

    def share(x: Array, y: Array) -> Array:  # λ / y, also where both underflow
        return xp.exp(groups.expand(x) - y)

    q = xp.exp(log_q)

    def sums(x: Array) -> tuple[Array, Array]:
        if curve.fast is not None:
            level = xp.exp(x)
            u, rate = curve.fast(d + groups.expand(level))
            t = q * u
            return groups.sum(t), level * groups.sum(t * rate)
        y = log_y(x)
        t = xp.exp(log_q + curve.log_ratio(y))
        return groups.sum(t), groups.sum(t * curve.gain(y) * share(x, y))

    def step(x: Array) -> tuple[Array, Array]:
        mass, rise = sums(x)
        log_mass = xp.log(mass)
        y_of_mass = curve.argument(log_mass)
        change = xp.expm1(one - y_of_mass) * curve.gain(y_of_mass) * mass / rise
        return log_mass, x + xp.log1p(change)

    # No outcome has more than all mass: λ >= y(1 / q_i) - d_i. All ratios are <= 1 at y(1).
    bounds = curve.argument(xp.where(live, -log_q, 0.0))
    low = groups.max(xp.where(top & live, bounds, -xp.inf))
    bounds = xp.where(top, bounds, xp.log(xp.clip(xp.exp(bounds) - d, 0.0, None)))
    start = groups.max(xp.where(live, bounds, -xp.inf + 0 * d))
    high = xp.zeros_like(start) + one
    start = xp.where(start > high, high, start)
    x, n_steps = _root(step, low - _SLACK, high + _SLACK, start)
    y = log_y(x)
    multipliers = base + beta * (xp.exp(x) - curve.edge)
    gains = curve.gain(y) / xp.exp(xp.where(y < -_HUGE, -_HUGE, y))
    return Optimum(curve.log_ratio(y), gains, multipliers, n_steps)


def _from_below(problem: _Problem, base: Array, start: Array | None) -> Optimum:
    """Solve for x, where ``y_i = -(x + d_i)``, from a base that lies anywhere."""
    curve, _, log_q, live, beta, groups = problem
    xp = array_namespace(log_q)
    d = problem.distances(base)
    one = problem.argument_at(0.0)

    def step(x: Array) -> tuple[Array, Array]:
        y = -(groups.expand(x) + d)
        t = xp.exp(log_q + curve.log_ratio(y))
        mass = groups.sum(t)
        y_of_mass = curve.argument(xp.log(mass))
        rise = groups.sum(xp.where(t > 0, t * curve.gain(y), 0.0))
        change = (y_of_mass - one) * curve.gain(y_of_mass) * mass / rise
        return xp.log(mass), x + change

    low = -one - groups.max(xp.where(live, d, -xp.inf))  # all ratios >= 1
    high = -one + groups.max(xp.where(live, -d, -xp.inf))  # all ratios <= 1
    slack = _SLACK * (1 + xp.abs(low))
    if start is None:  # no outcome has more than all mass
        bounds = -curve.argument(xp.where(live, -log_q, 0.0)) - d
        start = groups.max(xp.where(live, bounds, -xp.inf + 0 * d))
        start = xp.where(start < low, low, xp.where(start > high, high, start))
    x, n_steps = _root(step, low - slack, high + slack, start + 0 * low)
    y = -(groups.expand(x) + d)
    multipliers = base + beta * (x - curve.edge)
    return Optimum(curve.log_ratio(y), curve.gain(y), multipliers, n_steps)


def _root(
    step: Callable[[Array], tuple[Array, Array]], low: Array, high: Array, x: Array
) -> tuple[Array, int]:
    """Return where the log-mass is 0, by Newton's method within a bracket, and how many steps.

    A root is settled by the step from where the mass is 1 but for a last few digits.
    """
    xp = array_namespace(x)
    close = float(xp.finfo(x.dtype).eps) ** 0.75
    last = xp.full_like(x, xp.inf)
    settled = xp.isnan(x)
    n_steps = 0
    while n_steps < _MAX_STEPS and not bool(xp.all(settled)):
        n_steps += 1
        log_mass, proposal = step(x)
        error = xp.abs(log_mass)
        low, high = xp.where(log_mass > 0, x, low), xp.where(log_mass < 0, x, high)
        done = xp.isnan(error) | ((error < close) & xp.isfinite(proposal))
        slow = (error > last / 2) & (n_steps % 3 == 0)  # never at the mercy of small steps
        newton = done | ((proposal > low) & (proposal < high) & ~slow)
        moved = xp.where(newton, proposal, low + (high - low) / 2)
        moved = xp.where(settled | (log_mass == 0), x, moved)
        settled = settled | done | (moved == x)
        x, last = moved, error
    return x, n_steps
