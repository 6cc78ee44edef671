"""The policies that a diagnosis looks at: reference, target, the same anchored, current policy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from polymode.core.divergences import REVERSE_KL, Divergence, get_divergence
from polymode.core.groups import Groups
from polymode.core.optima import log_optimum
from polymode.diagnostics.diagnosis.inclusion import Inclusion
from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.sampling import Quantity, Sampling

__all__ = ["Anchoring", "Problem"]


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
    counted : array, shape (o,)
        1 for outputs of good modes within reach, 0 for others.
    """

    table: DistinctOutputs
    by_reference: Sampling
    by_policy: Sampling | None
    good: Bool[np.ndarray, " o"]
    counted: Float[np.ndarray, " o"]

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
        by_reference = Sampling.of(table, inclusion, table.log_q)
        by_policy = None if table.log_p is None else Sampling.of(table, inclusion, table.log_p)
        good = table.rewards >= threshold
        of_modes = table.modes.spread(1 / by_reference.mode_weights)
        seen = inclusion.pi if table.by_output else of_modes
        return cls(table, by_reference, by_policy, good, (good & (seen >= reach)).astype(float))

    def reference(self) -> Measure:
        """Return the reference.

        Returns
        -------
        Measure
            Its probabilities are known.
        """
        mass = self.by_reference.total(self.by_reference.known)
        return Measure(
            self.by_reference, self.by_reference.known / self.table.prompts.spread(mass), self.good
        )

    def policy(self) -> Measure | None:
        """Return the current policy, if it is known.

        Returns
        -------
        Measure or None
            Its probabilities.
        """
        if self.by_policy is None:
            return None
        mass = self.by_policy.total(self.by_policy.known)
        return Measure(
            self.by_policy, self.by_policy.known / self.table.prompts.spread(mass), self.good
        )

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
        log_a = np.log(self.by_reference.weights)
        log_t = self.optimum(self.table.rewards, self.table.log_q + log_a, beta, divergence)
        t = np.exp(log_t - log_a)
        return Measure(self.by_reference, t, self.good, _gains(t, self, get_divergence(divergence)))

    def n_good(self) -> Quantity:
        """Return the number of good modes within reach.

        Returns
        -------
        Quantity
            Seen or not.
        """
        table, sampling = self.table, self.by_reference
        if table.by_output:
            return Quantity(sampling.total(self.counted), self.counted)
        counted = table.modes.max(self.counted)
        value = table.of_modes.sum(counted * sampling.mode_weights)
        times = table.modes.sum(table.n_drawn)
        missing = np.maximum(1 - 1 / sampling.mode_weights, 0.0)
        each = counted * np.sqrt(times * missing) * sampling.mode_weights / times
        return Quantity(value, table.modes.spread(each) * table.n_drawn / sampling.weights)

    def anchored(self, beta: float, divergence: str | Divergence) -> "Anchoring":
        """Return the target of the anchored objective.

        Parameters
        ----------
        beta : float
            Strength.
        divergence : str or Divergence
            What regularises.

        Returns
        -------
        Anchoring
            Flat over the good modes within reach.
        """
        return Anchoring.of(self, beta, divergence)

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
            best = prompts.max(np.where(log_mass > -np.inf, rewards, -np.inf))
            score = log_mass + (rewards - prompts.spread(best)) / beta
            peak = prompts.spread(prompts.max(score))
            return score - peak - np.log(prompts.spread(prompts.sum(np.exp(score - peak))))
        groups = Groups(prompts.index.astype(np.intp), len(prompts))
        return log_optimum(rewards, log_mass, float(beta), kind, groups)


