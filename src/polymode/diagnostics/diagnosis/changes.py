"""What if: other strengths, divergences and thresholds, and anchoring."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool

from polymode.diagnostics.diagnosis.anchored import Anchoring
from polymode.diagnostics.diagnosis.budget import lost
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.overall import Averaging, Sums, exponential
from polymode.diagnostics.diagnosis.reliability import reliable_about, share_trusted
from polymode.diagnostics.diagnosis.report import ModesKept, Sweep, WhatIf
from polymode.diagnostics.diagnosis.sampling import Quantity, Sampling, Spread
from polymode.diagnostics.diagnosis.settings import DiagnosisSettings
from polymode.diagnostics.diagnosis.targets import Problem
from polymode.metrics.intervals import Estimate

__all__ = ["ENDS", "Changes", "Trial", "Tried", "with_numbers"]

ENDS: Mapping[str, tuple[float, float]] = {
    "mass_good": (0.0, 1.0),
    "entropy": (0.0, np.inf),
    "entropy_good": (0.0, np.inf),
    "kept": (0.0, np.inf),
}
"""Between what figures must lie."""

_QUANTILES = (0.5, 0.75, 0.9)


def with_numbers(figures: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return figures with the effective numbers that belong to their entropies.

    Parameters
    ----------
    figures : mapping of str to Estimate
        Means and entropies.

    Returns
    -------
    dict
        In the order of `FIGURE_NAMES`.
    """
    return {
        "expected_reward": figures["expected_reward"],
        "mass_good": figures["mass_good"],
        "entropy": figures["entropy"],
        "effective_modes": exponential(figures["entropy"]),
        "entropy_good": figures["entropy_good"],
        "effective_modes_good": exponential(figures["entropy_good"]),
    }


class Trial(NamedTuple):
    """One change of an objective.

    Parameters
    ----------
    kind : {"beta", "anchoring", "divergence", "threshold"}
        What changes.
    value : float or str
        What to.
    """

    kind: Literal["beta", "anchoring", "divergence", "threshold"]
    value: float | str


class Tried(NamedTuple):
    """What a change does to some prompts.

    Parameters
    ----------
    means : mapping of str to Sums
        What they add to the means of "target" and "anchored", as far as these are asked for.
    reliable, has_good : array of bool, shape (P,)
        Which of them can be trusted about the change, and which have a good output.
    """

    means: Mapping[str, Sums]
    reliable: Bool[np.ndarray, " P"]
    has_good: Bool[np.ndarray, " P"]

    @classmethod
    def joined(cls, parts: Sequence["Tried"]) -> "Tried":
        """Return what a change does to all prompts.

        Parameters
        ----------
        parts : sequence of Tried
            What it does to blocks of them.

        Returns
        -------
        Tried
            Means added up, prompts one behind the other.
        """
        means = {
            name: reduce(Sums.plus, (part.means[name] for part in parts)) for name in parts[0].means
        }
        reliable = np.concatenate([part.reliable for part in parts])
        return cls(means, reliable, np.concatenate([part.has_good for part in parts]))


