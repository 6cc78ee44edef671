"""The toy: a tree of tokens whose outputs can be counted, and differ in length.

The reference is a table of conditionals, a row for each prefix. Outputs are paths from the root;
one first token ends the text, and some paths have a tail: tokens that follow for certain, so that
they carry no gradient and count in the length. Arrays over outputs and their tokens have shape
(n, t), without the tails, and `mask` keeps the tokens that an output has.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["TOY", "Toy", "log_softmax"]


@dataclass(frozen=True, eq=False)
class Toy:
    """A tree of tokens.

    Parameters
    ----------
    log_q : array, shape (h, v)
        ``log q(token | prefix)`` of the reference, in nats, finite; the root is the first row.
    places : array, shape (n, t, 2)
        Row and column of each token of each output; -1 where an output has ended.
    rewards : array, shape (n,)
        1 for good outputs, 0 for others.
    lengths : array, shape (n,)
        Tokens of each output, with its tail.
    labels : tuple of str
        Names of outputs.
    """

    log_q: Float[np.ndarray, "h v"]
    places: Int[np.ndarray, "n t 2"]
    rewards: Float[np.ndarray, " n"]
    lengths: Float[np.ndarray, " n"]
    labels: tuple[str, ...]

    @cached_property
    def mask(self) -> Bool[np.ndarray, "n t"]:
        """Tokens that outputs have."""
        return self.places[..., 0] >= 0

    @cached_property
    def good(self) -> Bool[np.ndarray, " n"]:
        """Which outputs are good."""
        return self.rewards == 1

    @cached_property
    def log_q_outputs(self) -> Float[np.ndarray, " n"]:
        """``log q`` of whole outputs."""
        return self.of_tokens(self.log_q).sum(1)

    @cached_property
    def _incidence(self) -> Float[np.ndarray, "hv nt"]:
        """1 where a token of an output stands in a place of the table."""
        rows, columns = self.places[..., 0], self.places[..., 1]
        flat = np.where(self.mask, rows * self.log_q.shape[1] + columns, -1).reshape(-1)
        return (np.arange(self.log_q.size)[:, None] == flat[None]).astype(float)

    def of_tokens(self, table: Float[np.ndarray, "h v"]) -> Float[np.ndarray, "n t"]:
        """Return what a table says of each token of each output.

        Parameters
        ----------
        table : array, shape (h, v)
            A value for each prefix and token.

        Returns
        -------
        array, shape (n, t)
            0 where an output has ended.
        """
        return (table.reshape(-1) @ self._incidence).reshape(self.mask.shape)

    def to_table(self, values: Float[np.ndarray, "n t"]) -> Float[np.ndarray, "h v"]:
        """Return the sum of a value of tokens over all outputs that pass there.

        Parameters
        ----------
        values : array, shape (n, t)
            A value for each token of each output.

        Returns
        -------
        array, shape (h, v)
            For each prefix and token.
        """
        return (self._incidence @ values.reshape(-1)).reshape(self.log_q.shape)


def log_softmax(table: Float[np.ndarray, "h v"]) -> Float[np.ndarray, "h v"]:
    """Return log-probabilities, row by row.

    Parameters
    ----------
    table : array, shape (h, v)
        Logits; ``-inf`` is allowed.

    Returns
    -------
    array, shape (h, v)
        Normalised.
    """
    shifted = table - table.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _toy() -> Toy:
    """Return the toy: likely and good, likely and mostly bad, rare and half good, and one short."""
    names = (*(first + second for first in "abc" for second in "abcd"), "d")
    log_q = np.log(
        [
            [0.50, 0.30, 0.10, 0.10],
            [0.40, 0.30, 0.20, 0.10],
            [0.70, 0.10, 0.10, 0.10],
            [0.25, 0.25, 0.25, 0.25],
        ]
    )
    good = {"aa", "ab", "ac", "ad", "bb", "ca", "cb", "d"}
    lengths = [2, 8, 2, 8, 8, 2, 2, 2, 2, 8, 8, 2, 1]
    places = [[[0, i], [1 + i, j]] for i in range(3) for j in range(4)]
    return Toy(
        log_q,
        np.array([*places, [[0, 3], [-1, -1]]]),
        np.array([float(name in good) for name in names]),
        np.array(lengths, dtype=float),
        names,
    )


TOY = _toy()
"""Two steps, four tokens: 13 outputs of 1, 2 or 8 tokens, of which 8 are good."""
