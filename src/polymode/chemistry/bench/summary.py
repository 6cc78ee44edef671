"""What the runs of a suite say together: a line for each task and method, peers, differences."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from polymode.chemistry.bench.figures import FIGURES
from polymode.chemistry.bench.published import PEERS, Peer
from polymode.chemistry.bench.suites import find_suite
from polymode.errors import InputError

__all__ = ["Cell", "Contrast", "Line", "contrasts", "lines", "peers_of", "read_records"]

_PARTS = ("suite", "task", "method", "seed", "figures", "threshold", "label")


@dataclass(frozen=True)
class Cell:
    """A figure over seeds."""

    mean: float
    """Of the runs that have it; NaN where none has."""
    spread: float
    """Standard deviation; NaN with fewer than two runs."""
    n_reached: int
    """Runs that have it: a hit that never came has no number, and none is made up."""


@dataclass(frozen=True)
class Line:
    """A method on a task."""

    task: str
    method: str
    n_seeds: int
    cells: Mapping[str, Cell]
    seconds: float
    """Mean wall seconds of a run."""


@dataclass(frozen=True)
class Contrast:
    """The difference between two methods in a figure, by Welch's test."""

    task: str
    figure: str
    baseline: str
    method: str
    difference: float
    low: float
    """Of the interval of 95 %; NaN with fewer than two seeds."""
    high: float
    p_value: float
    """One-sided: that the method is no better, were there no difference."""
    n: tuple[int, int]
    """Seeds of each."""


def read_records(directory: Path, suite: str) -> list[dict[str, Any]]:
    """Return the records of a suite, by task, method and seed.

    Parameters
    ----------
    directory : Path
        Where the runs were kept.
    suite : str
        Name of the suite.

    Raises
    ------
    InputError
        If a file there is no record.
    """
    found: list[dict[str, Any]] = []
    for path in sorted((directory / "runs").glob(f"{suite}--*.json")):
        try:
            record = json.loads(path.read_text("utf-8"))
            if missing := [part for part in _PARTS if part not in record]:
                raise ValueError(f"it lacks {', '.join(missing)}")
        except ValueError as error:
            raise InputError(f"{path} is no record of a run: {error}") from error
        found.append(record)
    return sorted(found, key=lambda each: (each["task"], _method(each), each["seed"]))


def lines(records: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return a line for each task and method, in the order of the suite.

    Parameters
    ----------
    records : sequence of mapping
        Records of one suite.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["task"], _method(record)), []).append(record)
    return [
        Line(
            task=task,
            method=method,
            n_seeds=len(runs),
            cells={name: _cell(_values(runs, name)) for name in FIGURES},
            seconds=float(np.mean([run.get("seconds", np.nan) for run in runs])),
        )
        for (task, method), runs in groups.items()
    ]


def contrasts(records: Sequence[Mapping[str, Any]], suite: str) -> list[Contrast]:
    """Return the differences that a suite asks for, in its headline figures.

    Parameters
    ----------
    records : sequence of mapping
        Records of the suite.
    suite : str
        Its name.
    """
    found: list[Contrast] = []
    own = find_suite(suite)
    for task in dict.fromkeys(record["task"] for record in records):
        runs = [record for record in records if record["task"] == task]
        for baseline, method in own.tests:
            sides = [[r for r in runs if _method(r) == name] for name in (baseline, method)]
            if all(sides):
                for figure in own.headline:
                    x, y = (_values(side, figure) for side in sides)
                    better = FIGURES[figure].more_is_better
                    found.append(_contrast(task, figure, baseline, method, x, y, better=better))
    return found


def peers_of(suite: str, task: str, figure: str) -> list[Peer]:
    """Return what others have published beside a figure of ours.

    Parameters
    ----------
    suite, task, figure : str
        Names.
    """
    return [peer for peer in PEERS[suite] if peer.task == task and peer.figure == figure]


def _contrast(
    task: str,
    figure: str,
    baseline: str,
    method: str,
    x: Float[np.ndarray, " m"],
    y: Float[np.ndarray, " n"],
    *,
    better: bool,
) -> Contrast:
    """Compare two methods on the seeds that have the figure."""
    x, y = x[~np.isnan(x)], y[~np.isnan(y)]
    difference = float(y.mean() - x.mean()) if len(x) and len(y) else float("nan")
    low = high = p_value = float("nan")
    if min(len(x), len(y)) >= 2 and x.var() + y.var() > 0:
        side = "greater" if better else "less"
        one_sided: Any = stats.ttest_ind(y, x, equal_var=False, alternative=side)
        both: Any = stats.ttest_ind(y, x, equal_var=False)
        interval = both.confidence_interval(0.95)
        low, high, p_value = float(interval.low), float(interval.high), float(one_sided.pvalue)
    return Contrast(
        task, figure, baseline, method, difference, low, high, p_value, (len(x), len(y))
    )


def _cell(values: Float[np.ndarray, " n"]) -> Cell:
    kept = values[~np.isnan(values)]
    return Cell(
        mean=float(kept.mean()) if len(kept) else float("nan"),
        spread=float(kept.std(ddof=1)) if len(kept) > 1 else float("nan"),
        n_reached=len(kept),
    )


def _values(runs: Sequence[Mapping[str, Any]], figure: str) -> Float[np.ndarray, " n"]:
    """Return a figure of each run; NaN where it has none."""
    given = [run["figures"].get(figure) for run in runs]
    return np.array([np.nan if value is None else value for value in given], dtype=np.float64)


def _method(record: Mapping[str, Any]) -> str:
    return record["label"] or record["method"]
