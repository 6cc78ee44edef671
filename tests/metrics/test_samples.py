"""Entropy, coverage and numbers of modes, from samples."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polymode.errors import ArgumentError, ShapeError
from polymode.metrics import (
    answer_coverage,
    effective_modes,
    mode_entropy,
    n_modes,
    sample_coverage,
)

MODES = st.lists(st.sampled_from(["a", "b", 3, ("c", 1), None]), min_size=1, max_size=12)


def chao_shen(counts):
    """The estimator as its paper writes it, term by term."""
    n, once = sum(counts), sum(c == 1 for c in counts)
    coverage = 1 - min(once, n - 1) / n
    total = 0.0
    for count in counts:
        p = coverage * count / n
        total -= p * math.log(p) / (1 - (1 - p) ** n) if p < 1 else 0.0
    return total


@given(MODES)
def test_plug_in_entropy_agrees_with_scipy(modes):
    counts = list(Counter(m for m in modes if m is not None).values())
    expected = stats.entropy(counts) if counts else np.nan
    np.testing.assert_allclose(mode_entropy(modes), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(effective_modes(modes), np.exp(expected), rtol=1e-9)
    assert n_modes(modes) == len(counts)


@given(MODES)
def test_chao_shen_agrees_with_its_formula(modes):
    counts = list(Counter(m for m in modes if m is not None).values())
    expected = chao_shen(counts) if sum(counts) > 1 else np.nan
    found = mode_entropy(modes, correction="chao_shen")
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        effective_modes(modes, correction="chao_shen"), np.exp(expected), rtol=1e-9
    )


@given(st.lists(MODES, min_size=1, max_size=4), st.randoms())
def test_prompts_in_any_order_are_each_as_if_alone(prompts, random):
    rows = [(2 * label - 3, mode) for label, modes in enumerate(prompts) for mode in modes]
    random.shuffle(rows)
    labels, modes = (list(column) for column in zip(*rows, strict=True))
    for function in (mode_entropy, n_modes, sample_coverage):
        found = function(modes, groups=labels)
        alone = [function(own) for own in prompts]
        np.testing.assert_allclose(found, alone, rtol=1e-9, atol=1e-12)
    answers = {2 * label - 3: ["a", "b"][: label + 1] for label in range(len(prompts))}
    found = answer_coverage(modes, answers=answers, groups=labels)
    alone = [
        answer_coverage(own, answers=["a", "b"][: label + 1]) for label, own in enumerate(prompts)
    ]
    np.testing.assert_array_equal(found, alone)


def test_known_answers():
    modes = ["a", "a", "b", None, "a"]
    # 3/4, 1/4: .75 log(4/3) + .25 log 4 = .56234; one of four came once
    assert mode_entropy(modes) == pytest.approx(0.56234, rel=1e-5)
    assert sample_coverage(modes) == 0.75
    assert sample_coverage(["a", "b"]) == 0.0
    assert n_modes([None, None]) == 0
    assert np.isnan(sample_coverage([None]))
    assert np.isnan(mode_entropy([None]))
    assert mode_entropy(["a"]) == 0.0
    assert np.isnan(mode_entropy(["a"], correction="chao_shen"))  # one sample says nothing
    assert mode_entropy(["a", "a"], correction="chao_shen") == 0.0
    assert answer_coverage(modes, answers={"a", "c"}) == 0.5
    assert answer_coverage(modes, answers=["c", "c"]) == 0.0
    assert np.isnan(answer_coverage(modes, answers=[]))


def test_chao_shen_is_closer_to_the_truth_where_modes_are_missed():
    # 30 equal modes, 30 samples: about 11 modes are never seen. Means over 2000 prompts, whose
    # standard errors are below .01, against a difference of .3 and more.
    n_prompts, n, m = 2000, 30, 30
    modes = np.random.default_rng(0).integers(0, m, n_prompts * n)
    groups = np.repeat(np.arange(n_prompts), n)
    plug_in = mode_entropy(modes, groups=groups).mean()
    corrected = mode_entropy(modes, correction="chao_shen", groups=groups).mean()
    assert plug_in < np.log(m) - 0.4
    assert abs(corrected - np.log(m)) < 0.1


def test_coverage_is_that_of_the_next_sample():
    # P(next is new) for 10 equal modes after n = 8: .9^8; the mean of f1/n is .9^7. Standard error
    # of the mean of 4000 prompts is below .004; 5 sigma.
    modes = np.random.default_rng(1).integers(0, 10, 4000 * 8)
    found = sample_coverage(modes, groups=np.repeat(np.arange(4000), 8)).mean()
    assert found == pytest.approx(1 - 0.9**7, abs=0.02)


def test_messages():
    with pytest.raises(
        ArgumentError, match=r"correction must be 'none' or 'chao_shen'.*did you mean"
    ):
        mode_entropy(["a"], correction="chao-shen")
    with pytest.raises(ArgumentError, match="at least one sample"):
        n_modes([])
    with pytest.raises(ShapeError, match="groups"):
        sample_coverage(["a"], groups=[1, 2])
    with pytest.raises(ArgumentError, match="answers must be a collection of modes, got 'ab'"):
        answer_coverage(["a"], answers="ab")
    with pytest.raises(ArgumentError, match="answers must be a mapping from label to answers"):
        answer_coverage(["a"], answers=["a"], groups=[1])
    with pytest.raises(ArgumentError, match="must have every label of groups, 2 is missing"):
        answer_coverage(["a", "b"], answers={1: ["a"]}, groups=[1, 2])
