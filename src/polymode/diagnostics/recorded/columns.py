"""Which column of a table is which: names, the user's mapping, and what is missing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polymode.core import checks
from polymode.diagnostics.recorded.chunks import Chunk
from polymode.errors import InputError

__all__ = [
    "NAMES",
    "OTHER_NAMES",
    "Column",
    "ColumnPlan",
    "parse_columns",
    "plan_columns",
    "split_columns",
]

NAMES: Mapping[str, str] = {
    "prompt": "the prompt: a text, or messages with role and content",
    "group": "what tells prompts apart, where their texts do not",
    "output": "the output: a text, or messages",
    "reward": "raw reward, in reward units",
    "ref_log_prob": "log-probability of the output under the reference, in nats, sum over tokens",
    "log_prob": "the same under the policy that drew the output",
    "n_tokens": "number of tokens of the output",
    "mode": "what counts as the same answer; nothing where there is none",
    "step": "training step",
    "id": "what no two rows may share; only where it is mapped",
}
"""The columns of recorded samples, and what is in them."""

OTHER_NAMES: Mapping[str, tuple[str, ...]] = {"output": ("completion", "smiles")}
"""What TRL's tables and our own runs call a column."""

_ADD = "`polymode score SAMPLES --model REFERENCE`"

_NUMBERS = {"reward", "ref_log_prob", "log_prob"}


@dataclass(frozen=True)
class ColumnPlan:
    """How the columns of a table become ours.

    Parameters
    ----------
    sources : mapping of str to str
        From our name to an expression of names of the table; see `parse_columns`.
    notes : tuple of str
        What was taken for what without being told.
    """

    sources: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())

    def read(self, name: str, chunk: Chunk) -> "list[Column]":
        """Return the parts of a column in a chunk: one, or several to be joined.

        Parameters
        ----------
        name : str
            Our name of it.
        chunk : Chunk
            Some rows.

        Returns
        -------
        list of Column
            At least one.
        """
        source = self.sources[name]
        if source.startswith("@"):
            return [Column([source[1:]] * len(chunk.places), negative=False)]
        return [
            Column(chunk.column(part), negative=negative)
            for part, negative in _parts(source, set(chunk.names()))
        ]


@dataclass(frozen=True)
class Column:
    """A column of a table, or minus it.

    Parameters
    ----------
    values : sequence
        The cells.
    negative : bool
        Whether minus the cells is meant.
    """

    values: Sequence[Any]
    negative: bool


def parse_columns(text: str) -> dict[str, str]:
    """Return the mapping of columns that a short text gives.

    Parameters
    ----------
    text : str
        ``OURS=THEIRS``, several with commas between them: ``reward=score,output=response``. THEIRS
        is a name, ``-NAME`` for minus a column (a loss that is ``-log q``), ``A+B`` for a sum of
        numbers or several texts that together tell prompts apart, or ``@TEXT`` for the same text
        in every row.

    Returns
    -------
    dict
        From our names to expressions.

    Raises
    ------
    InputError
        If a part has no ``=``, or a name of ours is not known; lists all.

    Examples
    --------
    >>> parse_columns("reward=score, ref_log_prob=-nll")
    {'reward': 'score', 'ref_log_prob': '-nll'}
    """
    found = split_columns(text)
    if problems := list(_unknown(found)):
        raise InputError("; ".join(problems))
    return found


def split_columns(text: str) -> dict[str, str]:
    """Return ``A=B,C=D`` as a mapping, whatever the names.

    Parameters
    ----------
    text : str
        Pairs with commas between them.

    Returns
    -------
    dict
        From what stands before the sign to what stands behind it.

    Raises
    ------
    InputError
        If a part is no pair; lists all.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    pairs = [_pair(part) for part in parts]
    wrong = [part for part, pair in zip(parts, pairs, strict=True) if not all(pair)]
    if wrong:
        raise InputError("; ".join(f"columns must be OURS=THEIRS, got {part!r}" for part in wrong))
    return dict(pairs)


def _pair(text: str) -> tuple[str, str]:
    """Split a text at its first sign of equality."""
    ours, _, theirs = text.partition("=")
    return ours.strip(), theirs.strip()


def _unknown(columns: Mapping[str, str]) -> Iterator[str]:
    """Say which names are none of ours."""
    for name in columns:
        if name not in NAMES:
            hint = checks.did_you_mean(name, NAMES)
            yield f"{name!r} is no column of recorded samples ({', '.join(NAMES)}){hint}"


def plan_columns(
    there: Sequence[str],
    mapped: Mapping[str, str],
    *,
    optional: Callable[[str], bool],
    name: str,
) -> ColumnPlan:
    """Return which columns of a table are which.

    Parameters
    ----------
    there : sequence of str
        The names of the table.
    mapped : mapping of str to str
        What the user says, as `parse_columns` returns it.
    optional : callable
        Whether a table may lack one of our columns.
    name : str
        What the table is called in errors.

    Returns
    -------
    ColumnPlan
        With a source for each column that was found.

    Raises
    ------
    InputError
        If a column is missing or a mapping points nowhere: one error that names all of it, what is
        there, and what may have been meant.
    """
    problems = list(_unknown(mapped))
    sources: dict[str, str] = {}
    notes: list[str] = []
    for ours in NAMES:
        if ours in mapped:
            problems += _missing_parts(ours, mapped[ours], there)
            sources[ours] = mapped[ours]
        elif ours in there and ours != "id":
            sources[ours] = ours
        elif other := next((o for o in OTHER_NAMES.get(ours, ()) if o in there), None):
            sources[ours] = other
            notes.append(f"column {other!r} is taken as {ours}")
    if not {"prompt", "group"} & set(sources):
        problems.append(
            f"no column {_hinted('prompt', there)}; where all rows have one prompt: prompt=@all"
        )
    for ours in ("output", "reward", "ref_log_prob"):
        if ours not in sources and not optional(ours):
            remedy = f" (or add it: {_ADD})" if ours == "ref_log_prob" else ""
            problems.append(f"no column {_hinted(ours, there)}{remedy}")
    if problems:
        listed = ", ".join(there) or "none"
        raise InputError(
            f"{name}: {'; '.join(problems)} (columns there: {listed}; map them with "
            "--columns OURS=THEIRS)"
        )
    return ColumnPlan(sources, tuple(notes))


def _hinted(ours: str, there: Sequence[str]) -> str:
    """Return a missing name with what may have been meant."""
    lower = {name.lower().replace("-", "_").replace(" ", "_"): name for name in there}
    hint = checks.did_you_mean(ours, lower)
    for plain, name in lower.items():
        hint = hint.replace(f"{plain!r}", repr(name))
    return f"{ours!r}{hint}"


def _missing_parts(ours: str, source: str, there: Sequence[str]) -> Iterator[str]:
    """Say which names of an expression are not there."""
    if source.startswith("@"):
        if ours not in {"prompt", "group"}:
            yield f"{ours}={source}: only prompt and group can be the same in every row"
        return
    parts = _parts(source, set(there))
    for part, negative in parts:
        if part not in there:
            yield f"{ours}={source}: no column {_hinted(part, there)}"
        elif negative and ours not in _NUMBERS:
            yield f"{ours}={source}: only {', '.join(sorted(_NUMBERS))} can be negated"
    if len(parts) > 1 and ours not in {*_NUMBERS, "group"}:
        yield f"{ours}={source}: only group, reward and log-probabilities can have several columns"


def _parts(source: str, there: set[str]) -> list[tuple[str, bool]]:
    """Split an expression into names and signs; a name that is there wins."""
    if source in there:
        return [(source, False)]
    parts = [source]
    if "+" in source:
        parts = [part.strip() for part in source.split("+")]
    return [
        (part[1:].strip(), True) if part.startswith("-") and part not in there else (part, False)
        for part in parts
    ]
