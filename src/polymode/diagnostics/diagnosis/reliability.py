"""How far samples can be trusted: effective sample size, Pareto's k, coverage."""

import numpy as np
from jaxtyping import Bool, Float

from polymode.core.divergences import REVERSE_KL, Divergence, get_divergence
from polymode.core.groups import Groups
from polymode.core.optima import log_optimum
from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.report import Reliability
from polymode.diagnostics.diagnosis.settings import DiagnosisSettings, VerdictLimits
from polymode.diagnostics.diagnosis.targets import Problem
from polymode.errors import MissingExtraError

__all__ = ["reliability", "reliable_about", "share_trusted"]

_SETTLED = 0.01  # share of a target that was not seen below which nothing rests on weights
_ROUNDING = 1e-9  # sums of probabilities that differ by less are one
_TAIL = 5  # fewest weights to which a tail can be fitted


def reliability(problem: Problem, target: Measure, settings: DiagnosisSettings) -> Reliability:
    """Return how far the samples of each prompt can be trusted.

    Parameters
    ----------
    problem : Problem
        The samples.
    target : Measure
        What the objective asks for.
    settings : DiagnosisSettings
        The objective, and what is enough.

    Returns
    -------
    Reliability
        Of each prompt; reasons that no prompt has are not left out.

    Raises
    ------
    MissingExtraError
        If arviz-stats is not installed.
    """
    table = problem.table
    once = (table.modes.sum(table.n_drawn) == 1).astype(float)
    seen = np.minimum(table.prompts.sum(np.exp(target.log_t)), 1.0)
    ess, target_coverage = _effective(problem, target), _coverage(problem, target)
    pareto_k = _tail_shapes(target.log_t - table.log_drawn, problem)
    reasons = _doubts(problem, target, float(settings.beta), settings.divergence, settings.limits)
    tail = f"weights with a heavy tail (Pareto k above {settings.limits.pareto_k:g})"
    reasons[tail] = (seen <= 1 - _SETTLED) & (pareto_k > settings.limits.pareto_k)
    bad = np.any(list(reasons.values()), axis=0)
    return Reliability(
        ess=ess,
        pareto_k=pareto_k,
        coverage=1 - table.of_modes.sum(once) / table.n_samples,
        target_coverage=target_coverage,
        seen_mass=np.minimum(problem.by_reference.seen, 1.0),
        reliable=~bad,
        reasons={name: int(found.sum()) for name, found in reasons.items()},
    )


def reliable_about(
    problem: Problem,
    target: Measure,
    beta: float,
    divergence: str | Divergence,
    limits: VerdictLimits,
) -> Bool[np.ndarray, " P"]:
    """Return which prompts can be trusted about another objective.

    Parameters
    ----------
    problem : Problem
        The samples.
    target : Measure
        What the other objective asks for.
    beta : float
        Its strength.
    divergence : str or Divergence
        What regularises it.
    limits : VerdictLimits
        What is enough.

    Returns
    -------
    array of bool, shape (P,)
        Pareto's k, which takes a fit for each prompt, is left out: it could only make them fewer.
    """
    return ~np.any(list(_doubts(problem, target, beta, divergence, limits).values()), axis=0)


def share_trusted(reliable: Bool[np.ndarray, " P"], has_good: Bool[np.ndarray, " P"]) -> float:
    """Return which share of the prompts with a good output are reliable.

    Parameters
    ----------
    reliable : array of bool, shape (P,)
        Which prompts are.
    has_good : array of bool, shape (P,)
        Which have a good output.

    Returns
    -------
    float
        Over all prompts where none has a good output.
    """
    return float(reliable[has_good].mean() if has_good.any() else reliable.mean())


