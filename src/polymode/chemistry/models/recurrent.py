"""The recurrent model: embedding, GRU or LSTM layers, a linear layer. REINVENT's architecture."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from polymode.chemistry.models.interface import (
    START_ID,
    Decoder,
    SmilesModel,
    chosen_log_probs,
    sum_of_rows,
)
from polymode.chemistry.models.packed_gru import packed_gru
from polymode.chemistry.models.recurrent_decoding import GRUDecoder, LSTMDecoder
from polymode.chemistry.models.written_gru import GRUTrace
from polymode.chemistry.vocabulary import Vocabulary
from polymode.core.checks import require, whole


class RecurrentModel(SmilesModel):
    """Layers of GRU or LSTM cells; `GRUModel` and `LSTMModel` say which.

    Parameters
    ----------
    vocabulary : Vocabulary
        Its tokens.
    n_layers, hidden, embedding : int
        Layers, width of each, width of the embedding of a token.
    seed : int
        Seed of the first weights; the global generator is left as it is.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1.
    """

    cell: Literal["gru", "lstm"]

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        n_layers: int = 3,
        hidden: int = 256,
        embedding: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__(vocabulary)
        require(whole(n_layers=n_layers, hidden=hidden, embedding=embedding))
        layers = nn.GRU if self.cell == "gru" else nn.LSTM
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(len(vocabulary), embedding)
            self.rnn = layers(embedding, hidden, n_layers, batch_first=True)
            self.head = nn.Linear(hidden, len(vocabulary))

    @property
    def architecture(self) -> dict[str, Any]:
        """What, with the vocabulary, makes an equal model."""
        return {
            "kind": self.cell,
            "n_layers": self.rnn.num_layers,
            "hidden": self.rnn.hidden_size,
            "embedding": self.embedding.embedding_dim,
        }

    def log_probs(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return log p of strings; packed, so that padding costs nothing."""
        n = len(tokens)
        before = torch.cat([torch.full_like(tokens[:, :1], START_ID), tokens[:, :-1]], dim=1)
        inputs, targets, rows = (
            pack_padded_sequence(table, lengths.cpu(), batch_first=True, enforce_sorted=False)
            for table in (
                before,
                tokens,
                torch.arange(n, device=tokens.device)[:, None] + 0 * tokens,
            )
        )
        logits = self.head(self._states(inputs)) + self.not_start
        return sum_of_rows(chosen_log_probs(logits, targets.data), rows.data, n)

    def _states(self, inputs: PackedSequence) -> Tensor:
        """Return the states of the last layer for packed tokens."""
        kind = inputs.data.device.type
        if self.cell == "gru" and kind == "cpu":
            low = torch.is_autocast_enabled(kind)
            dtype = torch.get_autocast_dtype(kind) if low else self.head.weight.dtype
            with torch.autocast(kind, enabled=False):
                return packed_gru(
                    inputs.data,
                    inputs.batch_sizes,
                    embedding=self.embedding.weight,
                    rnn=self.rnn,
                    dtype=dtype,
                )
        embedded = PackedSequence(self.embedding(inputs.data), *inputs[1:])
        return self.rnn(embedded)[0].data

    def decoder(self, n: int, *, dtype: torch.dtype, trace: GRUTrace | None = None) -> Decoder:
        """Return a decoder of n empty strings, of a GRU with a trace of what it computes."""
        decoder = GRUDecoder if self.cell == "gru" else LSTMDecoder
        parts = (self.embedding, self.rnn, self.head, self.not_start)
        return decoder(*parts, n=n, dtype=dtype, trace=trace)


class GRUModel(RecurrentModel):
    """Layers of gated recurrent units."""

    cell = "gru"

    def trace(self) -> GRUTrace | None:
        """Return what keeps the way to a gradient while strings are drawn, on the CPU."""
        return GRUTrace(self) if self.device.type == "cpu" else None


class LSTMModel(RecurrentModel):
    """Layers of long short-term memory cells: the default of REINVENT 4 is 3 x 512."""

    cell = "lstm"
