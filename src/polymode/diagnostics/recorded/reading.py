"""From a path or a frame to recorded samples."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polymode.core import checks
from polymode.diagnostics.diagnosis.samples import RecordedSamples
from polymode.diagnostics.recorded.building import SampleBuilder
from polymode.diagnostics.recorded.chunks import Chunk
from polymode.diagnostics.recorded.columns import ColumnPlan, plan_columns
from polymode.diagnostics.recorded.frames import frame_chunks
from polymode.diagnostics.recorded.options import SampleOptions
from polymode.diagnostics.recorded.places import SampleTable, file_table, folder_table
from polymode.diagnostics.recorded.rows import ALL_OR_NONE, RowChecker
from polymode.diagnostics.recorded.runs import run_table
from polymode.diagnostics.recorded.tally import Tally
from polymode.errors import ArgumentError, InputError
from polymode.metrics.modes import mode_function

__all__ = ["read_samples"]


def read_samples(samples: Any, options: SampleOptions | None = None) -> RecordedSamples:
    """Return recorded samples from a file, a folder, a run, or what is in memory.

    Parameters
    ----------
    samples : str, Path, frame, mapping of columns, list of mappings, or RecordedSamples
        A path names a file (JSON Lines, CSV, TSV, Parquet; gzip and zstd), a folder (of
        `datasets`, or of Parquet files), or a run (of TRL, of ours, of REINVENT 4); ``"-"`` is
        standard input. Frames are those of pandas, polars, pyarrow and `datasets`. What is
        RecordedSamples already is returned as it is.
    options : SampleOptions or None
        Columns, modes, what to do with bad rows; None takes the defaults.

    Returns
    -------
    RecordedSamples
        Every row that was read is kept, or counted in its `bad_rows`.

    Raises
    ------
    InputError
        If there is nothing that can be read, a column is missing, or rows cannot be used and
        `options` do not say to drop them.
    MissingExtraError
        If pyarrow is needed and not installed.

    Notes
    -----
    Files are read in pieces. Distinct texts are held once; a row takes 4 bytes for each column of
    integers and 8 for each of floats.

    Examples
    --------
    >>> rows = [{"prompt": "Roll a die.", "output": "six", "reward": 1, "ref_log_prob": -1.8}]
    >>> read_samples(rows).notes[0]
    'no log_prob: rows are taken as draws of the reference (--drawn-from says otherwise)'
    """
    if isinstance(samples, RecordedSamples):
        return samples
    options = options or SampleOptions()
    if isinstance(samples, str | Path):
        table = _table_at(samples, options)
    else:
        tally = Tally("row")
        table = SampleTable("the samples", tally, frame_chunks(samples, tally))
    return _collected(table, options)


def _table_at(source: str | Path, options: SampleOptions) -> SampleTable:
    """Return what lies at a path."""
    if str(source) == "-":
        return file_table(None, options)
    path = Path(source).expanduser()
    if not path.exists():
        raise InputError(f"{path} is not there: name a file of samples or a run")
    table = run_table(path, options)
    if table is None:
        table = folder_table(path, options) if path.is_dir() else file_table(path, options)
    if table is None:
        raise InputError(
            f"{path} has no samples: neither samples.jsonl (polymode evaluate), completions/ "
            "(TRL), molecules/ (chemistry), a data set saved by `datasets`, nor *.parquet"
        )
    return table


def _collected(table: SampleTable, options: SampleOptions) -> RecordedSamples:
    """Read a table to its end."""
    chunks = iter(table.chunks)
    first = next(chunks, None)
    if first is None:
        raise InputError(f"{table.name} has no row that can be read{_because(table.tally)}")
    plan, mode, notes = _plan(table, first, options)
    checker = RowChecker(plan, table.tally, options.limits.row_bytes)
    options = replace(options, drawn_from=options.drawn_from or table.drawn_from)
    builder = SampleBuilder(options, mode)
    chunk: Chunk | None = first
    while chunk is not None:
        kept = checker.kept(chunk)
        if len(kept["output"]):
            builder.add(kept)
        chunk = next(chunks, None)
    _judge(table, options)
    return builder.finish(bad_rows=table.tally.bad_rows(), notes=notes, source=table.name)


def _plan(
    table: SampleTable, first: Chunk, options: SampleOptions
) -> tuple[ColumnPlan, Callable[[str], Hashable | None] | None, list[str]]:
    """Return which column is which, what makes modes, and what was assumed."""
    there = _names(table, first)
    known = {k: v for k, v in table.columns.items() if k not in options.columns}
    mapped = {**known, **options.columns}
    notes = list(table.notes)
    mode = options.mode
    if isinstance(mode, str) and mode in there:
        mapped["mode"], mode = mode, None
    elif mode is None and table.mode is not None and not {"mode"} & {*there, *mapped}:
        mode = table.mode
        notes.append(f"modes are those of {mode} (--mode-key says otherwise)")
    if isinstance(mode, str):
        mode = _mode_named(mode, there)
    drawn_from = options.drawn_from or table.drawn_from
    from_reference = drawn_from == "reference"
    has_log_probs = "log_prob" in there or "log_prob" in mapped

    def optional(name: str) -> bool:
        return name == "ref_log_prob" and from_reference and has_log_probs

    plan = plan_columns(there, mapped, optional=optional, name=table.name)
    if drawn_from == "policy" and "log_prob" not in plan.sources:
        raise InputError(
            f"{table.name}: draws of the policy need its log-probabilities, and there is no column "
            "'log_prob': map one with --columns log_prob=THEIRS, or score with that policy "
            "(`polymode score --column log_prob`), or, if the reference drew them, say so: "
            "--drawn-from reference"
        )
    return plan, mode, [*notes, *plan.notes]


def _mode_named(mode: str, there: list[str]) -> Callable[[str], Hashable | None]:
    """Return what makes modes, where no column has that name."""
    try:
        return mode_function(mode)
    except ArgumentError as error:
        listed = f"{', '.join(there)}{checks.did_you_mean(mode, there)}"
        raise InputError(f"{error}; nor is it a column ({listed})") from error


def _names(table: SampleTable, first: Chunk) -> list[str]:
    """Return the names of a table, without ours that most of the first rows lack."""
    names = list(table.names) or first.names()
    rare = {name for name in ALL_OR_NONE & set(first.names()) if _is_rare(first, name)}
    return [name for name in names if name not in rare]


def _is_rare(chunk: Chunk, name: str) -> bool:
    """Return whether at most half of the rows have a column: rubbish, or a column of nothing."""
    values = chunk.column(name)
    if isinstance(values, np.ndarray):
        return False
    nothing = (None, "") if chunk.as_text else (None,)
    return 2 * sum(value not in nothing for value in values) <= len(values)


def _judge(table: SampleTable, options: SampleOptions) -> None:
    """Stop where rows are bad and are not to be dropped, or where none is left."""
    tally = table.tally
    if tally.n_kept == 0:
        raise InputError(f"{table.name} has no row that can be used{_because(tally)}")
    if tally.n_dropped and options.bad_rows == "refuse":
        raise InputError(
            f"{table.name}: {tally.n_dropped:,} of {tally.n_rows:,} rows cannot be used: "
            f"{tally.sentence()}. Mend them, or go on without them: --bad-rows drop"
        )


def _because(tally: Tally) -> str:
    """Return what is wrong with the rows, if there are any."""
    return f": {tally.sentence()}" if tally.n_dropped else ""
