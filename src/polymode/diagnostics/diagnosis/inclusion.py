r"""How much each output that was seen stands for: inclusion probabilities, known exactly.

The log-probability of an output says how likely n draws are to show it,
:math:`\pi = 1 - (1 - s)^n` with ``s = q`` (or ``p``, for draws of the policy). A sum over all
outputs, seen or not, is therefore estimated without bias by dividing each term that was seen by its
``pi`` (Horvitz and Thompson). The sum of the probabilities themselves is known to be 1, and what
was seen of it is known too: terms are rescaled so that the unseen part comes out exactly. All in
logarithms: an output of a thousand tokens has a probability that no float can hold.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.segments import Segments

__all__ = ["Inclusion"]

_FEW = 1e-8  # inclusion probability below which it is n times the probability of one draw
_MOST = np.log(1e6)  # of the scale: where hardly anything speaks for the rest


@dataclass(frozen=True, eq=False)
class Inclusion:
    """Inclusion probabilities of outputs.

    Parameters
    ----------
    pi : array, shape (o,)
        Probability that the draws of its prompt show an output.
    log_missing : array, shape (o,)
        Logarithm of ``(1 - pi) / pi``: how many unseen outputs like it there are for each seen one.
    prompts : Segments
        From outputs to prompts.
    """

    pi: Float[np.ndarray, " o"]
    log_missing: Float[np.ndarray, " o"]
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
        log_s = np.minimum(table.log_drawn, 0.0)
        with np.errstate(divide="ignore"):
            log_unseen = n * np.log1p(-np.exp(log_s))  # (1 - s)^n
            pi = -np.expm1(log_unseen)
            log_pi = np.where(pi > _FEW, np.log(pi), np.log(n) + log_s)
        return cls(pi, log_unseen - log_pi, table.prompts)

    def log_weights(self, log_measure: Float[np.ndarray, " o"]) -> Float[np.ndarray, " o"]:
        r"""Return how many outputs each one stands for, such that a measure comes out as 1.

        .. math:: a = 1 + c \, (1 - \pi) / \pi, \qquad \textstyle\sum a q = 1

        Parameters
        ----------
        log_measure : array, shape (o,)
            Log-probabilities of the outputs under what is known to sum to 1.

        Returns
        -------
        array, shape (o,)
            Logarithms of weights >= 1. Where what was seen gives no hint of the rest, they are 0.
        """
        unseen = np.maximum(1 - self.prompts.sum(np.exp(log_measure)), 0.0)
        log_tail = self.prompts.log_sum_exp(log_measure + self.log_missing)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_scale = np.where(log_tail > -np.inf, np.log(unseen) - log_tail, -np.inf)
        log_scale = np.minimum(log_scale, _MOST)
        return np.logaddexp(0.0, self.prompts.spread(log_scale) + self.log_missing)
