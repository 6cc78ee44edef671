"""Bootstrap over prompts, fronts, paired tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, wilcoxon

from polymode.diagnostics.figures import FIGURES, PromptFigures
from polymode.diagnostics.pairs import MIN_PAIRS, holm, paired_tests, wilcoxon_p
from polymode.diagnostics.resampling import estimate, on_front, redraw_means


def test_redrawn_means_have_the_standard_error_of_the_mean():
    values = np.random.default_rng(1).normal(size=(400, 1))
    rounds = redraw_means(values, n_rounds=4000, rng=np.random.default_rng(2))
    # The relative error of a standard deviation of m normal numbers is 1/sqrt(2m): 5 of these.
    expected = values.std() / np.sqrt(400)
    assert abs(rounds.std() / expected - 1) < 5 / np.sqrt(2 * 4000)
    assert abs(rounds.mean() - values.mean()) < 5 * expected / np.sqrt(4000)


def test_columns_are_redrawn_together_and_block_by_block(monkeypatch):
    monkeypatch.setattr("polymode.diagnostics.resampling._CELLS", 30)
    values = np.arange(10.0)[:, None] * [1.0, -2.0]
    rounds = redraw_means(values, n_rounds=7, rng=np.random.default_rng(0))
    assert rounds.shape == (7, 2)
    assert rounds[:, 1] == pytest.approx(-2 * rounds[:, 0])


def test_prompts_without_a_value_are_left_out():
    values = np.asarray([[2.0, np.nan], [2.0, np.nan], [np.nan, np.nan]])
    rounds = redraw_means(values, n_rounds=50, rng=np.random.default_rng(0))
    assert set(rounds[~np.isnan(rounds[:, 0]), 0].tolist()) == {2.0}
    assert np.isnan(rounds[:, 1]).all()


def test_an_interval_is_percentiles_or_lies_around_the_estimate():
    rounds = np.arange(101.0)  # percentiles 2.5 and 97.5; standard deviation 29.15
    plain = estimate(40.0, rounds, level=0.95, centred=False, largest=np.inf, n=9)
    assert [plain.low, plain.high, plain.n] == pytest.approx([2.5, 97.5, 9])
    around = estimate(60.0, rounds, level=0.5, centred=True, largest=70.0, n=9)
    assert around.low == pytest.approx(60 - 0.67449 * np.sqrt(850))
    assert around.high == 70.0  # 79.7 is beyond what there can be
    assert estimate(10.0, rounds, level=0.9, centred=True, largest=70.0, n=9).low == 0.0
    none = estimate(40.0, np.empty(0), level=0.95, centred=True, largest=70.0, n=9)
    assert np.isnan([none.standard_error, none.low, none.high]).all()


def test_intervals_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        values = rng.normal(size=(60, 1))
        rounds = redraw_means(values, n_rounds=300, rng=rng)[:, 0]
        found = estimate(float(values.mean()), rounds, level=0.9, centred=False, largest=9, n=60)
        hits += found.low <= 0.0 <= found.high
    # Binomial(300, .9): standard deviation 5.2; small samples and few rounds cost about .02 = 6.
    assert abs(hits - 270) < 5 * 5.2 + 6


def naive_front(points):
    return [not any((a >= x and b >= y) and (a > x or b > y) for a, b in points) for x, y in points]


@given(arrays(int, st.tuples(st.integers(1, 6), st.just(2)), elements=st.integers(0, 3)))
def test_front_is_that_of_a_naive_restatement(points):
    points = points.astype(float)
    assert on_front(points[:, 0], points[:, 1]).tolist() == naive_front(points.tolist())


def test_a_run_without_a_figure_is_on_no_front_and_beats_nobody():
    found = on_front(np.asarray([0.5, np.nan]), np.asarray([1.0, 9.0]))
    assert found.tolist() == [True, False]


def test_wilcoxon_of_six_positive_differences_is_one_in_32():
    # All 2^6 signs are equally likely; the two most extreme ones are 2/64.
    assert wilcoxon_p(np.arange(1.0, 7.0)) == pytest.approx(2 / 64)
    assert wilcoxon_p(np.zeros(9)) == 1.0


@pytest.mark.parametrize("d", [[3, 1, 0, -1, 2, 2], [0, 0, 1, 0, 0, 0, -4], [5, -5, 5, 1, 1, 0, 7]])
def test_wilcoxon_is_that_of_scipy_with_ties_and_zeros(d):
    found = wilcoxon(np.asarray(d, dtype=float), zero_method="pratt")
    assert wilcoxon_p(np.asarray(d, dtype=float)) == pytest.approx(found.pvalue)


def test_wilcoxon_of_many_prompts_is_that_of_scipy():
    d = np.random.default_rng(0).normal(0.3, 1, size=40)
    assert wilcoxon_p(d) == pytest.approx(wilcoxon(d).pvalue)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_order(values):
    p = np.asarray(values)
    adjusted = holm(p)
    assert (adjusted >= p - 1e-15).all()
    assert adjusted.max() <= 1
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    assert adjusted.min() == pytest.approx(min(1, len(p) * p.min()))


def figures(rewards):
    values = np.full((len(rewards), len(FIGURES)), np.nan)
    values[:, 0] = rewards
    return PromptFigures(tuple(map(str, range(len(rewards)))), np.ones(len(rewards), int), values)


def test_pairs_are_over_shared_prompts_and_corrected_together():
    rng = np.random.default_rng(0)
    base = rng.normal(size=20)
    runs = {"a": figures(base), "b": figures(base + 1), "c": figures(base[: MIN_PAIRS - 1])}
    found = paired_tests(runs, axes=("reward",), level=0.95, n_rounds=100, rng=rng)
    (pair,) = found  # c shares too few prompts with either
    assert (pair.first, pair.second, pair.n_prompts) == ("a", "b", 20)
    assert pair.difference.value == pytest.approx(-1)
    assert pair.difference.low == pytest.approx(-1)  # the difference is the same everywhere
    assert pair.p_adjusted == pair.p_value < 1e-4


def test_a_paired_interval_is_as_wide_as_theory_says():
    rng = np.random.default_rng(3)
    d = rng.normal(0.2, 1, size=100)
    runs = {"a": figures(d), "b": figures(np.zeros(100))}
    (pair,) = paired_tests(runs, axes=("reward",), level=0.95, n_rounds=4000, rng=rng)
    width = 2 * norm.ppf(0.975) * d.std() / 10
    found = pair.difference.high - pair.difference.low
    assert abs(found / width - 1) < 5 * 0.02  # what quantiles of 4000 rounds vary by
