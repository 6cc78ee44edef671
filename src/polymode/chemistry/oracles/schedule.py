"""Which component measures which molecules in which call, and what becomes of calls that fail.

A batch is cut into one task for each component and `batch_size` molecules, in the same way whoever
carries them out, so that results are the same. A task that fails is cut in halves until the
molecules that are to blame are alone.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from polymode.chemistry.oracles.component import Component
from polymode.chemistry.oracles.losses import Loss

__all__ = ["PATIENCE", "Executor", "Inline", "Measured", "Outcome", "Task", "measure"]

PATIENCE = 8
"""How many molecules of a batch may hang or kill a component that gives nothing else, before its
failing tasks are no longer cut: each costs a time limit."""

Outcome = Float[np.ndarray, "n k"] | Loss


@dataclass(frozen=True)
class Task:
    """One call: a component by its number, and the rows of the batch that it is to measure."""

    component: int
    rows: tuple[int, ...]


class Executor(Protocol):
    """Carries out tasks, one or many at a time."""

    @property
    def n_free(self) -> int:
        """How many more tasks can be taken now."""
        ...

    def submit(self, task: Task, mols: Sequence[Any]) -> None:
        """Take a task, with its molecules."""
        ...

    def collect(self) -> list[tuple[Task, Outcome]]:
        """Wait until a task is done, or over its time limit, and return all that are."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class Inline:
    """Carries out tasks in this process, one at a time; cannot end one that hangs."""

    def __init__(self, components: Sequence[Component]) -> None:
        self._components = components
        self._done: list[tuple[Task, Outcome]] = []

    @property
    def n_free(self) -> int:
        """Whether there is room for a task."""
        return int(not self._done)

    def submit(self, task: Task, mols: Sequence[Any]) -> None:
        """Carry out a task."""
        self._done.append((task, self._components[task.component].measure(mols)))

    def collect(self) -> list[tuple[Task, Outcome]]:
        """Return what was done."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Do nothing: nothing was started."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What the components gave for n molecules."""

    values: Float[np.ndarray, "n k"]
    """A column for each endpoint of each component, in order; NaN where there is none."""
    losses: dict[tuple[int, int], Loss]
    """Why there is none, by row and component."""


def measure(executor: Executor, components: Sequence[Component], mols: Sequence[Any]) -> Measured:
    """Measure molecules with all components; raises nothing but what ends the interpreter."""
    starts = np.cumsum([0, *(len(component.endpoints) for component in components)])
    values = np.full((len(mols), int(starts[-1])), np.nan)
    losses: dict[tuple[int, int], Loss] = {}
    waiting = deque(_tasks(components, len(mols)))
    n_hung, n_given, n_out = Counter[int](), Counter[int](), 0
    while waiting or n_out:
        while waiting and executor.n_free:
            task = waiting.popleft()
            executor.submit(task, [mols[row] for row in task.rows])
            n_out += 1
        for task, outcome in executor.collect():
            n_out -= 1
            which, rows = task.component, list(task.rows)
            if not isinstance(outcome, Loss):
                n_given[which] += len(rows)
                finite = np.where(np.isfinite(outcome), outcome, np.nan)
                values[rows, starts[which] : starts[which + 1]] = finite
                losses.update(_not_finite(outcome, task))
            elif len(rows) > 1 and _worth_cutting(outcome, n_hung[which], n_given[which]):
                waiting.extendleft(reversed(_halves(task)))
            else:
                n_hung[which] += outcome.kind in ("timed_out", "died")
                losses.update(dict.fromkeys(((row, which) for row in rows), outcome))
    return Measured(values, losses)


def _tasks(components: Sequence[Component], n: int) -> list[Task]:
    """Cut a batch of n molecules into calls."""
    return [
        Task(which, tuple(range(start, min(start + component.batch_size, n))))
        for which, component in enumerate(components)
        for start in range(0, n, component.batch_size)
    ]


def _halves(task: Task) -> list[Task]:
    middle = len(task.rows) // 2
    return [Task(task.component, task.rows[:middle]), Task(task.component, task.rows[middle:])]


def _worth_cutting(loss: Loss, n_hung: int, n_given: int) -> bool:
    """Return whether a single molecule may be to blame."""
    return loss.kind != "unavailable" and (n_hung < PATIENCE or n_given > 0)


def _not_finite(table: Float[np.ndarray, "n k"], task: Task) -> dict[tuple[int, int], Loss]:
    """Find the molecules for which a component gave no finite numbers."""
    bad = ~np.all(np.isfinite(table), axis=1)
    return {
        (row, task.component): Loss("not_finite", f"returned {table[i].tolist()}")
        for i, row in enumerate(task.rows)
        if bad[i]
    }
