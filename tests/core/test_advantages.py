"""Advantages: leave-one-out first, then the other baselines and scales."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polymode.core import batch_whitened, leave_one_out, mean_baseline, standardised
from polymode.errors import ArgumentError, ShapeError
from tests.libraries import given_in_each_library
from tests.strategies import REWARDS, labelled_shapes


@st.composite
def scored(draw, few=False):
    """Rewards, some of them missing, and groups of their last axis."""
    shape, groups = draw(labelled_shapes(few=few))
    return draw(hnp.arrays(np.float64, shape, elements=REWARDS | st.just(np.nan))), groups


@given(scored())
def test_naive_restatement(case):
    rewards, groups = case
    actual = leave_one_out(rewards, groups=groups)
    for index in np.ndindex(rewards.shape):
        row, i = rewards[index[:-1]], index[-1]
        others = [
            row[j]
            for j in range(len(row))
            if j != i and groups[j] == groups[i] and not np.isnan(row[j])
        ]
        expected = row[i] - np.mean(others) if others and not np.isnan(row[i]) else 0.0
        np.testing.assert_allclose(actual[index], expected, rtol=1e-9, atol=1e-9)


@given(scored())
def test_advantages_of_a_group_sum_to_zero(case):
    rewards, groups = case
    advantages = leave_one_out(rewards, groups=groups)
    for label in np.unique(groups):
        np.testing.assert_allclose(advantages[..., groups == label].sum(-1), 0.0, atol=1e-9)


@given(scored(), st.floats(-100, 100))
def test_a_constant_reward_changes_nothing(case, shift):
    rewards, groups = case
    before, after = (leave_one_out(r, groups=groups) for r in (rewards, rewards + shift))
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)


@given(scored())
def test_unscored_samples_might_as_well_not_be_there(case):
    rewards, _ = case
    for row in rewards.reshape(-1, rewards.shape[-1]):
        there = ~np.isnan(row)
        advantages = leave_one_out(row)
        assert np.all(advantages[~there] == 0)
        if there.any():
            expected = leave_one_out(row[there])
            np.testing.assert_allclose(advantages[there], expected, rtol=1e-12, atol=1e-12)


def test_the_policy_gradient_is_unbiased():
    # Two outcomes, p = (.3, .7), r = (1, 0), groups of 3. dE[r]/dlogit_0 = p0 p1 (r0 - r1) = .21,
    # and the mean over all 8 groups of (1/3) sum_i A_i dlog p(y_i)/dlogit_0 must give just that.
    p, r = np.array([0.3, 0.7]), np.array([1.0, 0.0])
    score = np.array([1.0, 0.0]) - p[0]
    estimate = sum(
        np.prod(p[list(ys)]) * np.mean(leave_one_out(r[list(ys)]) * score[list(ys)])
        for ys in product([0, 1], repeat=3)
    )
    assert estimate == pytest.approx(0.21, rel=1e-12)


def test_hand_calculation():
    # 1 - (0 + .5)/2 = .75; 0 - (1 + .5)/2 = -.75; .5 - (1 + 0)/2 = 0
    np.testing.assert_allclose(leave_one_out([1.0, 0.0, 0.5]), [0.75, -0.75, 0.0], atol=1e-15)


def test_one_scored_sample_in_a_group_has_no_advantage():
    np.testing.assert_array_equal(leave_one_out([7.0]), [0.0])
    actual = leave_one_out([7.0, np.nan, np.nan, 1.0, 3.0], groups=[0, 0, 1, 2, 2])
    np.testing.assert_array_equal(actual, [0.0, 0.0, 0.0, -2.0, 2.0])


@given_in_each_library(case=scored)
def test_all_libraries_agree(to, case):
    rewards, groups = case
    actual = leave_one_out(to(rewards), groups=to(groups))
    assert type(actual) is type(to(rewards))
    expected = leave_one_out(rewards, groups=groups)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-9, atol=1e-9)


def test_dtypes():
    assert leave_one_out([0, 1, 1]).dtype == np.float64
    assert leave_one_out(np.float32([0, 1, 1])).dtype == np.float32
    torch = pytest.importorskip("torch")
    assert leave_one_out(torch.tensor([0, 1])).dtype is torch.get_default_dtype()
    assert leave_one_out(torch.tensor([0, 1]).bfloat16()).dtype is torch.bfloat16


def test_gradient_is_right():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([1.0, 0.5, -2.0, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: leave_one_out(r, groups=[0, 1, 0, 0]), rewards)
    missing = torch.tensor([1.0, torch.nan, 3.0], requires_grad=True)
    leave_one_out(missing)[0].backward()
    torch.testing.assert_close(missing.grad, torch.tensor([1.0, 0.0, -1.0]))


def test_messages():
    with pytest.raises(ShapeError, match=r"groups must have one label .* got groups \(1,\), rewar"):
        leave_one_out([1.0, 2.0], groups=[0])
    with pytest.raises(ArgumentError, match="rewards must be an array of real numbers, got dtype"):
        leave_one_out(["a", "b"])
    with pytest.raises(ArgumentError, match=r"^2 problems:\n  - rewards .*\n  - groups "):
        leave_one_out(["a", "b"], groups=[0.5, 1.0])


# The others.

OTHERS = [mean_baseline, standardised, batch_whitened]
every_other = pytest.mark.parametrize("function", OTHERS)


def naive(function, row, groups):
    """Any of them for one row, sample by sample; None stands for "nothing to compare with"."""
    there = [i for i in range(len(row)) if not np.isnan(row[i])]

    def mates(i):
        return [row[j] for j in there if groups[j] == groups[i]]

    centred = {i: row[i] - np.mean(mates(i)) if len(mates(i)) > 1 else 0.0 for i in there}
    out = np.zeros(len(row))
    for i in there:
        scale = 1.0
        if function is standardised:
            scale = (np.std(mates(i), ddof=1) if len(mates(i)) > 1 else 1) + 1e-4
        if function is batch_whitened and len(there) > 1:
            scale = np.sqrt(sum(x * x for x in centred.values()) / (len(there) - 1)) + 1e-8
        out[i] = centred[i] / scale
    return out


@every_other
@given(case=scored())
def test_others_naive_restatement(function, case):
    rewards, groups = case
    actual = function(rewards, groups=groups)
    n = rewards.shape[-1]
    for row, found in zip(rewards.reshape(-1, n), actual.reshape(-1, n), strict=True):
        # Differences of rewards below 1e-8 are rounding over epsilon: absolute, 1e-6.
        expected = naive(function, row, groups)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@every_other
@given(case=scored())
def test_others_sum_to_zero_over_each_group(function, case):
    rewards, groups = case
    advantages = function(rewards, groups=groups)
    for label in np.unique(groups):
        np.testing.assert_allclose(advantages[..., groups == label].sum(-1), 0.0, atol=1e-6)


@every_other
@given(case=scored(), seed=st.integers(0, 2**32 - 1))
def test_others_do_not_see_order_or_names(function, case, seed):
    rewards, groups = case
    order = np.random.default_rng(seed).permutation(groups.size)
    expected = function(rewards, groups=groups)[..., order]
    actual = function(rewards[..., order], groups=7 - groups[order])
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@every_other
@given_in_each_library(case=scored)
def test_others_agree_in_all_libraries(to, function, case):
    rewards, groups = case
    actual = function(to(rewards), groups=to(groups))
    assert type(actual) is type(to(rewards))
    expected = function(rewards, groups=groups)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-6, atol=1e-6)


@given(scored())
def test_mean_baseline_is_leave_one_out_but_for_a_factor(case):
    rewards, groups = case
    for row in rewards.reshape(-1, groups.size):
        m = np.array([np.sum(~np.isnan(row[groups == label])) for label in groups])
        expected = leave_one_out(row, groups=groups) * (m - 1) / np.maximum(m, 1)
        actual = mean_baseline(row, groups=groups)
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def test_others_by_hand():
    # Group 0: mean 1, deviation sqrt(2); group 1: mean 4, deviation sqrt(8).
    rewards, groups = [0.0, 2.0, 2.0, 6.0], [0, 0, 1, 1]
    np.testing.assert_allclose(mean_baseline(rewards, groups=groups), [-1, 1, -2, 2], rtol=1e-12)
    half = 1 / np.sqrt(2)
    np.testing.assert_allclose(
        standardised(rewards, groups=groups, epsilon=1e-12), [-half, half, -half, half], rtol=1e-9
    )
    # Of the batch: sqrt((1 + 1 + 4 + 4) / 3)
    np.testing.assert_allclose(
        batch_whitened(rewards, groups=groups, epsilon=1e-12),
        np.array([-1, 1, -2, 2]) / np.sqrt(10 / 3),
        rtol=1e-9,
    )
    # epsilon acts: 1 / (sqrt(2) + 1)
    assert standardised([0.0, 2.0], epsilon=1.0)[1] == pytest.approx(1 / (np.sqrt(2) + 1))
    assert batch_whitened([0.0, 2.0], epsilon=1.0)[1] == pytest.approx(1 / (np.sqrt(2) + 1))


@every_other
def test_others_with_nothing_to_compare(function):
    np.testing.assert_array_equal(function([7.0]), [0.0])
    np.testing.assert_array_equal(function([np.nan, np.nan]), [0.0, 0.0])
    np.testing.assert_array_equal(function([3.0, 3.0, np.nan]), [0.0, 0.0, 0.0])
    actual = function([7.0, np.nan, 1.0, 1.0], groups=[0, 0, 1, 1])
    np.testing.assert_array_equal(actual, [0.0, 0.0, 0.0, 0.0])


@every_other
def test_others_are_differentiable(function):
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([1.0, 0.5, -2.0, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: function(r, groups=[0, 1, 0, 1]), rewards)
    flat = torch.tensor([1.0, 1.0, torch.nan], requires_grad=True)
    function(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()


@every_other
def test_others_messages(function):
    with pytest.raises(ShapeError, match=r"groups must have one label .* got groups \(1,\), rewar"):
        function([1.0, 2.0], groups=[0])
    with pytest.raises(ArgumentError, match=r"^2 problems:\n  - rewards .*\n  - groups "):
        function(["a", "b"], groups=[0.5, 1.0])
    if function is not mean_baseline:
        with pytest.raises(ArgumentError, match="epsilon must be a finite number > 0, got 0"):
            function([1.0], epsilon=0)
