"""Distinct texts numbered as they come, each held once as UTF-8."""

from array import array
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from polymode.diagnostics.diagnosis.texts import Texts

__all__ = ["Interner"]


class Interner:
    """Numbers texts: equal ones have one number, the first one 0.

    Parameters
    ----------
    keep : int or None
        Keep only so many first characters of each; None keeps all.

    Notes
    -----
    A distinct text takes its bytes and about 130 more. Whole texts are compared with what is kept;
    of cut ones the 64-bit hash decides, which takes two different ones with the same beginning for
    one once in 2**64 pairs.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._ids: dict[int, int] = {}
        self._data = bytearray()
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def numbers(self, texts: Sequence[str]) -> tuple[Int32[np.ndarray, " n"], list[str]]:
        """Return the number of each text, and those that are new, whole.

        Parameters
        ----------
        texts : sequence of str
            As they come in a file.

        Returns
        -------
        array of int32, shape (n,)
            Their numbers.
        list of str
            The texts that came for the first time, in the order of their numbers.
        """
        near: dict[str, int] = {}  # of these texts alone: a long one that repeats is read once
        new: list[str] = []
        out = array("i")
        for text in texts:
            number = near.get(text)
            if number is None:
                number = near[text] = self._number(text, new)
            out.append(number)
        return np.frombuffer(out, dtype=np.int32) if out else np.zeros(0, dtype=np.int32), new

    def texts(self) -> Texts:
        """Return the distinct texts; nothing can be numbered afterwards.

        Returns
        -------
        Texts
            In the order of their numbers.
        """
        self._ids.clear()
        ends = np.frombuffer(self._ends, dtype=np.int64)
        return Texts(np.frombuffer(self._data, dtype=np.uint8), ends)

    def _number(self, text: str, new: list[str]) -> int:
        """Return the number of one text."""
        kept = (text if self._keep is None else text[: self._keep]).encode()
        key = hash(text)
        while (number := self._ids.get(key)) is not None:
            start, end = self._ends[number], self._ends[number + 1]
            if end - start == len(kept) and bytes(self._data[start:end]) == kept:
                return number
            key += 1  # another text with this hash
        number = self._ids[key] = len(self)
        self._data += kept
        self._ends.append(len(self._data))
        new.append(text)
        return number
