"""Yield, oracle burden and AUC: against loops, and PMO's program written anew."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError
from polymode.metrics.molecules import calls_to_hits, n_hits, top_auc

REWARDS = st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), min_size=1, max_size=40)


@given(REWARDS, st.floats(0, 1), st.integers(1, 12))
def test_burden_is_the_first_call_that_has_the_yield(rewards, threshold, n):
    found = calls_to_hits(rewards, threshold=threshold, n=n)
    yields = [n_hits(rewards[:i], threshold=threshold) for i in range(1, len(rewards) + 1)]
    reached = [i for i, y in enumerate(yields, start=1) if y >= n]
    assert found == reached[0] if reached else math.isnan(found)


@given(REWARDS, st.floats(0, 1))
def test_burden_grows_with_what_is_asked_for(rewards, threshold):
    found = calls_to_hits(rewards, threshold=threshold, n=tuple(range(1, 42)))
    n = n_hits(rewards, threshold=threshold)
    assert (np.diff(found[:n]) >= 1).all()
    assert np.isnan(found[n:]).all()
    assert n_hits(rewards, threshold=0) == np.sum(~np.isnan(rewards))


def test_hits_by_hand():
    rewards = [0.2, math.nan, 0.9, 0.8, 0.79]
    assert n_hits(rewards, threshold=0.8) == 2
    assert calls_to_hits(rewards, threshold=0.8, n=1) == 3.0
    assert n_hits([], threshold=0.5) == 0


def pmo(rewards, k, finished, interval, budget):
    """PMO's definition as a sum of trapezoids, one after the other."""

    def top(n):
        best = sorted((r for r in rewards[:n] if not math.isnan(r)), reverse=True)[:k]
        return sum(best) / len(best) if best else 0.0

    area, before, called = 0.0, 0.0, 0
    for n in range(interval, min(len(rewards), budget), interval):
        area += interval * (top(n) + before) / 2
        before, called = top(n), n
    area += (len(rewards) - called) * (top(len(rewards)) + before) / 2
    if finished:
        area += (budget - len(rewards)) * top(len(rewards))
    return area / budget


@given(REWARDS, st.integers(1, 12), st.booleans(), st.integers(1, 50), st.integers(0, 30))
def test_auc_is_that_of_pmo(rewards, k, finished, interval, left):
    budget = len(rewards) + left
    found = top_auc(rewards, k=k, budget=budget, interval=interval, finished=finished)
    expected = pmo(rewards, k, finished, interval, budget)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert -1e-12 <= found <= 1 + 1e-12


def test_auc_by_hand():
    # 0 → 0.5 → 1 over two calls, then 1 for the other two: (0.25 + 0.75 + 2) / 4
    rewards = [0.5, 1.0]
    assert top_auc(rewards, k=1, budget=4, interval=1) == pytest.approx(0.75)
    assert top_auc(rewards, k=1, budget=4, interval=1, finished=False) == pytest.approx(0.25)
    # top 2 after two calls: 0.75; one straight line with an interval of 2
    assert top_auc(rewards, k=2, budget=2, interval=2) == pytest.approx(0.375)
    assert top_auc([1.0] * 5, k=1, budget=2, interval=1) == pytest.approx(0.75)
    assert top_auc([], budget=10) == 0.0
    assert top_auc([math.nan], budget=10) == 0.0


def test_the_defaults_are_those_of_pmo():
    rewards = np.random.default_rng(0).random(1234)
    assert top_auc(rewards) == pytest.approx(pmo(rewards.tolist(), 10, True, 100, 10_000))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: n_hits([[1.0]], threshold=0.5), r"rewards must have shape \(n,\), got \(1, 1\)"),
        (lambda: n_hits([1.0], threshold=math.inf), "threshold must be a finite number"),
        (lambda: calls_to_hits([1.0], threshold=0, n=(1, 0)), "n must be an integer >= 1, got 0"),
        (lambda: top_auc(["a"], k=0, budget=0.5), "(?s)3 problems.*rewards.*k must.*budget must"),
        (lambda: top_auc([1.0], interval=0), "interval must be an integer >= 1"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
