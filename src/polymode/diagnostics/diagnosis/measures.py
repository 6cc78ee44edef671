r"""Quality and diversity of a policy from samples: each figure with what every output does to it.

A policy is given as its probabilities ``t`` of the outputs that were seen, with ``sum a t = 1``
under the weights ``a`` of `Sampling`. If the output `y` stands for relatively more, a figure ``F``
moves by

.. math:: e_y = \frac{\partial F}{\partial \log a_y} - a_y t_y D, \qquad
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
    log_t : array, shape (o,)
        Logarithms of the probabilities of the outputs.
    share : array, shape (o,)
        What each one stands for, ``a t``; sums to 1 for each prompt.
    good : array of bool, shape (o,)
        Which outputs are good.
    gains : array, shape (o,), or None
        How fast ``log(t / q)`` rises with the reward, up to a factor; None where all are equal.
    scale : array, shape (o,), or None
        Which part of the reference each one stands for, where that is not the known one: the
        reference is scaled to 1, which under other divergences than reverse KL moves the target.
    """

    sampling: Sampling
    log_t: Float[np.ndarray, " o"]
    share: Float[np.ndarray, " o"]
    good: Bool[np.ndarray, " o"]
    gains: Float[np.ndarray, " o"] | None = None
    scale: Float[np.ndarray, " o"] | None = None

    def figures(self) -> dict[str, Quantity]:
        """Return quality and diversity of each prompt.

        Returns
        -------
        dict
            Means and entropies, by name.
        """
        good = self.good.astype(float)
        return {
            "expected_reward": self.less_bias(self.mean(self.sampling.table.rewards)),
            "mass_good": self.less_bias(self.mean(good)),
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
        each = self.share * x
        return self._quantity(self.sampling.table.prompts.sum(each), each, x)

    def less_bias(self, mean: Quantity) -> Quantity:
        """Return a mean without the bias of a quotient of sums, to second order.

        Parameters
        ----------
        mean : Quantity
            As `mean` returns it.

        Returns
        -------
        Quantity
            Where outputs that stand for many were seen by luck, all probability is scaled to them:
            means lean towards them by as much as their variance.
        """
        bias = -self.sampling.table.prompts.sum(self.sampling.unseen * self.share * mean.effect)
        return mean._replace(value=mean.value - bias)

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
        prompts, scale = self.sampling.table.prompts, self._per_mass(kept)
        share = np.nan_to_num(self.share * scale)
        value = np.where(prompts.sum(share) > 0, prompts.sum(share * x), np.nan)
        pull = scale * (x - prompts.spread(value))
        return self._quantity(value, self.share * pull, pull)

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
        scale, rare = self._per_mass(kept), sampling.rare
        share = np.nan_to_num(self.share * scale)
        if rare is None:
            by_counts, unsure = 0.0, NOTHING
            surprise = np.where(share > 0, -self.log_t - _log(scale), 0.0)
            value = table.prompts.sum(share * surprise)
        else:
            of_mode = table.modes.sum(share)
            excess = rare.excess_within if within else rare.excess
            each = -_log(of_mode) + excess.value
            value = table.of_modes.sum(of_mode * each)
            surprise = table.modes.spread(each)
            by_shape = table.of_modes.spread(table.of_modes.sum(of_mode * excess.slope))
            by_counts = by_shape * rare.shape_moves + of_mode * rare.spread_of_log
            by_counts = sampling.of_counts(by_counts)
            unsure = table.of_modes.sum(of_mode * excess.unsure)
        value = np.where(table.prompts.sum(share) > 0, np.maximum(value, 0.0), np.nan)
        pull = scale * (surprise - table.prompts.spread(value))
        direct = self.share * (pull + scale if rare is None else pull)
        found = self._quantity(value, direct, pull)
        return Quantity(value, found.effect + by_counts, unsure)

    def _per_mass(self, kept: Float[np.ndarray, " o"]) -> Float[np.ndarray, " o"]:
        """Return one over the mass of those that are kept, at these; NaN where it is 0."""
        prompts = self.sampling.table.prompts
        mass = prompts.sum(kept * self.share)
        enough = mass > _LEAST
        inverse = np.where(enough, 1 / np.where(enough, mass, 1.0), np.nan)
        return kept * prompts.spread(inverse)

    def _quantity(self, value: Any, direct: Any, pull: Any) -> Quantity:
        """Return a quantity: `direct` is dF/d(log a) and `pull` dF/dt of one output."""
        prompts = self.sampling.table.prompts
        flow = self.share if self.gains is None else self.share * self.gains
        with np.errstate(invalid="ignore", divide="ignore"):
            level = np.nan_to_num(prompts.sum(flow * pull) / prompts.sum(flow))
        effect = direct - self.share * prompts.spread(level)
        if self.scale is not None and self.gains is not None:
            mean = prompts.sum(np.nan_to_num(self.share * pull))
            effect = effect + self.scale * prompts.spread(level - mean)
        return Quantity(value, effect)


def _log(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return logarithms, 0 for those of 0, which they are multiplied with."""
    return np.log(np.where(x > 0, x, 1.0))
