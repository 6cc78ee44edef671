"""Training runs of TRL: its tables of completions and its log."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polymode.diagnostics.figures import prompt_figures
from polymode.diagnostics.records import Curve, Run
from polymode.diagnostics.runs.columns import samples_of, text_of
from polymode.errors import InputError, MissingExtraError
from polymode.metrics.modes import ModeFunction

__all__ = ["CompletionTable", "completion_tables", "table_files", "trl_run"]

_NO_REWARD = {"step", "prompt", "completion", "advantage", "mode", "log_prob", "ref_log_prob"} | {
    "n_tokens",  # what `polymode score` adds
    "finished",  # … and reads
}
_ADDED = {"mara", "shaping", "regulariser"}  # what our trainers add: no part of the raw reward
_RAW = "raw_reward"  # which our trainers write: the sum of all rewards by their weights


class CompletionTable(NamedTuple):
    """The completions that TRL logged after one step.

    Parameters
    ----------
    step : int
        The step.
    columns : mapping of str to list
        All columns of the table.
    rewards : list of float
        The sum of the raw rewards of each completion, NaN where none was given.
    names : sequence of str
        The columns that were added.
    """

    step: int
    columns: Mapping[str, list[Any]]
    rewards: list[float]
    names: Sequence[str]


def trl_run(
    path: Path, mode: ModeFunction | None, *, last: int, rewards: Sequence[str] = ()
) -> Run:
    """Return a training run of TRL.

    Parameters
    ----------
    path : Path
        Its directory, a table of completions, or a `trainer_state.json`.
    mode : callable or None
        Finds modes in completions; None takes those of the tables.
    last : int
        The outcome is the completions of this many last tables.
    rewards : sequence of str
        Reward columns that count, added with weight 1; empty for all, which our trainers have
        added by their weights.

    Returns
    -------
    Run
        Without an outcome where there is no table: TRL's own RLOOTrainer writes none, ours does.

    Raises
    ------
    InputError
        If a file is broken, a table is empty or has no reward, or a reward column is not there.
    MissingExtraError
        Without pyarrow.
    """
    log = _log(path)
    tables = completion_tables(path, log=log, rewards=rewards)
    curves = _curves(log, tables, mode)
    if not tables:
        note = (
            "no table of completions, hence curves only: TRL's GRPOTrainer writes them with "
            "log_completions=True and so do ours, its RLOOTrainer (1.16) does not"
        )
        return Run(path.name, "trl", path, None, curves, notes=(note,))
    final = tables[-last:]
    samples, notes = _samples(final, mode)
    if samples is None:
        raise InputError(f"{path} has no completion with a reward in its last {last} tables")
    steps = f"step {final[0].step}" if len(final) == 1 else f"{len(final)} tables"
    if len(final) > 1:
        steps += f" of steps {final[0].step} to {final[-1].step}"
    notes.insert(0, f"figures are those of {steps} (--last)")
    return Run(path.name, "trl", path, samples, curves, notes=tuple(notes))


def _log(path: Path) -> list[Mapping[str, Any]]:
    """Return TRL's log: that of the directory, or of its newest checkpoint."""
    if path.name == "trainer_state.json":
        candidates = [path]
    else:
        home = path.parent if path.is_file() else path
        home = home.parent if home.name == "completions" else home
        checkpoints = sorted(home.glob("checkpoint-*"), key=_number_in, reverse=True)
        candidates = [folder / "trainer_state.json" for folder in (home, *checkpoints)]
    for file in candidates:
        if not file.exists():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))["log_history"]
            return [row for row in found if "step" in row]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file} is not the state of a trainer: is it complete?") from error
    return []


def _number_in(path: Path) -> int:
    """Return the last number in a file's name."""
    found = re.findall(r"\d+", path.stem)
    return int(found[-1]) if found else -1


def table_files(path: Path) -> list[Path]:
    """Return the tables of completions of a run, by step.

    Parameters
    ----------
    path : Path
        The directory of a run, its folder of tables, or one table.

    Returns
    -------
    list of Path
        Without scored copies, whose names have a second suffix.
    """
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    home = path / "completions" if (path / "completions").is_dir() else path
    files = [file for file in home.glob("*.parquet") if len(file.suffixes) == 1]
    return sorted(files, key=_number_in)


