"""Files as bytes and lines: unpacked by their first bytes, bad lines counted."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from polymode.diagnostics.recorded.limits import Limits, size
from polymode.diagnostics.recorded.tally import Tally
from polymode.errors import InputError, MissingExtraError

__all__ = ["Lines", "opened", "start_of"]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UTF8, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
BROKEN = (EOFError, OSError, zlib.error)
"""What a compressed file raises that is cut off or damaged."""


def opened(path: Path | None) -> BinaryIO:
    """Open a file, or standard input, and unpack what is compressed.

    Parameters
    ----------
    path : Path or None
        None is standard input. What is compressed is told by its first bytes, not by its name.

    Returns
    -------
    binary file
        With `peek`.

    Raises
    ------
    InputError
        If it cannot be opened.
    MissingExtraError
        If it is packed with zstd and pyarrow is not installed.
    """
    if path is None:
        raw: Any = sys.stdin.buffer
        raw = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    else:
        try:
            raw = path.open("rb")
        except OSError as error:
            raise InputError(f"{path} cannot be opened: {error.strerror or error}") from error
    head = raw.peek(4)
    if head.startswith(_GZIP):
        return cast("BinaryIO", _Packed(gzip.GzipFile(fileobj=raw), raw))
    if head.startswith(_ZSTD):
        return cast("BinaryIO", _Packed(_zstd(raw), raw))
    return raw


class _Packed(io.BufferedReader):
    """What is unpacked while it is read; closed together with the file behind it."""

    def __init__(self, stream: Any, raw: Any) -> None:
        super().__init__(stream)
        self._behind = raw

    def close(self) -> None:
        """Close both."""
        try:
            super().close()
        finally:
            self._behind.close()


def _zstd(raw: Any) -> Any:
    """Unpack zstd by pyarrow, which has it built in."""
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        raw.close()
        raise MissingExtraError("pyarrow", "app") from error
    return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")


def start_of(file: BinaryIO, n: int = 64) -> bytes:
    """Return the first bytes of a file and leave them there; none where it is broken.

    Parameters
    ----------
    file : binary file
        As `opened` returns it.
    n : int
        How many at least, where the file has them.

    Returns
    -------
    bytes
        The start.
    """
    try:
        return cast("Any", file).peek(n)
    except BROKEN:
        return b""


class Lines:
    """The lines of a file with their numbers; lines that are none are counted, not raised.

    Parameters
    ----------
    file : binary file
        As `opened` returns it.
    tally : Tally
        Counts lines that are too long, no UTF-8, or cut off.
    limits : Limits
        How much there may be.
    name : str
        What the file is called in errors.
    strict : bool
        Whether a line that is no UTF-8 is counted; else its wrong bytes become lone surrogates.
    """

    def __init__(
        self, file: BinaryIO, tally: Tally, limits: Limits, name: str, *, strict: bool = True
    ) -> None:
        self._file, self._tally, self._limits, self._name = file, tally, limits, name
        self._strict = strict
        self._n_bytes = 0
        self._put_back: list[tuple[int, str]] = []
        self.number = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Return itself: lines that were put back come again, even after the end."""
        return self

    def __next__(self) -> tuple[int, str]:
        """Return the number and the text of the next line; its end stays."""
        if self._put_back:
            return self._put_back.pop()
        while line := self._next():
            if not self._strict:
                return self.number, line.decode(errors="surrogateescape")
            try:
                return self.number, line.decode()
            except UnicodeDecodeError as error:
                shown = repr(line[max(0, error.start - 10) : error.start + 10])
                self._tally.drop(self.number, "is not UTF-8 text", shown)
        raise StopIteration

    def put_back(self, lines: list[tuple[int, str]]) -> None:
        """Give lines back, which come again in their order.

        Parameters
        ----------
        lines : list of (int, str)
            As they were read.
        """
        self._put_back.extend(reversed(lines))

    def _next(self) -> bytes:
        """Return the next line that is not too long; nothing at the end."""
        longest = self._limits.row_bytes
        while True:
            try:
                line = self._file.readline(longest + 1)
                self._count(line)
                too_long = len(line) > longest
                while too_long and line and not line.endswith(b"\n"):
                    line = self._file.readline(1 << 20)
                    self._n_bytes += len(line)
                    self._check()
            except BROKEN as error:
                self.number += 1
                reason = "the compressed file is cut off or damaged here: what follows is lost"
                self._tally.drop(self.number, reason, str(error))
                return b""
            if not too_long:
                return line.removeprefix(_UTF8) if self.number == 1 else line
            self._tally.drop(self.number, f"is longer than {size(longest)}")

    def _count(self, line: bytes) -> None:
        """Count a line and its bytes."""
        if not line:
            return
        self.number += 1
        self._n_bytes += len(line)
        if self.number == 1 and line.startswith(_UTF16):
            raise InputError(f"{self._name} is UTF-16 text: save it as UTF-8")
        self._check()

    def _check(self) -> None:
        """Refuse a file that does not end."""
        if self._n_bytes > self._limits.n_bytes or self.number > self._limits.n_rows:
            limit = f"{size(self._limits.n_bytes)} or {self._limits.n_rows:,} lines"
            raise InputError(
                f"{self._name} unpacks to more than {limit}: raise Limits, or split it"
            )
