"""One batch: strings drawn from the policy, scored, and put side by side with their likelihoods."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from polymode.chemistry.learner.rows import Rows
from polymode.chemistry.models import SmilesModel, SmilesSample, log_likelihood
from polymode.chemistry.oracles import Scores

__all__ = ["Batch", "prior_log_probs"]


@dataclass(frozen=True, eq=False)
class Batch:
    """All that is known of the strings of one step, in the order in which they were drawn."""

    sample: SmilesSample
    """The strings."""
    scores: Scores
    """What the oracle says."""
    rewards: Float[np.ndarray, " n"]
    """Rewards after the diversity filter; NaN where there is none."""
    hits: Bool[np.ndarray, " n"]
    """Which of the oracle's rewards reach the threshold."""
    good: Bool[np.ndarray, " n"]
    """Which of these still do after the filter: what the target takes for hits."""
    kept: Bool[np.ndarray, " n"]
    """What is learned from: strings that ended by themselves and have a reward."""
    ref_log_probs: Float[np.ndarray, " n"]
    """``log q``, in nats."""
    log_probs: Float[np.ndarray, " n"]
    """``log p`` before the step, in float32 exactly, in nats."""
    modes: Sequence[object] | None
    """Labels, or None without modes."""

    def rows(self) -> Rows:
        """Return the strings that are learned from."""
        kept = np.flatnonzero(self.kept).tolist()
        return Rows(
            smiles=[self.sample.smiles[i] for i in kept],
            canonical=[self.scores.canonical[i] for i in kept],
            rewards=self.rewards[kept],
            good=self.good[kept],
            ref_log_probs=self.ref_log_probs[kept],
            log_probs=self.log_probs[kept],
            n_tokens=self.sample.n_tokens.cpu().numpy()[kept],
            modes=None if self.modes is None else [self.modes[i] for i in kept],
        )


@torch.no_grad()
def prior_log_probs(prior: SmilesModel, smiles: Sequence[str]) -> Tensor:
    """Return ``log q`` of strings, each different one computed once.

    Parameters
    ----------
    prior : SmilesModel
        The prior.
    smiles : sequence of str, length n
        The strings.

    Returns
    -------
    Tensor, shape (n,)
        In nats, without gradient.
    """
    numbers: dict[str, int] = {}
    index = [numbers.setdefault(one, len(numbers)) for one in smiles]
    return log_likelihood(prior, list(numbers))[index]
