"""From paths to runs: which kind each is, and names that differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from polymode.core import checks
from polymode.diagnostics.chemistry.files import CONFIG, METRICS
from polymode.diagnostics.records import Run
from polymode.diagnostics.runs.demo import demo_runs
from polymode.diagnostics.runs.evaluation import evaluation_runs
from polymode.diagnostics.runs.molecules import molecule_run
from polymode.diagnostics.runs.training import training_run
from polymode.diagnostics.runs.trl import trl_run
from polymode.errors import InputError
from polymode.metrics.modes import ModeFunction, mode_function

__all__ = ["ReadOptions", "read_runs"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How runs are read.

    Parameters
    ----------
    mode_key : str or None
        What counts as the same answer, as `polymode.metrics.mode_function` takes it; None takes
        the modes that the run has, or else whole completions.
    last : int
        Final figures of a training run are those of the last this many tables of completions, of a
        run on molecules those of this many last steps.
    rewards : tuple of str
        Reward columns of a training run that count; empty for all.
    """

    mode_key: str | None = None
    last: int = 10
    rewards: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        checks.require(checks.whole(last=self.last))
        self.mode_function()

    def mode_function(self) -> ModeFunction | None:
        """Return the function that finds modes.

        Returns
        -------
        callable or None
            From a completion to its mode.
        """
        return None if self.mode_key is None else mode_function(self.mode_key)


def read_runs(paths: Sequence[str], options: ReadOptions | None = None) -> tuple[Run, ...]:
    """Return the runs at paths.

    Parameters
    ----------
    paths : sequence of str
        Each ``PATH`` or ``NAME=PATH``: a directory that TRL trained in, that `polymode train`,
        `polymode demo` or `polymode evaluate` wrote, or one of their files.
    options : ReadOptions or None
        None takes the defaults.

    Returns
    -------
    tuple of Run
        With different names. A demo is three runs (base, plain, anchored), an evaluation one for
        each model.

    Raises
    ------
    InputError
        If a path is not there, is no run, or cannot be read; lists all that is wrong.
    """
    options = options or ReadOptions()
    found: list[list[Run]] = []
    problems: list[str] = []
    for text in paths:
        name, path = _named(text)
        try:
            runs = _read(name, path, options)
            alone = len(paths) == 1 and len(runs) > 1 and not text.startswith(f"{name}=")
            found.append([run if alone else replace(run, name=n) for run, n in runs])
        except (InputError, OSError) as error:
            problems.append(" ".join(str(error).split()))
    if problems:
        raise InputError("; ".join(dict.fromkeys(problems)))
    return _distinct([run for runs in found for run in runs])


def _named(text: str) -> tuple[str, Path]:
    """Split NAME=PATH; a path that is there wins over the reading as a name."""
    name, equals, rest = text.partition("=")
    if equals and name and rest and not Path(text).exists() and "/" not in name:
        return name, Path(rest)
    path = Path(text)
    return path.resolve().name if path.is_dir() else path.resolve().parent.name, path


def _read(name: str, path: Path, options: ReadOptions) -> list[tuple[Run, str]]:
    """Return the runs at one path with their names."""
    if not path.exists():
        raise InputError(f"{path} is not there: name a run's directory or one of its files")
    reader = _reader(path)
    runs = reader(path, options.mode_function(), options)
    if len(runs) == 1:
        return [(runs[0], name)]
    return [(run, f"{name}/{run.name}") for run in runs]


def _reader(path: Path) -> Callable[[Path, ModeFunction | None, ReadOptions], list[Run]]:
    """Return what reads a path, by the files that are there."""

    def has(name: str) -> bool:
        return (path / name).exists() if path.is_dir() else path.name == name

    if has("samples.jsonl") or has("evaluation.json"):
        return lambda p, mode, _: evaluation_runs(_home(p), mode)
    if path.is_dir() and has("recipe.yaml"):
        return lambda p, mode, o: [training_run(p, mode, last=o.last, rewards=o.rewards)]
    if path.is_dir() and has(CONFIG) and has(METRICS):
        return lambda p, mode, o: [molecule_run(p, mode, last=o.last)]
    if has("result.json"):
        return lambda p, *_: demo_runs(_home(p) / "result.json")
    tables = has("completions") or path.suffix == ".parquet" or any(path.glob("*.parquet"))
    if tables or has("trainer_state.json") or any(path.glob("checkpoint-*/trainer_state.json")):
        return lambda p, mode, o: [trl_run(p, mode, last=o.last, rewards=o.rewards)]
    raise InputError(
        f"{path} is no run: it has neither completions/*.parquet nor trainer_state.json (TRL), nor "
        "result.json (polymode demo), nor samples.jsonl (polymode evaluate), nor config.toml and "
        "metrics.jsonl (polymode train chemistry)"
    )


def _home(path: Path) -> Path:
    """Return the directory of a run, given it or one of its files."""
    return path if path.is_dir() else path.parent


def _distinct(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Tell runs of the same name apart: by the folder above, and then by a number."""
    names = [run.name for run in runs]
    wider = [
        f"{run.path.resolve().parent.name}/{run.name}" if names.count(run.name) > 1 else run.name
        for run in runs
    ]
    taken: set[str] = set()
    out: list[Run] = []
    for run, name in zip(runs, wider, strict=True):
        number, free = 2, name
        while free in taken:
            number, free = number + 1, f"{name} ({number})"
        taken.add(free)
        out.append(replace(run, name=free))
    return tuple(out)
