"""Completions that take part in a group without being its samples: stored, or kept ones.

When a batch is shaped, guests stand in their groups like samples, so that anchors are looked for
among both and both are shaped alike. In the loss, each guest is dealt to one of the samples, in
turn: whatever becomes of the batch (it is shuffled, split into micro-batches and over ranks), each
guest enters once for every time that its sample does.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from polymode.core import CarriedAnchors
from polymode.language.extra_loss import Completion, Extra, Place, TermLoss
from polymode.language.methods import Columns, Shaped, shape_batch

POSITION = "polymode_position"
"""Name of the tensor that says which samples of the batch are in a micro-batch."""


class Guest(NamedTuple):
    """One completion, as a column of the batch sees it."""

    completion: Completion
    """Its tokens."""
    group: int
    """Number of the group that it takes part in."""
    prompt: int
    """Key of the prompt."""
    reward: float
    """Raw reward; NaN where unknown."""
    log_q: float
    """`log q` in nats, summed over tokens."""
    eligible: bool
    """Whether it may be anchored."""
    output: str
    """Key of its tokens."""
    mode: str | None
    """Key of its mode."""


@dataclass(frozen=True)
class ShapedGuests:
    """Guests as the method leaves them, each array of their length."""

    guests: Sequence[Guest]
    """Who they are."""
    rewards: torch.Tensor
    """Rewards to train on."""
    ref_log_probs: torch.Tensor
    """`log q` as the regulariser is to see it."""


def shape_with_guests(
    columns: Columns, guests: Sequence[Guest], args: Any, carried: CarriedAnchors | None
) -> tuple[Shaped, ShapedGuests]:
    """Return the batch, and its guests, as the method of the settings shapes both together."""
    n = len(columns.rewards)
    both = shape_batch(_joined(columns, guests), args, carried)
    anchor = both.anchor[:n]
    batch = Shaped(
        both.rewards[:n],
        both.ref_log_probs[:n],
        both.good[:n],
        torch.where(anchor < n, anchor, -1),
        both.carried,
    )
    return batch, ShapedGuests(guests, both.rewards[n:], both.ref_log_probs[n:])


def shape_for_terms(
    terms: Sequence["GuestTerm"], columns: Columns, args: Any, carried: CarriedAnchors | None
) -> tuple[Shaped, dict[str, float]]:
    """Shape a batch with the guests of all terms, tell each of its own, and return what to log."""
    invited = [term.invite(columns) for term in terms]
    everyone = [guest for guests in invited for guest in guests]
    batch, present = shape_with_guests(columns, everyone, args, carried)
    logged: dict[str, float] = {}
    start = 0
    for term, guests in zip(terms, invited, strict=True):
        own = slice(start, start + len(guests))
        start += len(guests)
        part = ShapedGuests(guests, present.rewards[own], present.ref_log_probs[own])
        logged |= term.receive(columns, batch, part)
    return batch, logged


def _joined(columns: Columns, guests: Sequence[Guest]) -> Columns:
    """Return the columns with the guests behind the samples."""

    def behind(column: torch.Tensor, values: Sequence[Any]) -> torch.Tensor:
        return torch.cat([column, torch.tensor(values, dtype=column.dtype)])

    modes, log_probs = columns.modes, columns.log_probs
    return replace(
        columns,
        rewards=behind(columns.rewards, [g.reward for g in guests]),
        ref_log_probs=behind(columns.ref_log_probs, [g.log_q for g in guests]),
        # Nobody reads these: the methods that would are refused where there are guests.
        log_probs=None if log_probs is None else behind(log_probs, [torch.nan] * len(guests)),
        lengths=behind(columns.lengths, [len(g.completion.ids) for g in guests]),
        eligible=behind(columns.eligible, [g.eligible for g in guests]),
        groups=behind(columns.groups, [g.group for g in guests]),
        prompts=behind(columns.prompts, [g.prompt for g in guests]),
        outputs=(*columns.outputs, *(g.output for g in guests)),
        modes=None if modes is None else (*modes, *(g.mode or "" for g in guests)),
    )


class GuestTerm(ABC):
    """A term of the loss on guests; its weights are known once the batch has been shaped."""

    _present: ShapedGuests | None = None
    _n_samples = 0
    _group_size = 0.0

    @abstractmethod
    def invite(self, columns: Columns) -> Sequence[Guest]:
        """Return the guests of a batch, the same on all ranks."""

    def receive(self, columns: Columns, shaped: Shaped, guests: ShapedGuests) -> dict[str, float]:
        """Take note of the shaped batch, and of one's guests in it; return what to log."""
        del shaped
        self._present, self._n_samples = guests, len(columns.rewards)
        self._group_size = self._n_samples / (1 + int(columns.groups.max()))
        return {}

    @abstractmethod
    def weighed(
        self, log_probs: torch.Tensor, rows: torch.Tensor, present: ShapedGuests
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the part of each guest in the objective, and in what is logged.

        Parameters
        ----------
        log_probs : tensor, shape (n,)
            `log p` of the guests in nats, summed over tokens, with gradient.
        rows : tensor, shape (n,)
            Which guests they are.
        present : ShapedGuests
            All guests of the batch.

        Returns
        -------
        tensor, shape (n,)
            Over the guests of a group, these add up to the objective of the group.
        dict of tensors, shape (n,)
            Likewise, without gradient: the log gets the mean over groups.
        """

    def extra(self, place: Place) -> Extra | None:
        """Return the guests that were dealt to the samples of a micro-batch."""
        present = self._present
        if present is None or not present.guests:
            return None
        positions = place.inputs[POSITION].cpu()
        dealt = torch.arange(len(present.guests)) % self._n_samples
        rows = torch.isin(dealt, positions).nonzero()[:, 0]
        # The host takes a mean over samples: a group's share in it is as large as the group.
        share = self._group_size / len(positions)
        if not len(rows):  # a rank without guests takes part with one that does not count
            rows, share = torch.zeros(1, dtype=torch.long), 0.0

        def loss(log_probs: torch.Tensor, mask: torch.Tensor) -> TermLoss:
            parts, logged = self.weighed((log_probs * mask).sum(1), rows, present)
            return TermLoss(
                -share * parts.sum(), {name: share * each.sum() for name, each in logged.items()}
            )

        return Extra([present.guests[row].completion for row in rows.tolist()], loss)


def guest_problems(what: str, args: Any) -> list[str]:
    """Return settings under which a group with guests would be shaped wrongly, one line each."""
    problems: list[str] = []
    if args.method not in ("plain", "anchored"):
        problems.append(
            f"method must be plain or anchored with {what}, got {args.method!r}: others count "
            "samples of the policy, which these are not"
        )
    if args.threshold_percentile is not None:
        problems.append(f"threshold must be a number with {what}: a percentile would count them")
    return problems
