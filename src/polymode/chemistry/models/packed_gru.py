r"""A layer of GRU cells over packed strings, for CPUs: what `torch.nn.GRU` computes, faster.

The products that do not wait for the step before are taken over all tokens at once, forwards and
backwards, and everything can be in bfloat16. N tokens are packed as torch packs them: all first
tokens, then all second ones, …; strings are sorted by length, longest first.

.. math::

    r = \sigma(a_r + b_r),\; z = \sigma(a_z + b_z),\; n = \tanh(a_n + r b_n),\;
    h' = n + z (h - n)

with :math:`a` the product of the input with its weights and :math:`b` that of the state :math:`h`.
"""

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor


class PackedGRULayer(torch.autograd.Function):
    """States (N, H) from the products of the inputs (N, 3 H), and the gradients of both."""

    @staticmethod
    def forward(
        ctx: Any, products: Tensor, weight: Tensor, bias: Tensor, batch_sizes: list[int]
    ) -> Tensor:
        """Run over the steps; weight (3 H, H) and bias (3 H) belong to the state."""
        width = weight.shape[1]
        ctx.kept_in, dtype = weight.dtype, products.dtype
        weight, bias = weight.to(dtype), bias.to(dtype)
        gates = products[:, : 2 * width] + bias[: 2 * width]
        news = products[:, 2 * width :].clone(memory_format=torch.contiguous_format)
        to_gates, to_new = weight[: 2 * width].T.contiguous(), weight[2 * width :].T.contiguous()
        states, recurrent = torch.empty_like(news), torch.empty_like(news)
        before = news.new_zeros(batch_sizes[0], width)
        start = 0
        for n in batch_sizes:
            rows = slice(start, start + n)
            before = before[:n]
            reset, update = gates[rows].addmm_(before, to_gates).sigmoid_().split(width, dim=1)
            torch.addmm(bias[2 * width :], before, to_new, out=recurrent[rows])
            new = news[rows].addcmul_(reset, recurrent[rows]).tanh_()
            before = torch.lerp(new, before, update, out=states[rows])
            start += n
        ctx.save_for_backward(gates, news, recurrent, states, weight)
        ctx.batch_sizes = batch_sizes
        return states

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Run back over the steps, then take the products over all tokens."""
        *kept, weight = ctx.saved_tensors
        grads, grad_weight, grad_bias = gradients(
            grad_outputs[0], Activations(*kept), weight, ctx.batch_sizes
        )
        return grads, grad_weight.to(ctx.kept_in), grad_bias.to(ctx.kept_in), None


class Activations(NamedTuple):
    """What a layer computed for N tokens, in the order in which they are packed."""

    gates: Tensor
    """Reset and update, shape (N, 2 H)."""
    news: Tensor
    """New states, shape (N, H)."""
    recurrent: Tensor
    """What of the product of the state belongs to them, bias included, shape (N, H)."""
    states: Tensor
    """States after the tokens, shape (N, H)."""


def gradients(
    grad_states: Tensor, kept: Activations, weight: Tensor, batch_sizes: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the products of the inputs, and of weight and bias of the state."""
    gates, news, recurrent, states = kept
    width = weight.shape[1]
    previous = _states_before(states, batch_sizes)
    reset, update = gates.split(width, dim=1)
    # What each gradient is multiplied with does not wait for the step behind.
    to_new = (1 - update) * (1 - news * news)
    to_update = (previous - news) * update * (1 - update)
    to_reset = recurrent * reset * (1 - reset)
    grads = news.new_empty(len(news), 3 * width)
    grad_news = torch.empty_like(news)
    carried = news.new_zeros(0, width)
    end = len(news)
    for n in reversed(batch_sizes):
        rows = slice(end - n, end)
        grad = grad_states[rows].clone()
        grad[: len(carried)] += carried
        on_reset, on_update, on_new = grads[rows].split(width, dim=1)
        grad_new = torch.mul(grad, to_new[rows], out=grad_news[rows])
        torch.mul(grad_new, to_reset[rows], out=on_reset)
        torch.mul(grad, to_update[rows], out=on_update)
        torch.mul(grad_new, reset[rows], out=on_new)
        carried = torch.addmm(grad * update[rows], grads[rows], weight)
        end -= n
    exact = torch.promote_types(grads.dtype, torch.float32)
    grad_weight, grad_bias = grads.T @ previous, grads.sum(0, dtype=exact)
    return torch.cat([grads[:, : 2 * width], grad_news], dim=1), grad_weight, grad_bias


def packed_gru(
    tokens: Tensor,
    batch_sizes: Tensor,
    *,
    embedding: Tensor,
    rnn: torch.nn.RNNBase,
    dtype: torch.dtype,
) -> Tensor:
    """Return the states (N, H) of the last layer for packed tokens (N,), in a dtype."""
    sizes: list[int] = batch_sizes.tolist()
    states = embedding
    for layer in range(rnn.num_layers):
        weight, bias, state_weight, state_bias = (
            getattr(rnn, f"{name}_l{layer}") for name in PARAMETERS
        )
        products = torch.addmm(bias.to(dtype), states.to(dtype), weight.to(dtype).T)
        if layer == 0:  # a row for each token of the vocabulary
            products = torch.nn.functional.embedding(tokens, products)
        states: Any = PackedGRULayer.apply(products, state_weight, state_bias, sizes)
    return states


PARAMETERS = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
"""The names of torch for the weights of a layer."""


def _states_before(states: Tensor, batch_sizes: list[int]) -> Tensor:
    """Return the state before each token: zeros, then the states of the step before."""
    before = torch.zeros_like(states)
    start = 0
    for n, behind in itertools.pairwise(batch_sizes):
        before[start + n : start + n + behind] = states[start : start + behind]
        start += n
    return before
