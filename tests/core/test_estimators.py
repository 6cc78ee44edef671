"""Estimators of the KL: their values, and by exact enumeration what their gradients descend."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.core.estimators import ESTIMATORS, estimate_kl
from polymode.errors import ArgumentError, ShapeError
from tests.libraries import given_in_each_library
from tests.strategies import SEEDS

every_estimator = pytest.mark.parametrize("name", ESTIMATORS)

NAIVE = {
    "k1": lambda p, q: np.log(p / q),
    "k2": lambda p, q: np.log(p / q) ** 2 / 2,
    "k3": lambda p, q: q / p - 1 - np.log(q / p),
}
NAIVE |= {f"ratio_{name}": formula for name, formula in NAIVE.items()}
NAIVE["k3_plus"] = NAIVE["k3"]


def distributions(seed, n=7):
    """Two categorical distributions over n outcomes."""
    p, q = np.random.default_rng(seed).dirichlet(np.ones(n), size=2) + 1e-3
    return p / p.sum(), q / q.sum()


def kl(p, q):
    return np.sum(p * np.log(p / q))


# Values.


@every_estimator
@given_in_each_library(seed=SEEDS)
def test_naive_restatement(to, name, seed):
    p, q = distributions(seed)
    for sampled in (None, to(np.log(p))):
        actual = estimate_kl(
            to(np.log(p)), to(np.log(q)), estimator=name, sampled_log_probs=sampled
        )
        assert type(actual) is type(to(p))
        np.testing.assert_allclose(np.asarray(actual), NAIVE[name](p, q), rtol=1e-6, atol=1e-12)


@every_estimator
@given(seed=SEEDS)
def test_whether_the_value_is_unbiased(name, seed):
    p, q = distributions(seed)
    mean = np.sum(p * estimate_kl(np.log(p), np.log(q), estimator=name))
    assert ESTIMATORS[name].unbiased == (mean == pytest.approx(kl(p, q), rel=1e-9, abs=1e-12))


@pytest.mark.parametrize("name", ["k2", "k3", "ratio_k2", "ratio_k3", "k3_plus"])
@given(st.floats(-1e-3, 1e-3) | st.floats(-50, 50))
def test_values_without_a_sign_problem(name, difference):
    assert estimate_kl([difference], [0.0], estimator=name)[0] >= 0


def test_hand_calculation():
    # p = 1/2, q = 1/4: D = log 2. k2 = .2402265, k3 = 1/2 - 1 + .6931472 = .1931472.
    log_p, log_q = np.log([0.5]), np.log([0.25])
    expected = {"k1": 0.6931472, "k2": 0.2402265, "k3": 0.1931472, "k3_plus": 0.1931472}
    for name, value in expected.items():
        assert estimate_kl(log_p, log_q, estimator=name)[0] == pytest.approx(value, rel=1e-6)
    # Drawn from a policy that gave it 1/4: the ratio is 2.
    off = estimate_kl(log_p, log_q, estimator="ratio_k1", sampled_log_probs=np.log([0.25]))
    assert off[0] == pytest.approx(2 * 0.6931472, rel=1e-6)


def test_small_differences_keep_their_digits():
    # k3 = D^2/2 - D^3/6 + ...: at D = 1e-6 that is 5e-13, where e^-D - 1 + D has no digit left.
    assert estimate_kl([1e-6], [0.0], estimator="k3")[0] == pytest.approx(5e-13, rel=1e-3)


def test_edges():
    with np.errstate(over="ignore", invalid="ignore"):
        assert estimate_kl([-1.0], [-np.inf], estimator="k1")[0] == np.inf
        assert estimate_kl([-1000.0], [-1.0], estimator="k3")[0] == np.inf
        assert np.isnan(estimate_kl([-np.inf], [-np.inf], estimator="k2")[0])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_the_reference_never_gives_costs_infinitely_much(name):
    assert estimate_kl([-1.0], [-np.inf], estimator=name)[0] == np.inf


def test_dtypes():
    narrow = np.float32([-1.0, -2.0])
    assert estimate_kl(narrow, narrow, estimator="k3").dtype == np.float32
    wide = estimate_kl(narrow, narrow, estimator="ratio_k3", sampled_log_probs=np.zeros(2))
    assert wide.dtype == np.float32  # the sampled ones do not widen it


# Gradients, exactly: every outcome enters with its probability, and autograd does the rest.


def expected_gradient(name, logits, log_q):
    """``sum_y p(y) grad k(y)`` through the estimator only: p(y) is where samples come from."""
    torch = pytest.importorskip("torch")
    logits = torch.tensor(logits, requires_grad=True)
    log_p = logits.log_softmax(-1)
    loss = torch.sum(log_p.exp().detach() * estimate_kl(log_p, torch.tensor(log_q), estimator=name))
    loss.backward()
    return logits.grad.numpy()


def true_gradient(function, logits, log_q):
    """Gradient of a divergence of the policy that is a formula of p and q."""
    torch = pytest.importorskip("torch")
    logits = torch.tensor(logits, requires_grad=True)
    function(logits.log_softmax(-1), torch.tensor(log_q)).sum().backward()
    return logits.grad.numpy()


DESCENDED = {
    "reverse_kl": lambda log_p, log_q: log_p.exp() * (log_p - log_q),
    "forward_kl": lambda log_p, log_q: log_q.exp() * (log_q - log_p),
    "nothing": lambda log_p, log_q: 0 * log_p,
    "biased": lambda log_p, log_q: log_p.exp() * (log_p - log_q) ** 2 / 2,
}


@every_estimator
@given(seed=SEEDS)
def test_each_descends_what_it_says(name, seed):
    p, q = distributions(seed)
    actual = expected_gradient(name, np.log(p), np.log(q))
    expected = true_gradient(DESCENDED[ESTIMATORS[name].descends], np.log(p), np.log(q))
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


@every_estimator
def test_none_descends_anything_else(name):
    p, q = distributions(0)
    actual = expected_gradient(name, np.log(p), np.log(q))
    for other in set(DESCENDED) - {ESTIMATORS[name].descends}:
        gradient = true_gradient(DESCENDED[other], np.log(p), np.log(q))
        assert np.max(np.abs(actual - gradient)) > 1e-2


@every_estimator
@given(seed=SEEDS)
def test_weight_is_the_gradient_of_one_sample(name, seed):
    torch = pytest.importorskip("torch")
    p, q = distributions(seed)
    log_p, log_q = torch.tensor(np.log(p), requires_grad=True), torch.tensor(np.log(q))
    estimate_kl(log_p, log_q, estimator=name).sum().backward()
    weight = ESTIMATORS[name].weight(log_p.detach() - log_q)
    torch.testing.assert_close(log_p.grad, weight, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["ratio_k1", "ratio_k3"])
@given(seed=SEEDS)
def test_ratios_make_stale_samples_descend_the_reverse_kl(name, seed):
    torch = pytest.importorskip("torch")
    p, q = distributions(seed)
    old = np.roll(p, 1)
    logits = torch.tensor(np.log(p), requires_grad=True)
    log_p, log_old = logits.log_softmax(-1), torch.tensor(np.log(old))
    value = estimate_kl(log_p, torch.tensor(np.log(q)), estimator=name, sampled_log_probs=log_old)
    torch.sum(log_old.exp() * value).backward()
    expected = true_gradient(DESCENDED["reverse_kl"], np.log(p), np.log(q))
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-6, atol=1e-12)


@every_estimator
def test_no_gradient_reaches_the_policy_that_sampled(name):
    torch = pytest.importorskip("torch")
    log_p = torch.tensor([-1.0, -2.0], requires_grad=True)
    sampled = torch.tensor([-1.5, -1.0], requires_grad=True)
    value = estimate_kl(log_p, torch.zeros(2), estimator=name, sampled_log_probs=sampled)
    value.sum().backward()
    assert sampled.grad is None


# Messages.


def test_messages():
    with pytest.raises(ArgumentError, match=r"^estimator must be 'k1' or .* got 'k3\+'; did you"):
        estimate_kl([0.0], [0.0], estimator="k3+")
    with pytest.raises(ShapeError, match=r"^log_probs, ref_log_probs must have equal shapes"):
        estimate_kl([0.0], [0.0, 0.0], estimator="k1")
    with pytest.raises(ShapeError, match=r"sampled_log_probs must have equal shapes"):
        estimate_kl([0.0], [0.0], estimator="k1", sampled_log_probs=[0.0, 0.0])
    with pytest.raises(ArgumentError, match=r"^2 problems:\n  - ref_log_probs .*\n  - estimator"):
        estimate_kl([0.0], ["a"], estimator="k4")


def test_values_are_never_looked_at():
    torch = pytest.importorskip("torch")
    column = torch.zeros(2, 3, device="meta")
    for name in ESTIMATORS:
        assert estimate_kl(column, column, estimator=name).device == column.device
