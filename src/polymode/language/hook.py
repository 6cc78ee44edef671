"""Anchored rewards inside TRL's group trainers, without an extra forward pass.

TRL scores the reference just before it computes rewards. The hook keeps those log-probabilities,
sums them per completion, and writes what anchoring adds to each reward into one more reward column,
called `mara`; weighting, baselines, logging and the completions table stay TRL's. The formula lives
in `polymode.core.anchoring`.

Two of TRL's methods are overridden, `_get_per_token_logps_and_entropies` and `_calculate_rewards`;
what we lean on is pinned in `tests/contracts/test_trl.py`.
"""

import contextlib
import hashlib
import inspect
import math
import time
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import gather_object, is_peft_model

from polymode.core import augment
from polymode.errors import UnsupportedOptionError
from polymode.language.refusals import config_problems, foreign_token_problems

ModeFunction = Callable[[Any, Any], Hashable | None]
"""`mode_fn(prompt, completion)`: the mode (answer, scaffold, cluster) of a completion, None if it
has none."""

COLUMN = "mara"


@dataclass(frozen=True)
class AnchoredBatch:
    """What the hook did to the last batch: all ranks, TRL's global order, arrays of shape (n,)."""

    raw_rewards: torch.Tensor
    """Weighted sum of the user's reward functions; NaN where none of them could score."""
    rewards: torch.Tensor
    """Anchored rewards, NaN where `raw_rewards` is."""
    ref_log_probs: torch.Tensor
    """`log q(completion)` in nats, summed over tokens; -inf where the completion was not
    eligible."""
    good: torch.Tensor
    """True where a completion was anchored."""
    anchor: torch.Tensor
    """Position of the anchor of each completion's group, -1 where the group has none."""
    groups: torch.Tensor
    """Number of the prompt group."""
    modes: tuple[str | None, ...]
    """Key of the completion's mode, None where `mode_fn` gave none."""


