"""Many runs of a suite, one after another or several at a time, shared with other processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from polymode.chemistry.bench.jobs import Job, carry_out, progress_of, record_path
from polymode.chemistry.bench.methods import METHODS
from polymode.chemistry.bench.suites import find_suite
from polymode.core import checks

__all__ = ["Outcome", "run_jobs", "suite_jobs"]

Watch = Callable[[int], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    job: Job
    record: dict[str, Any] | None
    """None where another process is at it, or it failed."""
    error: str = ""
    """Why it failed."""


def suite_jobs(
    suite: str,
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    budget: int | None = None,
    prior: str = "zinc250k",
) -> list[Job]:
    """Return the runs of a suite, seed by seed, so that a part is a whole.

    Parameters
    ----------
    suite : str
        Name of the suite.
    tasks, methods : sequence of str
        Some of its tasks, and any of the methods; empty: all of its own.
    seeds : sequence of int
        Seeds; empty: as many as its protocol asks for, from 0 on.
    budget : int, optional
        Calls in place of those of the protocol.
    prior : str
        Name of a prior, or its file.

    Raises
    ------
    ArgumentError
        If a name is not known; lists all.
    """
    own = find_suite(suite)
    checks.require(
        *(checks.known("task", name, own.tasks) for name in tasks),
        *(checks.known("method", name, METHODS) for name in methods),
        () if budget is None else checks.whole(budget=budget),
    )
    combinations = product(seeds or range(own.n_seeds), tasks or own.tasks, methods or own.methods)
    return [Job(suite, task, method, seed, budget, prior) for seed, task, method in combinations]


def run_jobs(
    jobs: Sequence[Job], directory: Path, *, n_workers: int = 1, watch: Watch | None = None
) -> Iterator[Outcome]:
    """Carry out runs, and yield what became of each as it ends; one that fails ends no other.

    Parameters
    ----------
    jobs : sequence of Job
        The runs. Those whose records are there are not run again.
    directory : Path
        Where records are kept.
    n_workers : int
        Processes; each uses one thread.
    watch : callable, optional
        Called now and then with the number of calls that all runs have made.

    Yields
    ------
    Outcome
        What became of a run.
    """
    checks.require(checks.whole(workers=n_workers))
    directory.mkdir(parents=True, exist_ok=True)
    tell = watch or (lambda _: None)
    if n_workers == 1:
        yield from _one_by_one(jobs, directory, tell)
        return
    waiting = [job for job in jobs if not record_path(job, directory).exists()]
    yield from (_attempt(job, directory) for job in jobs if job not in waiting)
    with ProcessPoolExecutor(
        n_workers, mp_context=get_context("spawn"), initializer=_one_thread
    ) as pool:
        running = {pool.submit(_attempt, job, directory): job for job in waiting}
        try:
            while running:
                yield from (future.result() for future in _ended(running))
                tell(sum(progress_of(job, directory) for job in jobs))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _one_by_one(jobs: Sequence[Job], directory: Path, tell: Watch) -> Iterator[Outcome]:
    done = 0
    for job in jobs:
        before = done
        yield _attempt(job, directory, lambda n, before=before: tell(before + n))
        done += job.n_calls
        tell(done)


def _ended(running: dict[Future[Outcome], Job]) -> list[Future[Outcome]]:
    """Wait for a second, and take out what has ended."""
    ended = list(wait(running, timeout=1.0, return_when="FIRST_COMPLETED").done)
    for future in ended:
        del running[future]
    return ended


def _attempt(job: Job, directory: Path, watch: Watch | None = None) -> Outcome:
    """Carry out a run; what goes wrong is told, and ends no other run."""
    try:
        return Outcome(job, carry_out(job, directory, watch=watch))
    except Exception as error:
        return Outcome(job, None, f"{type(error).__name__}: {error}")


def _one_thread() -> None:
    """Keep a worker to one thread: two that share a core are slower than one."""
    import torch

    torch.set_num_threads(1)
