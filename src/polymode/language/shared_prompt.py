"""Log-probabilities and samples of many completions of few prompts, each beginning computed once.

A group of `G` completions repeats its prompt `G` times, and completions that begin alike repeat
each other. Both are a tree: a node for each distinct beginning of a completion, behind one stem for
the prompt. When completions are scored, a prompt and its tree are one row, and an attention mask
lets a node see the prompt and what leads to the node. When they are sampled, each step computes one
row for each distinct beginning. The result is that of rows of their own (up to the rounding of the
model's dtype), for `P + n_nodes` tokens instead of `G * (P + L)`.
"""

import contextlib
import functools
import inspect
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from polymode.errors import UnsupportedOptionError

TokenIds = tuple[int, ...]


class _Tree:
    """A prompt and the beginnings of its completions, a column for each token.

    The last token of the prompt is the root of the tree: it predicts the first new token.
    """

    def __init__(self, prompt: TokenIds) -> None:
        self.tokens = list(prompt)
        self.positions = list(range(len(prompt)))
        self.parents = [max(0, i - 1) for i in self.positions]
        self.root = len(prompt) - 1
        self._column: dict[tuple[int, int], int] = {}

    def predictors(self, completion: TokenIds) -> list[int]:
        """Return the column that predicts each token, made where it is not there yet."""
        here = self.root
        found = [here]
        for token in completion[:-1]:
            if (here, token) not in self._column:
                self._column[here, token] = len(self.tokens)
                self.tokens.append(token)
                self.positions.append(self.positions[here] + 1)
                self.parents.append(here)
            here = self._column[here, token]
            found.append(here)
        return found


@dataclass(frozen=True)
class _Packed:
    """Distinct prompts as rows, with their trees."""

    input_ids: torch.Tensor  # (rows, width)
    positions: torch.Tensor  # (rows, width)
    sees: torch.Tensor  # (rows, width, width): True where a token sees another
    n_predicting: int  # columns from the end in which anything is predicted
    nodes: torch.Tensor  # (n_nodes,): those columns that predict, flat
    node_of: torch.Tensor  # (n, longest): node that predicts a token; 0 where padded
    next_ids: torch.Tensor  # (n, longest): the predicted token; 0 where padded
    keep: torch.Tensor  # (n, longest): True where a token was asked for


