"""Where the diversity among good modes goes: an exact decomposition, by prompt and over all."""

from typing import NamedTuple

import numpy as np

from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.overall import Averaging, exponential
from polymode.diagnostics.diagnosis.report import Budget
from polymode.diagnostics.diagnosis.sampling import Quantity, Spread
from polymode.diagnostics.diagnosis.targets import Problem
from polymode.metrics.intervals import Estimate

__all__ = ["Parts", "budget_of_prompts", "budget_overall", "budget_parts", "lost"]

_TWO = 1.5  # estimated good modes from which on there are two


class Parts(NamedTuple):
    """The terms of the budget of each prompt, in nats; NaN where there is nothing to lose.

    Parameters
    ----------
    ceiling, reference_bias, reward_gaps : Spread
        The good modes within reach, and what the target loses of their diversity.
    optimiser : Spread or None
        What the policy loses against the target; None without a policy.
    left : Spread
        What is left of the diversity.
    lost : Spread
        What the target loses: reference bias and reward gaps together.
    difference : Spread
        Reward gaps less reference bias.
    entropy : Spread
        Of the target over the good modes within reach.
    """

    ceiling: Spread
    reference_bias: Spread
    reward_gaps: Spread
    optimiser: Spread | None
    left: Spread
    lost: Spread
    difference: Spread
    entropy: Spread


def lost(problem: Problem, target: Measure) -> Quantity:
    """Return the log-diversity among good modes within reach that a target loses.

    Parameters
    ----------
    problem : Problem
        The samples.
    target : Measure
        The target.

    Returns
    -------
    Quantity
        In nats; NaN where fewer than two good modes are within reach.
    """
    return _sum((1, _log_number(problem)), (-1, target.entropy(problem.counted, within=True)))


def budget_parts(problem: Problem, target: Measure) -> Parts:
    """Return the budget of each prompt.

    Parameters
    ----------
    problem : Problem
        The samples.
    target : Measure
        What the objective asks for.

    Returns
    -------
    Parts
        Terms with their errors.
    """
    ceiling = _log_number(problem)
    of_reference = problem.reference().entropy(problem.counted, within=True)
    of_target = target.entropy(problem.counted, within=True)
    of_policy, table = None, problem.table
    if table.log_p is not None:
        known = problem.known(problem.by_reference, table.log_p)
        of_policy = known.entropy(problem.counted, within=True)
    spread = problem.by_reference.spread
    here = 0 * ceiling.value  # NaN where there is nothing to lose

    def part(*terms: tuple[int, Quantity]) -> Spread:
        found = _sum(*terms)
        return spread(found._replace(value=found.value + here))

    return Parts(
        ceiling=part((1, ceiling)),
        reference_bias=part((1, ceiling), (-1, of_reference)),
        reward_gaps=part((1, of_reference), (-1, of_target)),
        optimiser=None if of_policy is None else part((1, of_target), (-1, of_policy)),
        left=part((1, of_target if of_policy is None else of_policy)),
        lost=part((1, ceiling), (-1, of_target)),
        difference=part((2, of_reference), (-1, of_target), (-1, ceiling)),
        entropy=part((1, of_target)),
    )


def budget_of_prompts(parts: Parts, *, level: float, n: np.ndarray) -> Budget:
    """Return the budget of each prompt as estimates.

    Parameters
    ----------
    parts : Parts
        The terms.
    level : float
        Probability of the intervals.
    n : array of int, shape (P,)
        Numbers of samples.

    Returns
    -------
    Budget
        With estimates of shape (P,).
    """
    found = {
        name: getattr(parts, name).estimate(level=level, n=n)
        for name in (*_TERMS, "lost")
        if getattr(parts, name) is not None
    }
    return _budget(found, int((~np.isnan(parts.ceiling.value)).sum()))


def budget_overall(parts: Parts, averaging: Averaging) -> tuple[Budget, dict[str, Estimate]]:
    """Return the budget over all prompts that have one.

    Parameters
    ----------
    parts : Parts
        The terms of each prompt.
    averaging : Averaging
        How means get their intervals.

    Returns
    -------
    budget : Budget
        With estimates of floats.
    means : dict
        The mean of each of `Parts` that there is.
    """
    spreads = {name: part for name, part in parts._asdict().items() if part is not None}
    found = averaging.means(spreads)
    return _budget(found, int((~np.isnan(parts.ceiling.value)).sum())), found


_TERMS = ("ceiling", "reference_bias", "reward_gaps", "optimiser", "left")


def _budget(found: dict[str, Estimate], n_prompts: int) -> Budget:
    """Return a budget of estimates."""
    loss = found["lost"]
    minus = Estimate(-loss.value, loss.standard_error, -loss.high, -loss.low, loss.n)
    terms = {name: found.get(name) for name in _TERMS}
    return Budget(
        n_good_modes=exponential(found["ceiling"]),
        kept=exponential(minus),
        n_prompts=n_prompts,
        **terms,  # pyright: ignore[reportArgumentType] - only the optimiser's may be None
    )


def _log_number(problem: Problem) -> Quantity:
    """Return the logarithm of the number of good modes within reach; NaN for fewer than two."""
    number = problem.n_good
    value = np.where(number.value >= _TWO, number.value, np.nan)
    effect = number.effect / problem.table.prompts.spread(value)
    return Quantity(np.log(value), np.nan_to_num(effect), np.nan_to_num(number.unsure / value))


def _sum(*terms: tuple[int, Quantity]) -> Quantity:
    """Return a linear combination of quantities."""
    value = sum(sign * term.value for sign, term in terms)
    effect = sum(sign * np.nan_to_num(term.effect) for sign, term in terms)
    unsure = sum(sign * np.nan_to_num(term.unsure) for sign, term in terms)
    return Quantity(value, effect, unsure)  # pyright: ignore[reportArgumentType] - sums of arrays
