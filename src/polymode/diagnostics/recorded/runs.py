"""Samples of runs: of TRL and our trainers, of evaluations, of chemistry, of REINVENT 4."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polymode.diagnostics.recorded.chunks import Chunk, ColumnChunk
from polymode.diagnostics.recorded.options import SampleOptions
from polymode.diagnostics.recorded.places import SampleTable, file_table, parquet_table
from polymode.diagnostics.recorded.tables import arrow, check_parquet, parquet_names
from polymode.diagnostics.recorded.tally import Tally
from polymode.diagnostics.runs.reinvent import reinvent_csv
from polymode.diagnostics.runs.trl import CompletionTable, completion_tables, table_files
from polymode.errors import InputError

__all__ = ["run_table"]


def run_table(path: Path, options: SampleOptions) -> SampleTable | None:
    """Return the samples of a run.

    Parameters
    ----------
    path : Path
        Its directory, or a file of it that is known by its name.
    options : SampleOptions
        How it is read.

    Returns
    -------
    SampleTable or None
        None where it is no run.

    Raises
    ------
    InputError
        If it is a run without samples.
    """
    if path.is_file():
        home = path.parent
        if path.name == "samples.jsonl" and (home / "evaluation.json").is_file():
            return _evaluation(path, options)
        if _is_reinvent(path):
            return _reinvent(path, options)
        return _completions(path, options) if _is_completions(path) else None
    if (path / "samples.jsonl").is_file():
        return _evaluation(path / "samples.jsonl", options)
    if any((path / "molecules").glob("*.parquet")):
        return _molecules(path, options)
    if (path / "completions").is_dir() or any(path.glob("completions_*.parquet")):
        return _completions(path, options)
    if any(path.glob("checkpoint-*/trainer_state.json")):
        raise InputError(
            f"{path} has no table of completions: TRL's GRPOTrainer writes them with "
            "log_completions=True and so do our trainers, its RLOOTrainer (1.16) does not"
        )
    if (path / "result.json").is_file():
        raise InputError(
            f"{path} has no samples: a demo measures exact probabilities; draw samples of its "
            "models with `polymode evaluate`"
        )
    return None


def _evaluation(path: Path, options: SampleOptions) -> SampleTable:
    """Return the samples of one model of an evaluation."""
    wanted = options.model or _only_model(path)
    found = file_table(path, options)
    columns = {"group": "task+prompt_id", "output": "completion"}
    note = f"samples of {wanted}; log_prob is its own"
    chunks = _of_model(found.chunks, wanted, path)
    return SampleTable(str(path), found.tally, chunks, columns, notes=(note,))


def _only_model(path: Path) -> str:
    """Return the model of an evaluation; several are an error that names them."""
    try:
        settings: Any = json.loads((path.parent / "settings.json").read_text(encoding="utf-8"))
        models = [str(model) for model in settings["models"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path.parent}/settings.json does not say which models were evaluated ({error}): name "
            "one with --model"
        ) from error
    if len(models) != 1:
        raise InputError(f"{path} has several models: choose one with --model: {', '.join(models)}")
    return models[0]


def _of_model(chunks: Iterator[Chunk], wanted: str, path: Path) -> Iterator[Chunk]:
    """Yield the rows of one model."""
    others = set[str]()
    found = False
    for chunk in chunks:
        models = [str(model) for model in chunk.column("model")]
        others.update(models)
        found = found or wanted in models
        yield from _kept(iter([chunk]), lambda _, row, models=models: models[row] == wanted)
    if not found:
        listed = ", ".join(sorted(others)) or "none"
        raise InputError(f"{path} has no samples of {wanted!r}, only of {listed}")


def _molecules(path: Path, options: SampleOptions) -> SampleTable:
    """Return the last molecules of a chemistry run."""
    files = sorted((path / "molecules").glob("*.parquet"))[-options.last :]
    columns = {"prompt": "@molecules", "output": "smiles"}
    notes = [f"molecules of the last {len(files)} tables of the run"]
    found = parquet_table(files, options, columns, also=(_STATUS,))
    chunks = found.chunks
    if n_over := sum(map(_n_over_budget, files)):
        notes.append(f"{n_over:,} molecules drawn when the oracle's budget was spent are left out")
        chunks = _kept(chunks, lambda chunk, row: chunk.column(_STATUS)[row] != _OVER)
    return replace(found, name=str(path), chunks=chunks, notes=tuple(notes), drawn_from="policy")


_STATUS, _OVER = "status", "over_budget"  # of which a run has no reward, and could have none


def _n_over_budget(file: Path) -> int:
    """Return how many molecules of a table were drawn when the budget was spent."""
    if _STATUS not in parquet_names(file):
        return 0
    found = arrow().parquet.read_table(file, columns=[_STATUS])
    return found.column(_STATUS).to_pylist().count(_OVER)


def _kept(chunks: Iterator[Chunk], keeps: Callable[[Chunk, int], bool]) -> Iterator[Chunk]:
    """Yield the rows of chunks that are kept."""
    for chunk in chunks:
        rows = [row for row in range(len(chunk.places)) if keeps(chunk, row)]
        if rows:
            names = chunk.names()
            columns = {name: [chunk.column(name)[row] for row in rows] for name in names}
            yield ColumnChunk(columns, [chunk.places[row] for row in rows])


def _is_reinvent(path: Path) -> bool:
    """Return whether a file begins as the table of REINVENT's staged learning does."""
    if path.suffix.lower() != ".csv":
        return False
    try:
        with path.open("rb") as file:
            names = {name.strip() for name in file.readline(4096).split(b",")}
    except OSError:
        return False
    return {b"Agent", b"Prior", b"Target", b"Score", b"SMILES"} <= names


