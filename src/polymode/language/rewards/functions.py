"""The function inside a guard: its name, and the worker that runs it."""

import functools
import os
import re
import sys
from collections.abc import Callable
from typing import Any, Literal

from polymode.errors import ArgumentError
from polymode.language.rewards.process import InProcess
from polymode.language.rewards.workers import InThread, Worker
from polymode.metrics.dotted import function_at

Where = Literal["auto", "thread", "process"]


def worker_for(function: Callable[..., Any] | str, where: Where) -> Worker:
    """Return what runs the function; a process starts now, so that a wrong path is told now."""
    if where == "process" or (where == "auto" and isinstance(function, str) and os.name == "posix"):
        worker = InProcess(function if isinstance(function, str) else _path(function))
        worker.start()
        return worker
    if isinstance(function, str):
        function = function_at(function, name="reward")
    return InThread(function)


def name_of(function: Callable[..., Any] | str) -> str:
    """Return a short readable name, as TRL would."""
    if isinstance(function, str):
        return re.split("[.:]", function)[-1]
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def _path(function: Callable[..., Any]) -> str:
    """Return the path at which another process finds this very function."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not function:
        raise ArgumentError(
            f"function must be importable to run in a process, got {module}.{name}: move it to the "
            'top level of a module of its own, or use where="thread"'
        )
    return f"{module}:{name}"
