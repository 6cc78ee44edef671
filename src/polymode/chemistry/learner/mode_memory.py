r"""What a run knows of the structural modes of its hits.

A *hit* is a molecule whose reward reaches the threshold; a *mode* is its scaffold, its cluster, or
itself. For each mode the memory keeps

- ``log q_hat(m)``, the logsumexp of ``log q`` over the distinct strings of its hits seen so far: a
  lower bound of ``log q(m)`` that grows towards it;
- how often the policy has drawn it, in all (`n_samples`) and of late (`recent`, which decays).
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from polymode.core.checks import require as require_all
from polymode.core.checks import within
from polymode.errors import ShapeError

__all__ = ["ModeMemory"]

_FIRST_ROOM = 64


class ModeMemory:
    """Distinct hits and counts of samples, by mode; grows, and forgets no mode.

    Parameters
    ----------
    decay : float
        What is left of a count in `recent` after one step, in [0, 1]; 0.98 remembers 50 steps.

    Raises
    ------
    ArgumentError
        If `decay` is outside [0, 1].

    Notes
    -----
    Modes are numbered in the order of their first hit. Distinct strings are told apart as they
    are: two SMILES of one molecule are two outputs of the model, and both belong into its
    probability. Cost of every call O(rows); memory O(distinct strings).

    Examples
    --------
    >>> memory = ModeMemory()
    >>> memory.add(["a", "b", "a"], ["CCO", "CC", "OCC"], np.log([0.2, 0.1, 0.2]))
    >>> np.exp(memory.log_mass).round(2)
    array([0.4, 0.1])
    """

    def __init__(self, *, decay: float = 0.98) -> None:
        require_all(within(0.0, 1.0, decay=decay))
        self.decay = decay
        self._index: dict[Hashable, int] = {}
        self._outputs: dict[str, int] = {}
        self._log_mass = np.full(_FIRST_ROOM, -np.inf)
        self._n_members = np.zeros(_FIRST_ROOM, dtype=np.int64)
        self._n_samples = np.zeros(_FIRST_ROOM)
        self._recent = np.zeros(_FIRST_ROOM)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def labels(self) -> list[Hashable]:
        """The modes, in the order of their first hit."""
        return list(self._index)

    @property
    def log_mass(self) -> np.ndarray:
        """``log q_hat`` of each mode, shape (m,), in nats."""
        return self._log_mass[: len(self)]

    @property
    def n_members(self) -> np.ndarray:
        """Number of distinct strings of each mode, shape (m,)."""
        return self._n_members[: len(self)]

    @property
    def n_samples(self) -> np.ndarray:
        """How often the policy has drawn each mode, shape (m,)."""
        return self._n_samples[: len(self)]

    @property
    def recent(self) -> np.ndarray:
        """The same with older draws decayed, shape (m,)."""
        return self._recent[: len(self)]

    def add(self, labels: Sequence[Hashable], outputs: Sequence[str], ref_log_probs: Any) -> None:
        """Take in hits; strings that are known change nothing.

        Parameters
        ----------
        labels : sequence of int or str, length n
            Their modes.
        outputs : sequence of str, length n
            Their strings as the model writes them.
        ref_log_probs : array, shape (n,)
            ``log q`` of the strings, in nats.

        Raises
        ------
        ShapeError
            If the columns differ in length.
        """
        log_q = np.asarray(ref_log_probs, dtype=np.float64)
        if not len(labels) == len(outputs) == len(log_q):
            lengths = f"{len(labels)}, {len(outputs)} and {len(log_q)}"
            raise ShapeError(f"labels, outputs and ref_log_probs must be one length, got {lengths}")
        for label, output, one in zip(labels, outputs, log_q, strict=True):
            mode = self._mode(label)
            if output not in self._outputs:
                self._outputs[output] = mode
                self._log_mass[mode] = np.logaddexp(self._log_mass[mode], one)
                self._n_members[mode] += 1

    def count(self, labels: Sequence[Hashable]) -> None:
        """Count the hits that one step of the policy has drawn; older ones decay in `recent`.

        Parameters
        ----------
        labels : sequence of int or str
            Their modes, with repeats; each must be known.
        """
        self._recent[: len(self)] *= self.decay
        index = self.index(labels)
        np.add.at(self._n_samples, index, 1.0)
        np.add.at(self._recent, index, 1.0)

    def index(self, labels: Sequence[Hashable]) -> np.ndarray:
        """Return the numbers of modes that are known, shape (n,).

        Parameters
        ----------
        labels : sequence of int or str, length n
            The modes.
        """
        return np.array([self._index[label] for label in labels], dtype=np.int64)

    def shares(self) -> np.ndarray:
        """Return the estimate of each mode's share of the policy's hits, shape (m,).

        Notes
        -----
        From `recent`, with one draw in all spread evenly over the modes, so that none is at zero;
        sums to 1.
        """
        m = len(self)
        return (self.recent + 1.0 / m) / (self.recent.sum() + 1.0) if m else np.zeros(0)

    def state(self) -> dict[str, Any]:
        """Return all of it, for a checkpoint."""
        return {
            "labels": self.labels,
            "outputs": list(self._outputs),
            "output_modes": np.array(list(self._outputs.values()), dtype=np.int64),
            "log_mass": self.log_mass.copy(),
            "n_members": self.n_members.copy(),
            "n_samples": self.n_samples.copy(),
            "recent": self.recent.copy(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        state : dict
            What `state` returned.
        """
        self._index = {label: number for number, label in enumerate(state["labels"])}
        self._outputs = dict(
            zip(state["outputs"], np.asarray(state["output_modes"]).tolist(), strict=True)
        )
        self._make_room(len(self._index))
        for name in ("log_mass", "n_members", "n_samples", "recent"):
            getattr(self, f"_{name}")[: len(self)] = state[name]

    def _mode(self, label: Hashable) -> int:
        """Return the number of a mode, a new one if it has none."""
        if label not in self._index:
            self._make_room(len(self._index) + 1)
            self._index[label] = len(self._index)
        return self._index[label]

    def _make_room(self, n: int) -> None:
        """Double the arrays until `n` modes fit in."""
        while n > len(self._log_mass):
            more = len(self._log_mass)
            self._log_mass = np.append(self._log_mass, np.full(more, -np.inf))
            self._n_members = np.append(self._n_members, np.zeros(more, dtype=np.int64))
            self._n_samples = np.append(self._n_samples, np.zeros(more))
            self._recent = np.append(self._recent, np.zeros(more))