def _pack(prompts: Sequence[TokenIds], completions: Sequence[TokenIds]) -> _Packed:
    trees: dict[TokenIds, _Tree] = {}
    columns = [
        trees.setdefault(prompt, _Tree(prompt)).predictors(completion)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    row_of = {prompt: row for row, prompt in enumerate(trees)}
    width = max(len(tree.tokens) for tree in trees.values())
    n_predicting = width - min(tree.root for tree in trees.values())
    shape, longest = (len(trees), width), max(map(len, completions))
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    sees = torch.eye(width, dtype=torch.bool).repeat(len(trees), 1, 1)
    for row, tree in enumerate(trees.values()):
        n = len(tree.tokens)
        ids[row, :n], positions[row, :n] = torch.tensor(tree.tokens), torch.tensor(tree.positions)
        sees[row, : tree.root + 1] = torch.ones(tree.root + 1, width, dtype=torch.bool).tril()
        for column in range(tree.root + 1, n):  # parents come first
            sees[row, column] |= sees[row, tree.parents[column]]
    source = torch.zeros((len(columns), longest), dtype=torch.long)
    next_ids, keep = torch.zeros_like(source), torch.zeros_like(source, dtype=torch.bool)
    for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        n, start = len(completion), row_of[prompt] * n_predicting - (width - n_predicting)
        source[i, :n] = torch.tensor(columns[i]) + start
        next_ids[i, :n] = torch.tensor(completion)
        keep[i, :n] = True
    nodes, inverse = torch.unique(source[keep], return_inverse=True)
    node_of = torch.zeros_like(source).masked_scatter(keep, inverse)
    return _Packed(ids, positions, sees, n_predicting, nodes, node_of, next_ids, keep)


@dataclass(frozen=True)
class TokenScores:
    """Per-token results for `n` completions, padded with 0 to the longest."""

    log_probs: torch.Tensor
    """`log p(token | prompt, tokens before)` in nats, float32, shape (n, longest)."""
    entropies: torch.Tensor
    """Entropy of the next-token distribution at each token in nats, no gradient, shape (n,
    longest)."""
    keep: torch.Tensor
    """True where a completion has a token, shape (n, longest)."""


def score_completions(
    model: Any,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    temperature: float = 1.0,
) -> TokenScores:
    r"""Return the log-probability of every token of every completion, each prompt computed once.

    Parameters
    ----------
    model : transformers causal language model (or a PEFT or DDP wrapper of one)
        Must accept a 4-dimensional additive attention mask and `position_ids` (eager or SDPA
        attention; no sliding window, no state-space layers).
    prompts, completions : sequences of n token-id sequences
        Row `i` scores `completions[i]` after `prompts[i]`. Both must be non-empty.
    temperature : float
        Logits are divided by it, as a sampler at this temperature does.

    Returns
    -------
    TokenScores
        Sum `log_probs` over the last axis for sequence log-probabilities.

    Raises
    ------
    UnsupportedOptionError
        If the model's attention would not follow the mask.

    Notes
    -----
    Exact up to the rounding of the model's dtype: attention sees the same tokens as in a row of its
    own. Duplicate rows are computed once. Differentiable in the model's parameters through
    `log_probs`.
    """
    _check_attention(model)
    packed = _pack([tuple(p) for p in prompts], [tuple(c) for c in completions])
    device, dtype = next((p.device, p.dtype) for p in model.parameters())
    sees = packed.sees[:, None].to(device)
    mask = torch.zeros(sees.shape, dtype=dtype, device=device)
    outputs = model(
        input_ids=packed.input_ids.to(device),
        attention_mask=mask.masked_fill_(~sees, torch.finfo(dtype).min),
        position_ids=packed.positions.to(device),
        use_cache=False,
        **_last(model, packed.n_predicting),
    )
    predicting = outputs.logits[:, -packed.n_predicting :].flatten(0, 1)
    log_p = (predicting[packed.nodes.to(device)].float() / temperature).log_softmax(-1)
    node_of, keep = packed.node_of.to(device), packed.keep.to(device)
    log_probs = log_p[node_of, packed.next_ids.to(device)].masked_fill(~keep, 0.0)
    with torch.no_grad():
        entropies = torch.special.entr(log_p.exp()).sum(-1)[node_of].masked_fill(~keep, 0.0)
    return TokenScores(log_probs, entropies, keep)


def _last(model: Any, n: int) -> dict[str, int]:
    """Ask for the logits of the last `n` columns alone, of models that know how to."""
    forward = _innermost(model).forward
    known = "logits_to_keep" in inspect.signature(forward).parameters
    return {"logits_to_keep": n} if known else {}


def _innermost(model: Any) -> Any:
    """Return the model of transformers below the wrappers of DDP and PEFT."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _check_attention(model: Any) -> None:
    """Refuse attention that would overrule our mask: another backend, a window, no attention."""
    config = getattr(model, "module", model).config.get_text_config()
    backend = getattr(config, "_attn_implementation", None)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
    problems: list[str] = []
    if backend not in ("sdpa", "eager"):
        problems.append(f"attn_implementation must be 'sdpa' or 'eager', got {backend!r}")
    if kinds or getattr(config, "sliding_window", None):
        problems.append(f"every layer must have full attention, got {sorted(kinds) or 'a window'}")
    if problems:
        raise UnsupportedOptionError("shared prompts", problems)


@contextlib.contextmanager
def shared_generation(model: Any) -> Generator[None]:
    """Within the block, `model.generate` computes rows that are alike so far once.

    Sampling draws from the same distribution as before, token by token and row by row; only rows
    with the same prompt and the same beginning share a forward pass. For models whose cache is a
    `DynamicCache`, and searches that never reorder rows (no beams); other caches are left alone.
    """
    inner = _innermost(model)
    own = vars(inner).get("forward")
    inner.forward = _SharedRows(inner.forward).forward
    try:
        yield
    finally:
        if own is None:
            del inner.forward
        else:
            inner.forward = own


class _SharedRows:
    """A forward pass whose cache has one row for each distinct row of tokens so far."""

    def __init__(self, forward: Any) -> None:
        @functools.wraps(forward)  # `generate` reads the signature
        def shared(*args: Any, **kwargs: Any) -> Any:
            return self._shared(*args, **kwargs)

        self.forward = shared
        self._forward = forward
        self._cache: DynamicCache | None = None
        self._row_of = torch.empty(0)  # row of the cache that belongs to each row of the caller

    def _shared(self, *args: Any, **kwargs: Any) -> Any:
        cache, ids = kwargs.get("past_key_values"), kwargs.get("input_ids")
        if args or ids is None or not isinstance(cache, DynamicCache):
            return self._forward(*args, **kwargs)
        if cache is not self._cache:
            n, empty = len(ids), cache.get_seq_length() == 0
            rows = torch.zeros(n, dtype=torch.long) if empty else torch.arange(n)
            self._cache, self._row_of = cache, rows.to(ids.device)
        mask = kwargs.get("attention_mask")
        now = ids if mask is None else torch.cat([ids, mask[:, -ids.shape[1] :].long()], dim=1)
        both = torch.cat([self._row_of[:, None], now], dim=1)
        distinct, alike = torch.unique(both, dim=0, return_inverse=True)
        first = torch.full((len(distinct),), len(ids), device=ids.device)
        first.scatter_reduce_(0, alike, torch.arange(len(ids), device=ids.device), "amin")
        cache.batch_select_indices(distinct[:, 0])
        of_rows = ("input_ids", "attention_mask", "position_ids")
        part = {k: v[first] for k, v in kwargs.items() if k in of_rows and _is_per_row(v, ids)}
        outputs = self._forward(**{**kwargs, **part})
        self._row_of = alike
        outputs.logits = outputs.logits[alike]
        return outputs


def _is_per_row(value: Any, ids: torch.Tensor) -> bool:
    """Return whether a tensor has a row for each row of the tokens: positions may have one."""
    return isinstance(value, torch.Tensor) and len(value) == len(ids)


class SharedPrompts:
    """Mixin for TRL's group trainers: score and sample with each beginning computed once per step.

    Place it between an anchored trainer and its host, `class Fast(MARATrainer, SharedPrompts,
    RLOOTrainer)`, or left of a plain one. It pays where completions are short and prompts repeat;
    for long completions the packed row grows and plain batches are better. Needs TRL 1.7 or newer
    and a text-only model with full attention; raises `UnsupportedOptionError` otherwise.
    """

    accelerator: Any
    model: Any
    temperature: float

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *_: Any,
        compute_entropy: bool = False,
        **others: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        given = {k for k, v in others.items() if v is not None and v is not False}
        if unknown := sorted(given - {"batch_size"}):  # packed rows are few: no need for chunks
            problem = f"{', '.join(unknown)}: only text goes into a packed row"
            raise UnsupportedOptionError("SharedPrompts", problem)
        kept = attention_mask.bool().tolist()
        ids = input_ids.tolist()
        split = input_ids.shape[1] - logits_to_keep
        prompts = [
            [t for t, k in zip(r[:split], m, strict=False) if k]
            for r, m in zip(ids, kept, strict=True)
        ]
        completions = [  # a row that TRL has masked as a whole is scored by one token, then masked
            [t for t, k in zip(r[split:], m[split:], strict=True) if k] or r[split : split + 1]
            for r, m in zip(ids, kept, strict=True)
        ]
        scores = score_completions(model, prompts, completions, temperature=self.temperature)
        missing = logits_to_keep - scores.log_probs.shape[1]
        log_probs = torch.nn.functional.pad(scores.log_probs, (0, missing))
        entropies = torch.nn.functional.pad(scores.entropies, (0, missing))
        return log_probs, entropies if compute_entropy else None, None

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        host: Any = super()
        with shared_generation(self.accelerator.unwrap_model(self.model)):
            return host._generate_single_turn(*args, **kwargs)
