"""What every chemical language model offers: log-probabilities, and a decoder that writes.

Shapes: n strings, L tokens in the longest, V tokens in the vocabulary. Log-probabilities are nats.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from polymode.chemistry.vocabulary import Vocabulary

END_ID, START_ID = 0, 1


class Tokens(NamedTuple):
    """Strings as a table of ids, padded with the end token."""

    ids: Tensor
    """Shape (n, L), int64; each row ends with the end token."""

    lengths: Tensor
    """Shape (n,), int64, on the CPU: tokens of each row, the end token included."""

    n_unknown: Tensor
    """Shape (n,), int64: tokens that the vocabulary does not have and that were skipped."""


class Decoder(Protocol):
    """A model that writes n strings side by side, token by token."""

    def step(self, tokens: Tensor) -> Tensor:
        """Read the last token of each string, shape (n,); return logits (n, V) in float32."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with the strings at these positions only."""
        ...


class Trace(Protocol):
    """Keeps what a model computes while it writes strings, for the gradient of these."""

    def step(self, alive: Tensor) -> None:
        """Take in which strings, by their number, a token is drawn for."""
        ...

    def end(self, ids: Tensor, lengths: Tensor) -> None:
        """Take in what was written."""
        ...

    def log_probs(self) -> Tensor:
        """Return log p of the strings, shape (n,), differentiable; once only."""
        ...


class SmilesModel(nn.Module, ABC):
    """A model of SMILES strings: p(string) = product of p(token | tokens before it).

    Parameters
    ----------
    vocabulary : Vocabulary
        Its tokens.

    Notes
    -----
    The start token has probability 0 everywhere but before the string, so the probabilities of all
    strings add up to one.
    """

    not_start: Tensor

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        not_start = torch.zeros(len(vocabulary))
        not_start[START_ID] = -torch.inf
        self.register_buffer("not_start", not_start, persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.not_start.device

    @property
    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """What, with the vocabulary, makes an equal model: ``kind`` and the sizes. JSON."""

    @abstractmethod
    def log_probs(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return log p of strings, summed over their tokens and the end token.

        Parameters
        ----------
        tokens : tensor, shape (n, L)
            Ids, each row closed by the end token; what stands behind it is not read.
        lengths : tensor, shape (n,)
            Tokens of each row, the end token included; >= 1.

        Returns
        -------
        tensor, shape (n,)
            Float32, **nats**; differentiable in the weights.
        """

    @abstractmethod
    def decoder(self, n: int, *, dtype: torch.dtype, trace: Any = None) -> Decoder:
        """Return a decoder of n empty strings, which computes in a dtype and takes no gradients.

        Parameters
        ----------
        n : int
            How many strings.
        dtype : torch.dtype
            What it computes in.
        trace : Trace, optional
            What `trace` returned: keeps what is computed.
        """

    def trace(self) -> "Trace | None":
        """Return what keeps the way to a gradient while strings are drawn; None: cannot be."""
        return None


def encode(vocabulary: Vocabulary, smiles: Sequence[str]) -> Tokens:
    """Return strings as a padded table of ids.

    Parameters
    ----------
    vocabulary : Vocabulary
        Its tokens.
    smiles : sequence of str
        The strings; tokens that the vocabulary does not have are skipped and counted.
    """
    encoded = [vocabulary.encode(string) for string in smiles]
    lengths = torch.tensor([len(row.ids) for row in encoded], dtype=torch.int64)
    longest = max((len(row.ids) for row in encoded), default=1)
    table = [row.ids + [END_ID] * (longest - len(row.ids)) for row in encoded]
    ids = torch.tensor(table, dtype=torch.int64).reshape(len(encoded), longest)
    return Tokens(ids, lengths, torch.tensor([row.n_unknown for row in encoded], dtype=torch.int64))


def sum_of_rows(log_probs: Tensor, rows: Tensor, n: int) -> Tensor:
    """Add up the log-probabilities of tokens, shape (N,), into the n strings they belong to."""
    return log_probs.new_zeros(n).index_add(0, rows, log_probs)


def chosen_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """Return log softmax(logits), shape (N, V), at the targets, shape (N,), in float32."""
    return -nn.functional.cross_entropy(logits.float(), targets, reduction="none")
