"""What verbs share: where they write and how, what stands at the foot of a page, quiet hosts."""

import contextlib
import os
import warnings
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from polymode.errors import InputError

RUNS = Path("polymode-runs")


def new_run(name: str) -> Path:
    """First free directory for a run of this name."""
    number = 1
    while (path := RUNS / f"{name}-{number}").exists():
        number += 1
    return path


def last_run(verb: str) -> Path:
    """Return the run of a verb that was started last."""
    runs = list(RUNS.glob(f"{verb}-*/settings.json"))
    if not runs:
        raise InputError(f"nothing to resume under {RUNS}/: name a run with --out")
    return max(runs, key=lambda path: path.stat().st_mtime).parent


def put(path: Path, text: str) -> Path:
    """Write a file beside its place, then move it there: one that is not complete is never left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def page_facts() -> dict[str, str]:
    """Return when and with what a page was written."""
    from polymode.diagnostics.results import environment

    return {
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": ", ".join(f"{name} {number}" for name, number in environment().items()),
    }


@contextlib.contextmanager
def quiet_hosts() -> Generator[None]:
    """Keep the loading bars and deprecation notes of transformers and TRL off the page."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


def check_outputs(
    files: Mapping[str, Path | None], as_json: Path | None, *, overwrite: bool
) -> None:
    """Refuse what cannot be written, before anything is read; `-` is for --json alone."""
    problems: list[str] = []
    taken: dict[Path, str] = {}
    for flag, path in {**files, "--json": as_json}.items():
        if path is None or (str(path) == "-" and flag == "--json"):
            continue
        if str(path) == "-":
            problems.append(f"{flag} must be a file, got -")
        elif path.is_dir():
            problems.append(f"{flag} must be a file, got the directory {path}")
        elif path.exists() and not overwrite:
            problems.append(f"{path} is there already: --overwrite replaces it")
        other = taken.setdefault(path.resolve(), flag)
        if other != flag:
            problems.append(f"{other} and {flag} must be two files, got {path} twice")
    if problems:
        raise InputError("; ".join(problems))
