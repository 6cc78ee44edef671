"""A reward function in a thread, which can be left behind.

A thread cannot be killed. One that hangs is abandoned: it keeps its core, and if it never lets go
of the interpreter (a regular expression that backtracks without end, a power of huge integers) not
even the clock is heard. `process` has the worker that can be killed.
"""

import asyncio
import contextvars
import inspect
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from polymode.language.rewards.child import awaited
from polymode.language.rewards.scores import CallFailed, Loss, Score, plain_scores, raised


class Worker(Protocol):
    """Calls a reward function within a limit."""

    def call(self, columns: Mapping[str, Any], seconds: float | None) -> list[Score]:
        """Return the scores, or raise `CallFailed`."""
        ...


class InThread:
    """Runs each call in a new daemon thread, and leaves it behind at the limit.

    Coroutines run in one event loop of their own, where they are cancelled at the limit; a loop
    that does not even answer to that is left behind as well. Without a limit a function runs in the
    thread of the caller.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._loop: asyncio.AbstractEventLoop | None = None

    def call(self, columns: Mapping[str, Any], seconds: float | None) -> list[Score]:
        """Return the scores, or raise `CallFailed`."""
        call = _Call(self._function, columns, self._running_loop)
        if seconds is None:
            call.run()
        else:
            context = contextvars.copy_context()
            device = _cuda_device()
            threading.Thread(target=context.run, args=(call.run, device), daemon=True).start()
        try:
            outcome = call.outcome.get(timeout=seconds)
        except queue.Empty:
            self._abandon(call)
            raise CallFailed("timed_out", "took longer than its time limit") from None
        if isinstance(outcome, Loss):
            raise CallFailed(outcome.kind, outcome.text)
        return outcome

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop of this function's coroutines; start it where there is none."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True).start()
        return self._loop

    def _abandon(self, call: "_Call") -> None:
        """Stop listening to a call; cancel its coroutine and see whether the loop still answers."""
        call.muted = True
        if self._loop is None:
            return
        if call.future is not None:
            call.future.cancel()
        answer = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop)
        try:
            answer.result(timeout=0.1)
        except TimeoutError:
            self._loop = None


class _Call:
    """One call of a function, which may never end."""

    def __init__(
        self,
        function: Callable[..., Any],
        columns: Mapping[str, Any],
        loop: Callable[[], asyncio.AbstractEventLoop],
    ) -> None:
        self._function, self._loop = function, loop
        self._columns = {name: self._mutable(name, value) for name, value in columns.items()}
        self.outcome: queue.SimpleQueue[list[Score] | Loss] = queue.SimpleQueue()
        self.future: Any = None
        self.muted = False

    def _mutable(self, name: str, value: Any) -> Any:
        """Let what a call that was left behind logs go nowhere: its batch is over."""
        if name not in ("log_extra", "log_metric"):
            return value
        return lambda *args: None if self.muted else value(*args)

    def run(self, device: int | None = None) -> None:
        """Call the function and put what it gave into `outcome`."""
        try:
            if device is not None:
                import torch

                torch.cuda.set_device(device)  # is the thread's own, and 0 in a new one
            returned = self._function(**self._columns)
            if inspect.isawaitable(returned):
                self.future = asyncio.run_coroutine_threadsafe(awaited(returned), self._loop())
                returned = self.future.result()
            self.outcome.put(plain_scores(returned))
        except CallFailed as failed:
            self.outcome.put(failed.loss)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit as well: a reward does not end the training
            self.outcome.put(raised(error))


def _cuda_device() -> int | None:
    """Return the current CUDA device, None where CUDA is not in use."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.current_device()
