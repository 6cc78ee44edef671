"""A reward function in a process of its own, which can be killed whatever it does."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping
from multiprocessing.connection import Connection, Pipe
from types import SimpleNamespace
from typing import Any, cast

from polymode.errors import ArgumentError
from polymode.language.rewards.child import Answer
from polymode.language.rewards.scores import CallFailed, Loss, Score, described

START_SECONDS = 120.0
"""How long importing a reward's module may take."""

_BOOT = (
    "import json, sys; fd, path, source = json.loads(sys.argv[1]); sys.path[:] = path; "
    "from polymode.language.rewards.child import serve; serve(fd, path, source)"
)
_LOGS = ("log_extra", "log_metric")


class InProcess:
    """Runs a function in a process that is killed at the limit; the next call starts another.

    The process finds the function by its path: what it needs is imported there once more, and what
    changes in the memory of the training is not seen there. Columns are pickled (of the trainer's
    state, the attributes); what the function logs is handed on when it has returned. Needs a POSIX
    system.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        """Start the process, or raise `ArgumentError` if it does not find the function."""
        try:
            problem = self._start()
        except CallFailed as failed:
            problem = f"reward {self._source!r} could not be loaded: it {failed.loss.text}"
        if problem is not None:
            raise ArgumentError(problem)

    def call(self, columns: Mapping[str, Any], seconds: float | None) -> list[Score]:
        """Return the scores, or raise `CallFailed`. A start is not counted as time."""
        if self._connection is None and (problem := self._start()):
            raise CallFailed("died", f"could not be loaded again: {problem}")
        logs = {name: columns[name] for name in _LOGS if name in columns}
        try:
            request = pickle.dumps(({**columns, **dict.fromkeys(logs), **_plain(columns)}, seconds))
        except Exception as error:
            text = f"got columns that cannot be sent to a process ({described(error)})"
            raise CallFailed("raised", text) from error
        with contextlib.suppress(OSError):  # it died meanwhile: no answer will come
            cast("Connection", self._connection).send_bytes(request)
        outcome, logged = cast("Answer", self._received(seconds))
        if isinstance(outcome, Loss):
            raise CallFailed(outcome.kind, outcome.text)
        for log, name, value in logged:
            logs[log](name, value)
        return outcome

    def close(self) -> None:
        """End the process, and all that it started."""
        if self._process is not None and self._connection is not None:
            _kill(self._process)
            self._connection.close()
            self._process = self._connection = None

    def _start(self) -> str | None:
        """Start the process and return what it says is wrong, None if it is ready."""
        self._connection, theirs = Pipe()
        arguments = json.dumps([theirs.fileno(), sys.path, self._source])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is the training's; and it dies with its children
        )
        theirs.close()
        weakref.finalize(self, _kill, self._process)
        problem: str | None = self._received(START_SECONDS)
        if problem is not None:
            self.close()
        return problem

    def _received(self, seconds: float | None) -> Any:
        """Return the next message of the process; kill one that sends none in time."""
        connection = cast("Connection", self._connection)
        try:
            if connection.poll(seconds):
                return pickle.loads(connection.recv_bytes())
            lost = CallFailed("timed_out", "took longer than its time limit and was killed")
        except (EOFError, OSError):
            status = cast("subprocess.Popen[bytes]", self._process).wait()
            lost = CallFailed("died", f"ended its process with status {status}")
        self.close()
        raise lost


def _plain(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trainer's state without its class, for which the process would load torch."""
    state = columns.get("trainer_state")
    return {"trainer_state": SimpleNamespace(**vars(state))} if hasattr(state, "__dict__") else {}


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and its children, and collect it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
