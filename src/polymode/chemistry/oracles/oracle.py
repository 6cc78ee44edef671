"""The oracle: strings in, rewards out; a molecule is measured once, however it is written."""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from polymode.chemistry.oracles.aggregation import AGGREGATIONS, Aggregation, aggregate
from polymode.chemistry.oracles.component import Component
from polymode.chemistry.oracles.losses import Loss
from polymode.chemistry.oracles.molecules import Parser
from polymode.chemistry.oracles.records import Records
from polymode.chemistry.oracles.schedule import Executor, Inline, measure
from polymode.core import checks

__all__ = ["STATUSES", "Oracle", "Scores"]

logger = logging.getLogger(__name__)
STATUSES = ("ok", "invalid", "failed", "timed_out", "over_budget")
_Entry = tuple[Float[np.ndarray, " k"], str]
_UNMEASURED = ("invalid", "over_budget")
_NO_SCORE = Loss("not_finite", "or aggregation of what was measured gave no number")
N_LOGGED = 3
"""How many losses of each component and kind are kept and logged in words."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What an oracle says about n strings, one row each."""

    rewards: Float[np.ndarray, " n"]
    """Aggregated scores, in [0, 1] if all scores are; 0 for invalid strings, NaN where a component
    of weight > 0 gave no score, and over budget."""
    canonical: tuple[str | None, ...]
    """Canonical SMILES; None for invalid strings."""
    status: tuple[str, ...]
    """``ok``, ``invalid``, ``failed``, ``timed_out`` or ``over_budget``."""
    new: Bool[np.ndarray, " n"]
    """Whether the row cost a call: the first of its molecule in the run."""
    raw: dict[str, Float[np.ndarray, " n"]]
    """What each endpoint gave, in its units; NaN where nothing."""
    transformed: dict[str, Float[np.ndarray, " n"]]
    """Scores of each endpoint; NaN where there are none."""


