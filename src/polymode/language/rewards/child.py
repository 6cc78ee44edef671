"""The other side of a worker process: finds one reward function and scores what it is sent."""

import asyncio
import contextlib
import inspect
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from polymode.language.rewards.scores import CallFailed, Loss, Score, plain_scores, raised
from polymode.metrics.dotted import function_at
from polymode.processes import limited

Answer = tuple[list[Score] | Loss, list[tuple[str, Any, Any]]]
"""Scores, or why there are none; and what the function logged: which log, name, value."""


def serve(connection: Connection, source: str) -> None:
    """Find the function, say so (None, or what is wrong), then answer until the parent is gone."""
    try:
        function = function_at(source, name="reward")
    except Exception as error:
        connection.send_bytes(pickle.dumps(str(error)))
        return
    connection.send_bytes(pickle.dumps(None))
    with asyncio.Runner() as runner:
        while True:
            try:
                columns, seconds = pickle.loads(connection.recv_bytes())
            except EOFError:
                return
            with limited(seconds):
                answer = _packed(_answer(function, columns, runner))
            with contextlib.suppress(BrokenPipeError):
                connection.send_bytes(answer)


def _packed(answer: Answer) -> bytes:
    """Pickle an answer; what was logged is the user's and may not bear it."""
    try:
        return pickle.dumps(answer)
    except Exception:
        return pickle.dumps((answer[0], []))


def _answer(
    function: Callable[..., Any], columns: dict[str, Any], runner: asyncio.Runner
) -> Answer:
    logged: list[tuple[str, Any, Any]] = []
    recorders = {
        name: _recorder(name, logged) for name in ("log_extra", "log_metric") if name in columns
    }
    try:
        returned = function(**{**columns, **recorders})
        if inspect.isawaitable(returned):
            returned = runner.run(awaited(returned))
        return plain_scores(returned), logged
    except CallFailed as failed:
        return failed.loss, []
    except BaseException as error:  # SystemExit and the like as well: the child goes on
        return raised(error), []


def _recorder(log: str, logged: list[tuple[str, Any, Any]]) -> Callable[[Any, Any], None]:
    """Stand for one of TRL's logging functions, which stay in the parent."""

    def record(name: Any, value: Any) -> None:
        logged.append((log, name, value))

    return record


async def awaited(value: Any) -> Any:
    """Make a coroutine of anything that can be awaited."""
    return await value