def _is_completions(path: Path) -> bool:
    """Return whether a file has the columns of TRL's tables: rewards go by their functions."""
    if path.suffix.lower() != ".parquet":
        return False
    try:
        return {"step", "prompt", "completion", "advantage"} <= set(parquet_names(path))
    except InputError:  # what it is instead is told by its first bytes
        return False


def _reinvent(path: Path, options: SampleOptions) -> SampleTable:
    """Return the molecules of the last steps of REINVENT."""
    found = reinvent_csv(path)
    steps = np.unique(found.steps)[-options.last :]
    rows = np.flatnonzero(np.isin(found.steps, steps))
    columns: dict[str, Any] = {
        "output": [found.smiles[row] for row in rows.tolist()],
        "reward": found.rewards[rows],
        "ref_log_prob": found.ref_log_probs[rows],
        "log_prob": found.log_probs[rows],
        "step": found.steps[rows],
    }
    notes = [f"molecules of the last {len(steps)} steps of REINVENT", *found.notes]
    if np.isfinite(found.sigma):
        notes.append(f"sigma is {found.sigma:.4g}: beta = 1 / sigma = {1 / found.sigma:.4g}")
    tally = Tally("row")
    return SampleTable(
        str(path),
        tally,
        iter([ColumnChunk(columns, (rows + 1).tolist())]),
        {"prompt": "@molecules"},
        mode="canonical",
        notes=tuple(notes),
        drawn_from="policy",
    )


def _completions(path: Path, options: SampleOptions) -> SampleTable:
    """Return the last completions of a training run."""
    for file in table_files(path):
        check_parquet(file, options.limits)
    tables = completion_tables(path, rewards=options.reward_columns)[-options.last :]
    if not tables:
        raise InputError(f"{path} has no table of completions: train with log_completions=True")
    first, final = min(tables[0].columns["step"]), max(tables[-1].columns["step"])
    steps = f"step {final}" if first == final else f"steps {first} to {final}"
    notes = [f"completions of {steps}"]
    if "reward" not in options.columns:
        names = tables[-1].names
        notes.append(f"the reward is {'the sum of ' * (len(names) > 1)}{' and '.join(names)}")
    columns = {"prompt": "prompt", "output": "completion", "reward": _REWARD}
    tally = Tally("row")
    return SampleTable(
        str(path), tally, _table_chunks(tables), columns, notes=tuple(notes), drawn_from="policy"
    )


_REWARD = "sum of rewards"  # no name of a function


def _table_chunks(tables: list[CompletionTable]) -> Iterator[Chunk]:
    """Yield tables of completions with the sum of their rewards; NaN is missing."""
    n_before = 0
    for table in tables:
        n = len(table.rewards)
        columns: Mapping[str, Any] = {**table.columns, _REWARD: table.rewards}
        yield ColumnChunk(columns, range(n_before + 1, n_before + n + 1))
        n_before += n
