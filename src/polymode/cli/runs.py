"""What verbs that run a model share: where they write, and a quiet page."""

import contextlib
import warnings
from collections.abc import Generator
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


@contextlib.contextmanager
def quiet_hosts() -> Generator[None]:
    """Keep the loading bars and deprecation notes of transformers and TRL off the page."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield
