"""Quality and diversity of prompts, and subsamples that make unequal runs comparable."""

from itertools import combinations
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.core.groups import Groups
from polymode.diagnostics.figures import FIGURES, exact_figures, n_answered, prompt_figures
from polymode.diagnostics.rarefaction import rarefied_entropy
from polymode.diagnostics.records import Exact
from polymode.errors import ArgumentError
from tests.diagnostics.made import samples

SOME = samples(
    ("p", 1, "a"), ("p", 1, "a"), ("p", 1, "b"), ("p", 0, "c"), ("q", 0, None), ("q", 0.5, None)
)


def naive_entropy(labels):
    shares = [labels.count(label) / len(labels) for label in set(labels)]
    return -sum(p * log(p) for p in shares)


def naive_rarefied(labels, size):
    """Mean over all subsets of the size."""
    subsets = list(combinations(labels, size))
    return sum(naive_entropy(list(subset)) for subset in subsets) / len(subsets)


def test_figures_of_two_prompts_by_hand():
    found = prompt_figures(SOME, threshold=1.0, k=2)
    assert found.keys == ("p", "q")
    assert found.n_samples.tolist() == [4, 2]
    assert found.column("reward") == pytest.approx([3 / 4, 1 / 4])
    assert found.column("pass_1") == pytest.approx([3 / 4, 0])
    # p: the only miss of two draws would need two bad ones, there is one. q: both are bad.
    assert found.column("pass_k") == pytest.approx([1, 0])
    # p: shares 1/2, 1/4, 1/4 have entropy 1.5 log 2; good ones 2/3, 1/3. q answers nothing.
    assert found.column("entropy") == pytest.approx([1.5 * log(2), np.nan], nan_ok=True)
    assert found.column("effective_modes") == pytest.approx([2**1.5, 0])
    good = exp(-(2 / 3) * log(2 / 3) - (1 / 3) * log(1 / 3))
    assert found.column("effective_good_modes") == pytest.approx([good, 0])
    assert np.isnan(found.column("kl")).all()


def test_too_few_samples_have_no_pass_at_k():
    found = prompt_figures(SOME, threshold=1.0, k=3).column("pass_k")
    assert found == pytest.approx([1, np.nan], nan_ok=True)


def test_the_threshold_says_what_is_good():
    found = prompt_figures(SOME, threshold=0.5, k=1)
    assert found.column("pass_1") == pytest.approx([3 / 4, 1 / 2])
    assert n_answered(SOME, threshold=0.5)["good"].tolist() == [3, 0]
    assert n_answered(SOME, threshold=0.5)["all"].tolist() == [4, 0]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), st.integers(1, 8))
def test_rarefied_entropy_is_the_mean_over_all_subsets(labels, size):
    size = min(size, len(labels))
    groups = Groups(np.zeros(len(labels), dtype=int), 1)
    keep = np.ones(len(labels), dtype=bool)
    keys = np.asarray(labels, dtype=object)
    found = rarefied_entropy(groups, keys, keep, draws=np.asarray([size]))
    assert found == pytest.approx([naive_rarefied(labels, size)], abs=1e-12)


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=30))
def test_smaller_subsamples_are_less_diverse(labels):
    groups = Groups(np.zeros(len(labels), dtype=int), 1)
    keep, keys = np.ones(len(labels), dtype=bool), np.asarray(labels, dtype=object)
    sizes = [np.asarray([size]) for size in range(1, len(labels) + 1)]
    found = [float(rarefied_entropy(groups, keys, keep, draws=size)[0]) for size in sizes]
    assert found[0] == pytest.approx(0.0, abs=1e-12)
    assert (np.diff(found) >= -1e-12).all()
    assert found[-1] == pytest.approx(float(rarefied_entropy(groups, keys, keep)[0]), abs=1e-12)


def test_exact_figures_of_a_distribution_by_hand():
    found = exact_figures(Exact("p", "p", (0.25, 0.25, 0.0)), threshold=1.0, k=2)
    # Half the mass is valid and shared by two answers; two draws miss with 1/4.
    expected = {
        "reward": 0.5,
        "pass_1": 0.5,
        "pass_k": 0.75,
        "effective_modes": 2,
        "effective_good_modes": 2,
        "entropy": log(2),
        "kl": np.nan,
    }
    assert found.values[0] == pytest.approx([expected[name] for name in FIGURES], nan_ok=True)


@pytest.mark.parametrize(("threshold", "good"), [(-1.0, 1.0), (0.0, 1.0), (0.7, 0.5), (1.5, 0.0)])
def test_exact_figures_know_rewards_0_and_1(threshold, good):
    found = exact_figures(Exact("p", "p", (0.5,)), threshold=threshold, k=1)
    assert found.column("pass_1") == pytest.approx([good])


def test_a_distribution_without_answers():
    found = exact_figures(Exact("p", "p", (0.0, 0.0)), threshold=1.0, k=1)
    assert found.column("effective_modes").tolist() == [0.0]
    assert np.isnan(found.column("entropy")[0])


def test_all_wrong_settings_are_told():
    with pytest.raises(ArgumentError, match=r"threshold must be.*\n.*k must be an integer >= 1"):
        prompt_figures(SOME, threshold=float("nan"), k=0)


def test_samples_of_some_prompts_have_their_order():
    both = samples(("p", 1, "a"), ("q", 2, "b"), ("p", 3, "c"), ("r", 4, "d"))
    found = both.at(("r", "p"))
    assert found.keys == found.texts == ("r", "p")
    assert found.index.tolist() == [1, 1, 0]
    assert found.rewards.tolist() == [1.0, 3.0, 4.0]
    assert found.modes == ("a", "c", "d")
