"""The transformer: a decoder with rotary positions, which writes with its keys and values kept."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from polymode.chemistry.models.interface import (
    START_ID,
    Decoder,
    SmilesModel,
    chosen_log_probs,
    sum_of_rows,
)
from polymode.chemistry.vocabulary import Vocabulary
from polymode.core.checks import require, whole
from polymode.errors import ArgumentError


class TransformerModel(SmilesModel):
    """Layers of causal attention and of a two-layer network, each behind a norm.

    Parameters
    ----------
    vocabulary : Vocabulary
        Its tokens.
    n_layers, hidden, n_heads : int
        Layers, width, and heads of attention, whose width must be even.
    seed : int
        Seed of the first weights; the global generator is left as it is.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or `hidden` is no multiple of twice `n_heads`.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        n_layers: int = 4,
        hidden: int = 192,
        n_heads: int = 6,
        seed: int = 0,
    ) -> None:
        super().__init__(vocabulary)
        require(whole(n_layers=n_layers, hidden=hidden, n_heads=n_heads))
        if hidden % (2 * n_heads):
            raise ArgumentError(f"hidden must be a multiple of 2 x {n_heads} heads, got {hidden!r}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(len(vocabulary), hidden)
            self.blocks: Any = nn.ModuleList(
                _Block(hidden, n_heads, n_layers) for _ in range(n_layers)
            )
            self.norm = nn.RMSNorm(hidden)
            self.head = nn.Linear(hidden, len(vocabulary))
            nn.init.normal_(self.embedding.weight, std=0.02)

    @property
    def architecture(self) -> dict[str, Any]:
        """What, with the vocabulary, makes an equal model."""
        return {
            "kind": "transformer",
            "n_layers": len(self.blocks),
            "hidden": self.norm.normalized_shape[0],
            "n_heads": self.blocks[0].n_heads,
        }

    def log_probs(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return log p of strings; padding behind a string is never seen by it."""
        n, longest = tokens.shape
        x = self.embedding(torch.cat([torch.full_like(tokens[:, :1], START_ID), tokens[:, :-1]], 1))
        rotation = _rotation(torch.arange(longest, device=x.device), self.blocks[0].head_width)
        for block in self.blocks:
            x = block(x, rotation)
        within = torch.arange(longest, device=x.device) < lengths.to(x.device)[:, None]
        logits = self.head(self.norm(x[within])) + self.not_start
        rows = torch.arange(n, device=x.device)[:, None].expand_as(tokens)[within]
        return sum_of_rows(chosen_log_probs(logits, tokens[within]), rows, n)

    def decoder(self, n: int, *, dtype: torch.dtype, trace: Any = None) -> Decoder:
        """Return a decoder of n empty strings; it keeps no trace."""
        del trace
        return _TransformerDecoder(self, n, dtype)


class _Block(nn.Module):
    """Attention, then a network for each position."""

    def __init__(self, hidden: int, n_heads: int, n_layers: int) -> None:
        super().__init__()
        self.n_heads, self.head_width = n_heads, hidden // n_heads
        self.attention_norm = nn.RMSNorm(hidden)
        self.queries_keys_values = nn.Linear(hidden, 3 * hidden, bias=False)
        self.attention_out = nn.Linear(hidden, hidden, bias=False)
        self.network_norm = nn.RMSNorm(hidden)
        self.network_in = nn.Linear(hidden, 4 * hidden)
        self.network_out = nn.Linear(4 * hidden, hidden)
        with torch.no_grad():  # what 2 n_layers sums add up to keeps its size
            self.attention_out.weight /= (2 * n_layers) ** 0.5
            self.network_out.weight /= (2 * n_layers) ** 0.5

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: "_Cache | None" = None
    ) -> Tensor:
        """Return (n, L, hidden); with a cache, L is one token behind those that it holds."""
        n, length, hidden = x.shape
        joint = self.queries_keys_values(self.attention_norm(x))
        heads = joint.view(n, length, 3, self.n_heads, self.head_width).permute(2, 0, 3, 1, 4)
        queries, keys, values = _rotate(heads[0], *rotation), _rotate(heads[1], *rotation), heads[2]
        if cache is not None:
            keys, values = cache.add(keys, values)
        seen = scaled_dot_product_attention(queries, keys, values, is_causal=cache is None)
        x = x + self.attention_out(seen.transpose(1, 2).reshape(n, length, hidden))
        wide = nn.functional.gelu(self.network_in(self.network_norm(x)))
        return x + self.network_out(wide)


class _Cache:
    """Keys and values of the tokens so far, in room that doubles when it is full."""

    def __init__(self, room: Tensor) -> None:
        self._room = room  # (2, n, heads, tokens, width)
        self._length = 0

    def add(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put one token behind the others, and return all keys and values."""
        if self._length == self._room.shape[3]:
            self._room = torch.cat([self._room, torch.empty_like(self._room)], dim=3)
        self._room[0, :, :, self._length] = keys[:, :, 0]
        self._room[1, :, :, self._length] = values[:, :, 0]
        self._length += 1
        return self._room[0, :, :, : self._length], self._room[1, :, :, : self._length]

    def keep(self, rows: Tensor) -> None:
        """Go on with these strings only."""
        self._room = self._room[:, rows]


class _TransformerDecoder:
    """Writes with a transformer: each token is computed once."""

    def __init__(self, model: TransformerModel, n: int, dtype: torch.dtype) -> None:
        layers = nn.ModuleList([model.embedding, *model.blocks, model.norm, model.head])
        self._layers = copy.deepcopy(layers).to(dtype).requires_grad_(False)
        self._head_width = model.blocks[0].head_width
        self._not_start = model.not_start
        heads = model.blocks[0].n_heads
        self._caches = [
            _Cache(model.not_start.new_empty(2, n, heads, 32, self._head_width, dtype=dtype))
            for _ in model.blocks
        ]
        self._position = torch.zeros(1, dtype=torch.int64, device=model.device)

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        """Read the last token of each string; return float32 logits of the next."""
        embedding, *blocks, norm, head = self._layers
        x = embedding(tokens)[:, None]
        rotation = _rotation(self._position, self._head_width)
        for block, cache in zip(blocks, self._caches, strict=True):
            x = block(x, rotation, cache)
        self._position += 1
        return head(norm(x[:, 0])).float() + self._not_start

    def keep(self, rows: Tensor) -> None:
        """Go on with these strings only."""
        for cache in self._caches:
            cache.keep(rows)


def _rotation(positions: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (L, width / 2) of the angles by which positions are turned."""
    speeds = 10_000.0 ** (-torch.arange(0, width, 2, device=positions.device) / width)
    angles = positions[:, None] * speeds
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn queries or keys (n, heads, L, width)."""
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cosines - b * sines, a * sines + b * cosines], dim=-1).to(x.dtype)
