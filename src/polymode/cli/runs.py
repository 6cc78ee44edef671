"""What verbs share: where they write and how, what stands at the foot of a page, quiet hosts."""

import contextlib
import warnings
from collections.abc import Generator, Iterator, Mapping
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
    if problems := list(output_problems({**files, "--json": as_json}, overwrite=overwrite)):
        raise InputError("; ".join(problems))


def output_problems(files: Mapping[str, Path | None], *, overwrite: bool) -> Iterator[str]:
    """Yield why files, by their options, cannot be written."""
    taken: dict[Path, str] = {}
    for flag, path in files.items():
        if path is None or (str(path) == "-" and flag == "--json"):
            continue
        if str(path) == "-":
            yield f"{flag} must be a file, got -"
        elif path.is_dir():
            yield f"{flag} must be a file, got the directory {path}"
        elif path.exists() and not overwrite:
            yield f"{path} is there already: --overwrite replaces it"
        other = taken.setdefault(path.resolve(), flag)
        if other != flag:
            yield f"{other} and {flag} must be two files, got {path} twice"
