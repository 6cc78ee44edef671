"""Components in processes of this machine: many tasks at a time, and none hangs for ever."""

import contextlib
import os
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from rdkit import Chem

from polymode.chemistry.oracles.component import Component
from polymode.chemistry.oracles.losses import Loss, described
from polymode.chemistry.oracles.schedule import Outcome, Task
from polymode.errors import ArgumentError
from polymode.processes import ChildLost, ChildProcess, limited

__all__ = ["Processes", "n_cores", "packed", "serve"]

START_SECONDS = 120.0
"""How long a process may take to import what the components need."""


@dataclass(eq=False)
class _Worker:
    """A process, and what it is at."""

    child: ChildProcess | None = None
    task: Task | None = None
    deadline: float | None = None
    unsent: bytes | None = None
    """The request that waits for the process to have started: a pipe that is full would block."""


class Processes:
    """Carries out tasks in processes, each of which is killed if a task takes too long.

    Parameters
    ----------
    components : bytes
        What `packed` made of them.
    n_processes : int
        How many; they start with the first tasks.
    time_limit : float or None
        Seconds for one task: one call of one component. A start does not count.
    """

    def __init__(
        self,
        components: bytes,
        *,
        n_processes: int,
        time_limit: float | None = 60.0,
    ) -> None:
        self._components = components
        self._time_limit = time_limit
        self._workers = [_Worker() for _ in range(n_processes)]

    @property
    def n_free(self) -> int:
        """How many processes have nothing to do."""
        return sum(worker.task is None for worker in self._workers)

    def submit(self, task: Task, mols: Sequence[Any]) -> None:
        """Send a task to a process, which is started if there is none."""
        self.submit_binaries(task, [mol.ToBinary() for mol in mols])

    def submit_binaries(self, task: Task, mols: Sequence[bytes]) -> None:
        """Send a task whose molecules are RDKit's binary strings already."""
        worker = next(worker for worker in self._workers if worker.task is None)
        worker.task = task
        worker.unsent = pickle.dumps((task.component, mols, self._time_limit))
        if worker.child is None:
            worker.child = ChildProcess("polymode.chemistry.oracles.processes:serve")
            worker.child.send(self._components)
            worker.deadline = time.monotonic() + START_SECONDS
        else:
            self._hand_over(worker.child, worker)

    def collect(self) -> list[tuple[Task, Outcome]]:
        """Wait until a task is done, or over its time limit, and return all that are."""
        done: list[tuple[Task, Outcome]] = []
        while not done:
            busy = {
                each.child.connection: each for each in self._workers if each.task and each.child
            }
            deadlines = [each.deadline for each in busy.values() if each.deadline is not None]
            left = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
            ready = wait(list(busy), left)
            now = time.monotonic()
            for connection, worker in busy.items():
                if connection in ready or (worker.deadline is not None and worker.deadline <= now):
                    done += self._finished(worker)
        return done

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            if worker.child is not None:
                worker.child.close()
            worker.child = worker.task = worker.unsent = None

    def _finished(self, worker: _Worker) -> list[tuple[Task, Outcome]]:
        """Return what a process has to say, if anything; one that is late is killed here."""
        task, child = worker.task, worker.child
        if task is None or child is None:
            return []
        try:
            message = pickle.loads(child.receive(0.0))
        except ChildLost as lost:
            worker.child = worker.task = worker.unsent = None
            return [(task, Loss("timed_out" if lost.timed_out else "died", lost.text))]
        if worker.unsent is None:
            worker.task = None
            return [(task, message)]
        if message is None:
            self._hand_over(child, worker)
            return []
        child.close()
        worker.child = worker.task = worker.unsent = None
        return [(task, Loss("unavailable", f"could not be loaded in a process: {message}"))]

    def _hand_over(self, child: ChildProcess, worker: _Worker) -> None:
        """Send the request; from now on its time counts."""
        child.send(worker.unsent or b"")
        worker.unsent = None
        limit = self._time_limit
        worker.deadline = None if limit is None else time.monotonic() + limit


def serve(connection: Connection) -> None:
    """Be a process: load the components, say so, then carry out tasks until the parent is gone."""
    try:
        components = pickle.loads(connection.recv_bytes())
    except Exception as error:
        connection.send_bytes(pickle.dumps(described(error)))
        return
    connection.send_bytes(pickle.dumps(None))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            which, binaries, seconds = pickle.loads(connection.recv_bytes())
            with limited(seconds):
                outcome = components[which].measure([Chem.Mol(each) for each in binaries])
            connection.send_bytes(pickle.dumps(outcome))


def packed(components: Sequence[Component]) -> bytes:
    """Pickle components.

    Raises
    ------
    ArgumentError
        If another process could not load them again: their functions must be at the top level of a
        module that can be imported, and their parameters must pickle.
    """
    problems: list[str] = []
    for component in components:
        module = getattr(component.function, "__module__", None)
        remedy = "move its function to the top level of a module of its own, or use workers = 0"
        try:
            pickle.dumps(component)
        except Exception as error:
            text = f"component {component.name} must pickle to run in processes"
            problems.append(f"{text}, got {described(error)}: {remedy}")
        else:
            if module == "__main__":
                text = f"component {component.name} must be importable to run in processes"
                problems.append(f"{text}, got a function of __main__: {remedy}")
    if problems:
        raise ArgumentError(problems)
    return pickle.dumps(tuple(components))


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
