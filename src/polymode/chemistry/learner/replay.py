"""Molecules that a run learns from again: the best ones, or hits drawn evenly over their modes."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from polymode.chemistry.learner.rows import Rows

__all__ = ["Replay", "ReplayKind", "rows_of"]

ReplayKind = Literal["none", "top", "modes"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row that was kept."""

    smiles: str
    canonical: str
    reward: float
    good: bool
    ref_log_prob: float
    log_prob: float
    n_tokens: int
    mode: Hashable
    shaped: float


class Replay:
    """A memory of molecules and the rule by which it is drawn from.

    Parameters
    ----------
    kind : {"top", "modes"}
        ``top`` keeps the molecules with the highest rewards and draws among them: what REINVENT
        calls inception. ``modes`` keeps hits and draws evenly over modes: a mode first, then a
        molecule of it; as long as there are too few hits, the best of the others take their place.
    size : int
        Most molecules kept by ``top``, and most that are no hits by ``modes``.
    per_mode : int
        Most molecules kept of each mode by ``modes``; new ones push out the oldest.
    weights : {"uniform", "reward"}
        For ``top``: how likely a molecule is drawn. PMO's REINVENT draws in proportion to reward.

    Notes
    -----
    Each canonical SMILES is kept once, as the string that was drawn first. What earned nothing is
    not kept. All draws are without replacement. With rare hits the others are what a run learns
    from before the first one, and no more once there are enough.

    References
    ----------
    .. [1] Loeffler et al., "Reinvent 4: Modern AI-driven generative molecule design", J.
       Cheminform. 16:20 (2024), inception.
    """

    def __init__(
        self,
        kind: Literal["top", "modes"] = "top",
        *,
        size: int = 100,
        per_mode: int = 64,
        weights: Literal["uniform", "reward"] = "uniform",
    ) -> None:
        self.kind = kind
        self.size = size
        self.per_mode = per_mode
        self.weights = weights
        self._entries: dict[str, _Entry] = {}
        self._by_mode: dict[Hashable, list[str]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, rows: Rows, shaped: np.ndarray) -> None:
        """Take in rows of a batch.

        Parameters
        ----------
        rows : Rows
            The rows.
        shaped : array, shape (n,)
            Their shaped rewards.
        """
        for row, canonical in enumerate(rows.canonical):
            if canonical is not None and rows.rewards[row] > 0 and canonical not in self._entries:
                self._keep(_entry(rows, row, canonical, float(shaped[row])))
        ranked = [entry for entry in self._entries.values() if not self._has_mode(entry)]
        if len(ranked) > self.size:
            ranked.sort(key=lambda entry: -entry.reward)
            for entry in ranked[self.size :]:
                del self._entries[entry.canonical]

    def draw(self, n: int, rng: np.random.Generator) -> Rows | None:
        """Return some of the molecules, or None if there is none.

        Parameters
        ----------
        n : int
            How many at most.
        rng : numpy.random.Generator
            Source of randomness.
        """
        if not self._entries or n < 1:
            return None
        names = self._over_modes(n, rng) if self.kind == "modes" else []
        names += self._of_top(n - len(names), rng)
        return rows_of([self._entries[name] for name in names])

    def everything(self) -> Rows | None:
        """Return all molecules, or None if there is none."""
        return rows_of(list(self._entries.values())) if self._entries else None

    def purge(self, unwanted: Callable[[str], bool]) -> int:
        """Forget molecules, and return how many.

        Parameters
        ----------
        unwanted : callable
            From a canonical SMILES to whether it is to go.
        """
        gone = [name for name in self._entries if unwanted(name)]
        for name in gone:
            entry = self._entries.pop(name)
            if self._has_mode(entry):
                self._by_mode[entry.mode].remove(name)
        return len(gone)

    def state(self) -> dict[str, Any]:
        """Return all entries, column by column."""
        columns = [asdict(entry) for entry in self._entries.values()]
        names = _Entry.__slots__
        return {
            "columns": {name: [column[name] for column in columns] for name in names},
            "modes": list(self._by_mode),  # draws go by their order, which entries may not have
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            What `state` returned.
        """
        self._entries, self._by_mode = {}, {mode: [] for mode in state["modes"]}
        names = list(state["columns"])
        for values in zip(*state["columns"].values(), strict=True):
            self._keep(_Entry(**dict(zip(names, values, strict=True))))

    def _keep(self, entry: _Entry) -> None:
        self._entries[entry.canonical] = entry
        if self._has_mode(entry):
            members = self._by_mode.setdefault(entry.mode, [])
            members.append(entry.canonical)
            if len(members) > self.per_mode:
                del self._entries[members.pop(0)]

    def _has_mode(self, entry: _Entry) -> bool:
        """Whether an entry is drawn by its mode."""
        return self.kind == "modes" and entry.good

    def _of_top(self, n: int, rng: np.random.Generator) -> list[str]:
        names = [name for name, entry in self._entries.items() if not self._has_mode(entry)]
        if not names or n < 1:
            return []
        chances = None
        if self.weights == "reward":
            rewards = np.array([self._entries[name].reward for name in names])
            chances = rewards / rewards.sum()
        return [names[i] for i in rng.choice(len(names), min(n, len(names)), False, chances)]

    def _over_modes(self, n: int, rng: np.random.Generator) -> list[str]:
        """Draw one molecule of each mode in turn, in a new order each round."""
        left = [rng.permutation(members).tolist() for members in self._by_mode.values() if members]
        drawn: list[str] = []
        while left and len(drawn) < n:
            turn = rng.permutation(len(left))[: n - len(drawn)].tolist()
            drawn.extend(left[i].pop() for i in turn)
            left = [members for members in left if members]
        return drawn


def rows_of(entries: Sequence[_Entry]) -> Rows:
    """Return entries as columns.

    Parameters
    ----------
    entries : sequence
        The entries, at least one.
    """
    return Rows(
        smiles=[entry.smiles for entry in entries],
        canonical=[entry.canonical for entry in entries],
        rewards=np.array([entry.reward for entry in entries]),
        good=np.array([entry.good for entry in entries]),
        ref_log_probs=np.array([entry.ref_log_prob for entry in entries]),
        log_probs=np.array([entry.log_prob for entry in entries]),
        n_tokens=np.array([entry.n_tokens for entry in entries]),
        modes=None if entries[0].mode is None else [entry.mode for entry in entries],
        shaped=np.array([entry.shaped for entry in entries]),
    )


def _entry(rows: Rows, row: int, canonical: str, shaped: float) -> _Entry:
    return _Entry(
        smiles=rows.smiles[row],
        canonical=canonical,
        reward=float(rows.rewards[row]),
        good=bool(rows.good[row]),
        ref_log_prob=float(rows.ref_log_probs[row]),
        log_prob=float(rows.log_probs[row]),
        n_tokens=int(rows.n_tokens[row]),
        mode=None if rows.modes is None else rows.modes[row],
        shaped=shaped,
    )


def with_strings(rows: Rows, smiles: Sequence[str], ref_log_probs: np.ndarray) -> Rows:
    """Return rows of the same molecules, written as other strings.

    Parameters
    ----------
    rows : Rows
        The molecules.
    smiles : sequence of str, length n
        Their new strings.
    ref_log_probs : array, shape (n,)
        ``log q`` of the new strings, in nats.
    """
    return replace(rows, smiles=list(smiles), ref_log_probs=ref_log_probs)
