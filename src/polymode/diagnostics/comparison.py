"""Runs beside each other: quality against diversity, with what is known about both."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from polymode.core import checks
from polymode.diagnostics.basis import Basis, choose_basis, redraw
from polymode.diagnostics.figures import FIGURES, PromptFigures
from polymode.diagnostics.pairs import MIN_PAIRS, Pair, paired_tests
from polymode.diagnostics.records import Run
from polymode.diagnostics.resampling import estimate, on_front
from polymode.errors import ArgumentError
from polymode.metrics.intervals import Estimate

__all__ = ["Compared", "Comparison", "ComparisonSettings", "compare_runs"]


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """What decides the numbers of a comparison.

    Parameters
    ----------
    threshold : float or None
        Rewards at or above it are good, in reward units; None takes that of runs on molecules where
        all runs are such and share it, else 1.
    k : int or None
        The k of pass@k; None takes 8, or the fewest samples of a prompt.
    quality, diversity : str
        The figures that span the front: two of `FIGURES`.
    level : float
        Probability of the intervals, in (0, 1).
    n_rounds : int
        Bootstrap rounds.
    seed : int
        Seed of the bootstrap.
    """

    threshold: float | None = None
    k: int | None = None
    quality: str = "reward"
    diversity: str = "effective_modes"
    level: float = 0.95
    n_rounds: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be, all of it at once."""
        axes = [name for name, figure in FIGURES.items() if figure.high_is_good]
        checks.require(
            () if self.threshold is None else checks.finite(threshold=self.threshold),
            () if self.k is None else checks.whole(k=self.k),
            checks.known("quality", self.quality, axes),
            checks.known("diversity", self.diversity, axes),
            checks.within(0, 1, level=self.level),
            checks.whole(rounds=self.n_rounds),
            checks.non_negative(seed=self.seed),
        )


@dataclass(frozen=True, eq=False)
class Compared:
    """The numbers of one run.

    Parameters
    ----------
    run : Run
        Whose numbers they are.
    prompts : PromptFigures or None
        Its figures for each prompt; None where only curves are known.
    figures : mapping of str to Estimate
        The mean over prompts of each of `FIGURES`.
    resampled : str
        What the intervals resample: "prompts", "samples" of the only prompt, or "nothing".
    on_front : bool
        Whether no other run beats it in both axes.
    front_share : float
        Share of the bootstrap rounds in which that holds; NaN where nothing is resampled.
    """

    run: Run
    prompts: PromptFigures | None
    figures: Mapping[str, Estimate]
    resampled: str
    on_front: bool
    front_share: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs beside each other.

    Parameters
    ----------
    settings : ComparisonSettings
        With the `k` and the threshold that were used.
    shared : bool
        Whether all figures are over the prompts that all runs share.
    basis : Basis
        The samples behind the figures.
    runs : tuple of Compared
        In the order in which they were given.
    pairs : tuple of Pair
        Paired tests of both axes.
    notes : tuple of str
        What a reader has to know.
    """

    settings: ComparisonSettings
    shared: bool
    basis: Basis
    runs: tuple[Compared, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def compare_runs(runs: Sequence[Run], settings: ComparisonSettings | None = None) -> Comparison:
    """Set runs beside each other: quality, diversity, front, paired tests.

    Parameters
    ----------
    runs : sequence of Run
        With different names.
    settings : ComparisonSettings or None
        None takes the defaults.

    Returns
    -------
    Comparison
        Figures are means over the prompts that all runs share, where these are at least half of
        each run's prompts; else each run's own, and a note says so.

    Raises
    ------
    ArgumentError
        If there is no run, or two have the same name.

    Notes
    -----
    Intervals resample prompts, the same in each round for all runs that share them; with a single
    prompt they resample its samples. On shared prompts diversity is expressed for equally many
    samples in all runs, since it grows with their number.
    """
    settings = settings or ComparisonSettings()
    names = [run.name for run in runs]
    if not runs or len(set(names)) < len(names):
        raise ArgumentError(f"runs must be at least one, with different names, got {names!r}")
    threshold = _usual_threshold(runs) if settings.threshold is None else settings.threshold
    basis = choose_basis(runs, threshold=threshold, k=settings.k)
    settings = replace(settings, k=basis.k, threshold=threshold)
    figures = basis.figures()
    rng = np.random.default_rng(settings.seed)
    rounds, resampled = redraw(basis, figures, n_rounds=settings.n_rounds, rng=rng)
    pairs = paired_tests(
        figures,
        axes=(settings.quality, settings.diversity),
        level=settings.level,
        n_rounds=settings.n_rounds,
        rng=rng,
    )
    notes = (*_notes_of(runs), *basis.notes, *_doubts(runs, figures, pairs, settings))
    compared = _compared(runs, figures, rounds, resampled, settings)
    return Comparison(settings, basis.shared, basis, compared, pairs, notes)


def _notes_of(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the notes of the runs, each once, with the runs that it is about."""
    about = dict[str, list[str]]()
    for run in runs:
        for note in run.notes:
            about.setdefault(note, []).append(run.name)
    for note, names in about.items():
        yield note if len(names) == len(runs) else f"{', '.join(names)}: {note}"


