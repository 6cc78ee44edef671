"""Reductions over neighbours: samples lie sorted by prompt, and within a prompt by mode."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

__all__ = ["Segments"]


@dataclass(frozen=True, eq=False, slots=True)
class Segments:
    """Positions 0 … n - 1 cut into k runs, none of them empty.

    Parameters
    ----------
    starts : array of int, shape (k,)
        Where each run begins; ascending from 0.
    index : array of int, shape (n,)
        The run of each position.

    Notes
    -----
    What `polymode.core.groups` does for labels in any order and any library, several times as fast
    for sorted ones in NumPy: a diagnosis reduces ten million rows thirty times.

    Examples
    --------
    >>> runs = Segments.of(np.array([4, 4, 7]))
    >>> runs.sum(np.array([1.0, 2.0, 5.0])), runs.spread(np.array([0.5, 2.0]))
    (array([3., 5.]), array([0.5, 0.5, 2. ]))
    """

    starts: Integer[np.ndarray, " k"]
    index: Integer[np.ndarray, " n"]

    @classmethod
    def of(cls, *labels: Integer[np.ndarray, " n"]) -> "Segments":
        """Return the runs of equal neighbours.

        Parameters
        ----------
        *labels : array of int, shape (n,)
            Neighbours are in one run where all of these are equal.

        Returns
        -------
        Segments
            In the order in which they come.
        """
        new = np.zeros(len(labels[0]), dtype=bool)
        new[:1] = True
        for label in labels:
            new[1:] |= label[1:] != label[:-1]
        return cls(np.flatnonzero(new), np.cumsum(new, dtype=np.int32) - 1)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def sizes(self) -> Integer[np.ndarray, " k"]:
        """How many positions each run has."""
        return np.diff(self.starts, append=len(self.index))

    def cut(self, first: int, last: int) -> "Segments":
        """Return some neighbouring runs alone.

        Parameters
        ----------
        first, last : int
            The first run, and the one behind the last; ``0 <= first < last <= k``.

        Returns
        -------
        Segments
            Of the positions in these runs.
        """
        begin = self.starts[first]
        end = self.starts[last] if last < len(self) else len(self.index)
        return Segments(self.starts[first:last] - begin, self.index[begin:end] - first)

    def sum(self, x: Float[np.ndarray, "*rows n"]) -> Float[np.ndarray, "*rows k"]:
        """Return the sum of each run.

        Parameters
        ----------
        x : array, shape (..., n)
            Values.

        Returns
        -------
        array, shape (..., k)
            The sums.
        """
        return np.add.reduceat(x, self.starts, axis=-1)

    def max(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
        """Return the maximum of each run.

        Parameters
        ----------
        x : array, shape (n,)
            Values.

        Returns
        -------
        array, shape (k,)
            The maxima.
        """
        return np.maximum.reduceat(x, self.starts)

    def log_sum_exp(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
        """Return the logarithm of the sum of exponentials of each run.

        Parameters
        ----------
        x : array, shape (n,)
            Logarithms; -inf is that of 0.

        Returns
        -------
        array, shape (k,)
            Logarithms of the sums.
        """
        peak = self.max(x)
        peak = np.where(peak > -np.inf, peak, 0.0)
        with np.errstate(divide="ignore"):
            return peak + np.log(self.sum(np.exp(x - self.spread(peak))))

    def log_softmax(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return logarithms of shares that sum to 1 in each run.

        Parameters
        ----------
        x : array, shape (n,)
            Logarithms; -inf is that of 0. In a run of nothing else the result is NaN.

        Returns
        -------
        array, shape (n,)
            Their logarithms, the largest taken off first: of huge ones nothing else is left.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            lower = x - self.spread(self.max(x))
            return lower - self.spread(np.log(self.sum(np.exp(lower))))

    def spread(self, values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " n"]:
        """Return, at each position, the value of its run.

        Parameters
        ----------
        values : array, shape (k,)
            One value for each run.

        Returns
        -------
        array, shape (n,)
            One value for each position.
        """
        return values[self.index]
