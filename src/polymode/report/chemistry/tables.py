"""The tables of a run on molecules: for the page and papers alike."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from polymode.diagnostics.chemistry import MoleculeFindings, MoleculeRun
from polymode.report.blocks import Cell, Column, Table
from polymode.report.numbers import number, percent

__all__ = ["chemistry_tables", "config_table", "molecule_table", "oracle_table", "time_table"]

N_MOLECULES = 100
_STATUSES = {
    "ok": "scored",
    "invalid": "no molecule",
    "failed": "without a reward: the oracle failed",
    "timed_out": "without a reward: the oracle took too long",
    "over_budget": "drawn when the budget was spent",
    "truncated": "cut at the longest length",
}


def molecule_table(run: MoleculeRun, findings: MoleculeFindings) -> Table:
    """Return the best molecules with everything that is known of them.

    Parameters
    ----------
    run : MoleculeRun
        The run.
    findings : MoleculeFindings
        What it found.

    Returns
    -------
    Table
        At most 100 rows, the best reward first. Scores have a column where they differ from what
        was measured.
    """
    cluster_of = {row: found.label for found in findings.clusters for row in found.members}
    rewards = run.calls.rewards
    rows = sorted(cluster_of, key=lambda row: (-rewards[row], row))[:N_MOLECULES]
    columns = [Column("molecule", number=False), Column("reward"), Column("call"), Column("step")]
    columns.append(Column("cluster", number=False))
    columns += [Column(name, "measured") for name in run.raw]
    scores = {
        name: values
        for name, values in run.scores.items()
        if not np.array_equal(values, run.raw.get(name, np.empty(0)), equal_nan=True)
    }
    columns += [Column(name, "score") for name in scores]
    cells = [
        [
            Cell(run.calls.smiles[row], value=run.calls.smiles[row]),
            _number(rewards[row], strong=True),
            Cell(f"{row + 1:,}", value=row + 1),
            Cell(f"{run.calls.steps[row]:,}", value=int(run.calls.steps[row])),
            Cell(cluster_of[row], value=cluster_of[row]),
            *(_number(values[row]) for values in run.raw.values()),
            *(_number(values[row]) for values in scores.values()),
        ]
        for row in rows
    ]
    n = len(cluster_of)
    which = f"The best {len(rows):,} of {n:,}" if n > len(rows) else f"All {n:,}"
    caption = f"{which} {findings.subject}. The whole table is in the run's folder, as Parquet."
    return Table("molecules", caption, columns, cells)


def oracle_table(run: MoleculeRun) -> Table:
    """Return what became of the strings that were drawn.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    Table
        A row for each status that occurred, then for each kind of loss of a component.
    """
    total = sum(run.statuses.values())
    order = [name for name in _STATUSES if run.statuses.get(name)]
    rows = [
        _count(name, run.statuses[name], total, _STATUSES.get(name, ""))
        for name in (*order, *(name for name in run.statuses if name not in _STATUSES))
    ]
    counts = {} if run.result is None else run.result.get("oracle", {})
    rows += [
        _count(name, int(n), len(run.calls), "molecules lost by this component")
        for name, n in counts.items()
        if "/" in name
    ]
    columns = [Column("status", number=False), Column("strings"), Column("share")]
    columns.append(Column("meaning", number=False))
    caption = (
        f"{total:,} strings were drawn for {len(run.calls):,} oracle calls: a molecule is scored "
        "once, however often it is drawn. Losses are counted in molecules, their shares in calls."
    )
    return Table("oracle", caption, columns, rows)


def time_table(run: MoleculeRun) -> Table:
    """Return how long the run took.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    Table
        Over all steps, those before a run was resumed included.
    """
    seconds = np.nan_to_num(run.metrics["seconds"])
    total = float(seconds.sum()) or np.nan
    strings, calls = (run.last(name) for name in ("n_samples", "n_calls"))
    rows = [
        [Cell("steps"), Cell(f"{run.n_steps:,}", value=run.n_steps), Cell("")],
        _time("all steps", total, "s"),
        _time("a step, median", float(np.median(seconds)), "s"),
        _time("the longest step", float(seconds.max()), "s"),
        _time("strings drawn", strings / total, "per second"),
        _time("oracle calls", calls / total, "per second"),
    ]
    columns = [Column("what", number=False), Column("value"), Column("unit", number=False)]
    caption = "Time of the steps, scoring included; without loading models and writing checkpoints."
    return Table("times", caption, columns, rows)


def config_table(run: MoleculeRun) -> Table:
    """Return every setting of the run.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    Table
        In the order of the file.
    """
    rows = [
        [Cell(key, value=key), Cell(value, value=value)] for key, value in _settings(run.config)
    ]
    columns = [Column("setting", number=False), Column("value", number=False)]
    return Table("config", "The config as it ran, every default written out.", columns, rows)


def chemistry_tables(run: MoleculeRun, findings: MoleculeFindings) -> tuple[Table, ...]:
    """Return every table of a run on molecules.

    Parameters
    ----------
    run : MoleculeRun
        The run.
    findings : MoleculeFindings
        What it found.

    Returns
    -------
    tuple of Table
        Molecules, oracle, times, config.
    """
    return molecule_table(run, findings), oracle_table(run), time_table(run), config_table(run)


def _number(value: float, *, strong: bool = False) -> Cell:
    """Return the cell of a number."""
    value = float(value)
    return Cell(number(value), value=value if np.isfinite(value) else None, strong=strong)


def _count(name: str, n: int, total: int, meaning: str) -> list[Cell]:
    """Return the row of a count."""
    share = n / total if total else np.nan
    return [
        Cell(name, value=name),
        Cell(f"{n:,}", value=n),
        Cell(percent(share), value=share if total else None),
        Cell(meaning),
    ]


def _time(name: str, value: float, unit: str) -> list[Cell]:
    """Return the row of a time."""
    return [Cell(name, value=name), _number(value), Cell(unit)]


def _settings(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the settings below a key as text."""
    if isinstance(content, Mapping) and content:
        for name, below in content.items():
            yield from _settings(below, f"{key}.{name}" if key else str(name))
    elif _is_list_of_tables(content):
        for i, below in enumerate(content):
            yield from _settings(below, f"{key}.{i}")
    else:
        text = str(content).lower() if isinstance(content, bool) else str(content)
        yield key, "none" if content == {} else text


def _is_list_of_tables(content: Any) -> bool:
    """Tell whether a setting is several sections."""
    return (
        isinstance(content, Sequence)
        and not isinstance(content, str)
        and bool(content)
        and all(isinstance(each, Mapping) for each in content)
    )