def _doubts(
    problem: Problem,
    target: Measure,
    beta: float,
    divergence: str | Divergence,
    limits: VerdictLimits,
) -> dict[str, Bool[np.ndarray, " P"]]:
    """Return why prompts cannot be trusted: which ones, by reason."""
    hidden = _hidden_best(problem, beta, divergence)
    reasons = {
        f"fewer than {limits.ess:g} effective samples": _effective(problem, target) < limits.ess,
        f"an output as good as the best of all prompts, not seen here, would take more than "
        f"{1 - limits.coverage:.0%} of the target": hidden > 1 - limits.coverage,
    }
    unsure = problem.error_of_number > limits.number
    reasons["the number of good modes within reach hardly known"] = unsure
    if not problem.table.by_output:
        missed = _coverage(problem, target) < limits.coverage
        reasons[f"less than {limits.coverage:.0%} of the target seen"] = missed
    return reasons


def _effective(problem: Problem, target: Measure) -> Float[np.ndarray, " P"]:
    """Return the effective number of samples of each prompt."""
    table = problem.table
    variance = table.prompts.sum(problem.by_reference.unseen * target.share**2)
    return 1 / np.maximum(variance, 1 / table.n_samples)


def _coverage(problem: Problem, target: Measure) -> Float[np.ndarray, " P"]:
    """Return the share of the target on modes that were seen: known of outputs, else estimated."""
    table = problem.table
    if table.by_output:
        return np.minimum(table.prompts.sum(np.exp(target.log_t)), 1.0)
    once = (table.modes.sum(table.n_drawn) == 1).astype(float)
    return 1 - table.of_modes.sum(once * table.modes.sum(target.share))


def _hidden_best(
    problem: Problem, beta: float, divergence: str | Divergence
) -> Float[np.ndarray, " P"]:
    """Return the target's share of an unseen output as good as the best one of all prompts.

    It is given the probability of an output that the samples show once on average, if so much was
    left unseen. Prompts that have shown one as good have nothing to fear.
    """
    table = problem.table
    best, most = table.prompts.max(table.rewards), table.best_reward
    unseen = np.maximum(1 - problem.by_reference.seen, 0.0)
    mass = np.minimum(unseen, 1 / table.n_samples)
    lower = (best < most) & (mass > _ROUNDING)
    out = np.zeros(len(best))
    if not lower.any():
        return out
    log_share = table.log_q + problem.by_reference.log_weights
    if get_divergence(divergence) is REVERSE_KL:
        shown = table.prompts.log_sum_exp(log_share + (table.rewards - most) / beta)
        with np.errstate(over="ignore"):
            out[lower] = 1 / (1 + np.exp(shown[lower]) / mass[lower])
        return out
    here = table.prompts.spread(lower)
    labels = (np.cumsum(lower) - 1).astype(np.intp)
    rewards = np.append(table.rewards[here], np.full(int(lower.sum()), most))
    log_mass = np.append(log_share[here], np.log(mass[lower]))
    index = np.append(labels[table.prompts.index[here]], labels[lower])
    groups = Groups(index, int(lower.sum()))
    log_t = log_optimum(rewards, log_mass, beta, get_divergence(divergence), groups)
    out[lower] = np.exp(log_t[here.sum() :])
    return out


def _tail_shapes(log_weights: Float[np.ndarray, " o"], problem: Problem) -> Float[np.ndarray, " P"]:
    """Return Pareto's k of the weights of each prompt's draws."""
    try:
        from arviz_stats.base import array_stats
    except ImportError:
        raise MissingExtraError("arviz_stats", "app") from None
    table = problem.table
    n = table.n_samples
    out = np.full(len(n), np.nan)
    n_tail = np.ceil(np.minimum(0.2 * n, 3 * np.sqrt(n))).astype(int)
    ends = np.append(table.prompts.starts, len(log_weights))
    for i in np.flatnonzero(n_tail >= _TAIL).tolist():
        own = slice(ends[i], ends[i + 1])
        weights = np.repeat(log_weights[own], table.n_drawn[own].astype(int))
        tail = np.partition(weights, -n_tail[i] - 1)[-n_tail[i] - 1 :]
        if np.ptp(tail) < 1e-12 or not np.isfinite(tail).all():
            out[i] = -np.inf if np.isfinite(tail).all() else np.inf
            continue
        with np.errstate(all="ignore"):
            try:
                out[i] = float(array_stats.psislw(-weights)[1])  # which takes log-likelihoods
            except ValueError:  # so few different weights that there is no tail to fit
                out[i] = -np.inf
    return out
