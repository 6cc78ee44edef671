r"""How much each output that was seen stands for: inclusion probabilities, known exactly.

The log-probability of an output says how likely n draws are to show it,
:math:`\pi = 1 - (1 - s)^n` with ``s = q`` (or ``p``, for draws of the policy). A sum over all
outputs, seen or not, is therefore estimated without bias by dividing each term that was seen by its
``pi`` (Horvitz and Thompson). The sum of the probabilities themselves is known to be 1, and what
was seen of it is known too: terms are rescaled so that the unseen part comes out exactly.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.segments import Segments

__all__ = ["Inclusion"]


@dataclass(frozen=True, eq=False)
class Inclusion:
    """Inclusion probabilities of outputs, and of modes.

    Parameters
    ----------
    pi : array, shape (o,)
        Probability that the draws of its prompt show an output.
    missing : array, shape (o,)
        ``(1 - pi) / pi``: how many unseen outputs like it there are for each seen one.
    variance : array, shape (o,)
        ``(1 - pi) / pi**2``: what the square of a term adds to the variance of a sum.
    prompts : Segments
        From outputs to prompts.
    """

    pi: Float[np.ndarray, " o"]
    missing: Float[np.ndarray, " o"]
    variance: Float[np.ndarray, " o"]
    prompts: Segments

    @classmethod
    def of(cls, table: DistinctOutputs) -> "Inclusion":
        """Return the inclusion probabilities of a table of outputs.

        Parameters
        ----------
        table : DistinctOutputs
            The outputs.

        Returns
        -------
        Inclusion
            Of the same outputs.
        """
        n = table.prompts.spread(table.n_samples)
        with np.errstate(divide="ignore"):
            log_unseen = n * np.log1p(-np.exp(np.minimum(table.log_drawn, 0.0)))  # (1 - s)^n
        pi = np.maximum(-np.expm1(log_unseen), np.finfo(float).tiny)
        missing = np.exp(log_unseen) / pi
        return cls(pi, missing, missing / pi, table.prompts)

    def weights(self, log_measure: Float[np.ndarray, " o"]) -> Float[np.ndarray, " o"]:
        r"""Return how many outputs each one stands for, such that a measure comes out as 1.

        .. math:: a = 1 + c \, (1 - \pi) / \pi, \qquad \textstyle\sum a q = 1

        Parameters
        ----------
        log_measure : array, shape (o,)
            Log-probabilities of the outputs under what is known to sum to 1.

        Returns
        -------
        array, shape (o,)
            Weights >= 1. Where what was seen gives no hint of the rest, they are 1.
        """
        mass = np.exp(log_measure)
        seen, tail = self.prompts.sum(mass), self.prompts.sum(mass * self.missing)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.clip(1 - seen, 0, None) / tail
        scale = np.where(tail > 0, np.minimum(scale, 1e6), 0.0)
        return 1 + self.prompts.spread(scale) * self.missing
