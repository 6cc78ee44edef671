"""Leave-one-out advantages."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polymode.core import leave_one_out
from polymode.errors import ArgumentError, ShapeError
from tests.libraries import each_library
from tests.strategies import REWARDS, integer_labels, shapes


@st.composite
def scored(draw):
    """Rewards, some of them missing, and groups of their last axis."""
    shape = draw(shapes())
    rewards = draw(hnp.arrays(np.float64, shape, elements=REWARDS | st.just(np.nan)))
    return rewards, draw(integer_labels(shape[-1]))


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


@each_library
@given(case=scored())
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
