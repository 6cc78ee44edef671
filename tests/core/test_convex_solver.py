"""Optimal policies against a convex solver that is told the objective and nothing else."""

import numpy as np
import pytest

from polymode.core import alpha_divergence, divergence_names, optimal_policy, optimal_value
from polymode.core.divergences import get_divergence
from tests.core import exact
from tests.core.alternatives import ATOMS, alpha_atoms, convex_policy

CASES = [(get_divergence(name), atoms) for name, atoms in ATOMS.items()]
CASES += [(alpha_divergence(a), alpha_atoms(a)) for a in (-20.0, -3.0, -0.5, 0.3, 1.5, 3.0, 7.0)]


def test_every_divergence_is_here():
    assert set(ATOMS) == set(divergence_names()) - {"square_and_log"}  # which another test adds


@pytest.mark.parametrize(
    ("divergence", "atoms"), CASES, ids=[divergence.name for divergence, _ in CASES]
)
# The solver says that it got no further than 1e-9 or so, and cvxpy that powers become cones.
@pytest.mark.filterwarnings("ignore:Solution may be inaccurate", "ignore:Power atom")
def test_a_convex_solver_finds_the_same_optimum(divergence, atoms):
    rng = np.random.default_rng(6)
    for _ in range(12):
        rewards, log_q, beta = exact.moderate_case(rng)
        p, value = convex_policy(rewards, log_q, beta, atoms)
        options = {"beta": beta, "divergence": divergence}
        # It stops at a gap of 1e-9 to 1e-12 of the value, relative to rewards of 1. A value is good
        # to the gap; a policy is not: objectives are flat at their optimum, and a gap of g leaves
        # it sqrt(g / beta), some 1e-4.
        best = optimal_value(rewards, log_q, **options)
        assert value == pytest.approx(best, rel=1e-7, abs=1e-7)
        t = np.exp(optimal_policy(rewards, log_q, **options))
        if divergence.name == "total_variation":  # outcomes that tie may share what they gain
            levels = np.unique(rewards, return_inverse=True)[1]
            p, t = np.bincount(levels, p), np.bincount(levels, t)
        np.testing.assert_allclose(p, t, rtol=0, atol=1e-4)
