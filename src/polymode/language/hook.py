"""Shaped rewards inside TRL's group trainers, without an extra forward pass.

TRL scores the reference just before it computes rewards, and RLOO the policy before that. The hook
keeps those log-probabilities, sums them per completion, and writes what the method adds to each
reward into one more reward column, called `mara` where it anchors and `shaping` elsewhere;
weighting, baselines, logging and the completions table stay TRL's. What a method does is in
`methods`, with formulas from `polymode.core`.

Two of TRL's methods are overridden, `_get_per_token_logps_and_entropies` and `_calculate_rewards`,
and three more in `resuming`; what we lean on is pinned in `tests/contracts/test_trl.py`.
"""

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from accelerate.utils import broadcast_object_list, gather_object, is_peft_model

from polymode.core import CarriedAnchors
from polymode.errors import UnsupportedOptionError
from polymode.language.dph import ReplayedDivergence, divide
from polymode.language.extra_loss import ExtraLossMixin
from polymode.language.keys import mode_key, output_key, prompt_key
from polymode.language.live import batch_metrics
from polymode.language.methods import ANCHORED, Columns, Shaped, shape_batch
from polymode.language.refusals import (
    batch_mode_problems,
    config_problems,
    foreign_token_problems,
)
from polymode.language.resuming import ResumingMixin
from polymode.language.stored import load_stored
from polymode.language.table import write_completions

ModeFunction = Callable[[Any, Any], Hashable | None]
"""`mode_fn(prompt, completion)`: the mode (answer, scaffold) of a completion, None if it has none.
One with a method `of_batch(prompts, completions)`, such as `ClusterModes`, is given a whole batch
instead."""


@dataclass(frozen=True)
class ShapedBatch:
    """What the hook did to the last batch: all ranks, TRL's global order, arrays of shape (n,)."""

    raw_rewards: torch.Tensor
    """Weighted sum of the user's reward functions; NaN where none of them could score."""
    rewards: torch.Tensor
    """Shaped rewards, NaN where `raw_rewards` is."""
    ref_log_probs: torch.Tensor
    """`log q(completion)` in nats, summed over tokens; -inf where the completion was not
    eligible for anchoring."""
    good: torch.Tensor
    """True where a completion was anchored."""
    anchor: torch.Tensor
    """Position of the anchor of each completion's group, -1 where the group has none."""
    groups: torch.Tensor
    """Number of the prompt group."""
    modes: tuple[str | None, ...]
    """Key of the completion's mode, None where `mode_fn` gave none."""
    columns: Columns
    """All that the method could see."""
    shaped: Shaped
    """All that it returned."""


class _Row(NamedTuple):
    """What the other ranks have to know of a completion."""

    log_q: float
    log_p: float
    eligible: bool
    prompt: int
    output: str
    mode: str | None
    tokens: tuple[int, ...]


