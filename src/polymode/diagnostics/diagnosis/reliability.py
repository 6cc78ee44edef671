"""How far samples can be trusted: effective sample size, Pareto's k, coverage."""

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.report import Reliability
from polymode.diagnostics.diagnosis.settings import VerdictLimits
from polymode.diagnostics.diagnosis.targets import Problem
from polymode.errors import MissingExtraError

__all__ = ["reliability"]

_SETTLED = 0.01  # share of a target that was not seen below which nothing rests on weights
_TAIL = 5  # fewest weights to which a tail can be fitted


def reliability(problem: Problem, target: Measure, limits: VerdictLimits) -> Reliability:
    """Return how far the samples of each prompt can be trusted.

    Parameters
    ----------
    problem : Problem
        The samples.
    target : Measure
        What the objective asks for.
    limits : VerdictLimits
        What is enough.

    Returns
    -------
    Reliability
        Of each prompt.

    Raises
    ------
    MissingExtraError
        If arviz-stats is not installed.
    """
    table, sampling = problem.table, problem.by_reference
    n, at = table.n_samples, sampling.weights * target.t
    once = (table.modes.sum(table.n_drawn) == 1).astype(float)
    coverage = 1 - table.of_modes.sum(once) / n
    if table.by_output:
        target_coverage = np.minimum(table.prompts.sum(target.t), 1.0)
    else:
        target_coverage = 1 - table.of_modes.sum(once * table.modes.sum(at))
    settled = table.prompts.sum(target.t) > 1 - _SETTLED
    variance = table.prompts.sum((sampling.weights - 1) * sampling.weights * target.t**2)
    ess = 1 / np.maximum(variance, 1 / n)
    with np.errstate(divide="ignore"):
        log_weights = np.log(target.t) - table.log_drawn
    pareto_k = _tail_shapes(log_weights, problem)
    reasons = {
        f"fewer than {limits.ess:g} effective samples": ess < limits.ess,
        f"weights with a heavy tail (Pareto k above {limits.pareto_k:g})": ~settled
        & (pareto_k > limits.pareto_k),
    }
    if not table.by_output:
        hidden = target_coverage < limits.coverage
        reasons[f"less than {limits.coverage:.0%} of the target seen"] = hidden
    bad = np.any(list(reasons.values()), axis=0)
    return Reliability(
        ess=ess,
        pareto_k=pareto_k,
        coverage=coverage,
        target_coverage=target_coverage,
        seen_mass=np.minimum(table.prompts.sum(np.exp(table.log_q)), 1.0),
        reliable=~bad,
        reasons={name: int(found.sum()) for name, found in reasons.items() if found.any()},
    )


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
