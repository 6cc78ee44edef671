r"""Replay of good completions: the part of the gradient that they have, whether sampled or not.

For a prompt with a set B of kept completions the policy gradient splits exactly:

.. math:: \sum_{y \in B} p(y) (R(y) - b) \nabla \log p(y)
   + E_p [ 1\{y \notin B\} (R(y) - b) \nabla \log p(y) ]

so that samples which are in B lose their advantage, and each y in B enters with its probability for
a weight. ``R = r' - beta f'(p / q')`` is what the policy gradient sees; b is the mean of R over the
group's samples, with the sample itself left out where it is one.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from accelerate.utils import gather_object

from polymode.core.checks import whole
from polymode.core.groups import Groups
from polymode.language.extra_loss import Completion
from polymode.language.guests import Guest, GuestTerm, ShapedGuests, guest_problems
from polymode.language.methods import Columns, Shaped
from polymode.language.regularisers import regularised_rewards


class Kept(NamedTuple):
    """A completion that is kept for its prompt."""

    completion: Completion
    reward: float
    """Raw reward."""
    log_q: float
    """`log q` in nats, summed over tokens."""
    log_p: float
    """`log p` when it was last seen, likewise."""
    output: str
    """Key of its tokens."""
    mode: str | None
    """Key of its mode; None if each output is a mode."""


class Replay(GuestTerm):
    """The first sum above, for the completions that are kept of earlier batches.

    For each prompt the `replay_size` rarest good modes are kept, each by the likeliest of its
    completions that was seen.

    Parameters
    ----------
    args : ShapedConfig
        Read are `replay_size`, `threshold` and what makes up R.
    """

    def __init__(self, args: Any) -> None:
        self._args = args
        self._kept: dict[int, list[Kept]] = {}
        self._sampled = torch.zeros(0, dtype=torch.bool)

    def invite(self, columns: Columns) -> list[Guest]:
        """Return what is kept for the prompt of each group."""
        return [
            Guest(
                kept.completion,
                group=group,
                prompt=key,
                reward=kept.reward,
                log_q=kept.log_q,
                eligible=True,
                output=kept.output,
                mode=kept.mode,
            )
            for group, key in enumerate(columns.prompt_of_group)
            for kept in self._kept.get(key, ())
        ]

    def receive(self, columns: Columns, shaped: Shaped, guests: ShapedGuests) -> dict[str, float]:
        """Find the baseline of each group, and the samples that leave their gradient to us."""
        logged = super().receive(columns, shaped, guests)
        if columns.log_probs is None:
            raise RuntimeError("replay needs log p of the samples before the rewards")
        totals = regularised_rewards(
            shaped.rewards.double(), columns.log_probs, shaped.ref_log_probs, self._args
        )
        groups = Groups.of(columns.groups, like=totals)
        scored = ~totals.isnan()
        n_scored = groups.sum(scored.double())
        self._baselines = groups.sum(totals.nan_to_num(0.0)) / n_scored
        present = {(guest.group, guest.output) for guest in guests.guests}
        keys = zip(columns.groups.tolist(), columns.outputs, strict=True)
        self._sampled = torch.tensor([key in present for key in keys])
        return {
            **logged,
            "replay/size": len(guests.guests) / len(n_scored),
            "replay/frac_sampled": self._sampled.double().mean().item(),
        }

    def silence(self, advantages: torch.Tensor, start: int) -> None:
        """Set the advantages of samples that are kept ones to 0, in place; `start` is the first."""
        here = self._sampled[start : start + len(advantages)].to(advantages.device)
        advantages.masked_fill_(here, 0.0)

    def weighed(
        self, log_probs: torch.Tensor, rows: torch.Tensor, present: ShapedGuests
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return ``p (R - b) log p``, p and R without gradient, and the probability."""
        now = log_probs.detach().double().cpu()
        groups = torch.tensor([present.guests[row].group for row in rows.tolist()])
        totals = regularised_rewards(
            present.rewards[rows].double(), now, present.ref_log_probs[rows], self._args
        )
        # Without a scored sample there is no baseline, and no gradient.
        advantages = (totals - self._baselines[groups]).nan_to_num(0.0)
        weights = (now.exp() * advantages).to(log_probs)
        self._refresh([present.guests[row] for row in rows.tolist()], now.tolist())
        return weights * log_probs, {"replay/mass": now.exp().to(log_probs)}

    def _refresh(self, guests: Sequence[Guest], log_probs: Sequence[float]) -> None:
        """Take note, on all ranks, of how likely kept completions are by now."""
        seen = {
            (guest.prompt, guest.output): log_p
            for guest, log_p in zip(guests, log_probs, strict=True)
        }
        for (prompt, output), log_p in gather_object([*seen.items()]):
            self._kept[prompt] = [
                kept._replace(log_p=log_p) if kept.output == output else kept
                for kept in self._kept[prompt]
            ]

    def keep(self, columns: Columns, output: dict[str, Any], start: int) -> None:
        """Keep the good samples of a batch, on all ranks, for the batches to come.

        Parameters
        ----------
        columns : Columns
            The batch, all ranks.
        output : dict
            The host's tensors of the local part of it.
        start : int
            Where that part starts.
        """
        good = (columns.rewards >= self._args.threshold) & columns.eligible
        local = (good[start : start + len(output["advantages"])]).nonzero()[:, 0].tolist()
        found = {start + row: _tokens(output, row) for row in local}
        new: dict[int, dict[str, Kept]] = {}
        for row, completion in gather_object([*found.items()]):
            kept = _described(columns, row, completion)
            new.setdefault(int(columns.prompts[row]), {})[kept.output] = kept
        for prompt, by_output in new.items():
            old = {kept.output: kept for kept in self._kept.get(prompt, ())}
            self._kept[prompt] = rarest({**old, **by_output}.values(), self._args.replay_size)

    def memory(self) -> dict[str, list[Any]]:
        """Return what is kept, ready for JSON."""
        return {str(prompt): [*map(list, kept)] for prompt, kept in self._kept.items()}

    def load_memory(self, memory: dict[str, list[Any]]) -> None:
        """Take back what `memory` returned."""
        self._kept = {
            int(prompt): [Kept(_completion(ids), *rest) for ids, *rest in kept]
            for prompt, kept in memory.items()
        }


