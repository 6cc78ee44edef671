r"""Forward KL by samples of the reference: a cross-entropy on stored responses.

The gradient of ``-beta KL(q', p)`` is ``beta sum_y q'(y) grad log p(y)``. On samples of the policy
its weights are ``q' / p``, which have no bound where the policy has given a response up. On samples
of the reference q they are ``w = q' / q``: 1 unless a method substitutes the reference.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from polymode.errors import ConfigError
from polymode.language.guests import Guest, GuestTerm, ShapedGuests, guest_problems
from polymode.language.keys import mode_key, output_key, prompt_key
from polymode.language.methods import Columns, Shaped
from polymode.language.stored import StoredPrompt, StoredResponses
from polymode.language.storing import as_completion


class StoredCrossEntropy(GuestTerm):
    r"""The term ``beta * mean of w(y) log p(y)`` over the stored responses of each prompt.

    Unbiased for ``-beta KL(q', p)`` over the draw of the responses, for a given anchor; that
    anchor is looked for among the group's samples and its stored responses together.

    Parameters
    ----------
    stored : StoredResponses
        Must have every prompt that is trained on.
    args : ShapedConfig
        Read are `beta`, `log_ratio_clip` and `anchor_truncated`.
    mode_fn : callable or None
        The trainer's.
    end_ids : set of int
        Tokens that end a completion.
    """

    def __init__(
        self,
        stored: StoredResponses,
        args: Any,
        *,
        mode_fn: Callable[[Any, Any], Hashable | None] | None,
        end_ids: set[int],
    ) -> None:
        self._stored = stored
        self._args = args
        self._mode_fn = mode_fn
        self._end_ids = end_ids
        self._guests: dict[int, list[Guest]] = {}

    def check(self, dataset: Any) -> None:
        """Raise `ConfigError` if a prompt of a dataset has no stored responses."""
        prompts = dataset["prompt"] if hasattr(dataset, "__len__") else []
        missing = sum(prompt_key(prompt) not in self._stored.prompts for prompt in prompts)
        if missing:
            raise self._incomplete(f"{missing} of {len(prompts)} prompts")

    def _incomplete(self, what: str) -> ConfigError:
        return ConfigError(
            self._args.stored_responses,
            f"{what} of the dataset have no stored responses, which forward_kl_samples='reference' "
            "needs: run store_responses on the whole dataset",
        )

    def invite(self, columns: Columns) -> list[Guest]:
        """Return all stored responses of the prompts of each group."""
        return [
            guest._replace(group=group)
            for group, key in enumerate(columns.prompt_of_group)
            for guest in self._guests_of(key)
        ]

    def _guests_of(self, key: int) -> list[Guest]:
        """Return the stored responses of a prompt as guests of group 0."""
        if key not in self._stored.prompts:
            raise self._incomplete("prompts")
        if key not in self._guests:
            self._guests[key] = self._described(key, self._stored.prompts[key])
        return self._guests[key]

    def _described(self, key: int, stored: StoredPrompt) -> list[Guest]:
        guests: list[Guest] = []
        for response in stored.responses:
            output = output_key(response.ids)
            completion = as_completion(stored.prompt, response.text)
            mode = (
                output
                if self._mode_fn is None
                else mode_key(self._mode_fn(stored.prompt, completion))
            )
            finished = self._args.anchor_truncated or response.ids[-1] in self._end_ids
            guests.append(
                Guest(
                    response.completion,
                    group=0,
                    prompt=key,
                    reward=response.reward,
                    log_q=sum(response.ref_log_probs),
                    eligible=finished and mode is not None,
                    output=output,
                    mode=mode,
                )
            )
        return guests

    def receive(self, columns: Columns, shaped: Shaped, guests: ShapedGuests) -> dict[str, float]:
        """Weigh each response by ``q' / q``, and by its share in its group."""
        logged = super().receive(columns, shaped, guests)
        log_q = torch.tensor([guest.log_q for guest in guests.guests], dtype=torch.float64)
        moved = guests.ref_log_probs - log_q
        clip = self._args.log_ratio_clip
        weights = moved.clamp(-clip, clip).exp()
        groups = torch.tensor([guest.group for guest in guests.guests])
        self._weights = self._args.beta * weights / torch.bincount(groups)[groups]
        return {
            **logged,
            "regulariser/weight_mean": weights.mean().item(),
            "regulariser/weight_max": weights.max().item(),
            "regulariser/frac_clipped": (moved.abs() > clip).double().mean().item(),
        }

    def weighed(
        self, log_probs: torch.Tensor, rows: torch.Tensor, present: ShapedGuests
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return ``beta w log p``, and the cross-entropy."""
        del present
        parts = self._weights[rows].to(log_probs) * log_probs
        return parts, {"regulariser/cross_entropy": -parts.detach() / self._args.beta}


def cross_entropy_problems(args: Any, *, scores_policy: bool) -> Sequence[str]:
    """Return what is wrong with `forward_kl_samples`, one line each."""
    if args.forward_kl_samples == "policy":
        return []
    if args.forward_kl_samples != "reference":
        return [
            f"forward_kl_samples must be 'policy' or 'reference', got {args.forward_kl_samples!r}"
        ]
    problems = [*guest_problems("forward_kl_samples='reference'", args)]
    if args.regulariser != "forward_kl" and scores_policy:
        problems.append(
            f"regulariser must be 'forward_kl' with forward_kl_samples='reference', "
            f"got {args.regulariser!r}"
        )
    if not scores_policy:
        problems.append("forward_kl_samples must be 'policy' with GRPO")
    return problems
