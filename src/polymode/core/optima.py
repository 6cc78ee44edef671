r"""Optimal policies and their multipliers, divergence by divergence, behind the public functions.

Reverse KL and total variation have closed forms, here, in whatever library the arrays come from.
All other divergences go through one root per group, found in NumPy, in `multipliers`. NumPy arrays
take that way under reverse KL as well, row by row, since it saves most of the time.

Arrays are wide floats of one shape (..., n); ``beta`` is a number, or an array of shape (..., 1).
"""

import math
from typing import Any, cast

import numpy as np

from polymode.core.arrays import (
    Array,
    array_namespace,
    detached,
    has_gradient,
    library,
    on_host,
)
from polymode.core.curves import Curve
from polymode.core.divergences import REVERSE_KL, TOTAL_VARIATION, Divergence
from polymode.core.groups import Groups
from polymode.core.multipliers import solve
from polymode.core.tiles import parts, tiles

__all__ = ["gibbs_value", "levels", "log_optimum", "scores"]


def log_optimum(r: Array, log_q: Array, beta: Any, divergence: Divergence, groups: Groups) -> Array:
    """Return the log-probabilities of the optimum of each group.

    Parameters
    ----------
    r, log_q : array, shape (..., n)
        Rewards and log-probabilities of the reference.
    beta : float or array, shape (..., 1)
        Strength.
    divergence : Divergence
        What regularises.
    groups : Groups
        The groups.

    Returns
    -------
    array, shape (..., n)
        ``log t``.
    """
    if divergence is REVERSE_KL:
        in_tiles = library(r) == "numpy" and groups.n_groups == 1
        return (_gibbs_in_tiles if in_tiles else _gibbs)(r, log_q, beta, groups)
    if divergence is TOTAL_VARIATION:
        return _best_reply(r, log_q, beta, groups)
    strength = () if isinstance(beta, float) else (beta,)
    with_gains = has_gradient(r, log_q, *strength)
    log_t, *gains = _solved(r, log_q, beta, divergence, groups, with_gains=with_gains)
    if not with_gains:
        return log_t
    return log_t + _zero_with_gradient(r, log_q, log_t, *gains, beta=beta, groups=groups)


def levels(r: Array, log_q: Array, beta: Any, divergence: Divergence, groups: Groups) -> Array:
    """Return the multiplier of each group.

    Parameters
    ----------
    r, log_q : array, shape (..., n)
        Rewards and log-probabilities of the reference; under reverse KL normalised, or less than
        that by an entropy bonus.
    beta : float or array, shape (..., 1)
        Strength.
    divergence : Divergence
        What regularises.
    groups : Groups
        The groups.

    Returns
    -------
    array, shape (..., g)
        Levels in reward units; NaN where no outcome has mass.
    """
    xp = array_namespace(r)
    if divergence is REVERSE_KL:
        value = gibbs_value(r, log_q, beta, groups)
        return xp.where(value == -xp.inf, xp.nan, value) - beta
    if divergence is TOTAL_VARIATION:
        return _best_reward(r, log_q, groups) - beta / 2
    return _solved(r, log_q, beta, divergence, groups, with_levels=True)[1]


def _solved(
    r: Array,
    log_q: Array,
    beta: Any,
    divergence: Divergence,
    groups: Groups,
    *,
    with_levels: bool = False,
    with_gains: bool = False,
) -> tuple[Array, ...]:
    """Return log-probabilities and what else is asked for; nothing carries a gradient."""
    beta = beta + array_namespace(r).zeros_like(r[..., :1])
    shapes = {"levels": (*r.shape[:-1], groups.n_groups), "gains": r.shape}
    wanted = [name for name, asked in (("levels", with_levels), ("gains", with_gains)) if asked]

    def solve_rows(r: Array, log_q: Array, beta: Array) -> tuple[Array, ...]:
        found = solve(
            cast(Curve, divergence.curve),
            _rows(r),
            _rows(log_q),
            beta=beta.reshape(-1),
            groups=groups,
            with_levels=with_levels,
            with_gains=with_gains,
        )
        tables = (found.log_t, *(getattr(found, name) for name in wanted))
        return tuple(table.reshape((*r.shape[:-1], table.shape[-1])) for table in tables)

    return on_host(solve_rows, r, log_q, beta, shapes=(r.shape, *(shapes[n] for n in wanted)))