class ShapingMixin(ResumingMixin, ExtraLossMixin):
    """Shape the rewards of a TRL group trainer; place it left of the trainer.

    Logs, beside TRL's own metrics, `mara/*`, `diversity/*` and `target/*`; see `batch_metrics`.
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
    train_dataset: Any
    state: Any
    _log_completion_extra: Any
    _logs: dict[str, Any]
    _metrics: dict[str, dict[str, list[float]]]

    _scores_policy = False
    """Whether the host scores the policy before the rewards."""
    _per_token_loss = False
    """Whether the host's loss is a mean over tokens, not over completions."""
    _n_columns = 1
    """Reward columns behind the user's."""

    def __init__(self, *args: Any, mode_fn: ModeFunction | None = None, **kwargs: Any) -> None:
        """Take the host's arguments and `mode_fn`; without it every completion is its own mode."""
        host: Any = super()
        given = inspect.signature(host.__init__).bind_partial(*args, **kwargs).arguments
        # Before the host loads a model: a refusal should cost nothing.
        problems = config_problems(given.get("args"), has_log_probs=self._scores_policy)
        if hasattr(mode_fn, "of_batch"):
            problems = [*problems, *batch_mode_problems(given.get("args"))]
        if problems := [*problems, *foreign_token_problems(given)]:
            raise UnsupportedOptionError(type(self).__name__, problems)
        self.stored = load_stored(given["args"])
        host.__init__(*args, **kwargs)
        self.mode_fn = mode_fn
        self.last_batch: ShapedBatch | None = None
        self.carried = CarriedAnchors() if self.args.carry_anchors else None
        self._seconds = 0.0
        self._log_q: torch.Tensor | None = None
        self._log_p: torch.Tensor | None = None
        self._replay_stored()
        self._add_column("mara" if self.args.method == ANCHORED else "shaping")

    def _replay_stored(self) -> None:
        """Take solved prompts out of the training set, and replay what the reference answered."""
        if self.stored is not None and self.args.dph_divergence is not None:
            responses, self.train_dataset = divide(self.stored, self.train_dataset, self.args)
            term = ReplayedDivergence(responses, self.args, per_token=self._per_token_loss)
            self.extra_terms = [*self.extra_terms, term]

    def _add_column(self, name: str) -> None:
        """Add a reward column that the hook will fill."""
        self.reward_funcs.append(_empty_column)
        self.reward_func_names.append(name)
        self.reward_processing_classes.append(None)
        self.reward_weights = torch.cat([self.reward_weights, self.reward_weights.new_ones(1)])

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Log as the host does, and keep the completions of the batch as Parquet."""
        host: Any = super()
        host.log(*args, **kwargs)
        training = self.model.training  # evaluation logs, too
        if self.args.log_completions and training and self.accelerator.is_main_process:
            write_completions(self._logs, self.args.output_dir, self.state.global_step)

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
        if not torch.is_grad_enabled():
            with self._timed():
                mask = attention_mask[:, -logits_to_keep:]
                per_sequence = (out[0].detach() * mask).sum(1).double()
                # A row whose mask TRL emptied (mask_truncated_completions) was not scored at all:
                # not "certain" but unknown.
                per_sequence = per_sequence.masked_fill(~mask.any(1), -math.inf)
            if self._is_reference(model):
                self._log_q = per_sequence
            else:
                self._log_p = per_sequence
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
        if self._log_q is None:
            raise UnsupportedOptionError(
                type(self).__name__,
                ["TRL did not score the reference before the rewards: unknown release"],
            )
        with self._timed():
            rows = self._describe(prompts, completions, completion_ids_list)
            weights = self.reward_weights[: -self._n_columns].to(per_function.device)
            raw = _weighted_sum(per_function[:, : -self._n_columns], weights)
            columns = self._columns(raw.cpu(), gather_object(rows))
            shaped = self._shape(columns)
            if self.carried is not None and self._mode() == "train":
                self.carried = shaped.carried
            self.last_batch = _summary(columns, shaped, raw)
            # Unscorable rows stay NaN, which TRL leaves out of baselines and updates.
            per_function[:, -self._n_columns] = self.last_batch.rewards - raw
            self._fill(per_function, columns, shaped)
            log = self._metrics[self._mode()]
            for name, value in batch_metrics(columns, shaped, self.args).items():
                log[name].append(value)
            self._describe_in_table(rows, raw)
        log["mara/hook_seconds"].append(self._seconds)
        self._seconds = 0.0
        self._log_q = self._log_p = None
        return per_function

    def _shape(self, columns: Columns) -> Shaped:
        """Return the batch as the method of the settings shapes it."""
        return shape_batch(columns, self.args, self.carried)

    def _fill(self, per_function: torch.Tensor, columns: Columns, shaped: Shaped) -> None:
        """Fill the columns that a trainer has added behind the first."""

    def _describe(self, prompts: Any, completions: Any, ids: Sequence[Sequence[int]]) -> list[_Row]:
        """Describe each local completion."""
        ends = self._end_ids()
        log_q = [] if self._log_q is None else self._log_q.tolist()
        log_p = [math.nan] * len(log_q) if self._log_p is None else self._log_p.tolist()
        outputs = [output_key(tokens) for tokens in ids]
        modes = self._modes(prompts, completions) or outputs
        rows: list[_Row] = []
        for q, p, prompt, output, mode, tokens in zip(
            log_q, log_p, prompts, outputs, modes, ids, strict=True
        ):
            finished = self.args.anchor_truncated or (tokens and tokens[-1] in ends)
            eligible = bool(finished and mode is not None)
            rows.append(_Row(q, p, eligible, prompt_key(prompt), output, mode, tuple(tokens)))
        return rows

    def _modes(self, prompts: Any, completions: Any) -> list[str | None] | None:
        """Return the mode key of each local completion; None if every output is its own mode."""
        if self.mode_fn is None:
            return None
        of_batch: Any = getattr(self.mode_fn, "of_batch", None)
        if of_batch is None:
            found = [self.mode_fn(*pair) for pair in zip(prompts, completions, strict=True)]
            return [mode_key(mode) for mode in found]
        keys = gather_object([prompt_key(prompt) for prompt in prompts])
        every = gather_object(list(completions))
        # One process looks for all, so that no rounding can make them differ.
        is_main = self.accelerator.is_main_process
        modes: Any = broadcast_object_list([of_batch(keys, every) if is_main else None])[0]
        start = self.accelerator.process_index * len(prompts)
        return [mode_key(mode) for mode in modes[start : start + len(prompts)]]

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

    def _columns(self, raw: torch.Tensor, rows: list[_Row]) -> Columns:
        """Return the global batch; `raw` stays in its dtype, in which the threshold is compared."""
        size = self.num_generations if self._mode() == "train" else self.num_generations_eval

        def wide(values: Any) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float64)

        return Columns(
            rewards=raw,
            ref_log_probs=wide([row.log_q for row in rows]),
            log_probs=None if self._log_p is None else wide([row.log_p for row in rows]),
            lengths=torch.tensor([len(row.tokens) for row in rows]),
            eligible=torch.tensor([row.eligible for row in rows]),
            groups=torch.arange(len(rows)) // size,
            prompts=torch.tensor([row.prompt for row in rows]),
            outputs=tuple(row.output for row in rows),
            modes=None if self.mode_fn is None else tuple(row.mode or "" for row in rows),
            tokens=tuple(row.tokens for row in rows),
        )

    def _describe_in_table(self, rows: list[_Row], raw: torch.Tensor) -> None:
        """Add what we know of each local completion to TRL's completions table."""
        if not self.args.log_completions:
            return
        start = self.accelerator.process_index * len(rows)
        self._log_completion_extra("raw_reward", raw[start : start + len(rows)].tolist())
        for name in ("ref_log_prob", "log_prob", "mode"):
            field = {"ref_log_prob": "log_q", "log_prob": "log_p"}.get(name, name)
            self._log_completion_extra(name, [getattr(row, field) for row in rows])


def _summary(columns: Columns, shaped: Shaped, raw: torch.Tensor) -> ShapedBatch:
    """Return the part of a batch that most readers want."""
    return ShapedBatch(
        raw_rewards=raw,
        rewards=shaped.rewards.to(raw.device, raw.dtype),
        ref_log_probs=columns.ref_log_probs.masked_fill(~columns.eligible, -math.inf),
        good=shaped.good,
        anchor=shaped.anchor,
        groups=columns.groups,
        modes=tuple(mode or None for mode in columns.answers),
        columns=columns,
        shaped=shaped,
    )


def _empty_column(completions: Sequence[Any], **_: Any) -> list[float]:
    """Hold the place of a column until the rewards of all ranks are known."""
    return [0.0] * len(completions)


def _weighted_sum(per_function: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """TRL's own total of the reward functions, NaN where no function could score the row."""
    total = (per_function * weights).nansum(dim=1)
    return total.masked_fill(per_function.isnan().all(dim=1), math.nan)
