r"""What counts say of modes whose texts were not all seen.

The probability of a mode is known where its texts were seen, and has to be guessed where they were
not. A mode of mean count :math:`\lambda = n p_m` that was drawn k times has, if the number of modes
goes as :math:`g(\lambda) \propto \lambda^{a - 2}`, a posterior that is a Gamma distribution of
shape :math:`a + k - 1`, and stands for :math:`E[1 / (1 - e^{-\lambda})]` modes. Zipf's law is
``a = 1``, which serves for the logarithms of modes that came twice or more:
:math:`\psi(k) - \log n` (Zhang).

Of modes that came once, the samples say the mean, by Robbins' identity from the numbers of modes
that came once and twice, :math:`a = E[\lambda \mid k = 1] = 2 f_2 / f_1`, and no more. Two guesses
are made from it: that the law goes on with shape ``a``, and that all unseen modes are alike (Chao).
The estimate lies in the middle; half of the distance is an error that no averaging over prompts
makes smaller.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import digamma, exp1, gammaincc, gammaln

from polymode.diagnostics.diagnosis.segments import Segments

__all__ = ["Guess", "RareModes", "pooled_shape"]

_MOST = 12
"""Draws of a mode from which on counts add nothing to what its texts say."""

_SHAPES = np.geomspace(0.1, 4.0, 48)
_PRIOR = 2.0  # modes that speak for the shape of all prompts together
_HALF = 0.5  # of a mode: how well it is known how many modes one that came once stands for


class Guess(NamedTuple):
    """What counts say of each mode, its derivative by the shape, and what is unsure about it.

    Parameters
    ----------
    value, slope : array, shape (m,)
        What the counts say, and its derivative by the shape.
    unsure : array, shape (2, m)
        Half the distance from one guess to the other, which errs in all quantities together, and
        what no guess covers.
    """

    value: Float[np.ndarray, " m"]
    slope: Float[np.ndarray, " m"]
    unsure: Float[np.ndarray, "2 m"]


@dataclass(frozen=True, eq=False)
class RareModes:
    """What counts say of each mode.

    Parameters
    ----------
    stands_for : Guess
        How many modes within reach a mode like it stands for.
    within_reach : array, shape (m,)
        Probability that it is within reach.
    excess, excess_within : Guess
        How much the logarithm of its estimated probability is too large on average; the same if it
        is within reach.
    shape_moves : array, shape (m,)
        How much one more mode like it moves the shape of its prompt.
    spread_of_log : array, shape (m,)
        What the curvature of the logarithm adds to the error of ``p log p``, relative to ``p``.
    """

    stands_for: Guess
    within_reach: Float[np.ndarray, " m"]
    excess: Guess
    excess_within: Guess
    shape_moves: Float[np.ndarray, " m"]
    spread_of_log: Float[np.ndarray, " m"]

    @classmethod
    def of(
        cls,
        n_drawn: Float[np.ndarray, " m"],
        shown: Float[np.ndarray, " m"],
        hidden: Float[np.ndarray, " m"],
        n_effective: Float[np.ndarray, " m"],
        of_modes: Segments,
        *,
        pooled: float,
        reach: float,
    ) -> "RareModes":
        """Return what counts say of the modes that were seen.

        Parameters
        ----------
        n_drawn : array, shape (m,)
            How often each mode was drawn.
        shown : array, shape (m,)
            Estimated probability that the samples show it, from its texts.
        hidden : array, shape (m,)
            Which part of its estimated probability is on texts that were not seen, in [0, 1].
        n_effective : array, shape (m,)
            How many draws would say as much of its probability as its texts: one over its squared
            coefficient of variation, >= 1.
        of_modes : Segments
            From modes to prompts.
        pooled : float
            Shape of all prompts, which those of single prompts lean on; see `pooled_shape`.
        reach : float
            Modes that the samples show with a smaller probability are out of reach.

        Returns
        -------
        RareModes
            Of these modes.
        """
        shape, moves = _shapes(n_drawn, of_modes, pooled)
        k = np.minimum(n_drawn, _MOST).astype(np.intp)
        found = {
            name: _looked_up(table, of_modes.spread(shape), k)
            for name, table in _tables(float(reach)).items()
        }
        found["stands_for"] = _less_sure(found["stands_for"], n_drawn)
        by_text = np.where(shown >= reach, 1 / shown, 0.0)
        few = hidden * (n_drawn < _MOST)
        convex = np.log(n_effective) - digamma(n_effective)
        return cls(
            stands_for=_mixed(few, found["stands_for"], by_text),
            within_reach=_mixed(few, found["within"], np.minimum(by_text, 1.0) > 0).value,
            excess=_added(few * (n_drawn == 1), found["excess"], convex),
            excess_within=_added(few * (n_drawn == 1), found["excess_within"], convex),
            shape_moves=moves,
            spread_of_log=np.sqrt(0.5) / n_effective,
        )


def pooled_shape(n_drawn: Float[np.ndarray, " m"]) -> float:
    """Return the shape of all prompts together.

    Parameters
    ----------
    n_drawn : array, shape (m,)
        How often each mode was drawn.

    Returns
    -------
    float
        The mean count of modes that came once, by Robbins' identity.
    """
    once, twice = int((n_drawn == 1).sum()), int((n_drawn == 2).sum())
    return (2 * twice + 1) / (once + 1)


def _shapes(
    n_drawn: Float[np.ndarray, " m"], of_modes: Segments, pooled: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shape of each prompt, leaning on that of all, and how modes move it."""
    once = of_modes.sum((n_drawn == 1).astype(float))
    twice = of_modes.sum((n_drawn == 2).astype(float))
    free = (2 * twice + _PRIOR * pooled) / (once + _PRIOR)
    shape = np.clip(free, _SHAPES[0], _SHAPES[-1])
    by_mode = np.where(n_drawn == 1, -of_modes.spread(shape), 2.0 * (n_drawn == 2))
    moves = by_mode / of_modes.spread(once + _PRIOR)
    return shape, np.where(of_modes.spread(shape == free), moves, 0.0)