def _usual_threshold(runs: Sequence[Run]) -> float:
    """Return the threshold of runs on molecules, which have one, or else that of right answers."""
    found = {None if run.found is None else run.found.threshold for run in runs}
    one = found.pop() if len(found) == 1 else None
    return 1.0 if one is None else one


def _doubts(
    runs: Sequence[Run],
    figures: Mapping[str, PromptFigures],
    pairs: Sequence[Pair],
    settings: ComparisonSettings,
) -> Iterator[str]:
    """Say where the settings do not fit the runs."""
    own = {run.found.threshold for run in runs if run.found is not None}
    if len(own) > 1:
        yield f"runs on molecules count hits from different rewards on: {_listed(own)}"
    elif own and own != {settings.threshold}:
        yield (
            f"runs on molecules counted hits from {_listed(own)} on while they ran; other figures "
            f"are for a threshold of {settings.threshold:g}"
        )
    if len({run.found.n_calls for run in runs if run.found is not None}) > 1:
        yield "runs on molecules differ in their oracle calls: compare their curves at equal calls"
    if figures and all((f.column("pass_1") == 0).all() for f in figures.values()):
        yield (
            f"no sample reaches a reward of {settings.threshold:g}: pass@k and good modes are 0; "
            "--threshold says what is good"
        )
    if len(figures) > 1 and not pairs and not own:  # molecules have but one prompt
        yield f"paired tests need {MIN_PAIRS} prompts that two runs share: there are too few"


def _listed(values: Iterable[float]) -> str:
    """Write numbers one after the other."""
    return ", ".join(f"{value:g}" for value in sorted(values))


def _compared(
    runs: Sequence[Run],
    figures: Mapping[str, PromptFigures],
    rounds: Mapping[str, Any],
    resampled: Mapping[str, str],
    settings: ComparisonSettings,
) -> tuple[Compared, ...]:
    """Return the numbers of all runs, with their places on the front."""
    points = {name: _mean(found.values) for name, found in figures.items()}
    here = _front(points, settings)
    often = _front(rounds, settings)
    sure = set(resampled.values()) == {"nothing"}
    out: list[Compared] = []
    for run in runs:
        name = run.name
        if name not in points:
            out.append(Compared(run, None, {}, "nothing", False, np.nan))
            continue
        kind = resampled[name]
        found = _estimates(figures[name], rounds[name], kind, settings)
        share = np.nan if sure else float(often[name].mean())
        out.append(Compared(run, figures[name], found, kind, bool(here[name]), share))
    return tuple(out)


def _front(points: Mapping[str, Any], settings: ComparisonSettings) -> dict[str, Any]:
    """Return for each run whether it is on the front; its figures lie on the last axis."""
    if not points:
        return {}
    columns = [list(FIGURES).index(axis) for axis in (settings.quality, settings.diversity)]
    stacked = np.stack(list(points.values()), axis=-2)
    found = on_front(*(stacked[..., column] for column in columns))
    return dict(zip(points, np.moveaxis(found, -1, 0), strict=True))


def _estimates(
    prompts: PromptFigures, rounds: Any, kind: str, settings: ComparisonSettings
) -> dict[str, Estimate]:
    """Return each figure of a run with its interval."""
    point = _mean(prompts.values)
    n = prompts.n_samples.sum() if kind == "samples" else len(prompts.keys)
    return {
        name: estimate(
            float(point[i]),
            rounds[:, i] if kind != "nothing" else np.empty(0),
            level=settings.level,
            centred=kind == "samples",
            largest=figure.largest,
            n=int(n),
        )
        for i, (name, figure) in enumerate(FIGURES.items())
    }


def _mean(values: Float[Any, "P F"]) -> Float[Any, " F"]:
    """Return the mean of each column over the prompts that have it; NaN where none has."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0)
