"""Log-probabilities and samples of many completions of few prompts, each prompt computed once.

A group of `G` completions repeats its prompt `G` times, and short answers repeat each other. Here
every distinct prompt becomes one row, `[prompt, branch, branch, …]`, with one branch per *distinct*
completion; an attention mask lets a branch see the prompt and itself. The result is the same as
scoring every row alone (up to the rounding of the model's dtype), for `P + n_distinct * L` tokens
instead of `G * (P + L)`.
"""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from polymode.errors import UnsupportedOptionError

TokenIds = tuple[int, ...]


@dataclass(frozen=True)
class _Packed:
    """Distinct prompts as rows, distinct completions as branches."""

    input_ids: torch.Tensor  # (rows, width)
    positions: torch.Tensor  # (rows, width)
    segments: torch.Tensor  # (rows, width): 0 prompt, k branch k, -1 padding
    source: (
        torch.Tensor
    )  # (n_branches, longest): flat index of the token that predicts; 0 where padded
    next_ids: torch.Tensor  # (n_branches, longest): the predicted token; 0 where padded
    keep: torch.Tensor  # (n_branches, longest): True where a token was asked for
    branch_of: torch.Tensor  # (n,): branch of every completion that was passed in


def _pack(prompts: Sequence[TokenIds], completions: Sequence[TokenIds]) -> _Packed:
    rows: dict[TokenIds, dict[TokenIds, int]] = {}
    order: dict[tuple[TokenIds, TokenIds], int] = {}
    for prompt, completion in zip(prompts, completions, strict=True):
        if (prompt, completion) not in order:
            branches = rows.setdefault(prompt, {})
            order[prompt, completion] = branches[completion] = len(order)
    lengths = [len(p) - 1 + sum(map(len, branches)) for p, branches in rows.items()]
    shape, longest = (len(rows), max(lengths)), max(map(len, completions))
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    segments = torch.full(shape, -1)
    source = torch.zeros((len(order), longest), dtype=torch.long)
    next_ids, keep = torch.zeros_like(source), torch.zeros_like(source, dtype=torch.bool)
    for row, (prompt, branches) in enumerate(rows.items()):
        stem = (
            len(prompt) - 1
        )  # the prompt's last token opens every branch: it predicts the first new token
        ids[row, :stem] = torch.tensor(prompt[:-1])
        positions[row, :stem] = torch.arange(stem)
        segments[row, :stem] = 0
        start = stem
        for number, (completion, branch) in enumerate(branches.items(), start=1):
            here = slice(start, start + len(completion))
            ids[row, here] = torch.tensor((prompt[-1], *completion[:-1]))
            positions[row, here] = torch.arange(stem, stem + len(completion))
            segments[row, here] = number
            source[branch, : len(completion)] = row * shape[1] + torch.arange(here.start, here.stop)
            next_ids[branch, : len(completion)] = torch.tensor(completion)
            keep[branch, : len(completion)] = True
            start = here.stop
    branch_of = torch.tensor([order[pair] for pair in zip(prompts, completions, strict=True)])
    return _Packed(ids, positions, segments, source, next_ids, keep, branch_of)


def _attention_mask(segments: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Additive mask, shape (rows, 1, width, width): causal within the prompt and each branch."""
    same = segments[:, :, None] == segments[:, None, :]
    prompt = segments[:, None, :] == 0
    width = segments.shape[1]
    allowed = (same | prompt) & torch.ones(width, width, device=segments.device).tril().bool()
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)[
        :, None
    ]


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
    segments = packed.segments.to(device)
    outputs = model(
        input_ids=packed.input_ids.to(device),
        attention_mask=_attention_mask(segments, dtype),
        position_ids=packed.positions.to(device),
        use_cache=False,
    )
    source, keep = packed.source.to(device), packed.keep.to(device)
    logits = outputs.logits.flatten(0, 1)[source[keep]].float() / temperature
    log_p = logits.log_softmax(-1)
    asked = log_p.gather(-1, packed.next_ids.to(device)[keep][:, None])[:, 0]
    with torch.no_grad():
        entropy = torch.special.entr(log_p.exp()).sum(-1)
    branch_of = packed.branch_of.to(device)

    def unpack(values: torch.Tensor) -> torch.Tensor:
        grid = torch.zeros(source.shape, dtype=values.dtype, device=device)
        return grid.masked_scatter(keep, values)[branch_of]

    return TokenScores(unpack(asked), unpack(entropy), keep[branch_of])


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
def prefilled_generation(model: Any) -> Generator[None]:
    """Within the block, `model.generate` computes each distinct prompt once and copies its cache.

    Sampling draws from the same distribution as before; only the first pass over repeated prompts
    is shared.
    """
    generate = model.generate

    def generate_from_shared_prompts(
        input_ids: torch.Tensor, attention_mask: torch.Tensor, **kwargs: Any
    ) -> Any:
        both = torch.cat([input_ids, attention_mask], dim=1)
        distinct, copy_of = torch.unique(both, dim=0, return_inverse=True)
        stem = input_ids.shape[1] - 1  # the last prompt token is left for `generate` itself
        if len(distinct) == len(both) or stem == 0:
            return generate(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        ids, mask = distinct[:, :stem], distinct[:, input_ids.shape[1] : -1]
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.no_grad():
            cache = model(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True
            ).past_key_values
        cache.batch_select_indices(copy_of)
        return generate(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, **kwargs
        )

    model.generate = generate_from_shared_prompts
    try:
        yield
    finally:
        del model.generate


class SharedPrompts:
    """Mixin for TRL's group trainers: score and sample with each prompt computed once per step.

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
        with prefilled_generation(self.accelerator.unwrap_model(self.model)):
            return host._generate_single_turn(*args, **kwargs)
