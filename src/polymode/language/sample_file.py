"""The samples of an evaluation on the disk: appended batch by batch, read back after a kill."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polymode.errors import InputError
from polymode.files import whole_file

Key = tuple[str, str, str]
"""Model, task and prompt."""

FIELDS = (
    "model",
    "task",
    "prompt_id",
    "prompt",
    "completion",
    "reward",
    "mode",
    "n_tokens",
    "log_prob",
    "finished",
)


def batch_sizes(samples: int, batch_size: int) -> list[int]:
    """Return the sizes of the batches of a prompt: all equal but for the last."""
    whole, rest = divmod(samples, batch_size)
    return [batch_size] * whole + ([rest] if rest else [])


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append a batch and see it onto the disk."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_whole_batches(path: Path, sizes: Sequence[int]) -> dict[Key, list[dict[str, Any]]]:
    """Return the samples of each prompt whose batches are complete, and drop the others.

    Parameters
    ----------
    path : Path
        The file; it need not be there. What a killed process left of a batch is removed from it.
    sizes : sequence of int
        The sizes of a prompt's batches.

    Raises
    ------
    InputError
        If a line before the last one is damaged, or a prompt has too many samples.
    """
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    rows: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows[row["model"], row["task"], row["prompt_id"]].append({k: row[k] for k in FIELDS})
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # the process was killed while it wrote this line
            raise InputError(f"{path} is damaged in line {number}: start a new run") from error
    kept = {key: own[: _whole(len(own), sizes)] for key, own in rows.items()}
    if too_many := [key for key, own in rows.items() if len(own) > sum(sizes)]:
        raise InputError(f"{path} has too many samples of {too_many[0]}: start a new run")
    if sum(map(len, kept.values())) < len(lines):
        with whole_file(path) as scratch:
            append_rows(scratch, (row for own in kept.values() for row in own))
    return kept


def _whole(n: int, sizes: Sequence[int]) -> int:
    """Return how many of `n` samples are in complete batches."""
    total = 0
    for size in sizes:
        if total + size > n:
            break
        total += size
    return total