def rarest(candidates: Iterable[Kept], size: int) -> list[Kept]:
    """Return the likeliest completion of each mode, for the `size` modes where that is rarest."""
    by_mode: dict[str, Kept] = {}
    for kept in candidates:
        name = kept.mode or kept.output
        if name not in by_mode or kept.log_p > by_mode[name].log_p:
            by_mode[name] = kept
    return sorted(by_mode.values(), key=lambda kept: (kept.log_p, kept.output))[:size]


def _tokens(output: dict[str, Any], row: int) -> Completion:
    """Return the tokens of a row of the host's tensors, without padding."""
    prompt, ids = (
        tuple(output[f"{name}_ids"][row][output[f"{name}_mask"][row].bool()].tolist())
        for name in ("prompt", "completion")
    )
    return Completion(prompt, ids)


def _completion(ids: Sequence[Sequence[int]]) -> Completion:
    """Return tokens that JSON has made lists of."""
    return Completion(*(tuple(each) for each in ids))


def _described(columns: Columns, row: int, completion: Completion) -> Kept:
    """Return a sample of the batch as one that is kept."""
    if columns.log_probs is None:
        raise RuntimeError("replay needs log p of the samples before the rewards")
    return Kept(
        completion,
        columns.rewards[row].item(),
        columns.ref_log_probs[row].item(),
        columns.log_probs[row].item(),
        columns.outputs[row],
        None if columns.modes is None else columns.modes[row],
    )


def replay_problems(args: Any, *, scores_policy: bool) -> Iterator[str]:
    """Yield what is wrong with `replay_size`, one line each."""
    if args.replay_size == 0:
        return
    yield from whole(replay_size=args.replay_size)
    if not scores_policy:
        yield "replay_size must be 0 with GRPO, whose loss has no samples of whole completions"
    yield from guest_problems("replay_size", args)
    if args.threshold is None and args.threshold_percentile is None:
        yield "threshold must be set with replay_size: it says which completions are kept"
    if args.num_iterations > 1:
        yield (
            f"num_iterations must be 1 with replay_size, got {args.num_iterations!r}: samples "
            "would be of an older policy than the weights of what is replayed"
        )
    if args.steps_per_generation > args.gradient_accumulation_steps:
        yield (
            "steps_per_generation must not exceed gradient_accumulation_steps with replay_size, "
            f"got {args.steps_per_generation!r} and {args.gradient_accumulation_steps!r}: the same"
        )