class Oracle:
    """Scores SMILES with components, once for each molecule, within a budget of molecules.

    Parameters
    ----------
    components : sequence of Component
        What measures.
    aggregation : str
        How scores become a reward: ``product``, ``geometric_mean`` or ``arithmetic_mean``.
    budget : int, optional
        How many different molecules may be measured in all; None: any number.
    executor : Executor, optional
        What carries out the calls; by default this process.

    Raises
    ------
    ArgumentError
        If there is no component, two endpoints share a name, or no weight is above 0.

    Notes
    -----
    One call is one molecule that was not seen before, whether or not it could be scored. A molecule
    that failed is not tried again, except if a component said that it could not be reached: that
    costs no call. What a component does (raise, hang, end its process, give NaN or the wrong
    number of values) costs the molecules it does it for, and no other. Time limits need an executor
    with processes.
    """

    def __init__(
        self,
        components: Sequence[Component],
        *,
        aggregation: Aggregation = "geometric_mean",
        budget: int | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.components = tuple(components)
        self._endpoints = [each for one in components for each in one.endpoints]
        checks.require(_problems(self, aggregation, budget))
        self.aggregation: Aggregation = aggregation
        self.budget = budget
        self.messages: list[str] = []
        """The first losses of each component and kind, in words."""
        self._executor = executor or Inline(self.components)
        self._parse = Parser()
        self._records = Records([endpoint.name for endpoint in self._endpoints])
        self._counts: Counter[str] = Counter()

    def __call__(self, smiles: Sequence[str]) -> Scores:
        """Return rewards, and all that led to them; a string that is no molecule is worth 0."""
        parsed = [self._parse(each) for each in smiles]
        canonical = tuple(name for name, _ in parsed)
        first = self._new_molecules(canonical)
        mols = [parsed[row][1] or self._parse.molecule(smiles[row]) for row in first.values()]
        measured = self._measure(list(first), mols) if first else {}
        new = np.zeros(len(smiles), dtype=bool)
        new[[row for name, row in first.items() if name in self._records]] = True
        return self._scores(canonical, new, measured)

    @property
    def n_calls(self) -> int:
        """How many different molecules were measured so far."""
        return len(self._records)

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.budget is not None and self.n_calls >= self.budget

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows by status; ``calls``; and losses as ``<component>/<kind>``."""
        return {**dict.fromkeys(STATUSES, 0), "calls": self.n_calls, **self._counts}

    def state(self) -> dict[str, Any]:
        """Return all that a resumed run needs, as JSON can hold it."""
        return {
            "version": 1,
            **self._records.state(),
            "counts": dict(self._counts),
            "messages": list(self.messages),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        InputError
            If it is of other components, or no state of an oracle.
        """
        self._records.load(state)
        self._counts = Counter(state["counts"])
        self.messages = list(state["messages"])

    def close(self) -> None:
        """End the processes, if there are any; the next call starts others."""
        self._executor.close()

    def _new_molecules(self, canonical: Sequence[str | None]) -> dict[str, int]:
        """Return the molecules to measure and the row of each, as far as the budget goes."""
        room = math.inf if self.budget is None else self.budget - self.n_calls
        first: dict[str, int] = {}
        for row, name in enumerate(canonical):
            if name is not None and name not in self._records and name not in first:
                if len(first) >= room:
                    break
                first[name] = row
        return first

    def _measure(self, names: Sequence[str], mols: Sequence[Any]) -> dict[str, _Entry]:
        """Measure molecules; keep what came out, except where nobody could be asked."""
        measured = measure(self._executor, self.components, mols)
        lost: dict[int, set[str]] = {}
        for (row, which), loss in sorted(measured.losses.items(), key=lambda item: item[0]):
            self._say(self.components[which].name, loss, names[row])
            lost.setdefault(row, set()).add(loss.kind)
        entries: dict[str, _Entry] = {}
        for row, name in enumerate(names):
            kinds = lost.get(row, set())
            status = "timed_out" if "timed_out" in kinds else "failed" if kinds else "ok"
            entries[name] = measured.values[row], status
            if "unavailable" not in kinds:
                self._records.add(name, *entries[name])
        return entries

    def _say(self, component: str, loss: Loss, canonical: str) -> None:
        """Count a loss; keep and log the first ones in words."""
        key = f"{component}/{loss.kind}"
        self._counts[key] += 1
        if self._counts[key] <= N_LOGGED:
            silent = "; more of this kind are only counted" * (self._counts[key] == N_LOGGED)
            self.messages.append(f"{component} {loss.text} for {canonical} ({loss.kind}){silent}")
            logger.warning("oracle component %s", self.messages[-1])

    def _scores(
        self, canonical: tuple[str | None, ...], new: np.ndarray, measured: dict[str, _Entry]
    ) -> Scores:
        """Put the rows together: from this batch, from the cache, or from nowhere."""
        n, k = len(canonical), len(self._endpoints)
        values, status = np.full((n, k), np.nan), ["invalid"] * n
        for row, name in enumerate(canonical):
            if name is not None:
                found = measured.get(name) or self._records.find(name)
                values[row], status[row] = found or (np.nan, "over_budget")
        scores = np.stack([e.scores(values[:, i]) for i, e in enumerate(self._endpoints)], axis=1)
        weights = np.array([endpoint.weight for endpoint in self._endpoints])
        rewards = aggregate(scores, weights, how=self.aggregation)
        for row in np.flatnonzero([each not in _UNMEASURED for each in status]):
            if math.isfinite(rewards[row]):
                status[row] = "ok"  # whatever was lost had no weight
            elif status[row] == "ok":
                status[row] = "failed"
                if new[row]:
                    self._say("transform", _NO_SCORE, str(canonical[row]))
        rewards[[each == "invalid" for each in status]] = 0.0
        self._counts.update(status)
        return Scores(
            rewards=rewards,
            canonical=canonical,
            status=tuple(status),
            new=new,
            raw=self._columns(values),
            transformed=self._columns(scores),
        )

    def _columns(self, table: Float[np.ndarray, "n k"]) -> dict[str, Float[np.ndarray, " n"]]:
        return {each.name: table[:, i].copy() for i, each in enumerate(self._endpoints)}


def _problems(oracle: Oracle, aggregation: str, budget: int | None) -> Iterator[str]:
    """Yield what is wrong with the arguments of an oracle."""
    endpoints = [each for one in oracle.components for each in one.endpoints]
    names = Counter(each.name for each in endpoints)
    if not endpoints:
        yield "components must hold one component at least, got none"
    elif not any(each.weight > 0 for each in endpoints):
        yield "weights must hold one above 0, got none"
    for name, times in names.items():
        if times > 1:
            yield f"names of endpoints must differ, got {name!r} {times} times"
    for each in endpoints:
        yield from checks.non_negative(**{f"weight of {each.name}": each.weight})
    yield from checks.known("aggregation", aggregation, AGGREGATIONS)
    if budget is not None:
        yield from checks.whole(budget=budget)
