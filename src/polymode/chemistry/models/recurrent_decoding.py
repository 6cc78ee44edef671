"""Writing with a recurrent model: its cells unrolled, one token at a time.

The first layer's product of embedding and weights is a table with a row for each token.
"""

import torch
from torch import Tensor, nn

from polymode.chemistry.models.packed_gru import PARAMETERS, Activations
from polymode.chemistry.models.written_gru import GRUTrace


class _RecurrentDecoder:
    """What both cells share: weights in the dtype of the decoder, states, the linear layer."""

    def __init__(
        self,
        embedding: nn.Embedding,
        rnn: nn.RNNBase,
        head: nn.Linear,
        not_start: Tensor,
        *,
        n: int,
        dtype: torch.dtype,
        trace: GRUTrace | None = None,
    ) -> None:
        self._trace = trace
        with torch.no_grad():
            weights = [
                [getattr(rnn, f"{name}_l{layer}").detach() for name in PARAMETERS]
                for layer in range(rnn.num_layers)
            ]
            first = weights[0]
            self._table = (embedding.weight.detach() @ first[0].T + first[1]).to(dtype)
            self._inputs = [(w[0].T.to(dtype), w[1].to(dtype)) for w in weights[1:]]
            self._hidden = [(w[2].T.to(dtype), w[3].to(dtype)) for w in weights]
            self._head = head.weight.detach().T.to(dtype)
            self._bias = head.bias.detach().float() + not_start
        zeros = self._bias.new_zeros(n, rnn.hidden_size, dtype=dtype)
        self._states = [zeros] * rnn.num_layers

    def step(self, tokens: Tensor) -> Tensor:
        """Read the last token of each string; return float32 logits of the next."""
        gates = self._table[tokens]
        for layer, (weight, bias) in enumerate(self._hidden):
            if layer:
                input_weight, input_bias = self._inputs[layer - 1]
                gates = torch.addmm(input_bias, self._states[layer - 1], input_weight)
            recurrent = torch.addmm(bias, self._states[layer], weight)
            self._advance(layer, gates, recurrent)
        return torch.mm(self._states[-1], self._head).float() + self._bias

    def keep(self, rows: Tensor) -> None:
        """Go on with these strings only."""
        self._states = [state[rows] for state in self._states]

    def _advance(self, layer: int, gates: Tensor, recurrent: Tensor) -> None:
        """Take the state of a layer one token further."""
        raise NotImplementedError


class GRUDecoder(_RecurrentDecoder):
    """Gated recurrent units: ``h' = n + z (h - n)``."""

    def _advance(self, layer: int, gates: Tensor, recurrent: Tensor) -> None:
        """Take the state of a layer one token further."""
        state = self._states[layer]
        width = state.shape[1]
        both = (gates[:, : 2 * width] + recurrent[:, : 2 * width]).sigmoid_()
        reset, update = both.split(width, dim=1)
        into_new = recurrent[:, 2 * width :]
        new = torch.addcmul(gates[:, 2 * width :], reset, into_new).tanh_()
        self._states[layer] = torch.lerp(new, state, update)
        if self._trace is not None:
            self._trace.keep(layer, Activations(both, new, into_new, self._states[layer]))


class LSTMDecoder(_RecurrentDecoder):
    """Long short-term memory cells, with a cell state beside the hidden one."""

    _cells: list[Tensor] | None = None

    def keep(self, rows: Tensor) -> None:
        """Go on with these strings only."""
        super().keep(rows)
        self._cells = [cell[rows] for cell in self._all_cells()]

    def _advance(self, layer: int, gates: Tensor, recurrent: Tensor) -> None:
        """Take the states of a layer one token further."""
        cells = self._all_cells()
        entrance, forget, new, exit_ = (gates + recurrent).chunk(4, dim=1)
        cells[layer] = forget.sigmoid() * cells[layer] + entrance.sigmoid() * new.tanh()
        self._states[layer] = exit_.sigmoid() * cells[layer].tanh()
        self._cells = cells

    def _all_cells(self) -> list[Tensor]:
        """Return the cell states, zeros at first."""
        if self._cells is None:
            self._cells = [torch.zeros_like(state) for state in self._states]
        return self._cells