def _rows(x: Array) -> Array:
    """Return a table with all leading axes in one."""
    return x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _zero_with_gradient(
    r: Array, log_q: Array, log_t: Array, gains: Array, *, beta: Any, groups: Groups
) -> Array:
    r"""Return zeros that carry the derivative of ``log t``, by the implicit function theorem.

    .. math::

        d \log t_i = d \log q_i + g_i \, (ds_i - dl), \qquad
        dl = \frac{\sum_j t_j (d \log q_j + g_j \, ds_j)}{\sum_j t_j g_j}

    Here q is normalised, ``g = d log u / ds`` are the gains, and ``s`` are the slopes
    ``(r - r_max) / beta``: the multiplier adds the same to all, which is in ``dl``.
    """
    xp = array_namespace(r)
    t = xp.exp(log_t)
    live = log_t != -xp.inf
    gains = xp.where(live & (t > 0), gains, 0.0)
    base = groups.max(xp.where(live, detached(r), -xp.inf))
    base = groups.expand(xp.where(xp.isfinite(base), base, 0.0))
    slopes = xp.where(live, r - base, 0.0) / beta  # but for what all outcomes have in common
    ds = slopes - detached(slopes)
    total = groups.logsumexp(log_q)
    has_mass = log_q != -xp.inf
    dq = xp.where(has_mass, log_q - detached(log_q), 0.0)
    dq = dq - groups.expand(total - detached(total))
    pull = groups.sum(t * gains)
    level = groups.sum(t * (dq + gains * ds)) / xp.where(pull > 0, pull, 1.0)
    return xp.where(live, dq + gains * (ds - groups.expand(level)), 0.0)


def _gibbs_in_tiles(r: Array, log_q: Array, beta: Any, groups: Groups) -> Array:
    """Return `_gibbs` for NumPy arrays whose rows are one group."""
    log_t = np.empty(r.shape)
    table, rewards, logs = _rows(log_t), _rows(r), _rows(log_q)
    beta = np.broadcast_to(beta, (*r.shape[:-1], 1)).reshape(-1)
    with np.errstate(all="ignore"):  # -inf - -inf, and log 0: no mass, no policy
        for tile in tiles(groups, len(table)):
            out = tile.room(table)
            own_r, own_log_q = tile.take(rewards), tile.take(logs)
            base = own_r.max(0)
            if not np.isfinite(own_log_q.min() + base).all():
                reachable = np.isfinite(own_r) & np.isfinite(own_log_q)
                base = np.where(reachable, own_r, -np.inf).max(0)
                base = np.where(np.isfinite(base), base, 0.0)
            _normalised_scores(own_r, own_log_q, base, tile.spread(beta), out)
            tile.put(table, out)
    return log_t


def _normalised_scores(r: Array, log_q: Array, base: Array, beta: Array, out: Array) -> None:
    """Write ``log q + (r - base) / beta``, normalised over the first axis."""
    peaks: list[Array] = []
    masses: list[Array] = []
    for part in parts(out.shape):
        score = out[part]
        np.subtract(r[part], base, out=score)
        np.divide(score, beta, out=score)
        np.add(score, log_q[part], out=score)
        peak = score.max(0)
        peak = np.where(peak == -np.inf, 0.0, peak)
        work = np.subtract(score, peak)
        peaks.append(peak)
        masses.append(np.add.reduce(np.exp(work, out=work), 0))
    peak = np.max(peaks, axis=0)
    log_norm = peak + np.log(sum(m * np.exp(p - peak) for m, p in zip(masses, peaks, strict=True)))
    log_norm = np.where(log_norm == -np.inf, np.nan, log_norm)
    for part in parts(out.shape):
        np.subtract(out[part], log_norm, out=out[part])


