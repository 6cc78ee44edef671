"""The rows that a learner works on: strings, what they earned, and how likely they are."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Integer

__all__ = ["Rows"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of n strings, fresh from the policy or replayed."""

    smiles: Sequence[str]
    """The strings as the model writes them."""
    canonical: Sequence[str | None]
    """Canonical SMILES; None where a string is no molecule."""
    rewards: Float[np.ndarray, " n"]
    """Rewards after a diversity filter, if there is one, in reward units; finite."""
    good: Bool[np.ndarray, " n"]
    """Which rewards reach the threshold: the hits."""
    ref_log_probs: Float[np.ndarray, " n"]
    """``log q`` of the strings, in nats."""
    log_probs: Float[np.ndarray, " n"]
    """``log p`` of the strings under the policy that drew them, in nats."""
    n_tokens: Integer[np.ndarray, " n"]
    """Tokens of the strings, end token included."""
    modes: Sequence[Hashable] | None = None
    """Modes of the strings, equal for equal structures; None where modes are not asked for."""
    shaped: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))
    """Rewards as they were shaped when the strings were drawn; only replayed rows have them."""

    def __len__(self) -> int:
        return len(self.smiles)

    def take(self, index: Sequence[int]) -> "Rows":
        """Return some of the rows.

        Parameters
        ----------
        index : sequence of int
            Their positions.
        """
        rows = list(index)
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return Rows(
            smiles=[self.smiles[i] for i in rows],
            canonical=[self.canonical[i] for i in rows],
            modes=None if self.modes is None else [self.modes[i] for i in rows],
            shaped=self.shaped[rows] if len(self.shaped) else self.shaped,
            **arrays,
        )


_ARRAYS = ("rewards", "good", "ref_log_probs", "log_probs", "n_tokens")
