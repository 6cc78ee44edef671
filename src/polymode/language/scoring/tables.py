"""The tables of completions of a TRL run as one file to score."""

from pathlib import Path

from polymode.diagnostics.recorded.tables import arrow
from polymode.diagnostics.runs.trl import table_files

__all__ = ["merged_tables"]


def merged_tables(run: Path, out: Path, *, last: int) -> Path:
    """Write the last tables of a run into one Parquet file, unless it is there.

    Parameters
    ----------
    run : Path
        The directory of a run with tables.
    out : Path
        Where they go.
    last : int
        How many tables.

    Returns
    -------
    Path
        `out`; newer than all tables, so that a process that goes on finds the same file.
    """
    files = table_files(run)[-last:]
    newest = max(file.stat().st_mtime_ns for file in files)
    if out.exists() and out.stat().st_mtime_ns >= newest:
        return out
    pa = arrow()
    tables = [pa.parquet.read_table(file) for file in files]
    partial = out.with_name(f"{out.name}.partial")
    pa.parquet.write_table(pa.concat_tables(tables, promote_options="default"), partial)
    partial.replace(out)
    return out
