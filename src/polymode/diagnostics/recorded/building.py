"""Checked rows collected into recorded samples."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Integer

from polymode.diagnostics.diagnosis.samples import BadRows, DrawnFrom, RecordedSamples
from polymode.diagnostics.diagnosis.texts import Texts
from polymode.diagnostics.recorded.interning import Interner
from polymode.diagnostics.recorded.options import SampleOptions
from polymode.diagnostics.recorded.rows import Rows
from polymode.diagnostics.recorded.tally import excerpt
from polymode.diagnostics.runs.columns import mode_name
from polymode.errors import InputError, PolymodeError

__all__ = ["SampleBuilder"]

_DTYPES = {"n_tokens": np.int32, "step": np.int64}
_NO_MODE = -1


class SampleBuilder:
    """Collects the rows of a table.

    Parameters
    ----------
    options : SampleOptions
        How it is read.
    mode : callable or None
        From the text of an output to its mode; None takes the column ``mode``, or none.
    """

    def __init__(
        self, options: SampleOptions, mode: Callable[[str], Hashable | None] | None
    ) -> None:
        self._options, self._mode = options, mode
        self._keys, self._outputs = Interner(), Interner(options.keep_characters)
        self._prompts, self._names = Interner(), Interner()
        self._shown: list[int] = []  # text of the prompt of each key
        self._mode_of_output: list[int] = []
        self._n_other_prompts = 0
        self._parts: dict[str, list[Any]] = {}

    def add(self, rows: Rows) -> None:
        """Add the rows of a chunk.

        Parameters
        ----------
        rows : mapping of str to sequence
            As `RowChecker.kept` returns them.
        """
        output, new = self._outputs.numbers(rows["output"])
        self._append("output", output)
        self._append("prompt", self._prompt(rows))
        if self._mode is not None:
            self._mode_of_output += self._numbered([_mode_of(self._mode, text) for text in new])
        elif "mode" in rows:
            self._append("modes", np.asarray(self._numbered(rows["mode"]), dtype=np.int32))
        for name in ("reward", "ref_log_prob", "log_prob", "n_tokens", "step"):
            if name in rows:
                self._append(name, np.asarray(rows[name], dtype=_DTYPES.get(name, np.float64)))

    def _prompt(self, rows: Rows) -> Integer[np.ndarray, " n"]:
        """Return the prompt of each row, and keep how each is shown."""
        texts = rows.get("prompt", rows.get("group", ()))
        shown, _ = self._prompts.numbers(texts)
        if "group" not in rows:
            return shown
        keys, _ = self._keys.numbers(rows["group"])
        for key, text in zip(keys.tolist(), shown.tolist(), strict=True):
            if key == len(self._shown):
                self._shown.append(text)
        if self._shown:
            self._n_other_prompts += int((np.asarray(self._shown)[keys] != shown).sum())
        return keys

    def _numbered(self, names: Sequence[str | None]) -> list[int]:
        """Return numbers of modes, -1 for None."""
        found, _ = self._names.numbers([name for name in names if name is not None])
        numbers = iter(found.tolist())
        return [_NO_MODE if name is None else next(numbers) for name in names]

    def _append(self, name: str, part: Any) -> None:
        self._parts.setdefault(name, []).append(part)

    def _column(self, name: str) -> Any:
        """Return a whole column, and let go of its parts; None where there is none."""
        parts = self._parts.pop(name, None)
        return None if parts is None else np.concatenate(parts)

    def finish(
        self, *, bad_rows: tuple[BadRows, ...], notes: Sequence[str], source: str
    ) -> RecordedSamples:
        """Return the samples.

        Parameters
        ----------
        bad_rows : tuple of BadRows
            What was dropped.
        notes : sequence of str
            What is known of the table already.
        source : str
            Where the rows come from.

        Returns
        -------
        RecordedSamples
            With what was assumed and which conflicts were found in its notes.
        """
        log_q, log_p = self._column("ref_log_prob"), self._column("log_prob")
        drawn_from, said = _drawn_from(self._options.drawn_from, log_p is not None)
        if log_q is None:
            log_q, log_p = log_p, None
            said.append("the reference drew the rows, hence log_prob is ref_log_prob")
        prompt, output = self._column("prompt"), self._column("output")
        said += _conflicts(prompt, output, log_q, self._options.tolerance)
        modes, names = self._modes(output, said)
        if self._n_other_prompts:
            n = self._n_other_prompts
            said.append(f"{n:,} rows have another prompt than the first row of their group")
        if self._options.keep_characters is not None:
            said.append(f"outputs are shown up to character {self._options.keep_characters}")
        return RecordedSamples(
            prompt=prompt,
            prompt_texts=self._prompt_texts(),
            output=output,
            output_texts=self._outputs.texts(),
            rewards=self._column("reward"),
            ref_log_probs=log_q,
            drawn_from=drawn_from,
            log_probs=log_p,
            n_tokens=self._column("n_tokens"),
            modes=modes,
            mode_names=names,
            steps=self._column("step"),
            bad_rows=bad_rows,
            notes=(*notes, *said),
            source=source,
        )

    def _prompt_texts(self) -> Sequence[str]:
        """Return how each prompt is shown."""
        texts = self._prompts.texts()
        return Texts.of(texts[i] for i in self._shown) if self._shown else texts

    def _modes(
        self, output: Integer[np.ndarray, " n"], notes: list[str]
    ) -> tuple[Any, Sequence[str]]:
        """Return modes and their names."""
        if self._mode is not None:
            modes = np.asarray(self._mode_of_output, dtype=np.int32)[output]
        else:
            modes = self._column("modes")
        if modes is None:
            notes.append("every distinct output is a mode of its own (--mode-key says otherwise)")
            return None, ()
        if n_none := int((modes == _NO_MODE).sum()):
            notes.append(f"{n_none:,} of {len(modes):,} rows have no mode: no answer")
        return modes, self._names.texts()


def _mode_of(mode: Callable[[str], Hashable | None], text: str) -> str | None:
    """Return the name of the mode of an output."""
    try:
        return mode_name(mode(text))
    except PolymodeError:
        raise
    except Exception as error:  # code of the user's, which may raise anything
        raise InputError(
            f"the mode key failed on the output {excerpt(text)}: {type(error).__name__}: {error}"
        ) from error


def _drawn_from(said: DrawnFrom | None, has_log_probs: bool) -> tuple[DrawnFrom, list[str]]:
    """Return which of both drew the rows, and what was assumed."""
    if said is not None:
        return said, []
    if has_log_probs:
        return "policy", [
            "log_prob is there: rows are taken as draws of the policy (--drawn-from says otherwise)"
        ]
    return "reference", [
        "no log_prob: rows are taken as draws of the reference (--drawn-from says otherwise)"
    ]


def _conflicts(
    prompt: Integer[np.ndarray, " n"],
    output: Integer[np.ndarray, " n"],
    log_q: Float64[np.ndarray, " n"],
    tolerance: float,
) -> list[str]:
    """Say how many outputs of a prompt have two different log-probabilities."""
    key = prompt.astype(np.int64) * (int(output.max()) + 1) + output
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    starts = np.flatnonzero(np.r_[True, sorted_key[1:] != sorted_key[:-1]])
    values = log_q[order]
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    gap = high - low
    n = int((gap > tolerance + 1e-3 * np.abs(low)).sum())
    if not n:
        return []
    return [
        f"{n:,} of {len(starts):,} outputs have reference log-probabilities that differ between "
        f"rows, by up to {gap.max():.3g} nats: other tokens, another model or a wrong column?"
    ]