class AnchoringMixin:
    """Anchor the rewards of a TRL group trainer; place it left of the trainer.

    Logs, beside TRL's own metrics: `mara/reward_raw`, `mara/frac_good`,
    `mara/frac_groups_anchored`,
    `mara/bonus_mean`, `mara/bonus_max`, `mara/modes_per_group` and `mara/hook_seconds`.
    """

    # All that is read from the host; pinned in tests/contracts/test_trl.py.
    accelerator: Any
    args: Any
    beta: float
    model: Any
    num_generations: int
    num_generations_eval: int
    processing_class: Any
    ref_model: Any
    reward_func_names: list[str]
    reward_funcs: list[Any]
    reward_processing_classes: list[Any]
    reward_weights: torch.Tensor
    _metrics: dict[str, dict[str, list[float]]]

    def __init__(self, *args: Any, mode_fn: ModeFunction | None = None, **kwargs: Any) -> None:
        """Take the host's arguments and `mode_fn`; without it every completion is its own mode."""
        host: Any = super()
        given = inspect.signature(host.__init__).bind_partial(*args, **kwargs).arguments
        # Before the host loads a model: a refusal should cost nothing.
        if problems := [*config_problems(given.get("args")), *foreign_token_problems(given)]:
            raise UnsupportedOptionError(type(self).__name__, problems)
        host.__init__(*args, **kwargs)
        self.mode_fn = mode_fn
        self.last_batch: AnchoredBatch | None = None
        self._seconds = 0.0
        self._ref_log_probs: torch.Tensor | None = None
        self.reward_funcs.append(_empty_column)
        self.reward_func_names.append(COLUMN)
        self.reward_processing_classes.append(None)
        self.reward_weights = torch.cat([self.reward_weights, self.reward_weights.new_ones(1)])

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        host: Any = super()
        out = host._get_per_token_logps_and_entropies(
            model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
        )
        if not torch.is_grad_enabled() and self._is_reference(model):
            with self._timed():
                mask = attention_mask[:, -logits_to_keep:]
                per_sequence = (out[0].detach() * mask).sum(1)
                # A row whose mask TRL emptied (mask_truncated_completions) was not scored at all:
                # not "certain" but unknown.
                self._ref_log_probs = per_sequence.masked_fill(~mask.any(1), -math.inf)
        return out

    def _is_reference(self, model: Any) -> bool:
        """True in the pass over the reference: its own model, or the policy, adapter switched."""
        if self.ref_model is not None:
            return model is self.ref_model
        policy = self.accelerator.unwrap_model(self.model)
        if not is_peft_model(policy):
            return False
        from peft.tuners.tuners_utils import BaseTunerLayer

        layer = next((m for m in policy.modules() if isinstance(m, BaseTunerLayer)), None)
        return (
            layer is not None and bool(layer.disable_adapters)
        ) or "ref" in policy.active_adapters

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        host: Any = super()
        per_function = host._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        ref_log_probs, self._ref_log_probs = self._ref_log_probs, None
        if ref_log_probs is None:
            raise UnsupportedOptionError(
                type(self).__name__,
                ["TRL did not score the reference before the rewards: unknown release"],
            )
        with self._timed():
            rows = self._describe(ref_log_probs, prompts, completions, completion_ids_list)
            weights = self.reward_weights[:-1].to(per_function.device)
            raw = _weighted_sum(per_function[:, :-1], weights)
            self.last_batch = self._anchor(raw, gather_object(rows))
            # Unscorable rows stay NaN, which TRL leaves out of baselines and updates.
            per_function[:, -1] = self.last_batch.rewards - raw
            self._log_anchoring(self.last_batch)
        self._metrics[self._mode()]["mara/hook_seconds"].append(self._seconds)
        self._seconds = 0.0
        return per_function

    def _describe(
        self,
        ref_log_probs: torch.Tensor,
        prompts: Any,
        completions: Any,
        ids: Sequence[Sequence[int]],
    ) -> list[tuple[float, str, str | None]]:
        """Log q (-inf: not eligible), output key and mode key of each local completion."""
        ends = self._end_ids()
        rows: list[tuple[float, str, str | None]] = []
        for log_q, prompt, completion, tokens in zip(
            ref_log_probs.tolist(), prompts, completions, ids, strict=True
        ):
            output = _key(tuple(tokens))
            mode = output if self.mode_fn is None else _mode_key(self.mode_fn(prompt, completion))
            finished = self.args.anchor_truncated or (tokens and tokens[-1] in ends)
            rows.append((log_q if finished and mode is not None else -math.inf, output, mode))
        return rows

    def _end_ids(self) -> set[int]:
        """Tokens that end a completion; early releases of TRL know only the tokenizer's own."""
        tokenizer = getattr(self.processing_class, "tokenizer", self.processing_class)
        known = getattr(self, "eos_token_ids", [tokenizer.eos_token_id])
        return {*known, tokenizer.pad_token_id}

    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    @contextlib.contextmanager
    def _timed(self) -> Generator[None]:
        """Add the time of the block to what is logged as `mara/hook_seconds`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - started

    def _anchor(
        self, raw: torch.Tensor, rows: list[tuple[float, str, str | None]]
    ) -> AnchoredBatch:
        log_q = torch.tensor([row[0] for row in rows], dtype=torch.float64)
        train = self._mode() == "train"
        size = self.num_generations if train else self.num_generations_eval
        groups = torch.arange(len(rows)) // size
        modes = None if self.mode_fn is None else [row[2] or "" for row in rows]
        result = augment(
            raw.cpu(),  # in its own dtype, in which the threshold is compared
            log_q,
            beta=self.beta,
            threshold=self.args.threshold,
            groups=groups,
            modes=modes,
            outputs=[row[1] for row in rows],
        )
        rewards = result.rewards.to(raw.device, raw.dtype)
        seen = tuple(row[2] for row in rows)
        return AnchoredBatch(raw, rewards, log_q, result.good, result.anchor, groups, seen)

    def _log_anchoring(self, batch: AnchoredBatch) -> None:
        log = self._metrics[self._mode()]
        bonus = (batch.rewards - batch.raw_rewards).cpu()[batch.good]
        n_groups = int(batch.groups[-1]) + 1
        anchored = batch.groups[batch.good].unique()
        good_rows = batch.good.nonzero()[:, 0].tolist()
        modes = {(int(batch.groups[i]), batch.modes[i]) for i in good_rows}
        log["mara/reward_raw"].append(batch.raw_rewards.nanmean().item())
        log["mara/frac_good"].append(batch.good.double().mean().item())
        log["mara/frac_groups_anchored"].append(len(anchored) / n_groups)
        log["mara/bonus_mean"].append(bonus.mean().item() if len(bonus) else 0.0)
        log["mara/bonus_max"].append(bonus.max().item() if len(bonus) else 0.0)
        log["mara/modes_per_group"].append(len(modes) / n_groups)


def _empty_column(completions: Sequence[Any], **_: Any) -> list[float]:
    """Hold the place of the `mara` column until the rewards of all ranks are known."""
    return [0.0] * len(completions)


def _weighted_sum(per_function: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """TRL's own total of the reward functions, NaN where no function could score the row."""
    total = (per_function * weights).nansum(dim=1)
    return total.masked_fill(per_function.isnan().all(dim=1), math.nan)


def _key(value: Hashable) -> str:
    """Digest that is the same on every rank, as Python's own `hash` of strings is not."""
    return hashlib.blake2b(repr(value).encode(), digest_size=16).hexdigest()


def _mode_key(mode: Hashable | None) -> str | None:
    return None if mode is None else _key(mode)
