"""Distances and Vendi scores against the double loops of their definitions."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from polymode.errors import ArgumentError
from polymode.metrics import effective_number, semantic_diversity, vendi_score
from tests.strategies import SEEDS

FUNCTIONS = [semantic_diversity, vendi_score]


@st.composite
def embeddings(draw):
    """Rows of any length, more or fewer than their dimensions, some of them parallel."""
    m, d = draw(st.integers(2, 7)), draw(st.integers(1, 5))
    x = draw(hnp.arrays(np.float64, (m, d), elements=st.integers(-3, 3).map(float)))
    x[:, 0] += np.where(np.all(x == 0, axis=1), 1.0, 0.0)
    return x


def cosines(x):
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in x] for a in x])


@given(embeddings())
def test_semantic_diversity_is_the_mean_over_pairs(x):
    k = cosines(x)
    pairs = [1 - k[i, j] for i, j in combinations(range(len(x)), 2)]
    np.testing.assert_allclose(semantic_diversity(x), np.mean(pairs), rtol=1e-9, atol=1e-12)


@given(embeddings())
def test_vendi_score_is_the_definition(x):
    values = np.linalg.eigvalsh(cosines(x) / len(x)).clip(0)
    np.testing.assert_allclose(vendi_score(x), np.exp(stats.entropy(values)), rtol=1e-7)
    assert 1 - 1e-9 <= vendi_score(x) <= min(x.shape) + 1e-9


@given(embeddings(), st.sampled_from([0, 0.5, 2, np.inf]))
def test_other_orders_are_hill_numbers_of_the_eigenvalues(x, order):
    values = np.linalg.eigvalsh(cosines(x) / len(x))
    with np.errstate(divide="ignore"):
        expected = effective_number(np.log(np.where(values > 1e-12, values, 0)), order=order)
    np.testing.assert_allclose(vendi_score(x, order=order), expected, rtol=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(x=embeddings(), seed=SEEDS)
def test_lengths_rotations_and_the_order_do_not_matter(function, x, seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0]
    other = rng.permutation(x * rng.uniform(0.1, 10, (len(x), 1))) @ turn
    np.testing.assert_allclose(function(other), function(x), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(prompts=st.lists(embeddings(), min_size=1, max_size=4), random=st.randoms())
def test_prompts_in_any_order_are_each_as_if_alone(function, prompts, random):
    rows = [(3 * i, np.pad(r, (0, 5 - r.size))) for i, prompt in enumerate(prompts) for r in prompt]
    random.shuffle(rows)
    labels = [label for label, _ in rows]
    found = function(np.stack([row for _, row in rows]), groups=labels)
    alone = [function(prompt) for prompt in prompts]
    np.testing.assert_allclose(found, alone, rtol=1e-7, atol=1e-9)


def test_known_answers():
    # orthogonal: every pair at distance 1, as many as rows; equal: none, and one
    assert semantic_diversity(np.eye(4)) == pytest.approx(1.0)
    assert vendi_score(np.eye(4)) == pytest.approx(4.0)
    assert semantic_diversity(np.ones((3, 2))) == pytest.approx(0.0, abs=1e-12)
    assert vendi_score(np.ones((3, 2))) == pytest.approx(1.0)
    assert semantic_diversity([[1.0], [-1.0]]) == pytest.approx(2.0)  # opposite
    # two rows at cosine c: eigenvalues (1 + c)/2 and (1 - c)/2; at c = 1/2: 3/4 and 1/4
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert vendi_score([[1.0, 0.0], [0.5, np.sqrt(0.75)]]) == pytest.approx(expected)
    assert vendi_score([[2.0, 3.0]]) == 1.0
    assert np.isnan(semantic_diversity([[2.0, 3.0]]))  # no pair


def test_the_tiles_of_many_prompts_are_joined(monkeypatch):
    from polymode.metrics import embeddings as module

    x = np.random.default_rng(0).normal(size=(60, 3))
    labels = np.repeat(np.arange(20), 3)
    whole = vendi_score(x, groups=labels)
    monkeypatch.setattr(module, "_TILE", 30)
    np.testing.assert_allclose(vendi_score(x, groups=labels), whole, rtol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_rows_without_a_direction_spoil_their_prompt_only(function, bad):
    x = np.array([[1.0, 0.0], [bad, bad], [1.0, 0.0], [0.0, 1.0]])
    found = function(x, groups=[5, 5, 9, 9])
    assert np.isnan(found[0])
    assert np.isfinite(found[1])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_messages(function):
    with pytest.raises(ArgumentError, match=r"embeddings must have shape \(m, d\).*got \(3,\)"):
        function([1.0, 2.0, 3.0])
    with pytest.raises(ArgumentError, match="embeddings must be an array of real numbers"):
        function([["a"]])
    with pytest.raises(ArgumentError, match="at least one sample"):
        function(np.zeros((0, 3)))
    with pytest.raises(ArgumentError, match="groups"):
        function(np.ones((2, 3)), groups=[1])


def test_bad_orders_are_named():
    with pytest.raises(ArgumentError, match="order must be a number >= 0, got -1"):
        vendi_score(np.eye(2), order=-1)
