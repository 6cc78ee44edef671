"""What is known about a run, whatever wrote it: samples, curves, promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer

__all__ = ["Curve", "Exact", "Found", "Kind", "Promise", "Quantity", "Run", "Samples"]

Kind = Literal["trl", "demo", "evaluation", "chemistry"]
Quantity = Literal["reward", "effective_modes", "kl", "hits", "circles"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Completions of several prompts with their rewards and modes, n in all.

    Parameters
    ----------
    keys : tuple of str
        What identifies each of the P prompts across runs.
    texts : tuple of str
        How each prompt is shown.
    index : array of int, shape (n,)
        The prompt of each sample, in 0 … P - 1; every prompt has one.
    completions : tuple of str
        The text of each sample.
    rewards : array, shape (n,)
        Raw rewards, without what anchoring added, in reward units; never NaN.
    modes : tuple of str or None
        Mode of each sample; None where it gives no answer.
    log_ratios : array, shape (n,)
        ``log p - log q`` of each sample under the policy and the reference, in nats, summed over
        tokens; NaN where unknown.
    """

    keys: tuple[str, ...]
    texts: tuple[str, ...]
    index: Integer[Any, " n"]
    completions: tuple[str, ...]
    rewards: Float[Any, " n"]
    modes: tuple[str | None, ...]
    log_ratios: Float[Any, " n"]

    def at(self, keys: Sequence[str]) -> "Samples":
        """Return the samples of some prompts, in the order of these.

        Parameters
        ----------
        keys : sequence of str
            Keys of prompts that are all here.

        Returns
        -------
        Samples
            Their samples; the prompts have the order of `keys`.
        """
        place = {key: i for i, key in enumerate(keys)}
        new = np.asarray([place.get(key, -1) for key in self.keys])[self.index]
        text = dict(zip(self.keys, self.texts, strict=True))
        rows = np.flatnonzero(new >= 0)
        return self._rows(rows, tuple(keys), tuple(text[key] for key in keys), new[rows])

    def redrawn(self, rng: np.random.Generator, n_rounds: int) -> "Samples":
        """Return samples of one prompt drawn anew with replacement, each round as a prompt.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        n_rounds : int
            How often all samples are drawn anew.

        Returns
        -------
        Samples
            With `n_rounds` prompts.
        """
        n = len(self.rewards)
        rows = rng.integers(n, size=n_rounds * n)
        names = tuple(map(str, range(n_rounds)))
        return self._rows(rows, names, names, np.repeat(np.arange(n_rounds), n))

    def _rows(
        self, rows: Any, keys: tuple[str, ...], texts: tuple[str, ...], index: Any
    ) -> "Samples":
        """Return some rows as the samples of given prompts."""
        return Samples(
            keys,
            texts,
            index,
            tuple(self.completions[i] for i in rows),
            self.rewards[rows],
            tuple(self.modes[i] for i in rows),
            self.log_ratios[rows],
        )


@dataclass(frozen=True)
class Exact:
    """The distribution over answers of one prompt, known without sampling.

    Parameters
    ----------
    key, text : str
        The prompt; see `Samples`.
    probabilities : tuple of float
        Probability of each answer; what is missing to 1 is no answer, with reward 0.
    """

    key: str
    text: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """One quantity along the training of a run.

    Parameters
    ----------
    quantity : {"reward", "effective_modes", "kl", "hits", "circles"}
        What it shows. ``kl`` is whatever the trainer logs under that name; ``hits`` and ``circles``
        are what a run on molecules has found so far.
    steps : tuple of int
        Optimiser steps, of ``hits`` and ``circles`` oracle calls; ascending.
    values : tuple of float
        The value at each of them.
    """

    quantity: Quantity
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Promise:
    """What the optimum of a run's objective gives, beside what was measured.

    Parameters
    ----------
    answers : tuple of str
        The answers.
    promised, measured : tuple of float
        Probability of each answer.
    total_variation : float
        Distance of the two distributions, no answer included, in [0, 1].
    """

    answers: tuple[str, ...]
    promised: tuple[float, ...]
    measured: tuple[float, ...]
    total_variation: float


@dataclass(frozen=True)
class Found:
    """What a run on molecules has found in all its oracle calls.

    Parameters
    ----------
    threshold : float
        From which reward on a molecule was a hit.
    n_calls : int
        Oracle calls.
    n_hits : int
        Different hits (Yield).
    n_circles : int
        #Circles of the hits, at a distance of 0.75.
    n_scaffolds : int
        Different Murcko scaffolds of the hits.
    burden : mapping of int to float
        Oracle burden: the call that found the 1st, 10th and 100th hit; NaN where it never came.
    best : float
        The best reward.
    """

    threshold: float
    n_calls: int
    n_hits: int
    n_circles: int
    n_scaffolds: int
    burden: Mapping[int, float]
    best: float


@dataclass(frozen=True, eq=False)
class Run:
    """One run to compare.

    Parameters
    ----------
    name : str
        What it is called in tables; unique in a comparison.
    kind : {"trl", "demo", "evaluation", "chemistry"}
        What wrote it.
    path : Path
        Where it was read.
    outcome : Samples, Exact or None
        What its model gives; None where only curves are known.
    curves : tuple of Curve
        Its training.
    promise : Promise or None
        What its objective promised, where that is known.
    notes : tuple of str
        What a reader of its numbers has to know.
    found : Found or None
        What a run on molecules has found; None of other runs.
    """

    name: str
    kind: Kind
    path: Path
    outcome: Samples | Exact | None
    curves: tuple[Curve, ...] = ()
    promise: Promise | None = None
    notes: tuple[str, ...] = field(default=())
    found: Found | None = None
