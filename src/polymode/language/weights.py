"""Weights on disk, as safetensors: what a checkpoint holds, and files written tensor by tensor.

Nothing here loads a pickle, and nothing holds more than a tensor at a time.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

from polymode.errors import InputError

_SINGLE = ("model.safetensors", "adapter_model.safetensors")
_INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


class Entry(NamedTuple):
    """Where a tensor lies, and of which kind it is."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error


def weight_files(directory: Path) -> list[Path]:
    """Return the weight files of a checkpoint, all shards.

    Raises
    ------
    InputError
        If it is no directory or has no weights as safetensors; says what to do.
    """
    if not directory.is_dir():
        raise InputError(
            f"{directory} is no directory: name a checkpoint on disk (`hf download NAME` fetches "
            "one from the hub)"
        )
    if (directory / _INDEX).exists():
        names = sorted({str(x) for x in read_json(directory / _INDEX)["weight_map"].values()})
        if any(Path(name).name != name for name in names):
            raise InputError(f"{directory / _INDEX} names files outside of its directory")
        return [directory / name for name in names]
    for name in _SINGLE:
        if (directory / name).exists():
            return [directory / name]
    pickles = sorted(p.name for p in directory.iterdir() if p.suffix in _PICKLES)
    found = f", but {pickles[0]}, which may run code when it is loaded" if pickles else ""
    raise InputError(
        f"{directory} has no weights as safetensors{found}: save the model again with "
        "model.save_pretrained(DIRECTORY)"
    )


def entries(directory: Path) -> dict[str, Entry]:
    """Return the tensors of a checkpoint by name, without loading one.

    Raises
    ------
    InputError
        As `weight_files` does, or if a file is damaged.
    """
    return {
        name: Entry(file, tensor["dtype"], tuple(tensor["shape"]))
        for file in weight_files(directory)
        for name, tensor in _header(file)[0].items()
    }


def load(entry: Entry, name: str) -> torch.Tensor:
    """Return one tensor."""
    with safe_open(entry.file, framework="pt") as file:
        return file.get_tensor(name)


def write_like(source: Path, out: Path, value: Callable[[str], torch.Tensor]) -> int:
    """Write a file with the layout of another and new values; return the number of tensors.

    Parameters
    ----------
    source, out : Path
        The file whose names, shapes, dtypes and metadata are taken, and the one to write.
    value : callable
        From a name to the tensor, whose shape and dtype must be those in `source`.
    """
    header, start = _header(source)
    names = sorted(header, key=lambda name: header[name]["data_offsets"])
    with source.open("rb") as old, out.open("wb") as new:
        new.write(old.read(start))
        for name in names:
            # Nothing keeps the tensor: the next one is made when this one is gone.
            new.write(value(name).reshape(-1).view(torch.uint8).numpy().data)
    return len(names)


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """Return what a file says of its tensors, and where their bytes begin."""
    try:
        with file.open("rb") as handle:
            size = int.from_bytes(handle.read(8), "little")
            if size > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = dict(json.loads(handle.read(size)))
        header.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        if 8 + size + end != file.stat().st_size:
            raise ValueError("its length is not what its header says")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged ({error}): copy or download it again") from error
    return header, 8 + size