@dataclass(frozen=True, eq=False)
class Anchoring:
    """The target of the anchored objective.

    Parameters
    ----------
    problem : Problem
        The samples.
    measure : Measure
        The target without anchoring, whose bad outputs keep their ratios.
    mass_good : Quantity
        Probability of the good modes within reach together.
    t : array, shape (o,)
        Probabilities of the outputs that were seen.
    """

    problem: Problem
    measure: Measure
    mass_good: Quantity
    t: Float[np.ndarray, " o"]

    @classmethod
    def of(cls, problem: Problem, beta: float, divergence: str | Divergence) -> "Anchoring":
        """Return the target with every good mode treated as if it were the anchor.

        Parameters
        ----------
        problem : Problem
            The samples.
        beta : float
            Strength.
        divergence : str or Divergence
            What regularises.

        Returns
        -------
        Anchoring
            The same as the target where there is no good mode within reach.
        """
        table, sampling = problem.table, problem.by_reference
        target = problem.target(beta, divergence)
        counted, a = problem.counted, sampling.weights
        within = counted * a * sampling.known  # of a good mode, what each output has of it
        of_mode = table.modes.sum(within)
        anchor = table.of_modes.max(of_mode)
        is_anchor = table.modes.spread(of_mode == table.of_modes.spread(anchor)) & (counted > 0)
        has = problem.table.prompts.max(counted) > 0
        best = table.prompts.max(np.where(is_anchor, table.rewards, -np.inf))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(counted > 0, within / table.modes.spread(of_mode), 0.0)
            flat = table.modes.spread(sampling.mode_weights) * share * table.prompts.spread(anchor)
            mass = np.where(counted > 0, flat, a * sampling.known * ~problem.good)
            mass = np.where(table.prompts.spread(has), mass, a * sampling.known)
            rewards = np.where(counted > 0, table.prompts.spread(best), table.rewards)
            log_t = problem.optimum(rewards, np.log(mass), beta, divergence)
        at = np.exp(log_t)
        good = table.prompts.sum(at * counted)
        n_good, bad = problem.n_good(), ~problem.good * target.t
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = good * (1 - good)
            up = np.nan_to_num(pull / n_good.value, posinf=0.0)
            down = np.nan_to_num(pull / sampling.total(bad), posinf=0.0)
        effect = table.prompts.spread(up) * n_good.effect - table.prompts.spread(down) * bad
        per_output = table.modes.spread(sampling.mode_weights) if not table.by_output else a
        t = at / np.where(counted > 0, per_output, a)
        return cls(problem, target, Quantity(good, effect), t)

    def figures(self) -> dict[str, Quantity]:
        """Return quality and diversity of each prompt.

        Returns
        -------
        dict
            Means and entropies, by name; the rewards are the true ones.
        """
        problem, spread = self.problem, self.problem.table.prompts.spread
        good, bad = self.mass_good, (~problem.good).astype(float)
        n_good = problem.n_good()
        with np.errstate(divide="ignore", invalid="ignore"):
            log_n = Quantity(
                np.where(n_good.value > 0, np.log(n_good.value), np.nan),
                n_good.effect / spread(np.where(n_good.value > 0, n_good.value, np.inf)),
            )
            odds = np.nan_to_num(np.log((1 - good.value) / good.value), posinf=0.0, neginf=0.0)
        of_good = self._reward_of_good(n_good)
        of_bad = _filled(self.measure.mean_among(problem.table.rewards, bad))
        among_bad, among_good = _filled(self.measure.entropy(bad)), _filled(log_n)
        mixing = -_xlogx(good.value) - _xlogx(1 - good.value)
        return {
            "expected_reward": _mixed(good, (of_good, of_bad), 0.0, 0.0, spread),
            "mass_good": good,
            "entropy": _mixed(good, (among_good, among_bad), mixing, odds, spread),
            "entropy_good": log_n,
        }

    def _reward_of_good(self, n_good: Quantity) -> Quantity:
        """Return the mean reward over good modes within reach, each counted once."""
        problem, table = self.problem, self.problem.table
        share = problem.counted * self.t * problem.by_reference.weights
        if not table.by_output:
            share = share * table.modes.spread(problem.by_reference.mode_weights)
            share = share / problem.by_reference.weights
        total = table.prompts.sum(share)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.nan_to_num(table.prompts.sum(share * table.rewards) / total)
            per_mode = np.nan_to_num(n_good.effect / table.prompts.spread(n_good.value))
        return Quantity(value, per_mode * (table.rewards - table.prompts.spread(value)))


def _mixed(
    good: Quantity, parts: tuple[Quantity, Quantity], mixing: Any, odds: Any, spread: Any
) -> Quantity:
    """Return what two parts make together, plus something of how they are mixed."""
    m, (first, second) = good.value, parts
    value = m * first.value + (1 - m) * second.value + mixing
    slope = first.value - second.value + odds
    effect = spread(slope) * good.effect + spread(m) * first.effect
    return Quantity(value, effect + spread(1 - m) * second.effect)


def _filled(quantity: Quantity) -> Quantity:
    """Return a quantity with 0 where there is none."""
    return Quantity(np.nan_to_num(quantity.value), np.nan_to_num(quantity.effect))


def _xlogx(x: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """Return ``x log x`` with 0 at 0."""
    return x * np.log(np.where(x > 0, x, 1.0))


def _gains(
    t: Float[np.ndarray, " o"], problem: Problem, divergence: Divergence
) -> Float[np.ndarray, " o"] | None:
    """Return how fast ``log(t / q)`` rises with the slope, up to a factor."""
    curve = divergence.curve
    if divergence is REVERSE_KL or curve is None:
        return None
    with np.errstate(all="ignore"):
        log_u = np.log(t) - np.log(problem.by_reference.known)
        gains = curve.gain(curve.distance(log_u))
    return np.where((t > 0) & np.isfinite(gains), gains, 0.0)
