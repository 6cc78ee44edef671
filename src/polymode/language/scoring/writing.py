"""Files of samples with two columns added: the log-probability, and the number of tokens."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from polymode.diagnostics.recorded.tables import arrow
from polymode.language.scoring.files import csv_records, format_of, json_lines

__all__ = ["Score", "write_scored"]


class Score(NamedTuple):
    """What was found for a row."""

    log_prob: float | None
    """Nats, sum over tokens; None where the row could not be scored."""
    n_tokens: int | None


def write_scored(
    path: Path, out: Path, scores: Iterable[Score], *, column: str, overwrite: bool
) -> None:
    """Write the rows of a file with their scores; nothing is left of a file that is not complete.

    Parameters
    ----------
    path : Path
        The file.
    out : Path
        Where it goes.
    scores : iterable of Score
        One for each row.
    column : str
        The name of the log-probability; the other column is `n_tokens`.
    overwrite : bool
        Whether `n_tokens` is replaced if it is there.
    """
    partial = out.with_name(f"{out.name}.partial")
    kind = format_of(path)
    write = {".jsonl": _write_json, ".parquet": _write_parquet}.get(kind or "", _write_csv)
    try:
        write(path, partial, iter(scores), column, overwrite)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _added(score: Score, record: Iterable[str], column: str, overwrite: bool) -> dict[str, Any]:
    """Return the cells that are added to a row."""
    cells: dict[str, Any] = {column: score.log_prob}
    if overwrite or "n_tokens" not in record:
        cells["n_tokens"] = score.n_tokens
    return cells


def _binary(out: Path, kind: str) -> Any:
    """Open a file for writing, packed if its name says so."""
    packed = kind.endswith(".gz.partial")
    return gzip.open(out, "wb") if packed else out.open("wb")


def _write_json(
    path: Path, out: Path, scores: Iterator[Score], column: str, overwrite: bool
) -> None:
    with _binary(out, out.name.lower()) as file:
        for (line, value), score in zip(json_lines(path), scores, strict=True):
            if isinstance(value, dict):
                record = {**value, **_added(score, value, column, overwrite)}
                line = _encoded(record)
            file.write(line + b"\n")


def _encoded(record: Mapping[str, Any]) -> bytes:
    """Return an object as a line; half a surrogate pair stays an escape."""
    try:
        return json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(record).encode()


def _write_csv(
    path: Path, out: Path, scores: Iterator[Score], column: str, overwrite: bool
) -> None:
    delimiter = "\t" if format_of(path) == ".tsv" else ","
    with (
        _binary(out, out.name.lower()) as raw,
        io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        header: list[str] = []
        for record, score in zip(csv_records(path), scores, strict=True):
            cells = {**record, **_added(score, record, column, overwrite)}
            if not header:
                header = list(cells)
                writer.writerow(header)
            writer.writerow("" if cell is None else cell for cell in cells.values())


def _write_parquet(
    path: Path, out: Path, scores: Iterator[Score], column: str, overwrite: bool
) -> None:
    pa = arrow()
    source = pa.parquet.ParquetFile(path)
    writer: Any = None
    try:
        for batch in source.iter_batches(batch_size=1024):
            table = pa.Table.from_batches([batch])
            part = list(islice(scores, batch.num_rows))
            new = {column: pa.array([score.log_prob for score in part], pa.float64())}
            if overwrite or "n_tokens" not in table.column_names:
                new["n_tokens"] = pa.array([score.n_tokens for score in part], pa.int64())
            table = table.drop_columns([name for name in new if name in table.column_names])
            for name, values in new.items():
                table = table.append_column(name, values)
            writer = writer or pa.parquet.ParquetWriter(out, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
