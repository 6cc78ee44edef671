"""Runs of a benchmark, each kept as one JSON file, so that a stopped benchmark goes on."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polymode.language.runs import write_json

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
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock")
    try:
        lock.touch(exist_ok=False)
    except FileExistsError:
        return
    scratch = Path(tempfile.mkdtemp(prefix=f"{path.parent.name}-"))
    try:
        write_json(path, {**compute(scratch), "commit": commit()})
    finally:
        lock.unlink()
        shutil.rmtree(scratch, ignore_errors=True)


def commit() -> str:
    """Return the commit that is checked out."""
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
