"""The files of a run on molecules: their names, for those who write and those who read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polymode.errors import InputError, MissingExtraError

__all__ = [
    "ALERTS",
    "CONFIG",
    "METRICS",
    "MOLECULES",
    "PAGE",
    "RESULT",
    "complete_lines",
    "molecule_columns",
    "molecule_parts",
]

CONFIG, METRICS, ALERTS = "config.toml", "metrics.jsonl", "alerts.jsonl"
RESULT, PAGE, MOLECULES = "result.json", "report.html", "molecules"


def molecule_parts(directory: Path) -> dict[int, Path]:
    """Return the parts of a table of molecules by their last step, in ascending order.

    Parameters
    ----------
    directory : Path
        Where the parts are kept.

    Returns
    -------
    dict of int to Path
        Empty where there is none.
    """
    parts = {int(path.stem.rpartition("_")[2]): path for path in directory.glob("molecules_*")}
    return dict(sorted(parts.items()))


def molecule_columns(directory: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return columns of a table of molecules, over all of its parts.

    Parameters
    ----------
    directory : Path
        Where the parts are kept.
    names : sequence of str or None
        Which columns; None for all.

    Returns
    -------
    dict of str to array or list
        Numbers and truths as arrays, text as lists with None where there is none. Empty where no
        part is there.

    Raises
    ------
    InputError
        If a part cannot be read, or has no such column.
    MissingExtraError
        Without pyarrow.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "chemistry") from error
    tables: list[Any] = []
    for path in molecule_parts(directory).values():
        try:
            tables.append(pq.read_table(path, columns=None if names is None else list(names)))
        except (pa.ArrowException, OSError, KeyError) as error:
            reason = str(error).split("\n", 1)[0]
            raise InputError(f"{path} cannot be read: {reason}") from error
    if not tables:
        return {}
    whole = pa.concat_tables(tables, promote_options="default")
    if missing := [name for name in names or () if name not in whole.column_names]:
        raise InputError(f"{directory} has no column {', '.join(missing)}")
    return {
        name: column.to_pylist() if _is_text(pa, column) else column.to_numpy()
        for name, column in zip(whole.column_names, whole.columns, strict=True)
    }


def complete_lines(path: Path) -> list[str]:
    """Return the lines of a file but for a last one that was cut while it was written.

    Parameters
    ----------
    path : Path
        A text file, or none.

    Returns
    -------
    list of str
        Without ends of lines; none where there is no file.
    """
    return path.read_text("utf-8").split("\n")[:-1] if path.exists() else []


def _is_text(pa: Any, column: Any) -> bool:
    """Tell whether a column is text; one that has only nulls may be."""
    return pa.types.is_string(column.type) or pa.types.is_null(column.type)
