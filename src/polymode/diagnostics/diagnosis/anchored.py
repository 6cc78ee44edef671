"""The target of the anchored objective: flat over the good modes within reach."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from polymode.core.divergences import Divergence
from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.sampling import Quantity
from polymode.diagnostics.diagnosis.targets import Problem, gains_at

__all__ = ["Anchoring"]


@dataclass(frozen=True, eq=False)
class Anchoring:
    """The target of the anchored objective.

    Parameters
    ----------
    problem : Problem
        The samples.
    measure : Measure
        The anchored target, as if the weights of the reference were those of its outputs: what it
        says of bad ones holds.
    has : array of bool, shape (P,)
        Which prompts have a good mode within reach; in others nothing is anchored.
    kept : array of bool, shape (o,)
        Outputs of good modes within reach.
    at : array, shape (o,)
        What each output stands for: sums to 1 for each prompt.
    log_t : array, shape (o,)
        Logarithms of the probabilities of the outputs that were seen.
    """

    problem: Problem
    measure: Measure
    has: Bool[np.ndarray, " P"]
    kept: Bool[np.ndarray, " o"]
    at: Float[np.ndarray, " o"]
    log_t: Float[np.ndarray, " o"]

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
        kept, log_a = problem.counted > 0, sampling.log_weights
        has = table.prompts.max(kept.astype(float)) > 0
        if sampling.rare is None:  # each output stands for modes like it, itself one of them
            more, number = np.ones_like(log_a), np.exp(np.where(kept, log_a, 0.0))
        else:
            more = number = table.modes.spread(sampling.rare.stands_for.value)
        mass, rewards = _substituted(problem, kept, number)
        mass = np.where(table.prompts.spread(has), mass, sampling.share)
        scale = mass / table.prompts.spread(table.prompts.sum(mass))
        with np.errstate(divide="ignore"):
            log_mass = np.log(scale)
        log_at = problem.optimum(rewards, log_mass, beta, divergence)
        at = np.exp(log_at)
        with np.errstate(invalid="ignore"):
            gains = gains_at(np.where(scale > 0, log_at - log_mass, -np.inf), divergence)
        measure = Measure(sampling, log_at - log_a, at, problem.good, gains, scale)
        with np.errstate(divide="ignore"):
            log_t = log_at - log_a - np.where(kept, np.log(more), 0.0)
        return cls(problem, measure, has, kept, at, log_t)

    def figures(self) -> dict[str, Quantity]:
        """Return quality and diversity of each prompt.

        Returns
        -------
        dict
            Means and entropies, by name; the rewards are the true ones.
        """
        problem, spread = self.problem, self.problem.table.prompts.spread
        good, bad = self._mass_good(), (~problem.good).astype(float)
        n_good = problem.n_good
        with np.errstate(divide="ignore", invalid="ignore"):
            log_n = Quantity(
                np.where(n_good.value > 0, np.log(n_good.value), np.nan),
                n_good.effect / spread(np.where(n_good.value > 0, n_good.value, np.inf)),
                np.nan_to_num(n_good.unsure / n_good.value),
            )
            odds = np.nan_to_num(np.log((1 - good.value) / good.value), posinf=0.0, neginf=0.0)
        of_bad = _filled(self.measure.mean_among(problem.table.rewards, bad))
        among_bad, among_good = _filled(self.measure.entropy(bad)), _filled(log_n)
        mixing = -_xlogx(good.value) - _xlogx(1 - good.value)
        found = {
            "expected_reward": _mixed(good, (self._reward_of_good(n_good), of_bad), 0, 0, spread),
            "mass_good": good,
            "entropy": _mixed(good, (among_good, among_bad), mixing, odds, spread),
            "entropy_good": log_n,
        }
        if self.has.all():
            return found
        plain = self.measure.figures()
        return {name: self._where_has(found[name], plain[name]) for name in found}

    def _where_has(self, anchored: Quantity, plain: Quantity) -> Quantity:
        """Return the one where something is anchored, the other one elsewhere."""
        here = self.problem.table.prompts.spread(self.has)
        return Quantity(
            np.where(self.has, anchored.value, plain.value),
            np.where(here, anchored.effect, plain.effect),
            np.where(self.has, anchored.unsure, plain.unsure),
        )

    def _mass_good(self) -> Quantity:
        """Return the probability of the good modes within reach together."""
        prompts, n_good = self.problem.table.prompts, self.problem.n_good
        gains, scale = self.measure.gains, self.measure.scale
        flow = self.at if gains is None else self.at * gains
        good = prompts.sum(self.at * self.kept)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.nan_to_num(prompts.sum(flow * self.kept) / prompts.sum(flow))
            up = good * (1 - share)
            taken = prompts.spread(share) * self.at
            if gains is not None and scale is not None:  # the substituted reference is scaled to 1
                up = up + prompts.sum(scale * self.kept) * (share - good)
                taken = taken - scale * prompts.spread(share - good)
            up = np.nan_to_num(up / n_good.value, posinf=0.0, neginf=0.0)
        taken = taken * ~self.problem.good
        return Quantity(good, prompts.spread(up) * n_good.effect - taken, up * n_good.unsure)

    def _reward_of_good(self, n_good: Quantity) -> Quantity:
        """Return the mean reward over good modes within reach, each counted once."""
        table = self.problem.table
        share = self.at * self.kept
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.nan_to_num(
                table.prompts.sum(share * table.rewards) / table.prompts.sum(share)
            )
            per_mode = np.nan_to_num(n_good.effect / table.prompts.spread(n_good.value))
        return Quantity(value, per_mode * (table.rewards - table.prompts.spread(value)))


def _substituted(
    problem: Problem, kept: Bool[np.ndarray, " o"], number: Float[np.ndarray, " o"]
) -> tuple[Float[np.ndarray, " o"], Float[np.ndarray, " o"]]:
    """Return probabilities and rewards with those of the anchor at every good mode within reach."""
    table, sampling = problem.table, problem.by_reference
    own = sampling.share
    of_mode = np.exp(table.log_q) * kept  # known where modes are outputs, else estimated
    if sampling.rare is not None:
        of_mode = table.modes.sum(kept * own)
    anchor = table.of_modes.max(of_mode)
    is_anchor = table.modes.spread(of_mode == table.of_modes.spread(anchor)) & kept
    best = table.prompts.max(np.where(is_anchor, table.rewards, -np.inf))
    with np.errstate(divide="ignore", invalid="ignore"):
        within = 1.0 if sampling.rare is None else own / table.modes.spread(of_mode)
        flat = number * within * table.prompts.spread(anchor)
    mass = np.where(kept, flat, own * ~problem.good)
    return mass, np.where(kept, table.prompts.spread(best), table.rewards)


def _mixed(
    good: Quantity, parts: tuple[Quantity, Quantity], mixing: Any, odds: Any, spread: Any
) -> Quantity:
    """Return what two parts make together, plus something of how they are mixed."""
    m, (first, second) = good.value, parts
    value = m * first.value + (1 - m) * second.value + mixing
    slope = first.value - second.value + odds
    effect = spread(slope) * good.effect + spread(m) * first.effect
    unsure = slope * good.unsure + m * first.unsure + (1 - m) * second.unsure
    return Quantity(value, effect + spread(1 - m) * second.effect, unsure)


def _filled(quantity: Quantity) -> Quantity:
    """Return a quantity with 0 where there is none."""
    return Quantity(*(np.nan_to_num(part) for part in quantity))


def _xlogx(x: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """Return ``x log x`` with 0 at 0."""
    return x * np.log(np.where(x > 0, x, 1.0))
