"""Components for `oracles.py` that cost nothing, or only time; a module that loads in no time."""

import time
from collections.abc import Sequence
from typing import Any


def nothing(mols: Sequence[Any]) -> list[float]:
    """Be a component that costs nothing."""
    return [0.0] * len(mols)


def sleep(mols: Sequence[Any], milliseconds: float) -> list[float]:
    """Take some time for each molecule, and return it in seconds."""
    taken = []
    for _ in mols:
        started = time.perf_counter()
        time.sleep(milliseconds / 1000)
        taken.append(time.perf_counter() - started)
    return taken
