"""Models, draws and likelihoods, each against a naive restatement."""

import itertools
import math

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymode.chemistry import (
    GRUModel,
    LSTMModel,
    TransformerModel,
    Vocabulary,
    log_likelihood,
    sample_smiles,
    tokenize,
)
from polymode.chemistry.models import encode
from polymode.errors import ArgumentError

VOCABULARY = Vocabulary(("$", "^", "1", "=", "Br", "C", "O", "[C@H]", "c"))
STRINGS = ["CCO", "", "c1ccccc1Br", "C=O", "[C@H]OCBr", "O"]


def small(kind, vocabulary=VOCABULARY, **sizes):
    if kind == "transformer":
        return TransformerModel(vocabulary, **{"n_layers": 2, "hidden": 16, "n_heads": 2} | sizes)
    cls = {"gru": GRUModel, "lstm": LSTMModel}[kind]
    return cls(vocabulary, **{"n_layers": 2, "hidden": 16, "embedding": 8} | sizes)


KINDS = ("gru", "lstm", "transformer")
MODELS = {kind: small(kind) for kind in KINDS}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def token_by_token(model, smiles):
    """Log p by running a decoder along one string at a time."""
    total, last = 0.0, 1
    decoder = model.decoder(1, dtype=torch.float32)
    for number in model.vocabulary.encode(smiles).ids:
        total += decoder.step(torch.tensor([last]))[0].double().log_softmax(0)[number].item()
        last = number
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_likelihood_is_that_of_one_token_after_the_other(kind):
    model = MODELS[kind]
    expected = torch.tensor([token_by_token(model, string) for string in STRINGS])
    found = log_likelihood(model, STRINGS)
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=1e-5)
    # neither the company of a string nor its place changes what is said of it
    alone = torch.cat([log_likelihood(model, [string]) for string in reversed(STRINGS)]).flip(0)
    torch.testing.assert_close(alone, found, rtol=0, atol=1e-5)
    in_twos = log_likelihood(model, STRINGS, batch_size=2)
    torch.testing.assert_close(in_twos, found, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_all_strings_add_up_to_one(kind):
    # Two tokens: strings of up to 2 tokens, and prefixes of 3, whose probability is that of
    # everything that begins so. The start token has no share.
    model = small(kind, Vocabulary(("$", "^", "C", "O")))
    strings = ["".join(p) for n in range(3) for p in itertools.product("CO", repeat=n)]
    prefixes = ["".join(p) for p in itertools.product("CO", repeat=3)]
    ended = sum(math.exp(token_by_token(model, string)) for string in strings)
    going = sum(math.exp(prefix_log_prob(model, prefix)) for prefix in prefixes)
    assert ended + going == pytest.approx(1, abs=1e-5)


def prefix_log_prob(model, smiles):
    """Log p of all strings that begin with a string."""
    ids, last, total = model.vocabulary.encode(smiles).ids[:-1], 1, 0.0
    decoder = model.decoder(1, dtype=torch.float32)
    with torch.no_grad():
        for number in ids:
            total += decoder.step(torch.tensor([last]))[0].log_softmax(0)[number].item()
            last = number
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_log_probs_are_those_of_teacher_forcing(kind):
    model = MODELS[kind]
    drawn = sample_smiles(model, 700, generator=generator(), dtype="float32", max_length=40)
    assert len(drawn.smiles) == 700
    assert drawn.truncated.any()
    assert not drawn.truncated.all()
    with torch.no_grad():
        expected = log_likelihood(model, drawn.smiles)
    torch.testing.assert_close(drawn.log_probs, expected, rtol=0, atol=1e-4)
    tokens = [len(tokenize(string)) + 1 for string in drawn.smiles]
    assert drawn.n_tokens.tolist() == tokens
    cut = drawn.n_tokens[drawn.truncated].tolist()
    assert set(cut) == {41}


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_draws_from_a_distribution_close_by(kind):
    model = MODELS[kind]
    drawn = sample_smiles(model, 200, generator=generator(), dtype="bfloat16", max_length=40)
    with torch.no_grad():
        exact = log_likelihood(model, drawn.smiles)
    difference = (drawn.log_probs - exact).abs()
    assert difference.max() > 1e-4  # it is another one
    assert difference.max() < 0.3


def test_strings_are_drawn_as_often_as_the_model_says():
    # 20,000 draws of at most 2 tokens from {C, O}: counts within 5 standard deviations each.
    model = small("gru", Vocabulary(("$", "^", "C", "O")), seed=3)
    n = 20_000
    drawn = sample_smiles(model, n, generator=generator(1), dtype="float32", max_length=2)
    ended = [s for s, cut in zip(drawn.smiles, drawn.truncated.tolist(), strict=True) if not cut]
    for string in ("", "C", "O", "CC", "OC"):
        p = math.exp(token_by_token(model, string))
        assert abs(ended.count(string) - n * p) < 5 * math.sqrt(n * p * (1 - p)) + 1


def test_temperature_divides_the_logits():
    model = small("gru", Vocabulary(("$", "^", "C", "O")), seed=3)
    with torch.no_grad():
        logits = model.decoder(1, dtype=torch.float32).step(torch.tensor([1]))[0]
    for temperature in (0.25, 3.0):
        drawn = sample_smiles(
            model, 50, generator=generator(), dtype="float32", temperature=temperature
        )
        expected = (logits / temperature).log_softmax(0)[0]
        empty = [i for i, string in enumerate(drawn.smiles) if not string]
        assert empty
        assert drawn.log_probs[empty[0]] == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_decides(kind):
    model = MODELS[kind]
    one, two, other = (
        sample_smiles(model, 20, generator=generator(seed), max_length=20) for seed in (5, 5, 6)
    )
    assert one.smiles == two.smiles
    assert torch.equal(one.log_probs, two.log_probs)
    assert one.smiles != other.smiles


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), length=st.integers(1, 12))
def test_what_is_drawn_splits_into_what_was_written(seed, length):
    drawn = sample_smiles(MODELS["gru"], 8, generator=generator(seed), max_length=length)
    for string, n in zip(drawn.smiles, drawn.n_tokens.tolist(), strict=True):
        encoded = VOCABULARY.encode(string)
        assert (len(encoded.ids), encoded.n_unknown) == (n, 0)
        assert VOCABULARY.decode(encoded.ids) == string


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_tokens_are_skipped_and_counted(kind):
    model = MODELS[kind]
    known, unknown = log_likelihood(model, ["CO", "C[Na+]NO"]).tolist()
    assert unknown == pytest.approx(known, abs=1e-6)
    assert encode(VOCABULARY, ["CO", "C[Na+]NO"]).n_unknown.tolist() == [0, 2]


