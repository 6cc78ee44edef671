"""Answer distributions: exact measurement, sampling, and promises derived by hand."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.errors import ArgumentError
from polymode.language import PickingTask
from polymode.language.answers import (
    AnswerDistribution,
    ScoredPhrasings,
    promised_answers,
    sample_answers,
    score_phrasings,
)

TASK = PickingTask(
    name="t", question="?", opening=">", answers={"a": ["A", "aa"], "b": ["B"], "c": ["C"]}
)
# q: a = .3 + .1, b = .1, c = .02, everything else .48
REFERENCE = ScoredPhrasings(TASK, np.log([0.3, 0.1, 0.1, 0.02]))
BETA = 0.25  # e^(1/beta) = e^4
E4 = math.exp(4.0)


def test_plain_promise_keeps_the_ratios_of_the_reference():
    promised = promised_answers(REFERENCE, beta=BETA, level=None)
    z = 0.52 * E4 + 0.48
    for answer, q in {"a": 0.4, "b": 0.1, "c": 0.02}.items():
        assert promised.probabilities[answer] == pytest.approx(q * E4 / z)


def test_anchoring_modes_makes_the_answers_equal():
    promised = promised_answers(REFERENCE, beta=BETA, level="modes")
    share = 0.4 * E4 / (3 * 0.4 * E4 + 0.48)  # every answer gets the mass of a
    assert list(promised.probabilities.values()) == pytest.approx([share] * 3)
    assert promised.effective_answers == pytest.approx(3.0)


def test_anchoring_strings_makes_the_phrasings_equal():
    promised = promised_answers(REFERENCE, beta=BETA, level="strings")
    each = 0.3 * E4 / (4 * 0.3 * E4 + 0.48)  # every phrasing gets the mass of "A"
    assert promised.probabilities["a"] == pytest.approx(2 * each)
    assert promised.probabilities["b"] == pytest.approx(each)


def test_forward_kl_is_promised_with_the_mass_of_the_substituted_reference():
    """The trainer's reference is not normalised: p = beta q'/(L - r) with q' = .3 four times, .48.

    4 * .25 * .3 / (L - 1) + .25 * .48 / L = 1, hence L^2 - 1.42 L + .12 = 0.
    """
    promised = promised_answers(REFERENCE, beta=BETA, level="strings", divergence="forward_kl")
    level = (1.42 + math.sqrt(1.42**2 - 4 * 0.12)) / 2
    each = 0.25 * 0.3 / (level - 1)
    assert promised.probabilities["b"] == pytest.approx(each)
    assert promised.probabilities["a"] == pytest.approx(2 * each)
    assert promised.frac_valid == pytest.approx(1 - 0.25 * 0.48 / level)


def test_plain_forward_kl_is_promised():
    # .52 * .25 / (L - 1) + .48 * .25 / L = 1: L^2 - 1.25 L + .12 = 0
    plain = promised_answers(REFERENCE, beta=BETA, level=None, divergence="forward_kl")
    level = (1.25 + math.sqrt(1.25**2 - 4 * 0.12)) / 2
    assert plain.probabilities["a"] == pytest.approx(0.4 * 0.25 / (level - 1))


def test_other_divergences_have_no_promise_under_anchoring():
    with pytest.raises(ArgumentError, match="reverse_kl or forward_kl with anchoring"):
        promised_answers(REFERENCE, beta=BETA, level="modes", divergence="jensen_shannon")


def test_figures_of_a_distribution():
    d = AnswerDistribution({"a": 0.4, "b": 0.4, "c": 0.0})
    assert d.frac_valid == pytest.approx(0.8)
    assert d.entropy == pytest.approx(math.log(2))
    assert d.frac_of_max_entropy == pytest.approx(math.log(2) / math.log(3))
    assert d.effective_answers == pytest.approx(2.0)
    # other: .2 invalid against 0; |.4-1|/2 + .4/2 + .2/2
    assert d.total_variation(AnswerDistribution({"a": 1.0, "b": 0.0, "c": 0.0})) == pytest.approx(
        0.6
    )


def test_nothing_valid_has_no_entropy():
    nothing = AnswerDistribution({"a": 0.0, "b": 0.0})
    assert math.isnan(nothing.entropy)
    assert nothing.to_dict()["effective_answers"] is None  # JSON knows no NaN


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return (
        AutoModelForCausalLM.from_pretrained(tiny_model).eval(),
        AutoTokenizer.from_pretrained(tiny_model),
    )


LETTERS = PickingTask(
    name="letters",
    question="?",
    opening="",
    answers={letter: [letter] for letter in "abcdefgh"},
)


def test_exact_scores_are_sums_over_text_and_end_of_turn(loaded):
    model, tokenizer = loaded
    scored = score_phrasings(model, tokenizer, TASK)
    prompt = tokenizer(TASK.prompt(tokenizer))["input_ids"]
    for text, log_prob in zip(TASK.answer_by_phrasing, scored.log_probs, strict=True):
        ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            log_p = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
        expected = sum(log_p[len(prompt) - 1 + i, t].item() for i, t in enumerate(ids))
        assert log_prob == pytest.approx(expected, rel=1e-4)
    assert scored.answers().frac_valid == pytest.approx(np.exp(scored.log_probs).sum())


def test_sampling_agrees_with_the_exact_distribution(loaded):
    model, tokenizer = loaded
    with torch.no_grad():  # make single letters likely, or nothing would be valid
        ids = tokenizer("".join(LETTERS.answers))["input_ids"]
        head = torch.nn.Linear(32, len(tokenizer), bias=True)
        head.weight.copy_(0.1 * model.lm_head.weight)
        head.bias.zero_()
        head.bias[[*ids, tokenizer.eos_token_id]] += 6.0
    original, model.lm_head = model.lm_head, head
    try:
        exact = score_phrasings(model, tokenizer, LETTERS).answers()
        n = 4000
        sampled = sample_answers(model, tokenizer, LETTERS, n_samples=n, seed=1)
        again = sample_answers(model, tokenizer, LETTERS, n_samples=n, seed=1)
    finally:
        model.lm_head = original
    assert exact.frac_valid > 0.05
    for answer, p in exact.probabilities.items():
        sigma = math.sqrt(p * (1 - p) / n)
        # 5 sigma: a false alarm in about 5e-6 of seeds, over 8 answers
        assert abs(sampled.probabilities[answer] - p) < 5 * sigma, answer
    assert again == sampled


def test_sampling_leaves_the_global_generator_alone(loaded):
    model, tokenizer = loaded
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    sample_answers(model, tokenizer, LETTERS, n_samples=4, seed=1)
    assert torch.equal(torch.rand(3), expected)
