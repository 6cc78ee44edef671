"""SMILES files as training data: read, split, encoded, cut into batches of about one length."""

import gzip
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polymode.chemistry.vocabulary import Vocabulary
from polymode.errors import InputError

_FIELDS = re.compile(r"[\s,;]+")
_CHUNK = 50  # batches that are sorted by length together: enough for equal lengths, and still mixed


def read_smiles(path: Path) -> list[str]:
    """Return the distinct SMILES of a file, in its order.

    Parameters
    ----------
    path : Path
        A text file, or one packed by gzip: a string on each line, in the first column or in the
        column that the first line calls ``smiles``. Columns end at blanks, commas or semicolons.

    Raises
    ------
    InputError
        If the file cannot be read or holds no string.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a text of SMILES: {error}") from error
    rows = [_FIELDS.split(line.strip()) for line in text.splitlines() if line.strip()]
    head = [field.strip('"').lower() for field in rows[0]] if rows else []
    column = head.index("smiles") if "smiles" in head else 0
    body = rows[1:] if "smiles" in head else rows
    found = dict.fromkeys(row[column].strip('"') for row in body if len(row) > column)
    if not found:
        raise InputError(f"{path} holds no SMILES: one on each line is needed")
    return list(found)


@dataclass(frozen=True, eq=False)
class EncodedSmiles:
    """Strings as ids, one behind the other."""

    smiles: list[str]
    ids: np.ndarray
    """All ids, each string closed by its end token."""

    starts: np.ndarray
    """Where each string begins in `ids`, and behind the last where it ends."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each string, the end token included."""
        return np.diff(self.starts)

    @classmethod
    def of(cls, smiles: Sequence[str], vocabulary: Vocabulary) -> "EncodedSmiles":
        """Encode strings, all of whose tokens the vocabulary has."""
        rows = [vocabulary.encode(string).ids for string in smiles]
        starts = np.cumsum([0, *map(len, rows)])
        ids = np.fromiter((number for row in rows for number in row), np.int16, int(starts[-1]))
        return cls(list(smiles), ids, starts)

    def batch(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return some strings: ids (n, L), padded by the end token, and lengths."""
        lengths = self.lengths[rows]
        table = np.zeros((len(rows), int(lengths.max())), np.int64)
        for line, row in zip(table, rows, strict=True):
            ids = self.ids[self.starts[row] : self.starts[row + 1]]
            line[: len(ids)] = ids
        return torch.from_numpy(table), torch.from_numpy(lengths)

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the positions of each batch of an epoch: in random order, lengths alike."""
        order = rng.permutation(len(self.smiles))
        lengths, size = self.lengths, batch_size * _CHUNK
        batches = [
            batch
            for chunk in (order[at : at + size] for at in range(0, len(order), size))
            for batch in _cut(chunk[np.argsort(lengths[chunk], kind="stable")], batch_size)
        ]
        yield from (batches[number] for number in rng.permutation(len(batches)))

    def n_batches(self, batch_size: int) -> int:
        """Return how many batches an epoch has."""
        full, rest = divmod(len(self.smiles), batch_size * _CHUNK)
        return full * _CHUNK + -(-rest // batch_size)


def _cut(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Cut positions into batches."""
    return (rows[at : at + size] for at in range(0, len(rows), size))


@dataclass(frozen=True, eq=False)
class Split:
    """Strings to train on and strings held out, which share a vocabulary."""

    train: EncodedSmiles
    held_out: EncodedSmiles
    vocabulary: Vocabulary
    left_out: int
    """Strings of the file that are too long or hold a rare or unknown token."""

    fingerprint: str
    """Tells whether two files hold the same strings."""


def split_smiles(
    smiles: Sequence[str],
    *,
    n_held_out: int,
    max_length: int,
    min_count: int,
    seed: int,
    vocabulary: Vocabulary | None = None,
) -> Split:
    """Hold some strings out and encode all.

    Parameters
    ----------
    smiles : sequence of str
        Distinct strings.
    n_held_out : int
        How many to hold out; at most a tenth of them is.
    max_length : int
        Longer strings, counted in tokens without the end token, are left out.
    min_count : int
        Strings with a token that occurs more rarely than that are left out.
    seed : int
        Which ones are held out.
    vocabulary : Vocabulary, optional
        That of the prior to go on from: strings with other tokens are left out. By default, all
        tokens of the strings that are not too rare.

    Raises
    ------
    InputError
        If fewer than 20 strings are left.
    """
    if vocabulary is None:
        vocabulary = Vocabulary.from_smiles(smiles, min_count=min_count)
    encoded = [vocabulary.encode(string) for string in smiles]
    kept = [
        string
        for string, row in zip(smiles, encoded, strict=True)
        if row.n_unknown == 0 and 1 < len(row.ids) <= max_length + 1
    ]
    if len(kept) < 20:
        raise InputError(f"a prior needs 20 strings to train on at least, got {len(kept)}")
    order = np.random.default_rng(seed).permutation(len(kept))
    n_held_out = min(n_held_out, len(kept) // 10)
    held_out, train = order[:n_held_out], np.sort(order[n_held_out:])
    return Split(
        EncodedSmiles.of([kept[row] for row in train], vocabulary),
        EncodedSmiles.of([kept[row] for row in held_out], vocabulary),
        vocabulary,
        len(smiles) - len(kept),
        hashlib.sha256("\n".join(smiles).encode()).hexdigest(),
    )