def test_nothing_given_nothing_said():
    assert log_likelihood(MODELS["gru"], []).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_differences(kind):
    model = small(kind, hidden=4, n_layers=1).double()
    weight = model.head.weight
    loss = log_likelihood(model, STRINGS).sum()
    (grad,) = torch.autograd.grad(loss, weight)
    direction = torch.randn(weight.shape, generator=generator(), dtype=torch.float64)
    step = 1e-3  # log-probabilities are summed in float32
    with torch.no_grad():
        weight += step * direction
        up = log_likelihood(model, STRINGS).sum()
        weight -= 2 * step * direction
        down = log_likelihood(model, STRINGS).sum()
    assert (grad * direction).sum().item() == pytest.approx(
        ((up - down) / (2 * step)).item(), rel=5e-3
    )


def test_the_seed_decides_the_first_weights_and_leaves_torch_alone():
    before = torch.get_rng_state()
    one, two, other = (small("gru", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.head.weight, two.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ArgumentError) as caught:
        sample_smiles(MODELS["gru"], 0, generator=generator(), dtype="half", temperature=0)
    text = str(caught.value)
    for part in ("n must be an integer >= 1", "temperature must be", "dtype must be 'auto'"):
        assert part in text
    with pytest.raises(ArgumentError, match=r"batch_size must be an integer >= 1, got 0"):
        log_likelihood(MODELS["gru"], ["C"], batch_size=0)
    with pytest.raises(ArgumentError, match=r"hidden must be a multiple of 2 x 3 heads, got 16"):
        small("transformer", n_heads=3)
    with pytest.raises(ArgumentError, match=r"n_layers must be an integer >= 1, got 0"):
        small("lstm", n_layers=0)
