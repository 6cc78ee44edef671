"""A reward function in a process of its own, which can be killed whatever it does."""

import pickle
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from polymode.errors import ArgumentError
from polymode.language.rewards.child import Answer
from polymode.language.rewards.scores import CallFailed, Loss, Score, described
from polymode.processes import ChildLost, ChildProcess

START_SECONDS = 120.0
"""How long importing a reward's module may take."""

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
        self._child: ChildProcess | None = None

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
        if self._child is None and (problem := self._start()):
            raise CallFailed("died", f"could not be loaded again: {problem}")
        logs = {name: columns[name] for name in _LOGS if name in columns}
        try:
            request = pickle.dumps(({**columns, **dict.fromkeys(logs), **_plain(columns)}, seconds))
        except Exception as error:
            text = f"got columns that cannot be sent to a process ({described(error)})"
            raise CallFailed("raised", text) from error
        cast("ChildProcess", self._child).send(request)
        outcome, logged = cast("Answer", self._received(seconds))
        if isinstance(outcome, Loss):
            raise CallFailed(outcome.kind, outcome.text)
        for log, name, value in logged:
            logs[log](name, value)
        return outcome

    def close(self) -> None:
        """End the process, and all that it started."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _start(self) -> str | None:
        """Start the process and return what it says is wrong, None if it is ready."""
        self._child = ChildProcess("polymode.language.rewards.child:serve", self._source)
        problem: str | None = self._received(START_SECONDS)
        if problem is not None:
            self.close()
        return problem

    def _received(self, seconds: float | None) -> Any:
        """Return the next message of the process; it is killed if it sends none in time."""
        try:
            return pickle.loads(cast("ChildProcess", self._child).receive(seconds))
        except ChildLost as lost:
            self._child = None
            raise CallFailed("timed_out" if lost.timed_out else "died", lost.text) from None


def _plain(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trainer's state without its class, for which the process would load torch."""
    state = columns.get("trainer_state")
    return {"trainer_state": SimpleNamespace(**vars(state))} if hasattr(state, "__dict__") else {}
