"""Optimal policies with 50 digits or more, by bisection on the distance to the edge of the slopes.

Nothing here is shared with the code under test but the definition of the optimum.
"""

import math

import mpmath
import numpy as np

mpmath.mp.dps = 50
_SUM = mpmath.mpf(10) ** -25  # what an optimum's sum may be off from 1
_MOST_DIGITS = 5000
ONE = mpmath.mpf(1)


def power_family(alpha, scale=1):
    """(edge side, y -> u) for the slope c (u^(alpha - 1) - 1) / (alpha - 1)."""
    kappa, scale = mpmath.mpf(alpha) - 1, mpmath.mpf(scale)
    if kappa < 0:  # u**kappa = -kappa y / c, y below the upper edge
        return "upper", lambda y: (-kappa * y / scale) ** (1 / kappa)
    if kappa > 0:
        return "lower", lambda y: (kappa * y / scale) ** (1 / kappa) if y > 0 else mpmath.mpf(0)
    return "none", lambda y: mpmath.exp(y / scale)


FAMILIES = {
    "reverse_kl": power_family(1),
    "forward_kl": power_family(0),
    "jensen_shannon": ("upper", lambda y: 1 / mpmath.expm1(y)),
    "reverse_chi_squared": power_family(2, 2),
    "forward_chi_squared": power_family(-1, 2),
    "squared_hellinger": power_family(0.5, 0.25),
}


def exact_log_policy(family, rewards, log_q, beta):
    """log t, as mpmath numbers, of one group."""
    digits = mpmath.mp.dps
    while True:  # steep ratios lie within 1e-100 of their edge
        with mpmath.workdps(digits):
            t = _policy(family, rewards, log_q, beta)
            if abs(mpmath.fsum(t) - 1) < _SUM:
                return [mpmath.log(x) if x > 0 else -mpmath.inf for x in t]
        digits *= 2
        assert digits <= _MOST_DIGITS, "no digits give an optimum that sums to 1"


def _policy(family, rewards, log_q, beta):
    """t of one group, with the digits that are set."""
    side, ratio = family
    rewards = [mpmath.mpf(float(r)) for r in rewards]
    q = [mpmath.exp(mpmath.mpf(float(x))) for x in log_q]
    total = mpmath.fsum(q)
    q = [x / total for x in q]
    beta = mpmath.mpf(float(beta))
    r_max = max(rewards)
    d = [(r_max - r) / beta for r in rewards]

    def policy(x):
        """t at the level that x stands for; the sum falls as x rises."""
        if side == "upper":
            x = mpmath.exp(x)
        ys = [x + gap if side == "upper" else -x - gap for gap in d]
        return [weight * ratio(y) for weight, y in zip(q, ys, strict=True)]

    low, high = (-(10**5), 4000) if side == "upper" else (-2 * max(d) - 1000, mpmath.mpf(1000))
    low, high = mpmath.mpf(low), mpmath.mpf(high)
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if mpmath.fsum(policy(middle)) > 1 else (low, middle)
    return policy((low + high) / 2)


def exact_total_variation(rewards, log_q, beta):
    """log t under total variation: all that lies more than beta below the best joins the best."""
    rewards = [mpmath.mpf(float(r)) for r in rewards]
    q = [mpmath.exp(mpmath.mpf(float(x))) for x in log_q]
    total, r_max = mpmath.fsum(q), max(rewards)
    best = [x for x, r in zip(q, rewards, strict=True) if r == r_max]
    left = [x for x, r in zip(q, rewards, strict=True) if r_max - r > mpmath.mpf(float(beta))]
    gain = 1 + mpmath.fsum(left) / mpmath.fsum(best)
    return [
        mpmath.log(x * (gain if r == r_max else 1) / total)
        if r_max - r <= mpmath.mpf(float(beta))
        else -mpmath.inf
        for x, r in zip(q, rewards, strict=True)
    ]


def hard_case(rng):
    """(rewards, log q, beta) over the whole range that is promised, with ties."""
    n = int(rng.integers(1, 9))
    rewards = rng.uniform(-1, 1, n) * 10.0 ** rng.uniform(-6, 6)
    if rng.random() < 0.3:
        rewards = rng.choice([0.0, 1.0, 1e6, -1e6], n)
    if rng.random() < 0.3:
        rewards = rewards + rng.choice([-1e6, 1e6])
    depth = rng.choice([1.0, 30.0, 690.0])
    log_q = -depth * rng.random(n)
    beta = 10.0 ** rng.uniform(-6, 6)
    spread = np.ptp(rewards)
    if spread > 0 and rng.random() < 0.5:  # neither weak nor strong: where the shape of f matters
        middling = spread * 10.0 ** rng.uniform(-2, 1)
        beta = middling if 1e-6 < middling < 1e6 else beta
    return rewards, log_q - np.logaddexp.reduce(log_q), float(beta)


def moderate_case(rng):
    """(rewards, log q, beta) of a size that an interior-point method can take, ties included."""
    n = int(rng.integers(2, 8))
    rewards = rng.uniform(-1, 1, n)
    if rng.random() < 0.3:
        rewards = np.round(rewards)
    log_q = np.log(rng.dirichlet(np.ones(n)) + 0.01)
    return rewards, log_q - np.logaddexp.reduce(log_q), 10 ** rng.uniform(-1.5, 1)


def largest_error(actual, exact):
    """The largest error of log t where t > 1e-300, and where it is."""
    errors = [
        abs(float(mpmath.mpf(float(a)) - e)) if e > -300 * math.log(10) else 0.0
        for a, e in zip(actual, exact, strict=True)
    ]
    return max(errors), int(np.argmax(errors))
