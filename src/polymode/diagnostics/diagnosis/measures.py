r"""Quality and diversity of a policy from samples: each figure with what every output does to it.

A policy is given as its probabilities ``t`` of the outputs that were seen, with ``sum a t = 1``
under the weights ``a`` of `Sampling`. One more output like `y` moves a figure ``F`` by

.. math:: e_y = \frac{\partial F}{\partial a_y} - t_y D, \qquad
    D = \frac{\sum a t g \, \partial F / \partial t}{\sum a t g}

where ``D`` is due to the multiplier: the mass that it takes is taken from all others, in proportion
to ``t g`` with the gains ``g = d log(t / q) / ds``. Under reverse KL all gains are 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from polymode.diagnostics.diagnosis.sampling import NOTHING, Quantity, Sampling

__all__ = ["Measure"]

_LEAST = 1e-280  # mass below which shares of it lose their digits: it counts as none


@dataclass(frozen=True, eq=False)
class Measure:
    """A policy on the outputs that were seen.

    Parameters
    ----------
    sampling : Sampling
        What was drawn.
    t : array, shape (o,)
        Probabilities of the outputs; ``sum a t = 1`` for each prompt.
    good : array of bool, shape (o,)
        Which outputs are good.
    gains : array, shape (o,), or None
        How fast ``log(t / q)`` rises with the reward, up to a factor; None where all are equal.
    """

    sampling: Sampling
    t: Float[np.ndarray, " o"]
    good: Bool[np.ndarray, " o"]
    gains: Float[np.ndarray, " o"] | None = None

    def figures(self) -> dict[str, Quantity]:
        """Return quality and diversity of each prompt.

        Returns
        -------
        dict
            Means and entropies, by name.
        """
        good = self.good.astype(float)
        return {
            "expected_reward": self.mean(self.sampling.table.rewards),
            "mass_good": self.mean(good),
            "entropy": self.entropy(np.ones_like(good)),
            "entropy_good": self.entropy(good),
        }

    def mean(self, x: Float[np.ndarray, " o"]) -> Quantity:
        """Return the mean of something under the policy.

        Parameters
        ----------
        x : array, shape (o,)
            What is averaged.

        Returns
        -------
        Quantity
            Its means.
        """
        return self._quantity(self.sampling.total(self.t * x), self.t * x, x)

    def mean_among(self, x: Float[np.ndarray, " o"], kept: Float[np.ndarray, " o"]) -> Quantity:
        """Return the mean of something under the policy among some of the outputs.

        Parameters
        ----------
        x : array, shape (o,)
            What is averaged.
        kept : array, shape (o,)
            1 for those that count, 0 for others.

        Returns
        -------
        Quantity
            NaN where none counts.
        """
        share = self._share(kept)
        value = self.sampling.total(share * x)
        value = np.where(self.sampling.total(share) > 0, value, np.nan)
        rest = x - self.sampling.table.prompts.spread(value)
        pull = self._per_mass(kept) * rest
        return self._quantity(value, self.t * pull, pull)

    def entropy(self, kept: Float[np.ndarray, " o"], *, within: bool = False) -> Quantity:
        """Return the entropy over modes among some of the outputs, relative to their sum.

        Parameters
        ----------
        kept : array, shape (o,)
            1 for those that count, 0 for others.
        within : bool
            Whether they count for being within reach; of modes, with that probability.

        Returns
        -------
        Quantity
            In nats, unseen modes counted in; NaN where none counts.
        """
        sampling, table = self.sampling, self.sampling.table
        share, scale = self._share(kept), self._per_mass(kept)
        if sampling.rare is None:
            surprise, by_counts, unsure = -_log(share), 0.0, NOTHING
            value = sampling.total(share * surprise)
        else:
            of_mode = table.modes.sum(sampling.weights * share)
            rare = sampling.rare
            excess = rare.excess_within if within else rare.excess
            each = -_log(of_mode) + excess.value
            value = table.of_modes.sum(of_mode * each)
            surprise = table.modes.spread(each)
            by_shape = table.of_modes.spread(table.of_modes.sum(of_mode * excess.slope))
            by_counts = by_shape * rare.shape_moves + of_mode * rare.spread_of_log
            by_counts = sampling.of_counts(by_counts)
            unsure = table.of_modes.sum(of_mode * excess.unsure)
        value = np.where(sampling.total(share) > 0, np.maximum(value, 0.0), np.nan)
        pull = scale * (surprise - table.prompts.spread(value))
        direct = self.t * pull if sampling.rare else self.t * (pull + scale)
        found = self._quantity(value, direct, pull)
        return Quantity(value, found.effect + by_counts, unsure)

    def _share(self, kept: Float[np.ndarray, " o"]) -> Float[np.ndarray, " o"]:
        """Return the policy among some of the outputs, 0 where none counts."""
        return np.nan_to_num(kept * self.t * self._per_mass(kept), nan=0.0)

    def _per_mass(self, kept: Float[np.ndarray, " o"]) -> Float[np.ndarray, " o"]:
        """Return one over the mass of those that are kept, at these; NaN where it is 0."""
        mass = self.sampling.total(kept * self.t)
        enough = mass > _LEAST
        inverse = np.where(enough, 1 / np.where(enough, mass, 1.0), np.nan)
        return kept * self.sampling.table.prompts.spread(inverse)

    def _quantity(self, value: Any, direct: Any, pull: Any) -> Quantity:
        """Return a quantity: `direct` is dF/da and `pull` dF/dt of one output."""
        flow = self.t if self.gains is None else self.t * self.gains
        level = self.sampling.total(flow * pull) / self.sampling.total(flow)
        return Quantity(value, direct - self.t * self.sampling.table.prompts.spread(level))


def _log(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return logarithms, 0 for those of 0, which they are multiplied with."""
    return np.log(np.where(x > 0, x, 1.0))
