"""The packed GRU layers against torch's own."""

import pytest

pytest.importorskip("torch")

import torch
from torch.nn.utils.rnn import PackedSequence

from polymode.chemistry import GRUModel, LSTMModel, Vocabulary, log_likelihood, sample_smiles
from polymode.chemistry.models.packed_gru import packed_gru
from polymode.errors import ArgumentError

BATCH_SIZES = torch.tensor([5, 5, 3, 1])


def layers(dtype):
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(7, 4, dtype=dtype)
    rnn = torch.nn.GRU(4, 6, 3, batch_first=True, dtype=dtype)
    return embedding, rnn, torch.randint(7, (int(BATCH_SIZES.sum()),))


def run(rnn, embedding, tokens, dtype):
    return packed_gru(tokens, BATCH_SIZES, embedding=embedding.weight, rnn=rnn, dtype=dtype)


def test_states_and_gradients_are_those_of_torch():
    embedding, rnn, tokens = layers(torch.float64)
    ours = run(rnn, embedding, tokens, torch.float64)
    theirs = rnn(PackedSequence(embedding(tokens), BATCH_SIZES))[0].data
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    weights = [embedding.weight, *rnn.parameters()]
    toward = torch.randn_like(theirs)
    pairs = zip(
        torch.autograd.grad((ours * toward).sum(), weights),
        torch.autograd.grad((theirs * toward).sum(), weights),
        strict=True,
    )
    for our, their in pairs:
        torch.testing.assert_close(our, their, rtol=1e-9, atol=1e-12)


def test_bfloat16_is_close_and_gradients_stay_in_float32():
    embedding, rnn, tokens = layers(torch.float32)
    exact = run(rnn, embedding, tokens, torch.float32)
    rough = run(rnn, embedding, tokens, torch.bfloat16)
    assert rough.dtype == torch.bfloat16
    # eight bits of mantissa: 0.4 % of a number below one, some of them added up
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.02)
    assert not torch.equal(rough.float(), exact)
    rough.float().sum().backward()
    assert {w.grad.dtype for w in rnn.parameters()} == {torch.float32}


@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("n", [1, 40])
def test_what_was_written_has_the_likelihood_and_the_gradient_of_teacher_forcing(n, n_layers):
    vocabulary = Vocabulary.from_smiles(["CCO", "c1ccccc1Br"])
    model = GRUModel(vocabulary, n_layers=n_layers, hidden=12, embedding=5)
    trace = model.trace()
    rng = torch.Generator().manual_seed(3)
    drawn = sample_smiles(model, n, generator=rng, dtype="float32", max_length=9, trace=trace)
    assert n == 1 or (drawn.truncated.any() and not drawn.truncated.all())
    assert n == 1 or len(set(drawn.n_tokens.tolist())) > 3
    toward = torch.randn(n, generator=torch.Generator().manual_seed(0))
    ours, theirs = trace.log_probs(), log_likelihood(model, drawn.smiles)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.detach(), drawn.log_probs, rtol=1e-5, atol=1e-5)
    names, weights = zip(*model.named_parameters(), strict=True)
    pairs = zip(
        torch.autograd.grad((ours * toward).sum(), weights),
        torch.autograd.grad((theirs * toward).sum(), weights),
        strict=True,
    )
    for name, (our, their) in zip(names, pairs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-5, msg=name)
    with pytest.raises(RuntimeError, match="used already"):
        trace.log_probs()


def test_a_trace_is_of_one_batch_as_the_model_is():
    model = GRUModel(Vocabulary.from_smiles(["CCO"]), n_layers=1, hidden=4, embedding=3)
    rng = torch.Generator()
    for wrong in ({"n": 600}, {"dtype": "bfloat16"}, {"temperature": 2.0}):
        settings = {"n": 4, "dtype": "float32", **wrong}
        with pytest.raises(ArgumentError, match="trace must be of 512 strings at most"):
            sample_smiles(model, generator=rng, trace=model.trace(), **settings)
    assert LSTMModel(model.vocabulary, n_layers=1, hidden=4, embedding=3).trace() is None
