"""The policies that a diagnosis looks at: reference, target, current policy."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from polymode.core.divergences import REVERSE_KL, Divergence, get_divergence
from polymode.core.groups import Groups
from polymode.core.optima import log_optimum
from polymode.diagnostics.diagnosis.inclusion import Inclusion
from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.rare_modes import RareModes
from polymode.diagnostics.diagnosis.sampling import Quantity, Sampling

__all__ = ["Problem", "gains_at"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Samples, and which of their outputs are good.

    Parameters
    ----------
    table : DistinctOutputs
        The outputs.
    by_reference : Sampling
        What is known about the rest under the reference.
    by_policy : Sampling or None
        Likewise under the policy; None where that is not known.
    good : array of bool, shape (o,)
        Which outputs are good.
    within_reach : array, shape (o,)
        Probability that an output is of a mode within reach: 1 or 0 where it is known.
    """

    table: DistinctOutputs
    by_reference: Sampling
    by_policy: Sampling | None
    good: Bool[np.ndarray, " o"]
    within_reach: Float[np.ndarray, " o"]

    @classmethod
    def of(cls, table: DistinctOutputs, *, threshold: float, reach: float) -> "Problem":
        """Return the problem of a table of outputs.

        Parameters
        ----------
        table : DistinctOutputs
            The outputs.
        threshold : float
            Rewards at or above it are good.
        reach : float
            Modes that the samples show with a smaller probability are out of reach.

        Returns
        -------
        Problem
            With what is known about the unseen.
        """
        inclusion = Inclusion.of(table)
        rare = None if table.by_output else _rare_modes(table, inclusion, reach)
        by_reference = Sampling.of(table, inclusion, table.log_q, rare)
        by_policy = None
        if table.log_p is not None:
            by_policy = Sampling.of(table, inclusion, table.log_p, rare)
        good = table.rewards >= threshold
        seen = inclusion.pi >= reach if rare is None else table.modes.spread(rare.within_reach)
        return cls(table, by_reference, by_policy, good, seen.astype(float))

    def with_threshold(self, threshold: float) -> "Problem":
        """Return the same samples with another threshold.

        Parameters
        ----------
        threshold : float
            Rewards at or above it are good.

        Returns
        -------
        Problem
            All else as it is.
        """
        return replace(self, good=self.table.rewards >= threshold)

    @cached_property
    def counted(self) -> Float[np.ndarray, " o"]:
        """Probability that an output is of a good mode within reach."""
        return self.good * self.within_reach

    def reference(self) -> Measure:
        """Return the reference.

        Returns
        -------
        Measure
            Its probabilities are known.
        """
        return self.known(self.by_reference, self.table.log_q)

    def policy(self) -> Measure | None:
        """Return the current policy, if it is known.

        Returns
        -------
        Measure or None
            Its probabilities.
        """
        if self.by_policy is None or self.table.log_p is None:
            return None
        return self.known(self.by_policy, self.table.log_p)

    def known(self, sampling: Sampling, log_p: Float[np.ndarray, " o"]) -> Measure:
        """Return a policy whose probabilities are known.

        Parameters
        ----------
        sampling : Sampling
            Whose weights tell what was not seen.
        log_p : array, shape (o,)
            Log-probabilities.

        Returns
        -------
        Measure
            Scaled to sum to 1.
        """
        log_share = self.table.prompts.log_softmax(log_p + sampling.log_weights)
        log_t = log_share - sampling.log_weights
        return Measure(sampling, log_t, np.exp(log_share), self.good)

    def target(self, beta: float, divergence: str | Divergence) -> Measure:
        """Return the policy that the objective asks for.

        Parameters
        ----------
        beta : float
            Strength.
        divergence : str or Divergence
            What regularises.

        Returns
        -------
        Measure
            The implied target.
        """
        sampling = self.by_reference
        log_mass = self.table.log_q + sampling.log_weights
        log_share = self.optimum(self.table.rewards, log_mass, beta, divergence)
        gains = gains_at(log_share - log_mass, divergence)
        log_t = log_share - sampling.log_weights
        return Measure(sampling, log_t, np.exp(log_share), self.good, gains)

    @cached_property
    def n_good(self) -> Quantity:
        """The number of good modes within reach, seen or not."""
        table, sampling, rare = self.table, self.by_reference, self.by_reference.rare
        if rare is None:
            each = np.exp(np.where(self.counted > 0, sampling.log_weights, -np.inf))
            return Quantity(table.prompts.sum(each), each)
        counted = (table.modes.max(self.counted) > 0).astype(float)
        each = rare.stands_for
        value = table.of_modes.sum(counted * each.value)
        chance = np.sqrt(np.clip(1 - 1 / np.maximum(each.value, 1e-12), 0.0, 1.0))
        by_shape = table.of_modes.spread(table.of_modes.sum(counted * each.slope))
        effect = counted * chance * each.value + by_shape * rare.shape_moves
        unsure = table.of_modes.sum(counted * each.unsure)
        return Quantity(value, sampling.of_counts(effect), unsure)

    @cached_property
    def error_of_number(self) -> Float[np.ndarray, " P"]:
        """Relative standard error of that number; NaN where it is 0."""
        found = self.by_reference.spread(self.n_good)
        error = np.hypot(found.error, np.linalg.norm(found.unsure, axis=0))
        return error / np.where(found.value > 0, found.value, np.nan)

    def optimum(
        self,
        rewards: Float[np.ndarray, " o"],
        log_mass: Float[np.ndarray, " o"],
        beta: float,
        divergence: str | Divergence,
    ) -> Float[np.ndarray, " o"]:
        """Return the optimum of each prompt.

        Parameters
        ----------
        rewards, log_mass : array, shape (o,)
            Rewards, and logarithms of the reference's probabilities with their weights.
        beta : float
            Strength.
        divergence : str or Divergence
            What regularises.

        Returns
        -------
        array, shape (o,)
            Logarithms of ``a t``, which sums to 1.
        """
        prompts, kind = self.table.prompts, get_divergence(divergence)
        if kind is REVERSE_KL:
            possible = log_mass > -np.inf
            best = prompts.max(np.where(possible, rewards, -np.inf))
            score = log_mass + (rewards - prompts.spread(best)) / beta
            return prompts.log_softmax(np.where(possible, score, -np.inf))
        groups = Groups(prompts.index.astype(np.intp), len(prompts))
        return log_optimum(rewards, log_mass, float(beta), kind, groups)


