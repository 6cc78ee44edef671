r"""From what the draws of a prompt have shown to sums over everything, with standard errors.

A sum over all outputs is estimated by a weighted sum over those that were seen, ``sum a x``. Its
error, and that of any smooth function ``F`` of such sums, follows from how much each output moves
it, beyond what its known probability ``q`` explains:

.. math::

    \operatorname{Var} F \approx \sum_y (1 - 1 / a_y) (e_y - B a_y q_y)^2, \qquad
    e_y = \frac{\partial F}{\partial \log a_y}

Outputs that are sure to be seen have ``a = 1`` and no error. Only products like ``a q`` are ever
formed: of long outputs ``a`` is beyond any float, and ``q`` below. Where few outputs make all the
error, that is itself uncertain: intervals take Student's t with as many degrees of freedom.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.diagnosis.inclusion import Inclusion
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.rare_modes import RareModes
from polymode.metrics.intervals import Estimate

__all__ = ["NOTHING", "Quantity", "Sampling", "Spread"]

NOTHING = np.zeros((2, 1))
"""Of a quantity that no guess is in."""

_MOST_FREEDOM = 1e6  # degrees of freedom beyond which Student's t is the normal distribution


class Quantity(NamedTuple):
    """A figure of each prompt, and how it moves if an output stands for relatively more.

    Parameters
    ----------
    value : array, shape (P,)
        The figure.
    effect : array, shape (o,)
        What it gains if the output stands for relatively more.
    unsure : array, shape (2, P)
        What no number of prompts makes smaller; see `rare_modes.Guess`.
    """

    value: Float[Any, " P"]
    effect: Float[Any, " o"]
    unsure: Float[Any, "2 P"] = NOTHING


class Spread(NamedTuple):
    """A figure of each prompt with its standard error, and the degrees of freedom of that.

    Parameters
    ----------
    value, error, freedom : array, shape (P,)
        Figure, standard error and degrees of freedom.
    unsure : array, shape (2, P)
        Errors that all prompts share, with their signs.
    """

    value: Float[Any, " P"]
    error: Float[Any, " P"]
    freedom: Float[Any, " P"]
    unsure: Float[Any, "2 P"] = NOTHING

    def estimate(
        self, *, level: float, n: Any, least: float = -np.inf, largest: float = np.inf
    ) -> Estimate:
        """Return estimates with intervals.

        Parameters
        ----------
        level : float
            Probability of the intervals.
        n : array of int, shape (P,)
            Numbers of samples.
        least, largest : float
            Where the figure must lie; intervals end there.

        Returns
        -------
        Estimate
            Of each prompt.
        """
        from scipy.special import ndtri, stdtrit

        by_chance = self.error * stdtrit(self.freedom, (1 + level) / 2)
        shared = np.linalg.norm(self.unsure, axis=0)
        reach = np.hypot(by_chance, shared * ndtri((1 + level) / 2))
        error = np.hypot(self.error, shared)
        low, high = np.maximum(self.value - reach, least), np.minimum(self.value + reach, largest)
        return Estimate(self.value, error, low, high, n)


@dataclass(frozen=True, eq=False)
class Sampling:
    """What was drawn, and what is known about the rest.

    Parameters
    ----------
    table : DistinctOutputs
        The outputs.
    log_known : array, shape (o,)
        Logarithms of probabilities that sum to 1 over all outputs, seen or not: those of the
        reference, or of the policy for what is about the policy.
    log_weights : array, shape (o,)
        How many outputs each one stands for; see `Inclusion.log_weights`.
    share : array, shape (o,)
        The probability that each one stands for, ``a q``; sums to 1.
    unseen : array, shape (o,)
        Which part of that is on outputs that were not seen, ``1 - 1 / a``.
    seen : array, shape (P,)
        Probability of what was seen.
    rare : RareModes or None
        What counts say of modes; None where modes are outputs, whose probabilities are known.
    """

    table: DistinctOutputs
    log_known: Float[np.ndarray, " o"]
    log_weights: Float[np.ndarray, " o"]
    share: Float[np.ndarray, " o"]
    unseen: Float[np.ndarray, " o"]
    seen: Float[np.ndarray, " P"]
    rare: RareModes | None

    @classmethod
    def of(
        cls,
        table: DistinctOutputs,
        inclusion: Inclusion,
        log_known: Float[np.ndarray, " o"],
        rare: RareModes | None,
    ) -> "Sampling":
        """Return the sampling with its weights.

        Parameters
        ----------
        table : DistinctOutputs
            The outputs.
        inclusion : Inclusion
            How likely they were to be seen.
        log_known : array, shape (o,)
            Log-probabilities of what is known to sum to 1.
        rare : RareModes or None
            What counts say of modes.

        Returns
        -------
        Sampling
            Ready for measures.
        """
        log_a = inclusion.log_weights(log_known)
        seen = table.prompts.sum(np.exp(log_known))
        share, unseen = np.exp(log_known + log_a), -np.expm1(-log_a)
        return cls(table, log_known, log_a, share, unseen, seen, rare)

    def spread(self, quantity: Quantity) -> Spread:
        """Return a quantity with its standard error.

        Parameters
        ----------
        quantity : Quantity
            Values and effects.

        Returns
        -------
        Spread
            Of each prompt.

        Notes
        -----
        One imagined draw is added to those that speak for the unseen, whose effect is the largest
        of any output that was seen: it stands for what k draws may have missed, and its share falls
        as ``1 / k**2``.
        """
        prompts, share, effect = self.table.prompts, self.share, quantity.effect
        tail = prompts.sum(share * self.unseen)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.where(tail > 0, prompts.sum(effect * self.unseen) / tail, 0.0)
            rate = np.where(share > 0, effect / share - prompts.spread(slope), 0.0)
        terms = self.unseen * (rate * share) ** 2
        variance, squares = prompts.sum(terms), prompts.sum(terms * terms)
        lacking = np.maximum(1 - self.seen, 0.0)
        imagined = lacking * prompts.max(np.abs(rate)) / (self._n_for_unseen() + 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            freedom = np.where(squares > 0, variance**2 / squares, _MOST_FREEDOM)
        freedom = np.clip(np.nan_to_num(freedom, nan=1.0), 1.0, _MOST_FREEDOM)
        error = np.sqrt(variance + imagined**2)
        error = np.where(np.isnan(quantity.value), np.nan, error)
        unsure = np.broadcast_to(quantity.unsure, (2, len(error)))
        return Spread(quantity.value, error, freedom, unsure)

    def of_counts(self, per_mode: Float[np.ndarray, " m"]) -> Float[np.ndarray, " o"]:
        """Return the effects of outputs on something that moves with the number of modes.

        Parameters
        ----------
        per_mode : array, shape (m,)
            How much one more mode like each of those seen moves it.

        Returns
        -------
        array, shape (o,)
            Effects that give the variance of independent numbers of modes.
        """
        table = self.table
        each = per_mode / np.sqrt(table.modes.sum(table.n_drawn))
        return table.modes.spread(each) * table.n_drawn

    def _n_for_unseen(self) -> Float[np.ndarray, " P"]:
        """Return how many draws, effectively, speak for the part that was not seen; 0 for none."""
        part = self.unseen * self.share
        total, squares = self.table.prompts.sum(part), self.table.prompts.sum(part * part)
        return np.where(squares > 0, total**2 / np.where(squares > 0, squares, 1.0), 0.0)
