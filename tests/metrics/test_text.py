"""n-grams and self-BLEU against restatements of the published code."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError
from polymode.metrics import distinct_n, expectation_adjusted_distinct, self_bleu

WORDS = st.lists(st.sampled_from("abcd"), max_size=8)
PROMPTS = st.lists(WORDS, min_size=1, max_size=5)


def ngrams(prompt, n):
    return [tuple(words[i : i + n]) for words in prompt for i in range(len(words) - n + 1)]


def naive_ead(prompt, vocabulary, orders):
    """Liu et al.'s formula, as Kirk et al. average it, but for orders without an n-gram."""
    each = []
    for n in orders:
        if grams := ngrams(prompt, n):
            chance = 1 - ((vocabulary - 1) / vocabulary) ** len(grams)
            each.append(len(set(grams)) / (vocabulary * chance))
    return np.mean(each) if each else np.nan


@given(PROMPTS, st.integers(1, 60000), st.sampled_from([(1, 2, 3, 4, 5), (2,), (1, 8)]))
def test_ead_is_the_published_formula(prompt, vocabulary, orders):
    texts = [" ".join(words) for words in prompt]
    found = expectation_adjusted_distinct(texts, vocabulary_size=vocabulary, orders=orders)
    np.testing.assert_allclose(found, naive_ead(prompt, vocabulary, orders), rtol=1e-8)


@given(PROMPTS, st.integers(1, 4))
def test_distinct_n_is_the_share_of_distinct_ones(prompt, n):
    grams = ngrams(prompt, n)
    found = distinct_n(prompt, n=n)
    np.testing.assert_allclose(found, len(set(grams)) / len(grams) if grams else np.nan)


@given(st.lists(PROMPTS, min_size=1, max_size=3), st.randoms())
def test_prompts_in_any_order_are_each_as_if_alone(prompts, random):
    rows = [(-label, words) for label, prompt in enumerate(prompts) for words in prompt]
    random.shuffle(rows)
    labels, words = (list(column) for column in zip(*rows, strict=True))
    alone = [expectation_adjusted_distinct(prompt) for prompt in prompts[::-1]]
    found = expectation_adjusted_distinct(words, groups=labels)
    np.testing.assert_allclose(found, alone, rtol=1e-12)
    alone = [distinct_n(prompt, n=2) for prompt in prompts[::-1]]
    np.testing.assert_allclose(distinct_n(words, n=2, groups=labels), alone)


def test_known_answers():
    # "a b a" and "a c": words a b a a c, 3 of 5; three pairs, all distinct
    assert distinct_n(["a b a", "a c"], n=1) == pytest.approx(3 / 5)
    assert distinct_n(["a b a", "a c"], n=2) == 1.0  # no pair across completions
    # V = 10, 1-grams 3 of 5: 3 / (10 (1 - .9^5)) = .73259;
    # 2-grams 3 of 3: 3 / (10 (1 - .9^3)) = 1.10701
    found = expectation_adjusted_distinct(["a b a", "a c"], vocabulary_size=10, orders=(1, 2))
    assert found == pytest.approx((0.73259 + 1.10701) / 2, rel=1e-4)
    assert np.isnan(expectation_adjusted_distinct(["", " "]))


def test_the_default_vocabulary_and_orders_are_those_of_kirk_et_al():
    texts = ["the cat sat on the mat today", "the cat sat on the sofa"]
    prompt = [text.split() for text in texts]
    expected = naive_ead(prompt, 50257, (1, 2, 3, 4, 5))
    assert expectation_adjusted_distinct(texts) == pytest.approx(expected, rel=1e-9)


def test_tokens_of_any_kind_are_taken_as_they_are():
    assert distinct_n([[3, 5, 3], (5, 3)], n=1) == pytest.approx(2 / 5)
    assert distinct_n([np.array([3, 3])], n=1) == 0.5


def test_repeated_completions_lower_every_diversity():
    varied = [f"answer {i} is about topic {i}" for i in range(6)]
    same = varied[:1] * 6
    assert expectation_adjusted_distinct(same) < 0.3 < expectation_adjusted_distinct(varied)
    assert self_bleu(same) == 1.0
    assert self_bleu(varied) < 0.7


def test_self_bleu_is_the_mean_of_sacrebleus_sentence_scores():
    sacrebleu = pytest.importorskip("sacrebleu")
    texts = ["the cat sat on the mat", "the cat sat there", "a dog, barking"]
    expected = [
        sacrebleu.sentence_bleu(t, [u for u in texts if u is not t], use_effective_order=True).score
        for t in texts
    ]
    assert self_bleu(texts) == pytest.approx(np.mean(expected) / 100, rel=1e-12)
    both = self_bleu([*texts, "alone"], groups=[4, 4, 4, 2])
    np.testing.assert_allclose(both, [np.nan, np.mean(expected) / 100])
    assert self_bleu(["a b c d", "e f g h"]) == pytest.approx(0, abs=0.2)
    assert self_bleu(["", "a"]) == 0.0


def test_without_sacrebleu_the_extra_is_named():
    code = (
        "import sys; sys.modules['sacrebleu'] = None; sys.modules['sacrebleu.metrics'] = None\n"
        "from polymode.metrics import self_bleu\n"
        "try: self_bleu(['a', 'b'])\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().startswith("needs sacrebleu")
    assert "polymode[language]" in done.stdout


def test_messages():
    with pytest.raises(ArgumentError, match="n must be an integer >= 1, got 0"):
        distinct_n(["a"], n=0)
    with pytest.raises(ArgumentError, match=r"2 problems:\n.*vocabulary_size must .*\n.*orders"):
        expectation_adjusted_distinct(["a"], vocabulary_size=0, orders=[])
    with pytest.raises(ArgumentError, match=r"orders must be an integer >= 1, got 1\.5"):
        expectation_adjusted_distinct(["a"], orders=[1, 1.5])
    with pytest.raises(ArgumentError, match="at least one sample, got none"):
        self_bleu([])
    with pytest.raises(ArgumentError, match="texts must be strings, got 3"):
        self_bleu(["a", 3])
    with pytest.raises(ArgumentError, match="groups must be integers"):
        distinct_n(["a"], n=1, groups=["x"])
