"""Thresholds that are read off the rewards: percentiles, maxima, and functions of one's own."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polymode.core import anchor, augment, group_maximum, percentile_threshold, shaping
from polymode.core.groups import Groups
from polymode.errors import ArgumentError, ShapeError
from tests.libraries import each_library, given_in_each_library
from tests.strategies import SEEDS, integer_labels, shapes

PERCENTS = st.sampled_from([0, 10, 50, 90, 100]) | st.floats(0, 100)
LEVELS = st.sampled_from([0.0, 0.5, 1.0, np.nan])  # ties
REWARDS = st.floats(-5, 5) | LEVELS


@st.composite
def scored(draw):
    """Rewards with ties and NaN, and integer labels of their last axis."""
    shape = draw(shapes())
    return draw(hnp.arrays(np.float64, shape, elements=REWARDS)), draw(integer_labels(shape[-1]))


def nan_percentile(x, percent):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where all are NaN
        return np.nanpercentile(x, percent, axis=-1, keepdims=True)


def limits(threshold, rewards, labels):
    """What a threshold gives for each reward."""
    given = threshold(rewards, Groups.of(labels, like=rewards))
    return np.broadcast_to(np.asarray(given), rewards.shape)


# Oracle.


@given_in_each_library(case=scored(), percent=PERCENTS)
def test_percentiles_are_those_of_numpy(to, case, percent):
    rewards, labels = case
    own = limits(percentile_threshold(percent), to(rewards), labels)
    for label in np.unique(labels):
        block = labels == label
        expected = nan_percentile(rewards[..., block], percent)
        np.testing.assert_allclose(
            own[..., block], np.broadcast_to(expected, own[..., block].shape), rtol=1e-12
        )
    common = limits(percentile_threshold(percent, over="batch"), to(rewards), labels)
    expected = np.broadcast_to(nan_percentile(rewards, percent), rewards.shape)
    np.testing.assert_allclose(common, expected, rtol=1e-12)


@given_in_each_library(case=scored())
def test_the_group_maximum_is_the_100th_percentile(to, case):
    rewards, labels = case
    log_q = np.zeros_like(rewards)
    best, last = (
        np.asarray(anchor(to(rewards), to(log_q), threshold=threshold, groups=labels).good)
        for threshold in (group_maximum(), percentile_threshold(100))
    )
    np.testing.assert_array_equal(best, last)
    for label in np.unique(labels):
        block = np.where(np.isnan(rewards), -np.inf, rewards)[..., labels == label]
        expected = (block == block.max(-1, keepdims=True)) & (block > -np.inf)
        np.testing.assert_array_equal(best[..., labels == label], expected)


# Laws.


@given(scored(), PERCENTS, PERCENTS)
def test_a_higher_percentile_makes_fewer_outputs_good(case, one, other):
    rewards, labels = case
    low, high = (
        anchor(rewards, 0 * rewards, threshold=percentile_threshold(percent), groups=labels).good
        for percent in sorted((one, other))
    )
    assert not (high & ~low).any()


@given(scored(), PERCENTS)
def test_every_group_with_a_reward_has_a_good_output(case, percent):
    rewards, labels = case
    log_q = np.zeros_like(rewards)
    for threshold in (percentile_threshold(percent), group_maximum()):
        good = anchor(rewards, log_q, threshold=threshold, groups=labels).good
        for label in np.unique(labels):
            block = labels == label
            some = (~np.isnan(rewards[..., block])).any(-1)
            np.testing.assert_array_equal(good[..., block].any(-1), some)
    good = anchor(rewards, log_q, threshold=percentile_threshold(0), groups=labels).good
    np.testing.assert_array_equal(good, ~np.isnan(rewards))


@given(scored(), PERCENTS, SEEDS)
def test_the_order_of_samples_does_not_matter(case, percent, seed):
    rewards, labels = case
    order = np.random.default_rng(seed).permutation(labels.size)
    for threshold in (percentile_threshold(percent), percentile_threshold(percent, over="batch")):
        before = limits(threshold, rewards, labels)[..., order]
        np.testing.assert_array_equal(limits(threshold, rewards[..., order], labels[order]), before)


@given(scored(), PERCENTS)
def test_what_a_function_returns_acts_as_the_array_itself(case, percent):
    rewards, labels = case
    log_q = np.linspace(-3, -1, rewards.size).reshape(rewards.shape)
    array = limits(percentile_threshold(percent), rewards, labels)
    for threshold in (percentile_threshold(percent), lambda r, groups: array):
        actual = augment(rewards, log_q, beta=0.3, threshold=threshold, groups=labels)
        expected = augment(rewards, log_q, beta=0.3, threshold=array, groups=labels)
        np.testing.assert_array_equal(actual.rewards, expected.rewards)
        np.testing.assert_array_equal(actual.good, expected.good)


# Known answers.


def test_hand_calculation_of_a_percentile():
    # Group 0 has 1, 2, 3 and 5 (NaN is left out): the 90th lies at position .9 * 3 = 2.7, which is
    # 3 + .7 (5 - 3) = 4.4. Group 1 has one reward, which is every percentile of it. The batch has
    # 1, 2, 3, 5, 8: position .9 * 4 = 3.6, 5 + .6 (8 - 5) = 6.8.
    rewards = np.array([5.0, 1.0, np.nan, 8.0, 3.0, 2.0])
    labels = [0, 0, 0, 7, 0, 0]
    own = limits(percentile_threshold(90), rewards, labels)
    np.testing.assert_allclose(own, [4.4, 4.4, 4.4, 8.0, 4.4, 4.4], rtol=1e-12)
    common = limits(percentile_threshold(90, over="batch"), rewards, labels)
    np.testing.assert_allclose(common, np.full(6, 6.8), rtol=1e-12)


def test_each_row_is_a_batch_of_its_own():
    rewards = np.array([[1.0, 3.0], [10.0, 30.0]])
    common = limits(percentile_threshold(50, over="batch"), rewards, [0, 1])
    np.testing.assert_array_equal(common, [[2.0, 2.0], [20.0, 20.0]])


@each_library
def test_groups_of_one_ties_and_groups_without_a_reward(to):
    rewards = to(np.array([np.nan, 2.0, 1.0, 1.0, np.nan, np.nan]))
    labels, log_q = [0, 1, 2, 2, 2, 3], to(np.full(6, -1.0))
    for threshold in (group_maximum(), *map(percentile_threshold, (0, 90, 100))):
        good = anchor(rewards, log_q, threshold=threshold, groups=labels).good
        np.testing.assert_array_equal(np.asarray(good), [False, True, True, True, False, False])
    for threshold in (percentile_threshold(90, over="batch"), group_maximum()):
        good = anchor(to(np.full(6, np.nan)), log_q, threshold=threshold, groups=labels).good
        assert not np.asarray(good).any()


@each_library
@pytest.mark.parametrize("threshold", [group_maximum(), percentile_threshold(100)])
def test_the_largest_reward_is_good_in_every_dtype(to, threshold):
    for rewards in (
        np.float32([0.1, 0.7, 0.7]),
        np.array([0, 3, 3]),
        np.array([False, True, True]),
    ):
        good = anchor(to(rewards), to(np.float32([-1, -2, -3])), threshold=threshold).good
        np.testing.assert_array_equal(np.asarray(good), [False, True, True])


@each_library
def test_a_constant_function_is_compared_in_the_dtype_of_the_rewards(to):
    rewards, log_q = to(np.float32([0.7, 0.1])), to(np.zeros(2, dtype=np.float32))
    for returned in (0.7, np.float64(0.7), to(np.array(0.7))):
        good = anchor(rewards, log_q, threshold=lambda r, groups, x=returned: x).good
        np.testing.assert_array_equal(np.asarray(good), [True, False])
        shaped = shaping.gapo(rewards, log_q, modes=[0, 1], threshold=lambda r, g, x=returned: x)
        np.testing.assert_allclose(np.asarray(shaped), [1.0, 0.1], rtol=1e-6)


def test_nothing_reaches_what_is_not_finite():
    # -inf would make a forbidden output good, and its anchored reward infinite.
    for value in (np.nan, np.inf, -np.inf):
        for returned in (value, np.array([value])):
            good = anchor([0.0, -np.inf], [-1, -1], threshold=lambda r, groups, x=returned: x).good
            np.testing.assert_array_equal(good, [False, False])
    good = anchor([-np.inf] * 2, [-1.0] * 2, threshold=group_maximum()).good
    np.testing.assert_array_equal(good, [False, False])


def test_percentiles_between_infinite_rewards_do_not_warn():
    rewards = np.array([-np.inf, -np.inf, 1.0])
    assert limits(percentile_threshold(50), rewards, None)[0] == -np.inf
    assert np.isnan(limits(percentile_threshold(60), rewards, None)[0])


def test_a_function_sees_the_rewards_and_their_groups():
    seen = []

    def threshold(rewards, groups):
        seen.append((rewards, groups))
        return groups.expand(groups.max(rewards)) - 0.5

    rewards = np.array([0.0, 0.7, 1.0, 5.0])
    good = anchor(rewards, np.zeros(4), threshold=threshold, groups=[4, 4, 4, 2]).good
    np.testing.assert_array_equal(good, [False, True, True, True])
    ((given, groups),) = seen
    assert given is rewards
    np.testing.assert_array_equal(groups.index, [1, 1, 1, 0])


LOGS = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]
SHAPERS = {
    "anchored": {"beta": 0.3},
    "unlikeliness": {"log_probs": LOGS},
    "differential_smoothing": {"correct": 0.1, "wrong": 0.2},
    "uniform_correct": {"log_probs": LOGS, "lengths": [1, 2, 1, 1, 2, 1]},
    "pass_at_k": {"k": 2},
    "gapo": {"modes": [0, 0, 0, 1, 0, 1]},
}


@pytest.mark.parametrize("name", SHAPERS)
def test_every_shaper_with_a_threshold_takes_every_form(name):
    rewards, labels = np.array([0.0, 1.0, 1.0, 1.0, 0.5, 1.0]), [0, 0, 0, 0, 1, 1]
    own = {"groups": labels, **SHAPERS[name]}
    forms = [1.0, np.ones(6), [1.0], group_maximum(), percentile_threshold(100), lambda r, g: 1]
    run = getattr(shaping, name)
    expected, *others = (run(rewards, LOGS, threshold=threshold, **own) for threshold in forms)
    assert not np.array_equal(expected, rewards)
    for shaped in others:
        np.testing.assert_array_equal(shaped, expected)


def test_no_shaper_with_a_threshold_is_left_out():
    known = {n for n, f in shaping.SHAPERS.items() if "threshold" in f.__annotations__}
    assert known == set(SHAPERS)


def test_shapers_leave_unscored_samples_out_of_a_percentile():
    # Without the sample whose log p is NaN, the 70th percentile is that of 0 and 1: .7, which 1
    # reaches. With it, it would be 1 + .4 (9 - 1).
    shaped = shaping.unlikeliness(
        [0.0, 1.0, 9.0],
        np.zeros(3),
        log_probs=[-1.0, -1.0, np.nan],
        threshold=percentile_threshold(70),
    )
    np.testing.assert_allclose(shaped, [0.0, 0.9375, np.nan])  # 1 - .25 (2 - 1.5) / 2


def test_thresholds_can_be_pickled_and_say_what_they_are():
    for threshold in (percentile_threshold(90, over="batch"), group_maximum()):
        copy = pickle.loads(pickle.dumps(threshold))
        assert copy == threshold
        np.testing.assert_array_equal(
            limits(copy, np.arange(5.0), None), limits(threshold, np.arange(5.0), None)
        )
    assert "90" in repr(percentile_threshold(90))


# Messages.


@pytest.mark.parametrize("percent", [-0.1, 100.1, np.nan, "90", None])
def test_bad_percent(percent):
    with pytest.raises(ArgumentError, match=r"^percent must be a number in \[0, 100\], got "):
        percentile_threshold(percent)


def test_unknown_scope_suggests_the_known_one():
    with pytest.raises(ArgumentError, match=r"^over must be 'group' or 'batch', got 'groups'; did"):
        percentile_threshold(50, over="groups")
    with pytest.raises(ArgumentError, match=r"^2 problems:\n  - percent .*\n  - over"):
        percentile_threshold(101, over="rows")


def test_a_function_that_returns_something_else():
    for returned in (np.zeros(3), np.zeros((1, 2)), np.zeros((2, 2))):
        with pytest.raises(
            ShapeError, match=r"^what threshold returns must broadcast .*rewards \(2"
        ):
            anchor(np.zeros(2), np.zeros(2), threshold=lambda r, groups, x=returned: x)
    for returned in ("0.8", None):
        with pytest.raises(
            ArgumentError, match=r"^what threshold returns must be an array of real"
        ):
            shaping.unlikeliness(
                [0.0], [0.0], log_probs=[0.0], threshold=lambda r, groups, x=returned: x
            )
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="rewards from torch, what threshold returns from num"):
        anchor(torch.zeros(2), torch.zeros(2), threshold=lambda r, groups: np.zeros(2))
