"""The anchored trainers: drop-ins for TRL's RLOO and GRPO."""

from typing import Any, ClassVar

import torch
from accelerate.utils import gather
from trl import GRPOTrainer, RLOOTrainer

from polymode.core import leave_one_out
from polymode.language.cross_entropy import StoredCrossEntropy
from polymode.language.guests import POSITION, GuestTerm, shape_for_terms
from polymode.language.hook import ShapingMixin
from polymode.language.methods import Columns, Shaped
from polymode.language.regularisers import find_regulariser, sequence_penalty
from polymode.language.replay import Replay

_PAPER: dict[str, str] = {
    "title": "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
    "id": "2510.20817",
    "citation": (
        "@inproceedings{gxchen2026klregularized,\n"
        "    title     = {{KL-Regularized Reinforcement Learning is Designed to Mode Collapse}},\n"
        "    author    = {GX-Chen, Anthony and Prakash, Jatin and Guo, Jeff and Fergus, Rob and "
        "Ranganath, Rajesh},\n"
        "    booktitle = {International Conference on Learning Representations},\n"
        "    year      = 2026,\n"
        "}"
    ),
}


class ShapedTrainer(ShapingMixin, RLOOTrainer):
    r"""`trl.RLOOTrainer` on rewards of any method, under any f-divergence of whole completions.

    The update is the on-policy gradient of `E_p[r'] - beta * D_f(p, q)`: the samples' rewards are
    `r' - beta f'(p / q)`, with a leave-one-out baseline and no standardisation. Under reverse KL
    that is TRL's own update, and the other divergences put their term into a reward column
    `regulariser`, with a log-ratio that is clipped at `log_ratio_clip` nats. Unclipped, the
    gradient is exact in expectation.

    What each targets, for rewards r' and a reference q (`polymode.optimal_policy`): reverse KL
    `q exp(r'/beta)`, forward KL `beta q / (L - r')`, the others `q (f')^-1((r' - L)/beta)`. The
    method `anchored` substitutes the anchor's reward and reference (Algorithm 2) under every
    divergence but reverse KL, where Algorithm 1 is the same. The substituted q does not sum to 1,
    and is not made to: L is where the target sums to 1. Under forward KL that is the target of the
    normalised q at `beta` times its sum.

    Parameters
    ----------
    model, reward_funcs, args, train_dataset, ...
        As `trl.RLOOTrainer`; `args` is a `ShapedConfig`.
    mode_fn : callable, optional
        `mode_fn(prompt, completion)` returns a hashable key of the completion's mode (its final
        answer, say), or None for a completion that shall keep its plain reward.

    Raises
    ------
    UnsupportedOptionError
        If any setting would silently change the target; lists all of them.

    References
    ----------
    Ahmadian et al., arXiv 2402.14740 (RLOO). GX-Chen et al., arXiv 2510.20817, Algorithm 2 and
    Remark 3.4. The methods' papers: `polymode.core.shaping`.
    """

    _tag_names: ClassVar = ["trl", "rloo", "polymode"]
    _scores_policy = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._divergence = find_regulariser(self.args.regulariser)
        by_reference = self.args.forward_kl_samples == "reference"
        self._in_reward = self.args.regulariser != "reverse_kl" and not by_reference
        if self._in_reward:
            self._n_columns = 2
            self._add_column("regulariser")
        self._guest_terms: list[GuestTerm] = []
        if by_reference and self.stored is not None:
            term = StoredCrossEntropy(
                self.stored, self.args, mode_fn=self.mode_fn, end_ids=self._end_ids()
            )
            term.check(self.train_dataset)
            self._guest_terms.append(term)
        self._replay = Replay(self.args) if self.args.replay_size else None
        if self._replay is not None:
            self._guest_terms.append(self._replay)
        self.extra_terms = [*self.extra_terms, *self._guest_terms]

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        beta = self.beta
        try:
            output = super()._generate_and_score_completions(inputs)
        finally:
            self.beta = beta
        n_local = len(output["advantages"])
        start = self.accelerator.process_index * n_local
        output[POSITION] = torch.arange(start, start + n_local)
        if self._replay is not None and self.last_batch is not None and self._mode() == "train":
            self._replay.silence(output["advantages"], start)
            self._replay.keep(self.last_batch.columns, output, start)
        return output

    def memory(self) -> dict[str, Any]:
        """Return what has to be carried over from one step to the next, ready for JSON."""
        kept = {} if self._replay is None else {"replay": self._replay.memory()}
        return {**super().memory(), **kept}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take back what `memory` returned."""
        super().load_memory(memory)
        if self._replay is not None:
            self._replay.load_memory(memory.get("replay", {}))

    def _shape(self, columns: Columns) -> Shaped:
        if not self._guest_terms or self._mode() != "train":
            return super()._shape(columns)
        shaped, logged = shape_for_terms(self._guest_terms, columns, self.args, self.carried)
        for name, value in logged.items():
            self._metrics["train"][name].append(value)
        return shaped

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        return super()._compute_loss(model, inputs) + self.extra_loss(model, inputs)

    def _fill(self, per_function: torch.Tensor, columns: Columns, shaped: Shaped) -> None:
        """Put `-beta f'(p/q)` into its column, in place of what TRL would subtract."""
        if self.args.regulariser != "reverse_kl":
            self.beta = 0.0  # until the advantages are made: the reference has been scored
        if not self._in_reward or columns.log_probs is None:
            return
        penalty = sequence_penalty(
            columns.log_probs,
            shaped.ref_log_probs,
            divergence=self._divergence,
            clip=self.args.log_ratio_clip,
        )
        values = -self.args.beta * penalty.values.to(per_function)
        per_function[:, -1] = values.masked_fill(
            columns.rewards.isnan().to(values.device), torch.nan
        )
        log = self._metrics[self._mode()]
        log["regulariser/mean"].append(penalty.values.mean().item())
        log["regulariser/frac_clipped"].append(penalty.clipped.double().mean().item())


class MARATrainer(ShapedTrainer):
    r"""`ShapedTrainer` that anchors: the faithful default.

    The update is the exact on-policy gradient of `E_p[r'] - beta * KL(p‖q)` over whole completions
    (reverse KL, k1 in the reward, leave-one-out baseline, no standardisation), whose optimum puts
    equal mass on every good completion, or on every good mode if `mode_fn` is given. Other
    regularisers: see `ShapedTrainer`.

    Parameters
    ----------
    model, reward_funcs, args, train_dataset, ...
        As `trl.RLOOTrainer`; `args` is a `MARAConfig` with `threshold` set.
    mode_fn : callable, optional
        `mode_fn(prompt, completion)` returns a hashable key of the completion's mode (its final
        answer, say), or None for a completion that shall keep its plain reward.

    Raises
    ------
    UnsupportedOptionError
        If any setting would silently change the target; lists all of them.

    References
    ----------
    GX-Chen et al., arXiv 2510.20817, Algorithms 1 and 2. Ahmadian et al., arXiv 2402.14740 (RLOO).
    """

    _tag_names: ClassVar = ["trl", "rloo", "mara", "polymode"]
    _name = "MARA"
    _paper: ClassVar = _PAPER


class MARAGRPOTrainer(ShapingMixin, GRPOTrainer):
    r"""`trl.GRPOTrainer` on anchored rewards, with the sequence-level KL in the reward.

    GRPO's own penalty is token-local and has another optimum, under which anchoring over-weights
    answers that are rarely reached. Here TRL's KL term is switched off and `beta * (K - mean K)`,
    `K = log p(y) - log q(y)` summed over the completion, is subtracted from the advantage. `K`
    comes from the forward pass that the loss makes anyway. On one batch the gradient is that of
    `MARATrainer` times `(G - 1) / G` and the loss's token normaliser.

    Parameters are those of `trl.GRPOTrainer`, with a `MARAGRPOConfig`, and `mode_fn` as in
    `MARATrainer`. Logs
    `mara/kl` (mean of `K`, nats per completion) in place of TRL's `kl`.

    References
    ----------
    GX-Chen et al., arXiv 2510.20817, Algorithm 1. Shao et al., arXiv 2402.03300 (GRPO).
    """

    _tag_names: ClassVar = ["trl", "grpo", "mara", "polymode"]
    _name = "MARA"
    _paper: ClassVar = _PAPER
    _per_token_loss = True
    _loss_inputs: dict[str, Any] | None = None

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        batch = self.last_batch
        if batch is None:
            raise RuntimeError("the rewards were computed without the anchoring hook")
        n_local = len(output["advantages"])
        start = self.accelerator.process_index * n_local
        mine = slice(start, start + n_local)
        device = output["advantages"].device
        scorable = ~batch.raw_rewards.isnan().to(device)
        groups = batch.groups.to(device)
        n_scorable = torch.zeros(len(scorable), device=device).index_add(
            0, groups, scorable.float()
        )
        # GRPO's baseline includes the completion itself, which scales its advantages by (n - 1) /
        # n; the KL must be scaled alike. Unscorable rows move nothing, hence 0.
        scale = (1 - 1 / n_scorable[groups].clamp(min=1)) * scorable
        output["mara_group"], output["mara_kl_scale"] = groups[mine], scale[mine]
        return output

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        # The copy keeps buffered inputs intact, which TRL reads again when num_iterations > 1.
        self._loss_inputs = {**inputs, "advantages": inputs["advantages"].clone()}
        beta, self.beta = self.beta, 0.0  # switches TRL's token-local KL off, in the loss only
        try:
            loss = super()._compute_loss(model, self._loss_inputs)
        finally:
            self.beta, self._loss_inputs = beta, None
        return loss + self.extra_loss(model, inputs, divided=True)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        out = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if (
            self._loss_inputs is not None
        ):  # called from the loss: log p is known now, before advantages are used
            with self._timed():
                self._subtract_kl(self._loss_inputs, out[0].detach())
        return out

    def _subtract_kl(self, inputs: dict[str, Any], log_probs: torch.Tensor) -> None:
        """Subtract `beta * scale * (K - baseline)` from the advantages, in place."""
        mask = inputs["completion_mask"]
        kl = ((log_probs - inputs["ref_per_token_logps"]) * mask).sum(1)
        rows = gather(
            torch.stack([kl, inputs["mara_group"].to(kl.dtype), inputs["mara_kl_scale"]], dim=1)
        )
        start = self.accelerator.process_index * len(kl)
        centred = _centred(rows[:, 0], rows[:, 1].long(), rows[:, 2] > 0)[start : start + len(kl)]
        inputs["advantages"].sub_(self.args.beta * inputs["mara_kl_scale"] * centred)
        self._metrics[self._mode()]["mara/kl"].append(rows[:, 0].mean().item())


def _centred(kl: torch.Tensor, groups: torch.Tensor, scorable: torch.Tensor) -> torch.Tensor:
    """Subtract from `kl` a baseline that leaves the row itself out: the gradient stays unbiased.

    The baseline is the mean over the row's siblings in this micro-batch; a row without siblings
    here (its group was dealt to other micro-batches) is compared with all other rows instead, and a
    single row with 0.
    """
    kl = kl.masked_fill(~scorable, torch.nan)
    n_here = torch.bincount(groups, weights=scorable.double())[groups]
    if scorable.sum() < 2:
        return kl.nan_to_num(0.0)
    return torch.where(n_here > 1, leave_one_out(kl, groups=groups), leave_one_out(kl))
