"""What a diagnosis starts from: recorded samples, in columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer

from polymode.core import checks

__all__ = ["BadRows", "DrawnFrom", "RecordedSamples"]

DrawnFrom = Literal["reference", "policy"]


@dataclass(frozen=True)
class BadRows:
    """Rows of one kind that could not be used.

    Parameters
    ----------
    reason : str
        What is wrong with them, in a few words: "reward is not a number".
    n : int
        How many.
    examples : tuple of str
        The first ones: where they stand and what they say.
    """

    reason: str
    n: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class RecordedSamples:
    """Samples of several prompts in columns: n rows, P prompts, D distinct texts of outputs.

    Parameters
    ----------
    prompt : array of int, shape (n,)
        The prompt of each row, in 0 … P - 1.
    prompt_texts : sequence of str, length P
        How each prompt is shown. All different, unless the file told prompts apart by something
        else.
    output : array of int, shape (n,)
        The text of each row, in 0 … D - 1. Rows of one prompt with one text are draws of one
        output. The same text may answer several prompts.
    output_texts : sequence of str, length D
        The distinct texts, whole or their first letters; `Texts` keeps millions in little memory.
    rewards : array, shape (n,)
        Raw rewards, without a penalty for leaving the reference, in reward units; finite.
    ref_log_probs : array, shape (n,)
        ``log q`` of the output given its prompt, in nats, summed over its tokens; finite, <= 0.
    drawn_from : {"reference", "policy"}
        Which of both drew the rows. Draws of the policy need `log_probs`, which then are those of
        the policy that drew them.
    log_probs : array, shape (n,), or None
        ``log p`` of the output under the current policy, likewise; None where it is not known.
    n_tokens : array of int, shape (n,), or None
        Number of tokens of the output.
    modes : array of int, shape (n,), or None
        What counts as the same answer: 0 … M - 1, or -1 where an output gives no answer. None makes
        every output a mode of its own.
    mode_names : sequence of str, length M
        How each mode is shown; empty where `modes` is None.
    steps : array of int, shape (n,), or None
        Training step of each row.
    bad_rows : tuple of BadRows
        What was read and dropped.
    notes : tuple of str
        What a reader has to know: what was assumed, and which conflicts were found.
    source : str
        Where the rows come from, for people.

    Raises
    ------
    ShapeError
        If the columns differ in length, and nothing else is wrong.
    ArgumentError
        If an index points nowhere, a number is not finite, a log-probability is positive, draws of
        a policy come without `log_probs`, or there is no row. Lists everything that is wrong.

    Notes
    -----
    A row takes 4 bytes in each column of integers and 8 in each of floats when they are given as
    int32 and float64: 10,000,000 rows with all columns take 400 MB beside the texts. Rewards and
    log-probabilities of one output may differ between rows (a noisy judge, another batch size);
    a diagnosis takes their mean, and says so.

    Examples
    --------
    >>> samples = RecordedSamples(
    ...     prompt=np.zeros(3, dtype=np.int32),
    ...     prompt_texts=["Roll a die."],
    ...     output=np.array([0, 1, 0]),
    ...     output_texts=["one", "six"],
    ...     rewards=np.array([1.0, 0.5, 1.0]),
    ...     ref_log_probs=np.log([0.7, 0.1, 0.7]),
    ...     drawn_from="reference",
    ... )
    >>> samples.n_samples, samples.n_prompts
    (3, 1)
    """

    prompt: Integer[np.ndarray, " n"]
    prompt_texts: Sequence[str]
    output: Integer[np.ndarray, " n"]
    output_texts: Sequence[str]
    rewards: Float[np.ndarray, " n"]
    ref_log_probs: Float[np.ndarray, " n"]
    drawn_from: DrawnFrom
    log_probs: Float[np.ndarray, " n"] | None = None
    n_tokens: Integer[np.ndarray, " n"] | None = None
    modes: Integer[np.ndarray, " n"] | None = None
    mode_names: Sequence[str] = ()
    steps: Integer[np.ndarray, " n"] | None = None
    bad_rows: tuple[BadRows, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = field(default="samples in memory")

    def __post_init__(self) -> None:
        """Refuse what no diagnosis could be made of."""
        checks.require(self._shape_problems())
        checks.require(self._value_problems())

    @property
    def n_samples(self) -> int:
        """Number of rows that are kept."""
        return len(self.prompt)

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.prompt_texts)

    @property
    def n_rows(self) -> int:
        """Number of rows that were read: those kept, and those dropped."""
        return self.n_samples + sum(bad.n for bad in self.bad_rows)

    def _columns(self) -> dict[str, Any]:
        """Return the columns that are there, by their names."""
        names = ("prompt", "output", "rewards", "ref_log_probs")
        names += ("log_probs", "n_tokens", "modes", "steps")
        found = {name: getattr(self, name) for name in names}
        return {name: column for name, column in found.items() if column is not None}

    def _shape_problems(self) -> Iterator[str]:
        """Check that the columns are arrays of one length and of the right kind."""
        floats = {"rewards", "ref_log_probs", "log_probs"}
        columns = self._columns()
        for name, column in columns.items():
            kind, word = ("f", "floats") if name in floats else ("iu", "integers")
            if not isinstance(column, np.ndarray) or column.dtype.kind not in kind:
                yield f"{name} must be a NumPy array of {word}, got {_kind(column)}"
            elif column.ndim != 1 or len(column) != len(self.prompt):
                shape = column.shape
                yield f"{name} must have one entry for each row, got shape {shape}"
        if len(self.prompt) == 0:
            yield "samples must have a row, got none"

    def _value_problems(self) -> Iterator[str]:
        """Check the values of the columns."""
        yield from checks.known("drawn_from", self.drawn_from, ("reference", "policy"))
        if self.drawn_from == "policy" and self.log_probs is None:
            yield "log_probs must be given for draws of the policy, got None"
        for name, column in self._columns().items():
            if column.dtype.kind == "f" and not np.isfinite(column).all():
                yield f"{name} must be finite, row {int(np.argmin(np.isfinite(column)))} is not"
            if name.endswith("log_probs") and (column > 0).any():
                row = int(np.argmax(column > 0))
                yield f"{name} must be <= 0 (nats), got {float(column[row])!r} in row {row}"
        yield from _index_problems("prompt", self.prompt, len(self.prompt_texts))
        yield from _index_problems("output", self.output, len(self.output_texts))
        if self.modes is not None:
            yield from _index_problems("modes", self.modes, len(self.mode_names), least=-1)


def _kind(column: Any) -> str:
    """Say what a column is."""
    return f"dtype {column.dtype}" if isinstance(column, np.ndarray) else type(column).__name__


def _index_problems(name: str, index: Any, n: int, *, least: int = 0) -> Iterator[str]:
    """Check that indices point somewhere."""
    low, high = int(index.min()), int(index.max())
    if low < least or high >= n:
        yield f"{name} must lie in {least} … {n - 1}, got {low if low < least else high}"
