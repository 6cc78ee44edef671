"""Parquet from standard input: it is read from its end, so it has to be on the disk."""

import atexit
import tempfile
from pathlib import Path
from typing import BinaryIO

from polymode.diagnostics.recorded.limits import Limits, size
from polymode.errors import InputError

__all__ = ["spooled"]


def spooled(file: BinaryIO, limits: Limits) -> Path:
    """Copy a stream to a temporary file, which is removed when the process ends.

    Parameters
    ----------
    file : binary file
        The stream.
    limits : Limits
        How much there may be.

    Returns
    -------
    Path
        The copy.

    Raises
    ------
    InputError
        If there is more.
    """
    with tempfile.NamedTemporaryFile(suffix=".parquet", delete=False) as copy:
        path = Path(copy.name)
        atexit.register(path.unlink, missing_ok=True)
        n_bytes = 0
        while part := file.read(1 << 20):
            n_bytes += len(part)
            if n_bytes > limits.n_bytes:
                raise InputError(f"standard input has more than {size(limits.n_bytes)}")
            copy.write(part)
    return path
