"""Answer distributions of a picking task: measured on a model, promised by an objective."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from polymode.core import Divergence, anchor, optimal_policy
from polymode.errors import ArgumentError
from polymode.language.shared_prompt import score_completions, shared_generation
from polymode.language.tasks import Level, PickingTask
from polymode.metrics import entropy, total_variation


@dataclass(frozen=True)
class AnswerDistribution:
    """Probability of each answer of a task; the rest of the mass is on other completions."""

    probabilities: Mapping[str, float]
    """Answer -> probability, in the task's order."""

    @property
    def frac_valid(self) -> float:
        """Probability of an accepted answer, which is a picking task's expected reward."""
        return float(sum(self.probabilities.values()))

    @property
    def entropy(self) -> float:
        """Entropy over answers given a valid one, nats, at most `log(n_answers)`; else NaN."""
        return float(entropy(self._log_shares()))

    @property
    def frac_of_max_entropy(self) -> float:
        """`entropy` as a share of its maximum, `log(n_answers)`."""
        return self.entropy / float(np.log(len(self.probabilities)))

    @property
    def effective_answers(self) -> float:
        """Effective number of answers, `exp(entropy)` (Hill number of order 1)."""
        return float(np.exp(self.entropy))

    def total_variation(self, other: "AnswerDistribution") -> float:
        """Total variation distance over answers and the no-answer outcome, in [0, 1]."""
        return float(total_variation(self._log_outcomes(), other._log_outcomes()))

    def to_dict(self) -> dict[str, Any]:
        """Every number, ready for JSON; None for an entropy that does not exist."""
        entropies = {
            "entropy": self.entropy,
            "frac_of_max_entropy": self.frac_of_max_entropy,
            "effective_answers": self.effective_answers,
        }
        return {
            "probabilities": dict(self.probabilities),
            "frac_valid": self.frac_valid,
            **{name: None if np.isnan(value) else value for name, value in entropies.items()},
            "expected_reward": self.frac_valid,
        }

    def _log_outcomes(self) -> np.ndarray:
        return _log([*self.probabilities.values(), max(0.0, 1.0 - self.frac_valid)])

    def _log_shares(self) -> np.ndarray:
        if self.frac_valid == 0.0:
            return np.full(len(self.probabilities), np.nan)
        return _log(list(self.probabilities.values())) - np.log(self.frac_valid)


def _log(probabilities: Sequence[float]) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(probabilities, dtype=np.float64))


@dataclass(frozen=True)
class ScoredPhrasings:
    """Every accepted completion of a task with its exact log-probability under a model."""

    task: PickingTask
    log_probs: np.ndarray
    """`log q(phrasing, end of turn | prompt)` in nats, in the order of
    `task.answer_by_phrasing`."""

    def answers(self) -> AnswerDistribution:
        """Sum the phrasings of each answer."""
        return _by_answer(self.task, np.exp(self.log_probs))


def _by_answer(task: PickingTask, masses: np.ndarray) -> AnswerDistribution:
    totals = dict.fromkeys(task.answers, 0.0)
    for answer, mass in zip(task.answer_by_phrasing.values(), masses.tolist(), strict=True):
        totals[answer] += mass
    return AnswerDistribution(totals)


@torch.no_grad()
def score_phrasings(model: Any, tokenizer: Any, task: PickingTask) -> ScoredPhrasings:
    """Score every phrasing of a task exactly, in one forward pass."""
    prompt = tokenizer(task.prompt(tokenizer))["input_ids"]
    ends = tokenizer.eos_token_id
    completions = [
        [*tokenizer(text, add_special_tokens=False)["input_ids"], ends]
        for text in task.answer_by_phrasing
    ]
    scores = score_completions(model, [prompt] * len(completions), completions)
    return ScoredPhrasings(task, scores.log_probs.double().sum(1).cpu().numpy())


@torch.no_grad()
def sample_answers(
    model: Any, tokenizer: Any, task: PickingTask, *, n_samples: int, seed: int
) -> AnswerDistribution:
    """Estimate the answer distribution from `n_samples` completions."""
    prompt = tokenizer(task.prompt(tokenizer), return_tensors="pt").to(model.device)
    ids = prompt["input_ids"].repeat(n_samples, 1)
    state = (
        torch.random.get_rng_state()
    )  # `generate` draws from torch's global generator: put it back afterwards
    torch.manual_seed(seed)
    try:
        with shared_generation(model):
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=0,
                top_p=1.0,
                max_new_tokens=max_completion_tokens(tokenizer, task),
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
    finally:
        torch.random.set_rng_state(state)
    counts = dict.fromkeys(task.answers, 0)
    for row in out[:, ids.shape[1] :].tolist():
        if tokenizer.eos_token_id not in row:
            continue  # cut off before its end of turn: no answer, as in training
        text = tokenizer.decode(row, skip_special_tokens=True)
        if (answer := task.answer_of(text)) is not None:
            counts[answer] += 1
    return AnswerDistribution({a: c / n_samples for a, c in counts.items()})


def max_completion_tokens(tokenizer: Any, task: PickingTask) -> int:
    """Tokens that the longest phrasing needs, with its end of turn."""
    lengths = [
        len(tokenizer(text, add_special_tokens=False)["input_ids"])
        for text in task.answer_by_phrasing
    ]
    return max(lengths) + 1


def promised_answers(
    reference: ScoredPhrasings,
    *,
    beta: float,
    level: Level | None,
    threshold: float = 1.0,
    divergence: str | Divergence = "reverse_kl",
) -> AnswerDistribution:
    """Return the answer distribution at the optimum of the regularised objective.

    Parameters
    ----------
    reference : ScoredPhrasings
        Exact reference probabilities of the accepted completions, which have reward 1. All other
        completions have reward 0 and are one more outcome here; the optimum never changes the
        proportions inside it.
    beta : float
        KL strength in reward units per nat.
    level : {"modes", "strings"} or None
        Anchor answers, anchor single completions, or (None) do not anchor: the plain objective.
    threshold : float
        Rewards at or above it are good.
    divergence : str or Divergence
        What beta weighs. Under anchoring only both KLs have an optimum that can be told from a
        normalised reference, and others are refused.

    Raises
    ------
    ArgumentError
        If anchoring is asked for under another divergence than the two KLs.
    """
    log_q = np.append(
        reference.log_probs, _log([max(0.0, 1.0 - np.exp(reference.log_probs).sum())])
    )
    rewards = np.append(np.ones(len(reference.log_probs)), 0.0)
    if level is not None:
        keys = (
            np.array([*reference.task.answer_by_phrasing.values(), ""])
            if level == "modes"
            else None
        )
        anchored = anchor(rewards, log_q, threshold=threshold, modes=keys)
        rewards, log_q = anchored.rewards, anchored.ref_log_probs
        beta *= _scale(divergence, log_q)
    log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence)
    return _by_answer(reference.task, np.exp(log_t[:-1]))


def _scale(divergence: str | Divergence, log_q: np.ndarray) -> float:
    """Return what a substituted reference, which does not sum to 1, makes of beta.

    Under forward KL ``r + beta q / p`` with a q of mass Z is the same at ``beta Z`` with ``q / Z``;
    under reverse KL Z is a constant of the objective.
    """
    name = divergence if isinstance(divergence, str) else divergence.name
    if name == "reverse_kl":
        return 1.0
    if name == "forward_kl":
        return float(np.exp(log_q).sum())
    raise ArgumentError(f"divergence must be reverse_kl or forward_kl with anchoring, got {name!r}")
