"""From figures of each prompt to figures over all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from polymode.diagnostics.diagnosis.sampling import Spread
from polymode.diagnostics.resampling import redraw_counts
from polymode.metrics.intervals import Estimate

__all__ = ["MIN_PROMPTS", "Averaging", "Sums", "exponential"]

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
        return self.estimates(self.sums(spreads), ends)

    def sums(self, spreads: Mapping[str, Spread], first: int = 0) -> "Sums":
        """Return what some neighbouring prompts add to the means.

        Parameters
        ----------
        spreads : mapping of str to Spread
            Figures of each prompt; prompts with NaN are left out of their figure.
        first : int
            Position of the first one among all prompts.

        Returns
        -------
        Sums
            Of each figure.
        """
        values = np.stack([spread.value for spread in spreads.values()], axis=1)
        there = ~np.isnan(values)
        filled, weight = np.where(there, values, 0.0), there.astype(float)
        shared = [
            np.where(there[:, i], spread.unsure, 0.0).sum(axis=1)
            for i, spread in enumerate(spreads.values())
        ]
        rounds = redrawn = np.zeros((0, values.shape[1]))
        squares = fourths = np.zeros(values.shape[1])
        if self.resampled == "prompts":
            counts = self._counts[:, first : first + len(values)].astype(float)
            rounds, redrawn = counts @ filled, counts @ weight
        else:
            errors = np.stack([spread.error for spread in spreads.values()], axis=1)
            freedom = np.stack([spread.freedom for spread in spreads.values()], axis=1)
            each = np.where(there, errors, 0.0) ** 2
            squares, fourths = each.sum(axis=0), (each**2 / freedom).sum(axis=0)
        return Sums(
            tuple(spreads),
            weight.sum(axis=0),
            filled.sum(axis=0),
            np.stack(shared, axis=1),
            rounds,
            redrawn,
            squares,
            fourths,
        )

    def estimates(
        self, sums: "Sums", ends: Mapping[str, tuple[float, float]] | None = None
    ) -> dict[str, Estimate]:
        """Return means over all prompts from what each of them adds; see `means`.

        Parameters
        ----------
        sums : Sums
            Of all prompts.
        ends : mapping of str to pair of float, or None
            Between what a figure must lie; intervals end there.

        Returns
        -------
        dict
            The means; NaN where no prompt has a value.
        """
        n = sums.n
        with np.errstate(invalid="ignore", divide="ignore"):
            value, unsure = sums.values / n, sums.unsure / np.maximum(n, 1.0)
            if self.resampled == "prompts":
                freedom = np.maximum(n - 1.0, 1.0)
                error = _deviation(sums.rounds / sums.redrawn) * np.sqrt(n / freedom)
            else:
                error, spread = np.sqrt(sums.squares) / n, sums.squares**2 / sums.fourths
                freedom = np.where(np.isnan(spread), 1e6, np.clip(spread, 1.0, 1e6))
        out: dict[str, Estimate] = {}
        for i, name in enumerate(sums.names):
            least, largest = (ends or {}).get(name, (-np.inf, np.inf))
            own = Spread(value[i], error[i], freedom[i], unsure[:, i])
            out[name] = _floats(
                own.estimate(level=self.level, n=n[i], least=least, largest=largest)
            )
        return out

    @cached_property
    def _counts(self) -> UInt8[np.ndarray, "rounds P"]:
        """How often each round draws each prompt: no count of twenty or more comes near 255."""
        rng = np.random.default_rng(self.seed)
        drawn = redraw_counts(self.n_prompts, n_rounds=self.n_rounds, rng=rng)
        return np.concatenate([counts.astype(np.uint8) for counts in drawn])


class Sums(NamedTuple):
    """What some prompts add to the means of F figures.

    Parameters
    ----------
    names : tuple of str, length F
        The figures.
    n, values : array, shape (F,)
        How many prompts have a value, and the sum of those.
    unsure : array, shape (2, F)
        Errors that all prompts share.
    rounds, redrawn : array, shape (rounds, F)
        Values and numbers of prompts in each bootstrap round.
    squares, fourths : array, shape (F,)
        Squared errors of prompts that are not resampled, and their squares by degree of freedom.
    """

    names: tuple[str, ...]
    n: Float[np.ndarray, " F"]
    values: Float[np.ndarray, " F"]
    unsure: Float[np.ndarray, "2 F"]
    rounds: Float[np.ndarray, "rounds F"]
    redrawn: Float[np.ndarray, "rounds F"]
    squares: Float[np.ndarray, " F"]
    fourths: Float[np.ndarray, " F"]

    def plus(self, other: "Sums") -> "Sums":
        """Return what the prompts of both add.

        Parameters
        ----------
        other : Sums
            Of other prompts.

        Returns
        -------
        Sums
            Of the same figures.
        """
        pairs = zip(self[1:], other[1:], strict=True)
        return Sums(self.names, *(own + more for own, more in pairs))


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


def _floats(estimate: Estimate) -> Estimate:
    """Return an estimate of Python's numbers."""
    value, error, low, high = map(
        float, (estimate.value, estimate.standard_error, estimate.low, estimate.high)
    )
    return Estimate(value, error, low, high, int(estimate.n))