def _less_sure(guess: Guess, n_drawn: np.ndarray) -> Guess:
    """Return a guess of numbers that is not believed beyond half a mode."""
    return guess._replace(unsure=np.stack([guess.unsure[0], _HALF * (n_drawn == 1)]))


def _mixed(few: np.ndarray, guess: Guess, by_text: np.ndarray) -> Guess:
    """Return a guess where texts are hidden, and what texts say where they are not."""
    return Guess(few * guess.value + (1 - few) * by_text, few * guess.slope, few * guess.unsure)


def _added(single: np.ndarray, guess: Guess, convex: np.ndarray) -> Guess:
    """Return the excess of all modes: what a guess says beyond the curvature, of single ones."""
    beyond = guess.value + digamma(1.0)
    return Guess(convex + single * beyond, single * guess.slope, single * guess.unsure)


@cache
def _tables(reach: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return values and half distances of guesses, by shape (rows) and number of draws."""
    least = -np.log1p(-min(reach, 1 - 1e-9))
    k = np.arange(1, _MOST + 1)
    zipf = np.broadcast_to(k.astype(float), (len(_SHAPES), _MOST)).copy()
    zipf[:, 0] = _SHAPES
    law = _SHAPES[:, None] + k - 1
    log_x = np.linspace(np.log(max(least, 1e-12)), np.log(80.0), 4001)
    x = np.exp(log_x)
    density = _gamma_density(zipf, log_x)
    within = gammaincc(zipf, least)
    log_within = (density * log_x).sum(axis=-1) / np.maximum(within, 1e-300)
    stands_for = (_gamma_density(law, log_x) / -np.expm1(-x)).sum(axis=-1)
    alone = -digamma(1.0) + np.exp(_SHAPES) * exp1(_SHAPES)  # unseen ones alike: Chao, Wang, Jost
    excess = np.log(k) - digamma(zipf)
    excess[:, 0] = np.maximum(excess[:, 0], alone)
    chao = np.where(k == 1, 1 + 1 / _SHAPES[:, None], 1.0)
    return {
        "stands_for": _middle(stands_for, chao),
        "within": _middle(within, _once(within, 1.0)),
        "excess": _middle(excess, _once(excess, alone)),
        "excess_within": _middle(
            np.log(k) - log_within,
            _once(np.log(k) - log_within, np.minimum(alone, -np.log(least))),
        ),
    }


def _gamma_density(shape: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    """Return the probabilities of the cells of a grid of logarithms."""
    log_p = shape[..., None] * log_x - np.exp(log_x) - gammaln(shape)[..., None]
    return np.exp(log_p) * (log_x[1] - log_x[0])


def _once(table: np.ndarray, values: np.ndarray | float) -> np.ndarray:
    """Return a table with other values for modes that came once."""
    out = table.copy()
    out[:, 0] = values
    return out


def _middle(law: np.ndarray, alike: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of two guesses, and half of their distance with its sign."""
    return (law + alike) / 2, (law - alike) / 2


def _looked_up(table: tuple[np.ndarray, np.ndarray], shape: np.ndarray, k: np.ndarray) -> Guess:
    """Return values at shapes and numbers of draws, with their slopes by the shape."""
    place = np.clip(np.searchsorted(_SHAPES, shape) - 1, 0, len(_SHAPES) - 2)
    low, high = _SHAPES[place], _SHAPES[place + 1]
    value, half = table
    first, second = value[place, k - 1], value[place + 1, k - 1]
    slope = (second - first) / (high - low)
    nothing = np.zeros_like(slope)
    return Guess(first + (shape - low) * slope, slope, np.stack([half[place, k - 1], nothing]))
