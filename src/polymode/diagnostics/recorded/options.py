"""How recorded samples are read."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from polymode.core import checks
from polymode.diagnostics.diagnosis.samples import DrawnFrom
from polymode.diagnostics.recorded.columns import parse_columns
from polymode.diagnostics.recorded.limits import Limits

__all__ = ["SampleOptions"]


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How recorded samples are read.

    Parameters
    ----------
    columns : mapping of str to str
        From our names of columns to those of the file, as `parse_columns` returns it.
    drawn_from : {"reference", "policy"} or None
        Which of both drew the rows. None: the policy if there are its log-probabilities, else the
        reference; the notes say so.
    mode : str, callable or None
        What counts as the same answer: a column, a text as `polymode.metrics.mode_function` takes
        it, or a function from an output to a key. None: the column ``mode`` if there is one, else
        every distinct output is a mode of its own.
    bad_rows : {"refuse", "drop"}
        What to do where rows cannot be used: name them all and stop, or go on without them. They
        are counted either way.
    model : str or None
        Whose samples to take from an evaluation of several models.
    last : int
        Samples of a training run are those of its last this many tables.
    reward_columns : tuple of str
        Reward columns of TRL's tables that count; empty for all.
    keep_characters : int or None
        Keep only so many first characters of each distinct output, and tell outputs apart by 64-bit
        hashes; for files whose distinct texts do not fit into memory. None keeps them whole.
    tolerance : float
        Two reference log-probabilities of one output of one prompt that differ by more are a
        conflict, in nats; a thousandth of their size is added.
    limits : Limits
        How much there may be.

    Raises
    ------
    ArgumentError
        If a value is none of these; lists all.
    InputError
        If a mapped column is none of ours.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    drawn_from: DrawnFrom | None = None
    mode: str | Callable[[str], Hashable | None] | None = None
    bad_rows: Literal["refuse", "drop"] = "refuse"
    model: str | None = None
    last: int = 10
    reward_columns: tuple[str, ...] = ()
    keep_characters: int | None = None
    tolerance: float = 0.1
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        kept = {} if self.keep_characters is None else {"keep_characters": self.keep_characters}
        said = self.drawn_from
        checks.require(
            () if said is None else checks.known("drawn_from", said, ("reference", "policy")),
            checks.known("bad_rows", self.bad_rows, ("refuse", "drop")),
            checks.whole(last=self.last, **kept),
            checks.non_negative(tolerance=self.tolerance),
        )
        parse_columns(",".join(f"{ours}=x" for ours in self.columns))
