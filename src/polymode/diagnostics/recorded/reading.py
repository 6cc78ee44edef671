"""From a path or a frame to recorded samples."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from polymode.diagnostics.diagnosis.samples import RecordedSamples
from polymode.diagnostics.recorded.building import SampleBuilder
from polymode.diagnostics.recorded.chunks import Chunk
from polymode.diagnostics.recorded.columns import ColumnPlan, plan_columns
from polymode.diagnostics.recorded.frames import frame_chunks
from polymode.diagnostics.recorded.options import SampleOptions
from polymode.diagnostics.recorded.places import SampleTable, file_table, folder_table
from polymode.diagnostics.recorded.rows import RowChecker
from polymode.diagnostics.recorded.runs import run_table
from polymode.diagnostics.recorded.tally import Tally
from polymode.errors import InputError
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
    builder = SampleBuilder(options, mode)
    chunk: Chunk | None = first
    while chunk is not None:
        _check_late_columns(table, chunk, plan)
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
    there = list(table.names) or first.names()
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
        mode = mode_function(mode)
    from_reference = options.drawn_from == "reference"
    has_log_probs = "log_prob" in there or "log_prob" in mapped

    def optional(name: str) -> bool:
        return name == "ref_log_prob" and from_reference and has_log_probs

    plan = plan_columns(there, mapped, optional=optional, name=table.name)
    if options.drawn_from == "policy" and "log_prob" not in plan.sources:
        raise InputError(
            f"{table.name}: draws of the policy need its log-probabilities, and there is no column "
            "'log_prob': map one with --columns log_prob=THEIRS, or score with that policy"
        )
    return plan, mode, [*notes, *plan.notes]


def _check_late_columns(table: SampleTable, chunk: Chunk, plan: ColumnPlan) -> None:
    """Refuse columns of ours that first come after rows without them."""
    names = {"group", "log_prob", "n_tokens", "mode", "step"} - set(plan.sources)
    if late := sorted(names & set(chunk.names())):
        raise InputError(
            f"{table.name}: {', '.join(late)} first comes after {table.tally.place} "
            f"{chunk.places[0]:,}: give it to every row, or to none"
        )


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