def _rare_modes(table: DistinctOutputs, inclusion: Inclusion, reach: float) -> RareModes:
    """Return what counts say of the modes of a table."""
    log_a = inclusion.log_weights(table.log_drawn)
    each = np.exp(table.log_drawn + log_a)
    share = table.modes.sum(each)
    variance = table.modes.sum(-np.expm1(-log_a) * each**2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        seen = table.modes.sum(np.exp(table.log_drawn))
        hidden = np.clip(np.nan_to_num(1 - seen / share), 0.0, 1.0)
        n_effective = np.clip(np.nan_to_num(share**2 / variance, nan=1.0), 1.0, 1e12)
    n = table.of_modes.spread(table.n_samples)
    shown = -np.expm1(n * np.log1p(-np.clip(share, 1e-15, 1 - 1e-15)))
    times = table.modes.sum(table.n_drawn)
    return RareModes.of(
        times,
        shown,
        hidden,
        n_effective,
        table.of_modes,
        pooled=table.pooled_shape,
        reach=reach,
    )


def gains_at(
    log_u: Float[np.ndarray, " o"], divergence: str | Divergence
) -> Float[np.ndarray, " o"] | None:
    """Return how fast ``log(t / q)`` rises with the slope, up to a factor.

    Parameters
    ----------
    log_u : array, shape (o,)
        Logarithms of ``t / q``.
    divergence : str or Divergence
        What regularises.

    Returns
    -------
    array, shape (o,), or None
        None where all are equal.
    """
    kind = get_divergence(divergence)
    if kind is REVERSE_KL or kind.curve is None:
        return None
    with np.errstate(all="ignore"):
        gains = kind.curve.gain(kind.curve.distance(log_u))
    return np.where((log_u > -np.inf) & np.isfinite(gains), gains, 0.0)
