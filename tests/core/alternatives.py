"""What a user would write in place of `optimal_policy`: a scalar root, and a convex solver.

Oracles where they are accurate, and the other side of `benchmarks/accuracy/targets.py`.
"""

import cvxpy as cp
import numpy as np
from scipy import optimize


def brentq_policy(rewards, log_q, beta, divergence):
    """The optimum of one group, from the definition, by scipy: the root is log u of the best."""
    low, _ = divergence.domain
    log_q = log_q - np.logaddexp.reduce(log_q)
    best = np.argmax(rewards)

    def policy(log_u):
        s = divergence.slope(np.exp(np.array([log_u]))) + (rewards - rewards[best]) / beta
        u = divergence.inverse_slope(np.where(s <= low, divergence.slope(np.ones(1)), s))
        return np.where(s <= low, 0.0, np.exp(log_q) * u)

    ends = -1e-9, 1e-9 - log_q[best]  # no better than the reference; all mass
    root = optimize.brentq(lambda x: policy(x).sum() - 1, *ends, xtol=1e-14, rtol=1e-14)
    return policy(root)


def alpha_atoms(alpha):
    """Return ``D(p, q)`` of the alpha family in atoms of cvxpy."""

    def divergence(p, q):
        ratio = cp.multiply(p, 1 / q)
        power = cp.multiply(q, cp.power(ratio, alpha, approx=False))
        return (cp.sum(power) - 1) / (alpha * (alpha - 1))

    return divergence


ATOMS = {
    "reverse_kl": lambda p, q: cp.sum(cp.rel_entr(p, q)),
    "forward_kl": lambda p, q: cp.sum(cp.rel_entr(q, p)),
    "jensen_shannon": lambda p, q: (
        cp.sum(cp.rel_entr(p, (p + q) / 2)) + cp.sum(cp.rel_entr(q, (p + q) / 2))
    ),
    "reverse_chi_squared": lambda p, q: cp.sum(cp.multiply(cp.square(p - q), 1 / q)),
    "forward_chi_squared": lambda p, q: cp.sum(cp.multiply(cp.inv_pos(p), q**2)) - 1,
    "squared_hellinger": lambda p, q: 1 - cp.sum(cp.multiply(cp.sqrt(p), np.sqrt(q))),
    "total_variation": lambda p, q: cp.sum(cp.abs(p - q)) / 2,
}
TOLERANCES = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)


def convex_policy(rewards, log_q, beta, atoms):
    """The optimum of one group by CLARABEL, which is told the objective and nothing else.

    Returns the policy and the value. The solver keeps going to 1e-12 or to where it gets no
    further, and then says so (``optimal_inaccurate``), which is accepted.
    """
    q = np.exp(log_q)
    p = cp.multiply(q, cp.Variable(len(rewards), nonneg=True))  # ratios are of one size, p is not
    objective = cp.Maximize(p @ rewards - beta * atoms(p, q))
    problem = cp.Problem(objective, [cp.sum(p) == 1])
    value = problem.solve(solver=cp.CLARABEL, **TOLERANCES)
    if p.value is None:
        raise ArithmeticError(problem.status)
    return p.value, value
