"""Where verbs put what they write, unless the user names a place."""

from pathlib import Path

RUNS = Path("polymode-runs")


def new_run(name: str) -> Path:
    """First free directory for a run of this name."""
    number = 1
    while (path := RUNS / f"{name}-{number}").exists():
        number += 1
    return path
