"""Which prompts a comparison is over, the figures of each run on them, and their bootstrap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.figures import (
    PromptFigures,
    exact_figures,
    n_answered,
    prompt_figures,
)
from polymode.diagnostics.records import Exact, Run, Samples
from polymode.diagnostics.resampling import redraw_means

__all__ = ["Basis", "choose_basis", "redraw"]


@dataclass(frozen=True, eq=False)
class Basis:
    """What is compared.

    Parameters
    ----------
    shared : bool
        Whether all figures are over the prompts that all runs share.
    outcomes : mapping of str to Samples or Exact
        What each run gives on its prompts of the comparison, by the name of the run.
    threshold : float
        Rewards at or above it are good.
    k : int
        The k of pass@k.
    notes : tuple of str
        What a reader has to know of the choice.
    """

    shared: bool
    outcomes: Mapping[str, Samples | Exact]
    threshold: float
    k: int
    notes: tuple[str, ...]

    def draws(self) -> Mapping[str, Any] | None:
        """Return for how many samples of each prompt diversity is expressed.

        Returns
        -------
        mapping or None
            The fewest of any run, as `prompt_figures` takes them; None where runs differ in their
            prompts. Runs without an answer to a prompt do not count.
        """
        samples = [x for x in self.outcomes.values() if isinstance(x, Samples)]
        if not self.shared or not samples:
            return None
        counts = [n_answered(x, threshold=self.threshold) for x in samples]
        return {name: _fewest([c[name] for c in counts]) for name in ("all", "good")}

    def figures(self) -> dict[str, PromptFigures]:
        """Return the figures of each run on its prompts.

        Returns
        -------
        dict
            By the name of the run.
        """
        draws = self.draws()
        return {
            name: exact_figures(x, threshold=self.threshold, k=self.k)
            if isinstance(x, Exact)
            else prompt_figures(x, threshold=self.threshold, k=self.k, draws=draws)
            for name, x in self.outcomes.items()
        }


def choose_basis(runs: Sequence[Run], *, threshold: float, k: int | None) -> Basis:
    """Return what runs are compared on.

    Parameters
    ----------
    runs : sequence of Run
        Those without an outcome are left out.
    threshold : float
        Rewards at or above it are good.
    k : int or None
        The k of pass@k; None takes 8, or the fewest samples of a prompt.

    Returns
    -------
    Basis
        The prompts that all runs share, where these are at least half of each run's prompts, else
        each run's own.
    """
    outcomes = {run.name: run.outcome for run in runs if run.outcome is not None}
    shared, notes = _shared([_keys(x) for x in outcomes.values()])
    if shared:
        outcomes = {n: x.at(shared) if isinstance(x, Samples) else x for n, x in outcomes.items()}
    samples = [x for x in outcomes.values() if isinstance(x, Samples)]
    sizes = [np.bincount(x.index) for x in samples]
    usual = {int(np.median(size)) for size in sizes}
    if len(usual) > 1 and not shared:
        notes.append(
            f"runs have from {min(usual)} to {max(usual)} samples per prompt: diversity grows "
            "with their number"
        )
    fewest = min((int(size.min()) for size in sizes), default=8)
    return Basis(shared is not None, outcomes, threshold, k or min(fewest, 8), tuple(notes))


def redraw(
    basis: Basis,
    figures: Mapping[str, PromptFigures],
    *,
    n_rounds: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Float[Any, "rounds F"]], dict[str, str]]:
    """Return bootstrap rounds of the mean figures of each run.

    Parameters
    ----------
    basis : Basis
        What is compared.
    figures : mapping of str to PromptFigures
        Those of the basis.
    n_rounds : int
        Number of rounds.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    rounds : dict of str to array, shape (n_rounds, number of figures)
        By the name of the run. Runs on shared prompts have the same prompts in a round.
    resampled : dict of str to str
        What was drawn anew: "prompts", "samples" of the only prompt, or "nothing".
    """
    many = [name for name, found in figures.items() if len(found.keys) > 1]
    blocks = [many] if basis.shared else [[name] for name in many]
    rounds = dict[str, Float[Any, "rounds F"]]()
    for names in filter(None, blocks):
        values = np.concatenate([figures[name].values for name in names], axis=1)
        joint = redraw_means(values, n_rounds=n_rounds, rng=rng)
        rounds.update(zip(names, np.split(joint, len(names), axis=1), strict=True))
    resampled = dict.fromkeys(rounds, "prompts")
    draws = basis.draws()
    for name, outcome in basis.outcomes.items():
        if name in rounds:
            continue
        if isinstance(outcome, Samples):
            again = outcome.redrawn(rng, n_rounds)
            each = {key: np.full(n_rounds, m[0]) for key, m in draws.items()} if draws else None
            found = prompt_figures(again, threshold=basis.threshold, k=basis.k, draws=each)
            rounds[name], resampled[name] = found.values, "samples"
        else:
            rounds[name] = np.repeat(figures[name].values, n_rounds, axis=0)
            resampled[name] = "nothing"
    return rounds, resampled


def _keys(outcome: Samples | Exact) -> tuple[str, ...]:
    """Return the prompts of what a run gives."""
    return (outcome.key,) if isinstance(outcome, Exact) else outcome.keys


def _shared(all_keys: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return the prompts over which all figures are taken, None for each run's own, and notes."""
    if len(all_keys) < 2:
        return None, []
    common = set(all_keys[0]).intersection(*all_keys[1:])
    shared = tuple(key for key in all_keys[0] if key in common)
    most = max(map(len, all_keys))
    if 2 * len(shared) < most:
        some = f"only {len(shared)} of {most} prompts are" if shared else "no prompt is"
        return None, [f"{some} shared by all runs: each is shown on its own prompts"]
    if len(shared) < most:
        return shared, [f"figures are over the {len(shared)} prompts that all runs share"]
    return shared, []


def _fewest(counts: Sequence[Any]) -> Any:
    """Return, for each prompt, the fewest samples of a run that has any."""
    stacked = np.stack(counts)
    return np.where(stacked > 0, stacked, np.iinfo(np.int64).max).min(axis=0)
