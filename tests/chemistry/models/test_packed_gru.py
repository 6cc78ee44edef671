"""The packed GRU layers against torch's own."""

import pytest

pytest.importorskip("torch")

import torch
from torch.nn.utils.rnn import PackedSequence

from polymode.chemistry.models.packed_gru import packed_gru

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
