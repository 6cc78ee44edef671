"""SMILES as tokens: the rule that splits a string, and the vocabulary of a model.

A token is an atom, a bracket expression, a bond, a branch or a ring number. Nothing here needs more
than the standard library.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from polymode.core.checks import require
from polymode.errors import InputError

__all__ = ["END", "START", "Encoded", "Vocabulary", "tokenize"]

END, START = "$", "^"
"""What ends a string and what stands before it. They are ids 0 and 1, as REINVENT 4 has them."""

_TOKEN = re.compile(r"\[[^\[\]]+\]|Br|Cl|%\d\d|%\(\d+\)|.", re.DOTALL)
_PARTS = frozenset("[]%lr")
"""Letters that are never a token of a vocabulary: beside another token they would read as one."""


def tokenize(smiles: str) -> list[str]:
    r"""Split a SMILES string into tokens.

    Parameters
    ----------
    smiles : str
        Any string; what is not SMILES is split into its characters.

    Returns
    -------
    list of str
        The tokens, which joined give the string again.

    Examples
    --------
    >>> tokenize("C[C@H](Br)c1ccccc%101")
    ['C', '[C@H]', '(', 'Br', ')', 'c', '1', 'c', 'c', 'c', 'c', 'c', '%10', '1']
    """
    return _TOKEN.findall(smiles)


class Encoded(NamedTuple):
    """A string as ids, end token included, and how many tokens were not in the vocabulary."""

    ids: list[int]
    n_unknown: int


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model, by id.

    Parameters
    ----------
    tokens : tuple of str
        All tokens; the first two are the end token and the start token.

    Raises
    ------
    ArgumentError
        If the first two are not `END` and `START`, or if a token occurs twice, is not one token to
        `tokenize`, or could merge with its neighbour (``"B"`` and ``"r"``): lists all of them.

    Notes
    -----
    Strings that a model writes therefore split into the tokens that it wrote. ``"$"``, the
    quadruple bond of SMILES, is the end token here and so unknown as a bond.

    Examples
    --------
    >>> vocabulary = Vocabulary.from_smiles(["CCO", "c1ccccc1Br"])
    >>> vocabulary.tokens
    ('$', '^', '1', 'Br', 'C', 'O', 'c')
    >>> vocabulary.encode("CCN")  # N is unknown: skipped and counted
    Encoded(ids=[4, 4, 0], n_unknown=1)
    >>> vocabulary.decode([4, 4, 5, 0])
    'CCO'
    """

    tokens: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        require(self._problems())
        ids = {token: number for number, token in enumerate(self.tokens) if number > 1}
        object.__setattr__(self, "_ids", ids)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def from_smiles(cls, smiles: Iterable[str], *, min_count: int = 1) -> "Vocabulary":
        """Return the vocabulary of all tokens that occur in strings, in alphabetic order.

        Parameters
        ----------
        smiles : iterable of str
            The strings.
        min_count : int
            How often a token has to occur. Parts of broken strings (a lone bracket) are left out.

        Returns
        -------
        Vocabulary
            The tokens found, behind `END` and `START`.
        """
        counts: dict[str, int] = {}
        for string in smiles:
            for token in tokenize(string):
                counts[token] = counts.get(token, 0) + 1
        left_out = _PARTS | {END, START} | {token for token in counts if token.isspace()}
        kept = {t for t, count in counts.items() if count >= min_count and t not in left_out}
        return cls((END, START, *sorted(kept)))

    def encode(self, smiles: str) -> Encoded:
        """Return the ids of a string with the end token; unknown tokens are skipped and counted.

        Parameters
        ----------
        smiles : str
            Any string.

        Returns
        -------
        Encoded
            ``ids`` and ``n_unknown``.
        """
        tokens = tokenize(smiles)
        ids = [self._ids[token] for token in tokens if token in self._ids]
        n_unknown = len(tokens) - len(ids)
        ids.append(0)
        return Encoded(ids, n_unknown)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the string of ids, up to the first end token.

        Parameters
        ----------
        ids : sequence of int
            Ids of this vocabulary; start tokens are left out.

        Returns
        -------
        str
            The string.
        """
        parts: list[str] = []
        for number in ids:
            if number == 0:
                break
            if number != 1:
                parts.append(self.tokens[number])
        return "".join(parts)

    def n_unknown(self, smiles: str) -> int:
        """Return how many tokens of a string are not in the vocabulary.

        Parameters
        ----------
        smiles : str
            Any string.

        Returns
        -------
        int
            The number; they are skipped when the string is encoded.
        """
        return self.encode(smiles).n_unknown

    def to_json(self) -> str:
        """Return the vocabulary as a JSON list of its tokens.

        Returns
        -------
        str
            What `from_json` reads.
        """
        return json.dumps(list(self.tokens))

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Return the vocabulary that `to_json` wrote.

        Parameters
        ----------
        text : str
            A JSON list of tokens.

        Returns
        -------
        Vocabulary
            The vocabulary.

        Raises
        ------
        InputError
            If the text is no JSON list of strings.
        ArgumentError
            If the tokens are not those of a vocabulary.
        """
        try:
            tokens = json.loads(text)
        except ValueError as error:
            raise InputError(f"a vocabulary must be a JSON list of tokens: {error}") from error
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise InputError(f"a vocabulary must be a JSON list of tokens, got {text[:60]!r}")
        return cls(tuple(tokens))

    def _problems(self) -> Iterable[str]:
        """Say what keeps the tokens from being a vocabulary."""
        if self.tokens[:2] != (END, START):
            yield f"tokens must begin with {END!r} and {START!r}, got {self.tokens[:2]!r}"
        seen: set[str] = set()
        for token in self.tokens[2:]:
            if token in seen:
                yield f"tokens must differ, got {token!r} twice"
            elif token in {END, START}:
                yield f"{token!r} must be the id 0 or 1 only"
            elif token in _PARTS or len(tokenize(token)) != 1:
                yield f"a token must be one whole SMILES token, got {token!r}"
            seen.add(token)