def completion_tables(
    path: Path, *, log: Sequence[Mapping[str, Any]] | None = None, rewards: Sequence[str] = ()
) -> list[CompletionTable]:
    """Return the tables of completions by step; what TRL logged twice comes once.

    Parameters
    ----------
    path : Path
        The directory of a run, its folder of tables, or one table.
    log : sequence of mapping or None
        TRL's log, which tells columns of rewards from others; None reads it.
    rewards : sequence of str
        Reward columns that count, as `trl_run` takes them.

    Returns
    -------
    list of CompletionTable
        By step.

    Raises
    ------
    InputError
        If a table is broken, empty, or has no reward.
    MissingExtraError
        Without pyarrow.
    """
    log = _log(path) if log is None else log
    files = table_files(path)
    tables: list[CompletionTable] = []
    before: Any = None
    for file in files:
        columns = _columns(file)
        ours = _RAW in columns and not rewards
        names = [_RAW] if ours else _reward_names(file, columns, log, rewards)
        content = {name: column for name, column in columns.items() if name != "step"}
        if content == before:  # several steps on the same completions
            continue
        before = content
        total = np.nansum([_floats(columns[name]) for name in names], axis=0)
        missing = np.isnan([_floats(columns[name]) for name in names]).all(axis=0)
        raw = np.where(missing, np.nan, total).tolist()
        tables.append(CompletionTable(int(columns["step"][0]), columns, raw, names))
    return tables


def _columns(file: Path) -> dict[str, list[Any]]:
    """Return the columns of one table."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "app") from error
    try:
        found: dict[str, list[Any]] = pq.ParquetFile(file).read().to_pydict()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n", 1)[0]
        raise InputError(
            f"{file} cannot be read ({reason}): if the run was stopped while it wrote, remove it"
        ) from error
    missing = [name for name in ("step", "prompt", "completion") if name not in found]
    if missing:
        raise InputError(f"{file} must have {', '.join(missing)}: TRL writes them")
    if not found["step"]:
        raise InputError(f"{file} is empty: remove it, or log completions again")
    return found


def _reward_names(
    file: Path,
    columns: Mapping[str, list[Any]],
    log: Sequence[Mapping[str, Any]],
    wanted: Sequence[str],
) -> list[str]:
    """Return the columns that are rewards: those the log knows, or else all other numbers."""
    logged = {
        name[len("rewards/") : -len("/mean")]
        for row in log
        for name in row
        if name.startswith("rewards/") and name.endswith("/mean")
    }
    names = [
        name
        for name, column in columns.items()
        if name not in _NO_REWARD
        and name not in (*_ADDED, _RAW)
        and all(isinstance(value, int | float | None) for value in column)
        and (not logged or name in logged)
    ]
    if unknown := [name for name in wanted if name not in names]:
        raise InputError(
            f"{file} has no reward {', '.join(map(repr, unknown))}, only {', '.join(names)}"
        )
    if not names:
        raise InputError(f"{file} has no column of rewards")
    return list(wanted) or names


def _floats(column: Sequence[Any]) -> list[float]:
    """Return numbers, NaN for what is none."""
    return [math.nan if value is None else float(value) for value in column]


def _samples(tables: Sequence[CompletionTable], mode: ModeFunction | None) -> Any:
    """Return the samples of some tables together, and notes."""

    def joined(name: str) -> list[Any] | None:
        if not all(name in table.columns for table in tables):
            return None
        return [value for table in tables for value in table.columns[name]]

    log_p, log_q = joined("log_prob"), joined("ref_log_prob")
    ratios = None
    if log_p is not None and log_q is not None:
        ratios = (np.asarray(_floats(log_p)) - np.asarray(_floats(log_q))).tolist()
    prompts = [text_of(value) for value in joined("prompt") or []]
    completions = [text_of(value) for value in joined("completion") or []]
    raw = [reward for table in tables for reward in table.rewards]
    return samples_of(prompts, prompts, completions, raw, joined("mode"), ratios, mode)


def _curves(
    log: Sequence[Mapping[str, Any]], tables: Sequence[CompletionTable], mode: ModeFunction | None
) -> tuple[Curve, ...]:
    """Return raw reward and KL from the log, diversity from the tables."""
    anchored = any("mara/reward_raw" in row for row in log)
    rows: dict[Any, list[tuple[int, float]]] = {
        "reward": _logged(log, "mara/reward_raw" if anchored else "reward"),
        "effective_modes": [],
        "kl": _logged(log, "kl"),
    }
    from_tables: list[tuple[int, float]] = []
    for table in tables:
        samples, _ = _samples([table], mode)
        if samples is not None:
            found = prompt_figures(samples, threshold=0.0, k=1)
            from_tables.append((table.step, float(samples.rewards.mean())))
            modes = float(found.column("effective_modes").mean())
            rows["effective_modes"].append((table.step, modes))
    rows["reward"] = rows["reward"] or from_tables
    return tuple(
        Curve(name, *map(tuple, zip(*points, strict=True)))
        for name, points in rows.items()
        if points
    )


def _logged(log: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return one quantity of the log by step; the last entry of a step counts."""
    return sorted(
        {
            int(row["step"]): float(row[name])
            for row in log
            if isinstance(row.get(name), int | float) and math.isfinite(row[name])
        }.items()
    )
