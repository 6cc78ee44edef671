"""Terms of the loss on completions that are not samples of the batch: stored, or kept ones.

A term names completions, one more forward pass scores them under the policy, and what the term
makes of the log-probabilities is added to the host's loss.

The pass goes through the wrapped model, and a term has completions on every rank or on none: under
DDP each forward pass broadcasts buffers, under FSDP and ZeRO it gathers weights, and ranks that
disagree about their number would wait for each other for ever. A rank with nothing to say scores
any completion with a weight of 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch


class Completion(NamedTuple):
    """A completion behind its prompt, in tokens."""

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]


class Place(NamedTuple):
    """Which micro-batch a term is asked about."""

    step: int
    """Optimiser steps made so far, over all resumed runs."""
    micro: int
    """Number of the micro-batch within the step, from 0."""
    n_micro: int
    """Micro-batches of a step."""
    rank: int
    """This process."""
    n_ranks: int
    """All processes."""
    inputs: dict[str, Any]
    """The host's tensors of the micro-batch."""


class TermLoss(NamedTuple):
    """What a term makes of the log-probabilities of its completions."""

    value: torch.Tensor
    """A scalar; the loss gets its mean over ranks and over the micro-batches of a step."""
    metrics: dict[str, torch.Tensor]
    """Scalars to log, averaged over the ranks; the same names on each."""


@dataclass(frozen=True)
class Extra:
    """The completions of a term in one micro-batch, on this rank."""

    completions: Sequence[Completion]
    """At least one."""
    loss: Callable[[torch.Tensor, torch.Tensor], TermLoss]
    """`loss(log_probs, mask)`: log p of each token, in nats, with gradient; True where a completion
    has a token. Both of shape (n, longest)."""


class Term(Protocol):
    """A term beside the policy gradient."""

    def extra(self, place: Place) -> Extra | None:
        """Return the completions of a micro-batch; None where no rank has any."""
        ...


class ExtraLossMixin:
    """Adds `extra_terms` to a trainer that calls `extra_loss`; their metrics go to its log."""

    accelerator: Any
    args: Any
    model: Any
    state: Any
    _metrics: dict[str, dict[str, list[float]]]
    _place = (-1, 0)

    extra_terms: Sequence[Term] = ()
    """The terms beside the policy gradient; empty unless settings ask for some."""

    def extra_loss(
        self, model: Any, inputs: dict[str, Any], *, divided: bool = False
    ) -> torch.Tensor | float:
        """Return what the terms add to the loss of a micro-batch; nothing in evaluation.

        Each term adds its mean over ranks (DDP's own) and over the micro-batches of a step. By the
        number of those transformers divides, or where the host does it itself, we do: `divided`.
        """
        if not (self.extra_terms and self.model.training):
            return 0.0
        host: Any = self
        place = self._next_place(inputs)
        total: torch.Tensor | float = 0.0
        for term in self.extra_terms:
            extra = term.extra(place)
            if extra is not None:
                result = extra.loss(*self._score(model, extra.completions))
                total = total + result.value
                self._log_extra(result.metrics)
        return total / host.current_gradient_accumulation_steps if divided else total

    def _next_place(self, inputs: dict[str, Any]) -> Place:
        """Count micro-batches from the last step on, so that a resumed run counts alike."""
        step, micro = self._place
        current = self.state.global_step
        self._place = (current, micro + 1 if step == current else 0)
        accelerator = self.accelerator
        return Place(
            *self._place,
            self.args.gradient_accumulation_steps,
            accelerator.process_index,
            accelerator.num_processes,
            inputs,
        )

    def _score(
        self, model: Any, completions: Sequence[Completion]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log p of each token, and where tokens are."""
        host: Any = self
        device = self.accelerator.device
        prompts = _padded([c.prompt_ids for c in completions], left=True)
        answers = _padded([c.ids for c in completions], left=False)
        ids, mask = (
            torch.cat(pair, dim=1).to(device) for pair in zip(prompts, answers, strict=True)
        )
        n_new = answers[0].shape[1]
        out = host._get_per_token_logps_and_entropies(model, ids, mask, n_new)
        return out[0], mask[:, -n_new:].bool()

    def _log_extra(self, metrics: dict[str, torch.Tensor]) -> None:
        """Log the mean over all ranks."""
        if not metrics:
            return
        values = torch.stack([value.detach().float() for value in metrics.values()])
        mean = self.accelerator.reduce(values.to(self.accelerator.device), reduction="mean")
        for name, value in zip(metrics, mean.tolist(), strict=True):
            self._metrics["train"][name].append(value)


def _padded(rows: Sequence[Sequence[int]], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask of rows of unequal lengths; a masked token is 0."""
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        here = slice(width - len(row), None) if left else slice(len(row))
        ids[number, here] = torch.tensor(row, dtype=torch.long)
        mask[number, here] = 1
    return ids, mask


def extra_problems(args: Any) -> list[str]:
    """Return what is wrong with settings under which a loss has terms beside the host's."""
    reentrant = (getattr(args, "gradient_checkpointing_kwargs", None) or {}).get("use_reentrant")
    if args.gradient_checkpointing and reentrant:
        return [
            "gradient_checkpointing_kwargs['use_reentrant'] must be False, got True: DDP allows "
            "one forward pass only under it, and stored or replayed completions need a second"
        ]
    return []
