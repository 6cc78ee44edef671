"""Entropy, effective number and total variation."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from polymode.errors import ArgumentError, ShapeError
from polymode.metrics import effective_number, entropy, total_variation
from tests.libraries import given_in_each_library
from tests.strategies import SEEDS

FUNCTIONS = [entropy, effective_number, lambda x, **kw: total_variation(x, x, **kw)]
FUNCTION_IDS = ["entropy", "effective_number", "total_variation"]


@st.composite
def distributions(draw, n=None):
    """Log-probabilities of a batch of distributions, some outcomes without mass."""
    n = n or draw(st.integers(1, 8))
    logits = draw(hnp.arrays(np.float64, (3, n), elements=st.floats(-30, 5) | st.just(-np.inf)))
    logits[:, draw(st.integers(0, n - 1))] = 0.0
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


@st.composite
def pairs(draw, count=2, few=False):
    """Several batches of distributions over the same outcomes."""
    n = 6 if few else draw(st.integers(1, 8))
    return [draw(distributions(n)) for _ in range(count)]


@given(distributions())
def test_entropy_agrees_with_scipy_and_lies_within_its_bounds(log_p):
    h = entropy(log_p)
    np.testing.assert_allclose(h, stats.entropy(np.exp(log_p), axis=-1), rtol=1e-9, atol=1e-9)
    assert np.all(h >= -1e-9)
    assert np.all(h <= np.log(log_p.shape[-1]) + 1e-9)
    np.testing.assert_allclose(effective_number(log_p), np.exp(h), rtol=1e-12)


@given(distributions(), st.sampled_from([0, 0.3, 0.99, 1, 1.7, 2, 5, np.inf]))
def test_hill_numbers_are_those_of_the_definition_and_fall_with_the_order(log_p, order):
    p = np.exp(log_p)
    number = effective_number(log_p, order=order)
    if order == np.inf:
        expected = 1 / p.max(-1)
    elif order == 1:
        expected = np.exp(stats.entropy(p, axis=-1))
    else:
        expected = np.sum(p**order, axis=-1, where=log_p > -np.inf) ** (1 / (1 - order))
    np.testing.assert_allclose(number, expected, rtol=1e-9)
    assert np.all(number >= effective_number(log_p, order=2 * order + 0.1) - 1e-9)


@given(distributions(), st.sampled_from([1e-3, 1e-6, 1e-9, 1e-12, -1e-9, -1e-3]))
def test_hill_numbers_near_order_1_keep_their_digits(log_p, excess):
    # d log N / d order at 1 is minus half the variance of log p, at most (34 / 2)^2 / 2 here.
    near, limit = effective_number(log_p, order=1 + excess), effective_number(log_p)
    assert np.all(np.abs(np.log(near) - np.log(limit)) <= 200 * abs(excess) + 1e-12)


def test_hill_numbers_by_hand():
    # (3/4, 1/4): order 0 counts 2; order 2: 1 / (9/16 + 1/16) = 1.6; order inf: 4/3;
    # order 1/2: (sqrt(3)/2 + 1/2)^2 = 1 + sqrt(3)/2. A uniform one has n of each order.
    log_p = np.log([0.75, 0.25])
    orders = {0: 2.0, 0.5: 1 + np.sqrt(3) / 2, 2: 1.6, np.inf: 4 / 3}
    for order, expected in orders.items():
        assert effective_number(log_p, order=order) == pytest.approx(expected, rel=1e-12)
        uniform = np.log(np.full(7, 1 / 7))
        assert effective_number(uniform, order=order) == pytest.approx(7.0, rel=1e-12)
        assert np.isnan(effective_number([np.nan, 0.0], order=order))
    # Orders under which every power underflows, and a tail that is counted however thin.
    assert effective_number(log_p, order=1e6) == pytest.approx(4 / 3, rel=1e-5)
    assert effective_number([0.0, -2e12], order=0) == 2.0


@given(distributions())
def test_outcomes_without_mass_do_not_count(log_p):
    padded = np.concatenate([log_p, np.full((3, 2), -np.inf)], axis=-1)
    np.testing.assert_allclose(entropy(padded), entropy(log_p), rtol=1e-12, atol=1e-12)


@given(pairs(3))
def test_total_variation_is_a_distance_between_0_and_1(triple):
    p, q, s = triple
    d = total_variation(p, q)
    assert np.all((d >= 0) & (d <= 1 + 1e-12))
    np.testing.assert_array_equal(total_variation(p, p), 0.0)
    np.testing.assert_array_equal(total_variation(q, p), d)
    assert np.all(d <= total_variation(p, s) + total_variation(s, q) + 1e-12)


@given(pairs())
def test_total_variation_is_the_largest_difference_over_all_sets(pair):
    p, q = map(np.exp, pair)
    largest = np.sum(np.maximum(p - q, 0.0), axis=-1)  # reached by the set where p > q
    np.testing.assert_allclose(total_variation(*pair), largest, rtol=1e-9, atol=1e-9)


@given(distributions(), SEEDS)
def test_the_order_of_outcomes_does_not_matter(log_p, seed):
    order = np.random.default_rng(seed).permutation(log_p.shape[-1])
    np.testing.assert_allclose(entropy(log_p[:, order]), entropy(log_p), rtol=1e-9, atol=1e-12)


def test_known_answers():
    # Uniform over n: log n nats, n outcomes. A point mass: 0 nats, 1 outcome.
    np.testing.assert_allclose(entropy(np.log(np.full(5, 0.2))), np.log(5), rtol=1e-12)
    np.testing.assert_allclose(effective_number(np.log(np.full(5, 0.2))), 5.0, rtol=1e-12)
    assert entropy([-np.inf, 0.0]) == 0.0
    assert effective_number([-np.inf, 0.0]) == 1.0
    # (3/4, 1/4): .75 log(4/3) + .25 log 4 = .21576 + .34657 = .56234
    assert entropy(np.log([0.75, 0.25])) == pytest.approx(0.56234, rel=1e-5)
    # |.5 - .9| = |.5 - .1| = .4; disjoint supports: 1
    assert total_variation(np.log([0.5, 0.5]), np.log([0.9, 0.1])) == pytest.approx(0.4, rel=1e-12)
    assert total_variation([0.0, -np.inf], [-np.inf, 0.0]) == 1.0


@pytest.mark.parametrize("function", FUNCTIONS, ids=FUNCTION_IDS)
def test_axis_and_nan(function):
    log_p = np.log([[0.5, 0.9], [0.5, 0.1]])
    np.testing.assert_allclose(function(log_p, axis=0), function(log_p.T), rtol=1e-12)
    assert np.isnan(function([np.nan, 0.0]))


@given_in_each_library(pair=pairs)
def test_all_libraries_agree(to, pair):
    for function in (entropy, effective_number):
        expected = function(pair[0])
        np.testing.assert_allclose(np.asarray(function(to(pair[0]))), expected, rtol=1e-9)
    actual = np.asarray(total_variation(*map(to, pair)))
    np.testing.assert_allclose(actual, total_variation(*pair), rtol=1e-9, atol=1e-12)


def test_dtype_is_kept_and_the_sum_is_wide():
    log_p = np.full(10**6, -np.log(10**6), dtype=np.float32)
    h = entropy(log_p)
    assert h.dtype == np.float32
    assert h == pytest.approx(np.log(10**6), rel=1e-6)


def test_gradients_are_right_and_zero_without_mass():
    torch = pytest.importorskip("torch")
    logits = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64, requires_grad=True)
    orders = [partial(effective_number, order=order) for order in (0.5, 1, 1.5, 2, 3, np.inf)]
    for function in (entropy, *orders):
        assert torch.autograd.gradcheck(lambda x, f=function: f(x.log_softmax(-1)), logits)
    other = torch.tensor([0.0, -1.0, -2.0], dtype=torch.float64).log_softmax(-1)
    assert torch.autograd.gradcheck(lambda x: total_variation(x.log_softmax(-1), other), logits)
    silent = torch.tensor([0.0, -torch.inf], requires_grad=True)
    entropy(silent).backward()
    torch.testing.assert_close(silent.grad, torch.tensor([-1.0, 0.0]))
    for function in orders:
        (gradient,) = torch.autograd.grad(function(silent), silent)
        assert torch.isfinite(gradient).all()
        assert gradient[1] == 0


@pytest.mark.parametrize("function", FUNCTIONS, ids=FUNCTION_IDS)
def test_messages(function):
    with pytest.raises(ArgumentError, match="must be an array of real numbers, got dtype <U1"):
        function(["a"])
    with pytest.raises(ShapeError, match=r"axis must be a non-empty axis of .* \(2,\), got 1"):
        function([0.0, 0.0], axis=1)
    with pytest.raises(ShapeError, match=r"\(0,\)"):
        function([])
    with pytest.raises(ShapeError, match=r"\(\)"):
        function(0.0)


@pytest.mark.parametrize("order", [-1, np.nan, None, "1", True])
def test_bad_orders_are_named(order):
    with pytest.raises(ArgumentError, match=r"^order must be a number >= 0, got"):
        effective_number([0.0, 0.0], order=order)


def test_shapes_must_be_equal():
    with pytest.raises(ShapeError, match=r"log_p, log_q must have equal shapes, got log_p \(2,\)"):
        total_variation(np.zeros(2), np.zeros(3))