def scores(r: Array, log_q: Array, beta: Any, groups: Groups) -> tuple[Array, Array]:
    """Return ``log q + (r - r_max) / beta``, and per group r_max, the best reward in q's reach.

    Parameters
    ----------
    r, log_q : array, shape (..., n)
        Rewards and log-probabilities of the reference.
    beta : float or array, shape (..., 1)
        Strength.
    groups : Groups
        The groups.

    Returns
    -------
    scores : array, shape (..., n)
        In nats.
    r_max : array, shape (..., g)
        In reward units; 0 where the reference reaches nothing.

    Notes
    -----
    Without the shift, rewards of 1e6 at a beta of 1e-6 leave four digits for log q.
    """
    xp = array_namespace(r)
    reachable = xp.isfinite(log_q) & xp.isfinite(r)
    r_max = groups.max(xp.where(reachable, r, -xp.inf))
    r_max = xp.where(xp.isfinite(r_max), r_max, 0.0)
    return log_q + (r - groups.expand(r_max)) / beta, r_max


def gibbs_value(r: Array, log_q: Array, beta: Any, groups: Groups) -> Array:
    """Return ``beta log(sum q exp(r / beta))``, the optimal value under reverse KL.

    Parameters
    ----------
    r, log_q : array, shape (..., n)
        Rewards and log-probabilities of the reference.
    beta : float or array, shape (..., 1)
        Strength.
    groups : Groups
        The groups.

    Returns
    -------
    array, shape (..., g)
        Values in reward units; ``-inf`` where no outcome has mass.
    """
    shifted, r_max = scores(r, log_q, beta, groups)
    return r_max + beta * groups.logsumexp(shifted)


def _gibbs(r: Array, log_q: Array, beta: Any, groups: Groups) -> Array:
    """Return the optimum under reverse KL: ``t ∝ q exp(r / beta)``."""
    xp = array_namespace(r)
    shifted, _ = scores(r, log_q, beta, groups)
    log_norm = groups.logsumexp(shifted)
    log_norm = xp.where(log_norm == -xp.inf, xp.nan, log_norm)  # no mass: no policy
    return shifted - groups.expand(log_norm)


def _best_reward(r: Array, log_q: Array, groups: Groups) -> Array:
    """Return the best reward that the reference reaches, NaN where it reaches nothing."""
    xp = array_namespace(r)
    live = (log_q > -xp.inf) & (r != -xp.inf)
    r_max = groups.max(xp.where(live | xp.isnan(r), r, -xp.inf))
    return xp.where(r_max == -xp.inf, xp.nan, r_max)


def _best_reply(r: Array, log_q: Array, beta: Any, groups: Groups) -> Array:
    """Return the optimum under total variation: what lies beyond beta moves to the best reward."""
    xp = array_namespace(r)
    log_norm = groups.logsumexp(log_q)
    log_norm = xp.where(log_norm == -xp.inf, xp.nan, log_norm)  # no mass: no policy
    r_max = groups.expand(_best_reward(r, log_q, groups))
    best = r == r_max
    leaves = (r_max - r > beta) | (log_q == -xp.inf)
    log_best = groups.logsumexp(xp.where(best, log_q, -xp.inf))
    log_gain = groups.logsumexp(xp.where(best | leaves, log_q, -xp.inf))
    log_best = xp.where(log_best == -xp.inf, xp.nan, log_best)
    log_t = xp.where(leaves, -xp.inf, log_q)
    log_t = xp.where(best, log_q + groups.expand(log_gain - log_best), log_t)
    return xp.where(xp.isnan(r_max), xp.nan, log_t) - groups.expand(log_norm)
