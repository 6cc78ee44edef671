"""A process of our own that answers requests, and is killed when it does not.

For code of the user's (rewards, oracles) that may hang, hold the interpreter for good, or end its
process. The child is a fresh interpreter: it imports what it needs once more, and nothing of the
parent's memory is seen there. Needs a POSIX system.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Generator
from multiprocessing.connection import Connection, Pipe

__all__ = ["GRACE", "ChildLost", "ChildProcess", "limited", "run_child"]

GRACE = 10.0
"""Seconds beyond its limit after which a child whose parent is gone ends itself."""

_BOOT = (
    "import json, sys; descriptor, path, serve, given = json.loads(sys.argv[1]); "
    "sys.path[:] = path; from polymode.processes import run_child; "
    "run_child(descriptor, serve, given)"
)


class ChildLost(Exception):  # noqa: N818 - an event, no error of the user's
    """The child sent nothing in time, or is gone.

    Parameters
    ----------
    timed_out : bool
        Whether it took too long, rather than ended by itself.
    text : str
        What happened, in a line.
    """

    def __init__(self, timed_out: bool, text: str) -> None:
        self.timed_out = timed_out
        self.text = text
        super().__init__(timed_out, text)


class ChildProcess:
    """Starts a function of ours in a fresh interpreter and talks with it.

    Parameters
    ----------
    serve : str
        ``package.module:function``; is called with a connection and `given`, and may answer until
        the connection ends.
    *given : str
        Further arguments.
    """

    def __init__(self, serve: str, *given: str) -> None:
        self.connection, theirs = Pipe()
        arguments = json.dumps([theirs.fileno(), sys.path, serve, given])
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is the parent's; and it dies with its children
        )
        theirs.close()
        self._end = weakref.finalize(self, _kill, self.process)

    def send(self, request: bytes) -> None:
        """Send a request; if the child died meanwhile, `receive` says so."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(request)

    def receive(self, seconds: float | None) -> bytes:
        """Return the next message.

        Parameters
        ----------
        seconds : float or None
            How long to wait for it; None: for ever.

        Raises
        ------
        ChildLost
            If there is none; the child is killed by then.
        """
        try:
            if self.connection.poll(seconds):
                return self.connection.recv_bytes()
            lost = ChildLost(True, "took longer than its time limit and was killed")
        except (EOFError, OSError):
            lost = ChildLost(False, f"ended its process with status {self.process.wait()}")
        self.close()
        raise lost

    def close(self) -> None:
        """End the child and all that it started."""
        self._end()
        self.connection.close()


def run_child(descriptor: int, serve: str, given: list[str]) -> None:
    """Be the child: call the function at a path with the connection."""
    module, _, name = serve.partition(":")
    getattr(importlib.import_module(module), name)(Connection(descriptor), *given)


@contextlib.contextmanager
def limited(seconds: float | None) -> Generator[None]:
    """Let a child end itself if what it does takes much longer than the parent would wait.

    Runs without the interpreter, so it ends a function that holds it for good, too.
    """
    if seconds is None:
        yield
        return
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and its children, and collect it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
