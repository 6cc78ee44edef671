"""Runs of a benchmark, each kept as one JSON file, so that a stopped benchmark goes on."""

import fcntl
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polymode.files import write_json

ROOT = Path(__file__).resolve().parents[3]


def once(path: Path, compute: Callable[[Path], dict[str, Any]]) -> None:
    """Keep what a function makes, unless it is there or another process is at it.

    Parameters
    ----------
    path : Path
        The JSON file, written when all is done.
    compute : callable
        Takes a scratch directory, which is removed afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of when killed
        except BlockingIOError:
            return
        if path.exists():
            return
        with tempfile.TemporaryDirectory(prefix=f"{path.parent.name}-") as scratch:
            write_json(path, {**compute(Path(scratch)), "commit": commit()})


def commit() -> str:
    """Return the commit that is checked out."""
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
