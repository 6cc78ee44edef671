"""One run of a benchmark: which task, by which method, from which seed, and how it is carried out.

A run is kept as one JSON file, with the molecules it measured as Parquet beside it. A lock file
keeps two processes from the same run; the system lets go of it when a process dies.
"""

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polymode.chemistry.bench.figures import learning_curves, run_figures
from polymode.chemistry.bench.machine import machine
from polymode.chemistry.bench.methods import find_method
from polymode.chemistry.bench.suites import BenchTask, find_suite
from polymode.core import checks
from polymode.diagnostics.chemistry.calls import COLUMNS, Calls, read_calls
from polymode.diagnostics.chemistry.files import METRICS, MOLECULES, molecule_columns
from polymode.errors import InputError
from polymode.files import json_ready, whole_file, write_json

__all__ = ["Job", "carry_out", "progress_of", "record_path"]

SCHEMA = 1
STRINGS_PER_CALL = 10.0
"""Part of every protocol, whatever the default of a run is."""


@dataclass(frozen=True)
class Job:
    """A run to be carried out."""

    suite: str
    task: str
    method: str
    seed: int
    budget: int | None = None
    """Calls in place of the task's own; the record says so."""
    prior: str = "zinc250k"
    """Name of a prior, or its file."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Settings over those of the method, by section; `label` must tell them apart."""
    label: str = ""
    """Name of the changed method."""

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.suite}--{self.task}--{self.label or self.method}--{self.seed}"

    @property
    def bench_task(self) -> BenchTask:
        """What it is rewarded for."""
        tasks = find_suite(self.suite).tasks
        checks.require(checks.known("task", self.task, tasks))
        return tasks[self.task]

    @property
    def n_calls(self) -> int:
        """Calls that it may make."""
        return self.budget or self.bench_task.budget

    def config(self) -> dict[str, Any]:
        """Return the configuration of the run, as a mapping of sections."""
        task = self.bench_task
        sections: dict[str, dict[str, Any]] = {
            "oracle": {**task.oracle(), "budget": self.n_calls},
            "prior": {"model": self.prior},
            "run": {
                "seed": self.seed,
                "strings_per_call": STRINGS_PER_CALL,
                "tensorboard": False,
                "checkpoint_seconds": 60.0,
            },
        }
        for part in (find_method(self.method).sections, self.changes):
            for section, content in part.items():
                sections[section] = {**sections.get(section, {}), **content}
        sections["target"] = {"threshold": task.threshold, **sections.get("target", {})}
        return sections

    def settings(self) -> dict[str, Any]:
        """Return all that decides what the run does, as JSON has it."""
        from polymode.chemistry.models.files import load_prior, weights_sha256

        return {
            **asdict(self),
            "threshold": self.bench_task.threshold,
            "config": self.config(),
            "prior_sha256": weights_sha256(load_prior(self.prior)),
        }


def record_path(job: Job, directory: Path) -> Path:
    """Return where the record of a run is kept."""
    return directory / "runs" / f"{job.name}.json"


def carry_out(
    job: Job, directory: Path, *, watch: Callable[[int], None] | None = None
) -> dict[str, Any] | None:
    """Carry a run out, or go on with it, unless it is there already.

    Parameters
    ----------
    job : Job
        The run.
    directory : Path
        Where the records are kept.
    watch : callable, optional
        Called after each step with the number of calls so far.

    Returns
    -------
    dict or None
        The record; None where another process is at it.

    Raises
    ------
    InputError
        If a record of this name is there and was made with other settings.
    """
    path = record_path(job, directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return _same(path, job)
    with _lock(path.with_suffix(".lock")) as mine:
        if not mine:
            return None
        if path.exists():  # another process has just ended it
            return _same(path, job)
        scratch = _scratch(job, directory)
        result = _train(job, scratch, watch)
        calls = _molecules(scratch)
        record = _record(job, result, calls)
        _keep_calls(calls, path.with_suffix(".parquet"))
        write_json(path, record, indent=1)
        shutil.rmtree(scratch)
        return record


def progress_of(job: Job, directory: Path) -> int:
    """Return how many calls a run has made so far, as its files tell."""
    if record_path(job, directory).exists():
        return job.n_calls
    log = _scratch(job, directory) / METRICS
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().split(b"\n")[:-1]
        return int(json.loads(lines[-1])["n_calls"])
    except (OSError, ValueError, KeyError, IndexError):
        return 0


def _train(job: Job, scratch: Path, watch: Callable[[int], None] | None) -> dict[str, Any]:
    """Train to the end of the budget, from the last checkpoint if there is one."""
    from polymode.chemistry.learner.checkpoint import last_checkpoint
    from polymode.chemistry.learner.config import check_config
    from polymode.chemistry.learner.run import ChemistryRun

    config = check_config(job.config(), owner=job.name)
    resume = last_checkpoint(scratch / "checkpoints") is not None
    if not resume and scratch.exists():
        shutil.rmtree(scratch)  # it died before its first checkpoint
    started = time.perf_counter()
    run = ChemistryRun(config, scratch, resume=resume)

    def tell(_: int, figures: Mapping[str, float]) -> None:
        if watch is not None:
            watch(int(figures["n_calls"]))

    result = run.train(watch=tell)
    return {**result, "seconds": time.perf_counter() - started, "resumed": resume}


def _molecules(scratch: Path) -> Calls:
    """Read the table of a run."""
    return read_calls(molecule_columns(scratch / MOLECULES, COLUMNS))


def _record(job: Job, result: Mapping[str, Any], calls: Calls) -> dict[str, Any]:
    threshold, budget = job.bench_task.threshold, job.n_calls
    return {
        "schema_version": SCHEMA,
        **job.settings(),
        "figures": json_ready(run_figures(calls, threshold=threshold, budget=budget)),
        "curves": json_ready(learning_curves(calls, threshold=threshold, budget=budget)),
        "seconds": result["seconds"],
        "resumed": result["resumed"],
        "stopped": result["stopped"],
        "oracle": result["oracle"],
        "losses": result["losses"],
        "environment": machine(),
    }


def _keep_calls(calls: Calls, path: Path) -> None:
    """Keep the molecules that were measured, in order: other figures may be wanted."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"smiles": list(calls.smiles), "reward": calls.rewards, "step": calls.steps}
    with whole_file(path) as scratch:
        pq.write_table(pa.table(columns), scratch, compression="zstd")


def _same(path: Path, job: Job) -> dict[str, Any]:
    """Return a record that is there, if it is of this very run."""
    try:
        record = json.loads(path.read_text("utf-8"))
        wanted = json.loads(json.dumps(job.settings()))
        changed = [key for key, value in wanted.items() if record[key] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error!r}): move it away to run it again") from error
    if changed:
        raise InputError(
            f"{path} was made with another {', '.join(changed)}: choose another --output"
        )
    return record


def _scratch(job: Job, directory: Path) -> Path:
    return directory / "unfinished" / job.name


@contextlib.contextmanager
def _lock(path: Path) -> Generator[bool]:
    """Hold a lock, or say that another process does; the system frees it if the holder dies."""
    if sys.platform == "win32":  # no such locks there: one process must do
        yield True
        return
    import fcntl

    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        path.unlink(missing_ok=True)
