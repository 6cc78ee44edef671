"""The gradient of what a GRU has written, from what it computed while it wrote.

Strings drawn from a policy are learned from at once, with the weights that wrote them. What the
forward pass of a likelihood would compute is there already: a trace keeps it, and `log_probs` goes
backwards through it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from polymode.chemistry.models.interface import START_ID, chosen_log_probs, sum_of_rows
from polymode.chemistry.models.packed_gru import PARAMETERS, Activations, gradients


class GRUTrace:
    """What a GRU computes while it writes strings, and the log-probabilities of these.

    Parameters
    ----------
    model : GRUModel
        The model; its weights must not change between drawing and `log_probs`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._layers: list[list[Activations]] = [[] for _ in range(model.rnn.num_layers)]
        self._alive: list[Tensor] = []
        self._written: tuple[Tensor, Tensor] | None = None

    def keep(self, layer: int, activations: Activations) -> None:
        """Take in what a layer computed for one token of each string that goes on."""
        self._layers[layer].append(activations)

    def step(self, alive: Tensor) -> None:
        """Take in which strings, by their number, a token is drawn for."""
        self._alive.append(alive)

    def end(self, ids: Tensor, lengths: Tensor) -> None:
        """Take in what was written: ids (n, L), and tokens of each string, its end included."""
        self._written = ids[:, : int(lengths.max())], lengths

    def log_probs(self) -> Tensor:
        """Return log p of the strings, shape (n,), in the order in which they were drawn.

        Returns
        -------
        tensor, shape (n,)
            Float32, **nats**; what `log_likelihood` returns, up to rounding, and differentiable in
            the weights. Once only: the activations are given up.
        """
        if self._written is None:
            raise RuntimeError("nothing was drawn with this trace, or it was used already")
        ids, lengths = self._written
        n, model = len(ids), self._model
        order = lengths.argsort(descending=True, stable=True)
        before = torch.cat([torch.full_like(ids[:, :1], START_ID), ids[:, :-1]], dim=1)[order]
        numbers = order[:, None].expand_as(ids)
        inputs, targets, rows = (
            pack_padded_sequence(table, lengths[order], batch_first=True)
            for table in (before, ids[order], numbers)
        )
        tokens, states = inputs.data, model.embedding.weight
        places = _places(self._alive, order)
        for layer, steps in enumerate(self._layers):
            weights = (getattr(model.rnn, f"{name}_l{layer}") for name in PARAMETERS)
            kept = Activations(*(_packed(each, places) for each in zip(*steps, strict=True)))
            steps.clear()
            sizes = inputs.batch_sizes.tolist()
            states = _WrittenLayer.apply(states, *weights, kept, tokens, sizes, layer == 0)
        self._written = None
        logits = model.head(states) + model.not_start
        return sum_of_rows(chosen_log_probs(logits, targets.data), rows.data, n)


def _places(alive: list[Tensor], order: Tensor) -> list[Tensor]:
    """Return, for each step, where strings sorted by length stand among those that go on."""
    rank = order.argsort()
    return [rank[each].argsort() for each in alive]


def _packed(steps: Sequence[Tensor], places: Sequence[Tensor]) -> Tensor:
    """Return the rows of all steps as one table, in packed order."""
    table = steps[0].new_empty(sum(map(len, steps)), steps[0].shape[1])
    parts = table.split([len(each) for each in steps])
    for part, step, place in zip(parts, steps, places, strict=True):
        torch.index_select(step, 0, place, out=part)
    return table


class _WrittenLayer(torch.autograd.Function):
    """A layer whose states are known, and their gradients."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        """Return the states; the first layer reads rows of the embedding, by token."""
        inputs, weight, _, state_weight, _, kept, tokens, ctx.batch_sizes, ctx.is_first = given
        ctx.save_for_backward(inputs, weight, state_weight, tokens, *kept)
        return kept.states

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Go back over the steps, then through the products of the inputs."""
        inputs, weight, state_weight, tokens, *kept = ctx.saved_tensors
        grads, grad_state_weight, grad_state_bias = gradients(
            grad_outputs[0], Activations(*kept), state_weight, ctx.batch_sizes
        )
        if ctx.is_first:  # all that has read the same token counts together
            zeros = grads.new_zeros(len(inputs), grads.shape[1])
            grads = zeros.index_add_(0, tokens, grads)
        own = (grads @ weight, grads.T @ inputs, grads.sum(0), grad_state_weight, grad_state_bias)
        return (*own, None, None, None, None)