@dataclass(frozen=True, eq=False)
class Changes:
    """Changes of an objective: first what each does to blocks of prompts, then over all of them.

    Parameters
    ----------
    settings : DiagnosisSettings
        The objective.
    trials : tuple of Trial
        What is tried, in the order of the report.
    averaging : Averaging
        How means over prompts get their intervals.
    """

    settings: DiagnosisSettings
    trials: tuple[Trial, ...]
    averaging: Averaging

    @classmethod
    def of(
        cls, table: DistinctOutputs, settings: DiagnosisSettings, averaging: Averaging
    ) -> "Changes":
        """Return the changes that settings ask for.

        Parameters
        ----------
        table : DistinctOutputs
            All outputs.
        settings : DiagnosisSettings
            The objective.
        averaging : Averaging
            How means over prompts get their intervals.

        Returns
        -------
        Changes
            Strengths; anchoring of modes, where these are something else than outputs, and of
            outputs; divergences; thresholds.
        """
        anchored = ("outputs",) if table.by_output else ("modes", "outputs")
        own = settings.divergence_name
        return cls(
            settings,
            (
                *(Trial("beta", beta) for beta in settings.swept()),
                *(Trial("anchoring", what) for what in anchored),
                *(Trial("divergence", name) for name in settings.divergences if name != own),
                *(Trial("threshold", value) for value in _thresholds(table, settings)),
            ),
            averaging,
        )

    def of_block(self, problem: Problem, first: int) -> dict[Trial, Tried]:
        """Return what each change does to some neighbouring prompts.

        Parameters
        ----------
        problem : Problem
            Of these prompts, with the threshold of the settings.
        first : int
            Position of the first one among all prompts.

        Returns
        -------
        dict
            By trial.
        """
        return {trial: self._tried(trial, problem, first) for trial in self.trials}

    def _tried(self, trial: Trial, problem: Problem, first: int) -> Tried:
        """Return what one change does to some neighbouring prompts."""
        beta, kind = float(self.settings.beta), self.settings.divergence
        if trial.kind == "beta":
            beta = float(trial.value)
        elif trial.kind == "divergence":
            kind = str(trial.value)
        elif trial.kind == "threshold":
            problem = problem.with_threshold(float(trial.value))
        elif trial.value == "outputs" and not problem.table.by_output:
            threshold, reach = self.settings.threshold, self.settings.reach
            problem = Problem.of(problem.table.as_outputs(), threshold=threshold, reach=reach)
        target = problem.target(beta, kind)
        figures: dict[str, Mapping[str, Quantity]] = {}
        if trial.kind != "anchoring":
            figures["target"] = target.figures() | {"lost": lost(problem, target)}
        if trial.kind in ("beta", "anchoring"):
            figures["anchored"] = Anchoring.of(problem, beta, kind).figures()
        sampling = problem.by_reference
        return Tried(
            {name: self._sums(found, sampling, first) for name, found in figures.items()},
            reliable_about(problem, target, beta, kind, self.settings.limits),
            problem.n_good.value > 0,
        )

    def _sums(self, quantities: Mapping[str, Quantity], sampling: Sampling, first: int) -> Sums:
        """Return what prompts add to means; their errors only where they are needed."""
        if self.averaging.resampled == "samples":
            spreads = {name: sampling.spread(found) for name, found in quantities.items()}
        else:
            nothing = np.full(len(sampling.table.prompts), np.nan)
            spreads = {
                name: Spread(found.value, nothing, nothing, found.unsure)
                for name, found in quantities.items()
            }
        return self.averaging.sums(spreads, first)

    def sweep(self, found: Mapping[Trial, Tried]) -> Sweep:
        """Return the target at other strengths.

        Parameters
        ----------
        found : mapping of Trial to Tried
            What each change does to all prompts.

        Returns
        -------
        Sweep
            Over all prompts.
        """
        betas = [trial for trial in self.trials if trial.kind == "beta"]
        targets = [self._target(found[trial]) for trial in betas]
        return Sweep(
            np.asarray([trial.value for trial in betas]),
            _stacked([figures for figures, _ in targets]),
            _stacked([self._anchored(found[trial]) for trial in betas]),
            _stacked([{"kept": kept} for _, kept in targets])["kept"],
            np.asarray([self._trusted(found[trial]) for trial in betas]),
        )

    def modes_kept(self, sweep: Sweep) -> tuple[ModesKept, ...]:
        """Return which strength keeps how many good modes, and its price.

        Parameters
        ----------
        sweep : Sweep
            The target at other strengths.

        Returns
        -------
        tuple of ModesKept
            One for each number of the settings.
        """
        number = np.asarray(sweep.target["effective_modes_good"].value)
        reward = np.asarray(sweep.target["expected_reward"].value)
        told = sweep.frac_reliable >= self.settings.limits.prompts
        own = reward[np.argmin(np.abs(sweep.betas - self.settings.beta))]
        out: list[ModesKept] = []
        for wanted in self.settings.effective_modes:
            enough = np.flatnonzero((number >= wanted) & told)
            if len(enough) == 0:
                out.append(ModesKept(wanted, np.nan, np.nan, np.nan))
                continue
            first = enough[0]
            beta, got = float(sweep.betas[first]), float(reward[first])
            out.append(ModesKept(wanted, beta, got, float(own - got)))
        return tuple(out)

    def what_ifs(self, found: Mapping[Trial, Tried]) -> Iterator[WhatIf]:
        """Yield the target under one change at a time.

        Parameters
        ----------
        found : mapping of Trial to Tried
            What each change does to all prompts.

        Yields
        ------
        WhatIf
            Anchoring of modes and of outputs, other divergences, other thresholds.
        """
        for trial in self.trials:
            kind, value = trial
            if kind == "beta":
                continue
            own = found[trial]
            if kind == "anchoring":  # which keeps everything: it is flat
                kept = Estimate(1.0, 0.0, 1.0, 1.0, int(own.has_good.sum()))
                figures, name = self._anchored(own), f"anchored {value}"
            else:
                figures, kept = self._target(own)
                name = f"threshold {value:.4g}" if kind == "threshold" else str(value)
            yield WhatIf(kind, name, value, figures, kept, self._trusted(own))

    def _target(self, found: Tried) -> tuple[dict[str, Estimate], Estimate]:
        """Return figures and share kept of a target."""
        means = self.averaging.estimates(found.means["target"], ENDS)
        loss = means.pop("lost")
        minus = Estimate(-loss.value, loss.standard_error, -loss.high, -loss.low, loss.n)
        return with_numbers(means), exponential(minus)

    def _anchored(self, found: Tried) -> dict[str, Estimate]:
        """Return figures of an anchored target."""
        return with_numbers(self.averaging.estimates(found.means["anchored"], ENDS))

    def _trusted(self, found: Tried) -> float:
        """Return the share of prompts that can be trusted about a change."""
        return share_trusted(found.reliable, found.has_good)


def _thresholds(table: DistinctOutputs, settings: DiagnosisSettings) -> tuple[float, ...]:
    """Return the thresholds to try."""
    if settings.thresholds:
        return settings.thresholds
    found = np.quantile(table.rewards, _QUANTILES, method="higher").tolist()
    return tuple(sorted({float(x) for x in found} - {float(settings.threshold)}))


def _stacked(found: list[dict[str, Estimate]]) -> dict[str, Estimate]:
    """Return estimates along a sweep."""
    names = ("value", "standard_error", "low", "high", "n")
    return {
        key: Estimate(*(np.asarray([getattr(each[key], name) for each in found]) for name in names))
        for key in found[0]
    }
