"""Narrow floats: every public function computes wide, and rounds once, at the end."""

import dataclasses

import numpy as np
import pytest

from polymode import core
from polymode.core.arrays import array_namespace
from polymode.core.shaping import SHAPERS
from tests.libraries import to_numpy, to_torch
from tests.strategies import RAGGED

OPTIONS = {"threshold": 0.3, "groups": RAGGED}
SHAPER_OPTIONS = {
    "anchored": {"threshold": 0.3, "beta": 0.2},
    "unlikeliness": {"threshold": 0.3},
    "differential_smoothing": {"threshold": 0.3, "correct": 0.1, "wrong": 0.2},
    "uniform_correct": {"threshold": 0.3},
    "entropy_bonus": {"strength": 0.2},
    "pass_at_k": {"threshold": 0.3, "k": 1},
    "gapo": {"threshold": 0.3},
}
WITH_DIVERGENCE = [core.optimal_policy, core.optimal_value, core.multiplier]
ADVANTAGES = [core.leave_one_out, core.mean_baseline, core.standardised, core.batch_whitened]

# name -> a function of rewards, log q and log p, all of them of shape (2, 1, 6)
CALLS = {
    f"{function.__name__}-{name}": lambda r, q, p, f=function, d=name: f(
        r, q, beta=0.7, divergence=d, groups=RAGGED
    )
    for function in WITH_DIVERGENCE
    for name in core.divergence_names()
    if name != "square_and_log"  # of another test
}
CALLS |= {
    f"f_divergence-{name}": lambda r, q, p, d=name: core.f_divergence(p, q, divergence=d)
    for name in core.divergence_names()
    if name != "square_and_log"
}
CALLS |= {
    f"estimate_kl-{name}": lambda r, q, p, e=name: core.estimate_kl(p, q, estimator=e)
    for name in core.ESTIMATORS
}
CALLS |= {
    f"shape-{name}": lambda r, q, p, n=name: core.shape(
        n,
        r,
        q,
        log_probs=p,
        lengths=r * 0 + 2,
        modes=[0, 1, 0, 1, 0, 2],
        groups=RAGGED,
        **SHAPER_OPTIONS.get(n, {}),
    )
    for name in SHAPERS
}
CALLS |= {f.__name__: lambda r, q, p, f=f: f(r, groups=RAGGED) for f in ADVANTAGES}
CALLS |= {
    "log_ratios": lambda r, q, p: core.log_ratios(r, q, beta=0.7),
    "anchor": lambda r, q, p: core.anchor(r, q, **OPTIONS).ref_log_probs,
    "augment": lambda r, q, p: core.augment(r, q, beta=0.2, **OPTIONS).rewards,
    "anchored_rewards": lambda r, q, p: core.anchored_rewards(r, q, beta=0.2, **OPTIONS),
    "policy_statistics": lambda r, q, p: _fields(core.policy_statistics(p, r, q, **OPTIONS)),
    "target_statistics": lambda r, q, p: _fields(
        core.target_statistics(r, q, beta=0.7, divergence="forward_kl", **OPTIONS)
    ),
    "swap_beta": lambda r, q, p: core.swap_beta(r, q, pair=(0, 1)),
    "effective_number_beta": lambda r, q, p: core.effective_number_beta(r, q, k=1.5, groups=RAGGED),
    "gradient_flow": lambda r, q, p: core.gradient_flow(r, q, beta=0.7, n_tokens=3, n_steps=20),
}


def _fields(statistics):
    """All statistics, one after the other, in a library's own array."""
    columns = [getattr(statistics, field.name) for field in dataclasses.fields(statistics)]
    return array_namespace(*columns).stack(columns)


def test_every_public_function_of_arrays_is_here():
    functions = {name for name in core.__all__ if name.islower()}
    functions -= {"alpha_divergence", "divergence_names", "register_divergence"}
    functions -= {"group_maximum", "percentile_threshold"}  # of no array: they make thresholds
    assert {call.partition("-")[0] for call in CALLS} >= functions


@pytest.mark.parametrize("to", [to_numpy, to_torch], ids=["numpy", "torch"])
@pytest.mark.parametrize("name", CALLS)
def test_float32_is_float64_rounded_once(name, to):
    # The same inputs, which float32 holds exactly: what differs is the last rounding, 6e-8.
    rng = np.random.default_rng(4)
    rewards, log_q, log_p = np.float32(rng.normal(size=(3, 2, 1, 6)))
    log_q, log_p = (x - np.logaddexp.reduce(x, -1, keepdims=True) for x in (log_q, log_p))
    if name not in {"gradient_flow", "estimate_kl-k3_plus"}:  # the latter: see test_estimators
        log_q[1, 0, 3] = -np.inf
    narrow = np.asarray(CALLS[name](*map(to, (rewards, log_q, log_p))))
    wide = CALLS[name](*(x.astype(np.float64) for x in (rewards, log_q, log_p)))
    assert narrow.dtype == np.float32
    assert wide.dtype == np.float64
    np.testing.assert_allclose(narrow, wide, rtol=1e-7, atol=1e-12)
