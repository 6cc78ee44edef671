"""Folders that `datasets` saved: Arrow files, read without that library."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polymode.diagnostics.recorded.limits import Limits
from polymode.diagnostics.recorded.tables import arrow, first_line
from polymode.diagnostics.recorded.tally import Tally
from polymode.errors import InputError

__all__ = ["dataset_batches", "dataset_files"]


def dataset_files(path: Path) -> list[Path]:
    """Return the Arrow files of a folder that `datasets` saved.

    Parameters
    ----------
    path : Path
        What `Dataset.save_to_disk` wrote, or `DatasetDict.save_to_disk` with one split.

    Returns
    -------
    list of Path
        In the order of the rows.

    Raises
    ------
    InputError
        If the folder is damaged, or has several splits.
    """
    splits = path / "dataset_dict.json"
    try:
        if splits.is_file():
            names = json.loads(splits.read_text(encoding="utf-8"))["splits"]
            if len(names) != 1:
                listed = ", ".join(str(path / str(name)) for name in names)
                raise InputError(f"{path} has {len(names)} splits: name one of {listed}")
            return dataset_files(path / names[0])
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        files = [_within(path, item["filename"]) for item in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a whole data set saved by `datasets`: {error}") from error
    if missing := [file.name for file in files if not file.is_file()]:
        raise InputError(f"{path} lacks {', '.join(missing)}: save the data set again")
    return files


def _within(folder: Path, name: str) -> Path:
    """Return a file of a folder: a name that leads out of it is none."""
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no file of the folder")
    return folder / name


def dataset_batches(files: Sequence[Path], tally: Tally, limits: Limits) -> Iterator[Any]:
    """Yield the record batches of Arrow files.

    Parameters
    ----------
    files : sequence of Path
        As `dataset_files` returns them.
    tally : Tally
        Counts one row for what is lost of a damaged file: Arrow does not say how many there were.
    limits : Limits
        How much there may be.

    Yields
    ------
    pyarrow.RecordBatch
        Validated: a damaged file cannot make pyarrow read outside of it.

    Raises
    ------
    InputError
        If there is more than the limits, or a file is no Arrow stream.
    """
    pa = arrow()
    n_rows = 0
    for file in files:
        try:
            with pa.memory_map(str(file)) as source:
                for batch in pa.ipc.open_stream(source):
                    batch.validate(full=True)
                    n_rows += batch.num_rows
                    if n_rows > limits.n_rows or batch.nbytes > limits.n_bytes:
                        raise InputError(f"{file} has more than {limits.n_rows:,} rows")
                    yield batch
        except (pa.ArrowException, OSError) as error:
            if n_rows == 0:
                reason = f"{file} cannot be read as Arrow: {first_line(error)}"
                raise InputError(reason) from error
            reason = "the file is damaged here: what follows is lost"
            tally.drop(n_rows + 1, reason, file.name)
