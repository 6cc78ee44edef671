"""From figures of each prompt to figures over all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.diagnosis.sampling import Spread
from polymode.diagnostics.resampling import redraw_means
from polymode.metrics.intervals import Estimate

__all__ = ["MIN_PROMPTS", "Averaging", "exponential"]

MIN_PROMPTS = 20
"""Prompts from which on intervals resample prompts; with fewer, the samples of these prompts."""


@dataclass(frozen=True, eq=False)
class Averaging:
    """How means over prompts get their intervals.

    Parameters
    ----------
    n_prompts : int
        Number of prompts.
    level : float
        Probability of the intervals.
    n_rounds : int
        Bootstrap rounds.
    seed : int
        Seed of the bootstrap: all figures see the same prompts drawn.
    """

    n_prompts: int
    level: float
    n_rounds: int
    seed: int

    @property
    def resampled(self) -> Literal["prompts", "samples"]:
        """What the intervals resample."""
        return "prompts" if self.n_prompts >= MIN_PROMPTS else "samples"

    def means(
        self,
        spreads: Mapping[str, Spread],
        ends: Mapping[str, tuple[float, float]] | None = None,
    ) -> dict[str, Estimate]:
        """Return the mean over prompts of each figure.

        Parameters
        ----------
        spreads : mapping of str to Spread
            Figures of each prompt; prompts with NaN are left out of their figure.
        ends : mapping of str to pair of float, or None
            Between what a figure must lie; intervals end there.

        Returns
        -------
        dict
            The means; NaN where no prompt has a value.

        Notes
        -----
        A prompt's value carries the noise of its samples, so that drawing prompts anew covers both.
        With few prompts that would be a guess: there the errors of the prompts add up, and the
        interval is about these very prompts. It is symmetric, by Student's t. Errors that all
        prompts share are averaged, not divided.
        """
        values = np.stack([spread.value for spread in spreads.values()], axis=1)
        there = ~np.isnan(values)
        n = there.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = np.where(there, values, 0.0).sum(axis=0) / n
        if self.resampled == "prompts":
            rng = np.random.default_rng(self.seed)
            rounds = redraw_means(values, n_rounds=self.n_rounds, rng=rng)
            freedom = np.maximum(n - 1.0, 1.0)
            error = _deviation(rounds) * np.sqrt(n / freedom)
        else:
            error, freedom = _summed(spreads, there)
        out: dict[str, Estimate] = {}
        for i, (name, spread) in enumerate(spreads.items()):
            least, largest = (ends or {}).get(name, (-np.inf, np.inf))
            shared = np.broadcast_to(spread.unsure, (2, len(there)))[:, there[:, i]]
            unsure = shared.mean(axis=1) if shared.size else np.zeros(2)
            own = Spread(value[i], error[i], freedom[i], unsure)
            out[name] = _floats(
                own.estimate(level=self.level, n=n[i], least=least, largest=largest)
            )
        return out


def exponential(estimate: Estimate) -> Estimate:
    """Return the exponential of an estimate and of its interval.

    Parameters
    ----------
    estimate : Estimate
        Of a logarithm.

    Returns
    -------
    Estimate
        Its standard error is that of the first order.
    """
    value, low, high = map(np.exp, (estimate.value, estimate.low, estimate.high))
    found = Estimate(value, value * estimate.standard_error, low, high, estimate.n)
    return found if np.ndim(value) else _floats(found)


def _deviation(rounds: Float[np.ndarray, "rounds F"]) -> Float[np.ndarray, " F"]:
    """Return the standard deviation of bootstrap rounds, NaN without any."""
    there = ~np.isnan(rounds)
    n = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, rounds, 0.0).sum(axis=0) / n
        squares = np.where(there, (rounds - mean) ** 2, 0.0).sum(axis=0)
        return np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def _summed(spreads: Mapping[str, Spread], there: Any) -> tuple[Any, Any]:
    """Return errors of means over fixed prompts, with their degrees of freedom."""
    errors = np.stack([spread.error for spread in spreads.values()], axis=1)
    freedom = np.stack([spread.freedom for spread in spreads.values()], axis=1)
    squares = np.where(there, errors, 0.0) ** 2
    total = squares.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(total) / there.sum(axis=0)
        spread = total**2 / (squares**2 / freedom).sum(axis=0)
    return error, np.where(np.isnan(spread), 1e6, np.clip(spread, 1.0, 1e6))


def _floats(estimate: Estimate) -> Estimate:
    """Return an estimate of Python's numbers."""
    value, error, low, high = map(
        float, (estimate.value, estimate.standard_error, estimate.low, estimate.high)
    )
    return Estimate(value, error, low, high, int(estimate.n))
