"""pass@k and max@k against all subsets of k samples."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import comb

from polymode.errors import ArgumentError, ShapeError
from polymode.metrics import max_at_k, pass_at_k

REWARDS = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=7)


@st.composite
def counts(draw):
    n = draw(st.integers(1, 60))
    return draw(st.integers(0, n)), n, draw(st.integers(1, 70))


@given(counts())
def test_pass_at_k_is_the_formula_of_the_paper(count):
    c, n, k = count
    found = pass_at_k(c, n, k=k)
    if k > n:
        assert np.isnan(found)
    else:
        expected = 1 - comb(n - c, k, exact=True) / comb(n, k, exact=True)
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


@given(REWARDS)
def test_max_at_k_is_the_mean_over_all_subsets(rewards):
    k = np.arange(1, len(rewards) + 2)
    expected = [np.mean([max(s) for s in combinations(rewards, i)]) for i in k[:-1]]
    found = max_at_k(rewards, k=k)
    np.testing.assert_allclose(found, [*expected, np.nan], rtol=1e-10, atol=1e-10)
    assert np.all(np.diff(found[:-1]) >= -1e-9)  # never falls with k


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 30))
def test_for_rewards_of_0_and_1_they_agree(correct, k):
    found = max_at_k(np.asarray(correct, dtype=float), k=k)
    expected = pass_at_k(sum(correct), len(correct), k=k)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(st.lists(REWARDS, min_size=1, max_size=4), st.randoms())
def test_ragged_prompts_in_any_order_are_each_as_if_alone(prompts, random):
    k = np.arange(1, 4)
    rows = [(10 * label, r) for label, rewards in enumerate(prompts) for r in rewards]
    random.shuffle(rows)
    labels, rewards = (list(column) for column in zip(*rows, strict=True))
    found = max_at_k(rewards, k=k, groups=labels)
    np.testing.assert_allclose(found, [max_at_k(r, k=k) for r in prompts], rtol=1e-9, atol=1e-12)


def test_known_answers():
    # 2 of 5 correct; no pair of the 3 wrong ones among 10: 1 - 3/10
    assert pass_at_k(2, 5, k=2) == pytest.approx(0.7)
    # with more draws than wrong samples, one is correct for sure
    assert pass_at_k(2, 5, k=4) == 1.0
    assert pass_at_k(0, 5, k=3) == 0.0
    # three pairs of (0, 6, 3): the largest are 6, 3, 6
    assert max_at_k([0.0, 6.0, 3.0], k=2) == pytest.approx(5.0)
    assert max_at_k([-np.inf, 1.0], k=1) == -np.inf
    assert max_at_k([-np.inf, 1.0], k=2) == 1.0
    table = pass_at_k(np.array([[1], [2]]), np.array([[2], [4]]), k=np.array([1, 2, 3]))
    np.testing.assert_allclose(table, [[0.5, 1.0, np.nan], [0.5, 5 / 6, 1.0]])


def test_nan_rewards_spoil_their_prompt_only():
    found = max_at_k([np.nan, 5.0, 1.0, 2.0], k=2, groups=[7, 7, 8, 8])
    np.testing.assert_array_equal(found, [np.nan, 2.0])


def test_large_counts_keep_their_digits():
    # c = 1: the one correct sample is among k of n with probability k / n
    n = 10**6
    np.testing.assert_allclose(pass_at_k(1, n, k=np.array([1, 1000])), [1e-6, 1e-3], rtol=1e-3)


def test_messages():
    with pytest.raises(ArgumentError, match=r"k must be whole numbers >= 1, got 0"):
        pass_at_k(1, 2, k=0)
    with pytest.raises(ArgumentError, match=r"2 problems:\n.*n_correct must be whole.*\n.*k must"):
        pass_at_k(0.5, 2, k=1.5)
    with pytest.raises(ArgumentError, match="n_correct must lie between 0 and n_samples"):
        pass_at_k(3, 2, k=1)
    with pytest.raises(ArgumentError, match=r"broadcast together, got n_correct \(2,\)"):
        pass_at_k([1, 1], [2, 2, 2], k=1)
    with pytest.raises(ArgumentError, match=r"k must be whole numbers >= 1, got \[1, 0\]"):
        max_at_k([1.0], k=[1, 0])
    with pytest.raises(ShapeError, match="a sample on the last axis"):
        max_at_k([], k=1)
    with pytest.raises(ShapeError, match="groups"):
        max_at_k([1.0, 2.0], k=1, groups=[1])
