"""Components on many machines, through Ray.

One actor stands on each core of the cluster; it keeps a process of its own, as `processes` does on
one machine, and kills it if a task takes too long. So the results are the same.
"""

import importlib
import os
from collections.abc import Sequence
from typing import Any

from polymode.chemistry.oracles.losses import Loss, described
from polymode.chemistry.oracles.processes import Processes
from polymode.chemistry.oracles.schedule import Outcome, Task
from polymode.errors import InputError, MissingExtraError

__all__ = ["RayActors"]

N_RETRIES = 3
"""How often a task is tried again if the machine that it is on goes away."""


class RayActors:
    """Carries out tasks wherever a Ray cluster has cores.

    Parameters
    ----------
    components : bytes
        What `packed` made of them; their modules must be importable on every machine.
    n_actors : int or None
        How many; None: one for each core that the cluster has now.
    time_limit : float or None
        Seconds for one task: one call of one component. Neither a start nor a queue counts.
    address : str or None
        Of the cluster: ``auto`` for the one that this machine belongs to, ``host:port`` or
        ``ray://host:port``. None: the one that is connected already, else a new one here.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    InputError
        If the cluster cannot be reached.
    """

    def __init__(
        self,
        components: bytes,
        *,
        n_actors: int | None = None,
        time_limit: float | None = 60.0,
        address: str | None = None,
    ) -> None:
        self._ray = _connected(address)
        n = n_actors or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        kind = self._ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=N_RETRIES)(_Station)
        given = self._ray.put(components)  # sent to each machine once
        self._idle = [kind.remote(given, time_limit) for _ in range(n)]
        self._busy: dict[Any, tuple[Any, Task]] = {}

    @property
    def n_free(self) -> int:
        """How many actors have nothing to do."""
        return len(self._idle)

    def submit(self, task: Task, mols: Sequence[Any]) -> None:
        """Send a task to an actor."""
        actor = self._idle.pop()
        answer = actor.measure.remote(task.component, [mol.ToBinary() for mol in mols])
        self._busy[answer] = actor, task

    def collect(self) -> list[tuple[Task, Outcome]]:
        """Wait until a task is done, and return all that are."""
        answers = list(self._busy)
        self._ray.wait(answers, num_returns=1)
        ready, _ = self._ray.wait(answers, num_returns=len(answers), timeout=0)
        done: list[tuple[Task, Outcome]] = []
        for answer in ready:
            actor, task = self._busy.pop(answer)
            self._idle.append(actor)
            done.append((task, self._outcome(answer)))
        return done

    def close(self) -> None:
        """End the actors, and leave the cluster as it is."""
        for actor in (*self._idle, *(actor for actor, _ in self._busy.values())):
            self._ray.kill(actor)
        self._idle, self._busy = [], {}

    def _outcome(self, answer: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            return Loss("unavailable", f"was lost by Ray: {described(error)}")
        return outcome.copy() if not isinstance(outcome, Loss) else outcome


class _Station:
    """An actor: one process, and the one task that it is at."""

    def __init__(self, components: bytes, time_limit: float | None) -> None:
        self._processes = Processes(components, n_processes=1, time_limit=time_limit)

    def measure(self, component: int, mols: list[bytes]) -> Outcome:
        """Carry out a task."""
        self._processes.submit_binaries(Task(component, tuple(range(len(mols)))), mols)
        ((_, outcome),) = self._processes.collect()
        return outcome


def _connected(address: str | None) -> Any:
    """Return the module `ray`, connected to a cluster."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of a change
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray", "ray") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"no Ray cluster can be reached at {address!r} ({described(error)}): start one "
                "with `ray start --head`, or leave the address out to use this machine alone"
            ) from error
    return ray
