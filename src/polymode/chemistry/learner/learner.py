"""The learner: draws from the policy, asks the oracle, and moves the policy towards its target."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymode.chemistry.learner.augmentation import randomised_smiles
from polymode.chemistry.learner.batch import Batch, log_probs_of, prior_log_probs
from polymode.chemistry.learner.config import ANCHORED_MODES, ChemistryConfig
from polymode.chemistry.learner.filters import DiversityFilter, Filtered
from polymode.chemistry.learner.mode_memory import ModeMemory
from polymode.chemistry.learner.modes import ModeLabels
from polymode.chemistry.learner.objectives import OBJECTIVES, likelihood_penalty, log_targets
from polymode.chemistry.learner.pressure import Pressure
from polymode.chemistry.learner.replay import Replay, with_strings
from polymode.chemistry.learner.rows import Rows
from polymode.chemistry.learner.targets import AnchoredModes, ShaperTarget, Target
from polymode.chemistry.models import SmilesModel, sample_smiles
from polymode.chemistry.models.interface import Trace
from polymode.chemistry.models.sampling import MOST_TRACED
from polymode.chemistry.oracles import Oracle, Scores
from polymode.devices import fast_dtype

__all__ = ["Learner", "Step"]


@dataclass(frozen=True, eq=False)
class Step:
    """What one step drew, and what became of it."""

    batch: Batch
    """All strings that were drawn."""
    shaped: np.ndarray
    """Rewards to train on, shape (n,), NaN where a string was not learned from."""
    loss: float
    """The loss of the main update, in the unit of the objective; NaN if there was none."""
    gradient_norm: float
    """Of the main update, before it was cut."""
    log_ratios: np.ndarray
    """``log p - log t``, up to a constant, of the fresh strings that were learned from."""


class Learner:
    """The state of a run, and the step that changes it.

    Parameters
    ----------
    config : ChemistryConfig
        The configuration.
    policy, prior : SmilesModel
        The model that is trained, and the one that it is kept close to; they may be equal but not
        the same.
    oracle : Oracle
        What scores molecules.

    Notes
    -----
    While the oracle works on a batch, in a thread of its own, this one computes the likelihoods.
    What the policy computed while it drew is kept for its gradient, where draws are exact.
    Replayed molecules are drawn before the batch comes in, as in PMO's REINVENT.
    """

    def __init__(
        self, config: ChemistryConfig, policy: SmilesModel, prior: SmilesModel, oracle: Oracle
    ) -> None:
        self.config = config
        self.policy = policy.train()
        self.prior = prior.eval().requires_grad_(False)
        self.oracle = oracle
        self.labels = ModeLabels(
            config.modes.kind,
            distance=config.modes.distance,
            radius=config.modes.radius,
            n_bits=config.modes.n_bits,
            near_misses=config.target.pressure.near_misses,
        )
        self.target = _target_of(config)
        self.replay = _replay_of(config)
        self.filter = DiversityFilter(**config.filter.model_dump())
        self._objective = OBJECTIVES[config.learner.objective]
        self._optimiser = torch.optim.Adam(policy.parameters(), lr=config.learner.learning_rate)
        self._generator = torch.Generator().manual_seed(config.run.seed)
        self._rng = np.random.default_rng(config.run.seed)
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="oracle")

    @property
    def remaining(self) -> float:
        """Oracle calls that are left; inf without a budget."""
        budget = self.oracle.budget
        return math.inf if budget is None else float(budget - self.oracle.n_calls)

    def step(self) -> Step:
        """Draw a batch, learn from it, and say what happened."""
        replayed = None
        if self.replay is not None:
            replayed = self.replay.draw(self.config.replay.n, self._rng)
        batch, filtered, log_probs = self._draw(replayed)
        rows = batch.rows()
        shaped = np.full(len(batch.kept), np.nan)
        if not len(rows):
            return Step(batch, shaped, math.nan, math.nan, np.zeros(0))
        fresh = self.target.shape(rows, remaining=self.remaining)
        shaped[batch.kept] = fresh
        wanted = self._log_targets(rows, fresh)
        n = len(batch.kept)
        parts = [(log_probs[:n][torch.from_numpy(batch.kept)][chosen := self._chosen(rows)])]
        targets = [wanted[chosen]]
        if replayed is not None:
            again = self.target.shape_again(replayed, remaining=self.remaining)
            parts.append(log_probs[n:])
            targets.append(self._log_targets(replayed, again))
        loss, norm = self._update(torch.cat(parts), torch.cat(targets))
        if self.replay is not None:
            self.replay.add(rows, fresh)
            self._augment(replace(rows, shaped=fresh), filtered)
        log_ratios = rows.log_probs - wanted.double().cpu().numpy()
        return Step(batch, shaped, loss, norm, log_ratios)

    def close(self) -> None:
        """End the thread and the processes of the oracle."""
        self._asking.shutdown(wait=True)
        self.oracle.close()

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on, but for the weights of the policy."""
        return {
            "optimiser": _optimiser_state(self._optimiser),
            "generator": self._generator.get_state(),
            "rng": self._rng.bit_generator.state,
            "oracle": self.oracle.state(),
            "labels": self.labels.state(),
            "target": self.target.state(),
            "replay": None if self.replay is None else self.replay.state(),
            "filter": self.filter.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the policy has its weights already.

        Parameters
        ----------
        state : mapping
            What `state` returned.
        """
        _load_optimiser(self._optimiser, state["optimiser"])
        self._generator.set_state(state["generator"])
        self._rng.bit_generator.state = state["rng"]
        self.oracle.load_state(state["oracle"])
        self.labels.load_state(state["labels"])
        self.target.load_state(state["target"])
        if self.replay is not None:
            self.replay.load_state(state["replay"])
        self.filter.load_state(state["filter"])

    def _draw(self, replayed: Rows | None) -> tuple[Batch, Filtered, Tensor]:
        """Return a scored batch, and ``log p`` of it and of what is replayed, differentiable."""
        settings, trace = self.config.learner, self._trace()
        sample = sample_smiles(
            self.policy,
            settings.batch_size,
            generator=self._generator,
            dtype=settings.sample_dtype,
            max_length=settings.max_length,
            trace=trace,
        )
        asked = self._asking.submit(self.oracle, sample.smiles)
        ref_log_probs = self._prior_log_probs(sample.smiles)
        again = [] if replayed is None else list(replayed.smiles)
        if trace is None:
            log_probs = self._log_probs([*sample.smiles, *again])
        else:
            log_probs = torch.cat([trace.log_probs(), self._log_probs(again)])
        scores: Scores = asked.result()
        kept = ~sample.truncated.cpu().numpy() & np.isfinite(scores.rewards)
        filtered = self.filter(np.where(kept, scores.rewards, np.nan), scores.canonical)
        hits = kept & (scores.rewards >= self.config.target.threshold)
        batch = Batch(
            sample=sample,
            scores=scores,
            rewards=filtered.rewards,
            hits=hits,
            good=hits & (filtered.rewards >= self.config.target.threshold),
            kept=kept,
            ref_log_probs=ref_log_probs,
            log_probs=log_probs[: len(kept)].detach().double().cpu().numpy(),
            modes=self.labels(scores.canonical, hits),
        )
        return batch, filtered, log_probs

    def _trace(self) -> Trace | None:
        """Return what saves the policy a second pass over what it draws, where that is exact."""
        settings = self.config.learner
        sampled = settings.sample_dtype
        if sampled == "auto":
            sampled = fast_dtype(self.policy.device.type)
        exact = {sampled, settings.likelihood_dtype} == {"float32"}
        return self.policy.trace() if exact and settings.batch_size <= MOST_TRACED else None

    def _log_probs(self, smiles: Sequence[str]) -> Tensor:
        """Return ``log p`` of strings, differentiable."""
        return log_probs_of(self.policy, smiles, dtype=self.config.learner.likelihood_dtype)

    def _prior_log_probs(self, smiles: Sequence[str]) -> np.ndarray:
        """Return ``log q`` of strings."""
        dtype = self.config.learner.likelihood_dtype
        return prior_log_probs(self.prior, smiles, dtype=dtype).double().cpu().numpy()

    def _chosen(self, rows: Rows) -> list[int]:
        """Return which rows enter the loss: all, or each string once."""
        if not self.config.learner.unique:
            return list(range(len(rows)))
        first: dict[str, int] = {}
        for row, one in enumerate(rows.smiles):
            first.setdefault(one, row)
        return list(first.values())

    def _log_targets(self, rows: Rows, shaped: np.ndarray) -> Tensor:
        """Return ``log t`` of rows, up to a constant, where the policy is."""
        q, r = (
            torch.from_numpy(each).to(self.policy.device, torch.float32)
            for each in (rows.ref_log_probs, shaped)
        )
        return log_targets(q, r, sigma=self.config.learner.sigma)

    def _update(self, log_probs: Tensor, wanted: Tensor) -> tuple[float, float]:
        """Take one step of the optimiser; return the loss and the norm of its gradient."""
        settings = self.config.learner
        loss = self._objective(log_probs, wanted)
        if settings.likelihood_penalty:
            loss = loss + likelihood_penalty(log_probs, weight=settings.likelihood_penalty)
        self._optimiser.zero_grad()
        loss.backward()
        limit = settings.max_gradient_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), limit)
        if math.isfinite(norm.item()):
            self._optimiser.step()
        return loss.item(), norm.item()

    def _augment(self, rows: Rows, filtered: Filtered) -> None:
        """Learn from the batch and the memory again, in other strings."""
        settings, replay = self.config.replay, self.replay
        if not settings.augmentation_rounds or replay is None:
            return
        if settings.purge and filtered.penalised:
            replay.purge(lambda name: self.filter.label(name) in filtered.penalised)
        molecules = rows.take([i for i, name in enumerate(rows.canonical) if name is not None])
        for _ in range(settings.augmentation_rounds):
            parts: list[Tensor] = []
            wanted: list[Tensor] = []
            for some in (molecules, replay.everything()):
                if some is None or not len(some):
                    continue
                strings = randomised_smiles(
                    some.smiles, vocabulary=self.policy.vocabulary, rng=self._rng
                )
                other = with_strings(some, strings, self._prior_log_probs(strings))
                parts.append(self._log_probs(strings))
                shaped = self.target.shape_again(other, remaining=self.remaining)
                wanted.append(self._log_targets(other, shaped))
            if parts:
                self._update(torch.cat(parts), torch.cat(wanted))


def _target_of(config: ChemistryConfig) -> Target:
    """Return the target of a configuration."""
    target, sigma = config.target, config.learner.sigma
    if target.name != ANCHORED_MODES:
        return ShaperTarget(
            target.name,
            sigma=sigma,
            threshold=target.threshold,
            carry=target.carry,
            parameters=target.parameters,
        )
    return AnchoredModes(
        ModeMemory(),
        sigma=sigma,
        threshold=target.threshold,
        level=target.level,
        floor=target.floor,
        pressure=Pressure(**target.pressure.model_dump()),
    )


def _replay_of(config: ChemistryConfig) -> Replay | None:
    """Return the replay memory of a configuration, None if it has none."""
    settings = config.replay
    if settings.kind == "none":
        return None
    return Replay(
        settings.kind, size=settings.size, per_mode=settings.per_mode, weights=settings.weights
    )


def _optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the moments of Adam by the number of the parameter; settings come from the config."""
    return {str(key): value for key, value in optimiser.state_dict()["state"].items()}


def _load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Put the moments back."""
    groups = optimiser.state_dict()["param_groups"]
    moments = {int(key): value for key, value in state.items()}
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
