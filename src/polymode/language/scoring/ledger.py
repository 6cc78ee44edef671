"""Scores as they are found, on the disk: a process that was killed goes on where it stopped."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from polymode.errors import InputError
from polymode.language.scoring.writing import Score

__all__ = ["Ledger", "kept_identity"]


def kept_identity(path: Path) -> Mapping[str, Any]:
    """Return what a file of scores holds scores of; empty where there is none.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    mapping
        Samples, model and settings.
    """
    try:
        with path.open("rb") as file:
            found = json.loads(file.readline())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class Ledger:
    """A file of scores in the order of the rows, begun by what they are scores of.

    Parameters
    ----------
    path : Path
        The file. If it is there, it is gone on with.
    identity : mapping
        Samples, model and settings: scores of anything else are refused.
    overwrite : bool
        Whether what is there is thrown away if it is of anything else.

    Raises
    ------
    InputError
        If the file is of anything else, or is damaged.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, overwrite: bool) -> None:
        self.path = path
        self._identity = json.loads(json.dumps(dict(identity)))
        self.n_done = 0
        if path.exists():
            found = self._read()
            if found is None and overwrite:
                path.unlink()
            elif found is None:
                raise InputError(
                    f"{path} has scores of other samples or settings: --overwrite starts anew"
                )
        if not path.exists():
            self._write([self._identity], "w")

    def add(self, scores: Sequence[Score]) -> None:
        """Append scores and see them onto the disk.

        Parameters
        ----------
        scores : sequence of Score
            Of the next rows.
        """
        self._write([list(score) for score in scores], "a")
        self.n_done += len(scores)

    def scores(self) -> Iterator[Score]:
        """Yield all scores, in the order of the rows.

        Yields
        ------
        Score
            One for each row that is done.
        """
        with self.path.open(encoding="utf-8") as file:
            next(file)
            for line in file:
                yield Score(*json.loads(line))

    def _read(self) -> int | None:
        """Count what is there, and cut off what a killed process left of a line."""
        whole = 0
        with self.path.open("rb") as file:
            first = file.readline()
            try:
                same = json.loads(first) == self._identity
            except ValueError:
                same = False
            if not same:
                return None
            whole = len(first)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self.n_done += 1
        os.truncate(self.path, whole)
        return self.n_done

    def _write(self, values: Sequence[Any], mode: str) -> None:
        """Write values, each on a line."""
        with self.path.open(mode, encoding="utf-8") as file:
            file.writelines(json.dumps(value, allow_nan=False) + "\n" for value in values)
            file.flush()
            os.fsync(file.fileno())
