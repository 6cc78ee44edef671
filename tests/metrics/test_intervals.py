"""Standard errors and intervals: against formulas, and how often they hold the truth."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polymode.errors import ArgumentError, PolymodeWarning, ShapeError, TooFewSamplesWarning
from polymode.metrics import bootstrap_mean, jackknife, mode_entropy

NUMBERS = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=30)


def rng():
    return np.random.default_rng(0)


@given(NUMBERS)
def test_the_jackknife_of_a_mean_is_the_standard_error_of_a_mean(numbers):
    x = np.array(numbers)
    found = jackknife(lambda kept: x[kept].mean(), len(x))
    error = stats.sem(x)
    assert found.value == pytest.approx(x.mean())
    assert found.standard_error == pytest.approx(error, rel=1e-9, abs=1e-12)
    width = stats.t.ppf(0.975, len(x) - 1) * error
    assert (found.low, found.high) == pytest.approx((x.mean() - width, x.mean() + width))
    assert found.n == len(x)


def test_the_bootstrap_of_a_mean_is_close_to_its_formula():
    x = np.random.default_rng(3).exponential(size=200)
    found = bootstrap_mean(x, rng=rng(), n_resamples=9999)
    # the standard error of a standard deviation from 9999 resamples is .7 %; 5 sigma
    assert found.standard_error == pytest.approx(x.std() / np.sqrt(200), rel=0.036)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_intervals_hold_the_truth_as_often_as_they_say(method):
    # 400 experiments of 40 skewed numbers with mean 1. A bootstrap interval of 90 % holds a bit
    # less at this size; by chance alone the share moves by .015, 5 sigma is .075.
    data = np.random.default_rng(5).exponential(size=(400, 40))
    found = bootstrap_mean(data, rng=rng(), level=0.9, method=method, n_resamples=400)
    held = np.mean((found.low <= 1) & (found.high >= 1))
    assert 0.80 < held < 0.96


def test_level_method_and_number_of_resamples_matter():
    x = np.random.default_rng(4).exponential(size=30)
    wide, narrow = (bootstrap_mean(x, rng=rng(), level=level) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
    skewed = bootstrap_mean(x, rng=rng(), method="BCa")
    assert skewed.high > wide.high  # towards the long tail
    assert bootstrap_mean(x, rng=rng(), n_resamples=10).low != wide.low
    at = [jackknife(lambda kept: x[kept].mean(), 30, level=level) for level in (0.95, 0.5)]
    assert at[0].low < at[1].low
    blocks = jackknife(lambda kept: x[kept].mean(), 30, n_blocks=5)
    means = [np.delete(x, np.s_[i::5]).mean() for i in range(5)]
    assert blocks.standard_error == pytest.approx(np.sqrt(4 * np.var(means)))


def test_the_same_generator_gives_the_same_interval():
    x = np.arange(10.0)
    first, second = (bootstrap_mean(x, rng=rng()) for _ in range(2))
    assert (first.low, first.high) == (second.low, second.high)


def test_prompts_without_a_number_are_left_out():
    x = np.array([[1.0, np.nan, 3.0, 5.0], [2.0, 2.0, 2.0, 2.0]])
    found = bootstrap_mean(x, rng=rng())
    np.testing.assert_array_equal(found.n, [3, 4])
    np.testing.assert_array_equal(found.value, [3.0, 2.0])
    # no spread, no width
    assert (found.standard_error[1], found.low[1], found.high[1]) == (0.0, 2.0, 2.0)
    assert bootstrap_mean(x[1], rng=rng(), method="BCa").high == 2.0


@pytest.mark.parametrize(("x", "value"), [([4.0], 4.0), ([np.nan, 4.0], 4.0), ([np.nan], np.nan)])
def test_too_few_prompts_are_nan_and_a_warning(x, value):
    with pytest.warns(TooFewSamplesWarning, match="fewer than two prompts: the standard error"):
        found = bootstrap_mean(x, rng=rng())
    np.testing.assert_equal(found.value, value)
    assert np.isnan([found.standard_error, found.low, found.high]).all()
    assert issubclass(TooFewSamplesWarning, PolymodeWarning)


def test_one_sample_is_nan_and_a_warning():
    with pytest.warns(TooFewSamplesWarning, match="fewer than two samples"):
        found = jackknife(lambda kept: float(len(kept)), 1)
    assert found.value == 1.0
    assert np.isnan([found.standard_error, found.low, found.high]).all()


def test_several_statistics_at_once():
    x = np.random.default_rng(6).normal(size=20)
    both = jackknife(lambda kept: np.array([x[kept].mean(), np.var(x[kept])]), 20)
    assert both.value.shape == both.standard_error.shape == both.n.shape == (2,)
    one = jackknife(lambda kept: np.var(x[kept]), 20)
    assert both.standard_error[1] == pytest.approx(one.standard_error)


def test_a_statistic_without_a_number_has_no_interval():
    modes = ["a", None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = jackknife(lambda kept: mode_entropy([modes[i] for i in kept]), 3)
    assert found.value == 0.0
    assert np.isnan([found.standard_error, found.low, found.high]).all()


def test_entropy_intervals_are_about_as_wide_as_the_spread_of_new_samples():
    # The jackknife's error of an entropy from 200 samples of (.7, .2, .1), against the standard
    # deviation over 500 new sets of samples, which is itself known to 3 %.
    draws = np.random.default_rng(7).choice(3, p=[0.7, 0.2, 0.1], size=(500, 200))
    spread = np.std([mode_entropy(own.tolist()) for own in draws])
    errors = [
        jackknife(lambda kept, own=own: mode_entropy(own[kept].tolist()), 200).standard_error
        for own in draws[:20]
    ]
    assert 0.85 < np.mean(errors) / spread < 1.15


def test_messages():
    with pytest.raises(ArgumentError, match=r"3 problems:\n.*rng must be a Generator.*\n.*method"):
        bootstrap_mean([1.0, 2.0], rng=0, method="bca", level=1.0)
    with pytest.raises(ArgumentError, match="n_resamples must be an integer >= 1, got 0"):
        bootstrap_mean([1.0, 2.0], rng=rng(), n_resamples=0)
    with pytest.raises(ShapeError, match="a sample on the last axis"):
        bootstrap_mean([], rng=rng())
    with pytest.raises(ArgumentError, match=r"2 problems:\n.*n_blocks must.*\n.*level must be"):
        jackknife(len, 3, n_blocks=0, level=0)
