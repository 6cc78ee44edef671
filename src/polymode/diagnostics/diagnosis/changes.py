"""What if: other strengths, divergences and thresholds, and anchoring."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymode.diagnostics.diagnosis.anchored import Anchoring
from polymode.diagnostics.diagnosis.budget import lost
from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.overall import Averaging, exponential
from polymode.diagnostics.diagnosis.reliability import frac_reliable
from polymode.diagnostics.diagnosis.report import ModesKept, Sweep, WhatIf
from polymode.diagnostics.diagnosis.sampling import Quantity, Sampling, Spread
from polymode.diagnostics.diagnosis.settings import DiagnosisSettings
from polymode.diagnostics.diagnosis.targets import Problem
from polymode.metrics.intervals import Estimate

__all__ = ["ENDS", "Changes", "with_numbers"]

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


@dataclass(frozen=True, eq=False)
class Changes:
    """Changes of an objective, and what they do over all prompts.

    Parameters
    ----------
    table : DistinctOutputs
        The outputs.
    problem : Problem
        With the threshold of the settings.
    settings : DiagnosisSettings
        The objective.
    averaging : Averaging
        How means over prompts get their intervals.
    """

    table: DistinctOutputs
    problem: Problem
    settings: DiagnosisSettings
    averaging: Averaging

    def sweep(self) -> Sweep:
        """Return the target at other strengths.

        Returns
        -------
        Sweep
            All strengths in one pass over the samples.
        """
        betas = self.settings.swept()
        kind = self.settings.divergence
        targets = [self._target(self.problem, beta, kind) for beta in betas]
        anchored = [self._anchored(self.problem, beta, kind) for beta in betas]
        return Sweep(
            np.asarray(betas),
            _stacked([figures for figures, _, _ in targets]),
            _stacked(anchored),
            _stacked([{"kept": kept} for _, kept, _ in targets])["kept"],
            np.asarray([reliable for _, _, reliable in targets]),
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

    def what_ifs(self) -> Iterator[WhatIf]:
        """Yield the target under one change at a time.

        Yields
        ------
        WhatIf
            Anchoring of outputs and of modes, other divergences, other thresholds.
        """
        beta, kind = self.settings.beta, self.settings.divergence
        for value, problem in self._anchorings():
            found = self._anchored(problem, beta, kind)
            trusted = self._trusted(problem, problem.target(beta, kind), beta, kind)
            name = f"anchored {value}"
            yield WhatIf("anchoring", name, value, found, self._kept(problem), trusted)
        for name in self.settings.divergences:
            if name != self.settings.divergence_name:
                yield WhatIf("divergence", name, name, *self._target(self.problem, beta, name))
        for threshold in self._thresholds():
            problem = Problem.of(self.table, threshold=threshold, reach=self.settings.reach)
            found = self._target(problem, beta, kind)
            yield WhatIf("threshold", f"threshold {threshold:.4g}", threshold, *found)

    def _anchorings(self) -> Iterator[tuple[str, Problem]]:
        """Yield what can be anchored: outputs, and modes where they are something else."""
        if not self.table.by_output:
            yield "modes", self.problem
        by_output = self.table.as_outputs()
        yield (
            "outputs",
            Problem.of(by_output, threshold=self.settings.threshold, reach=self.settings.reach),
        )

    def _thresholds(self) -> tuple[float, ...]:
        """Return the thresholds to try."""
        if self.settings.thresholds:
            return self.settings.thresholds
        found = np.quantile(self.table.rewards, _QUANTILES, method="higher").tolist()
        return tuple(sorted({float(x) for x in found} - {float(self.settings.threshold)}))

    def _target(
        self, problem: Problem, beta: float, divergence: Any
    ) -> tuple[dict[str, Estimate], Estimate, float]:
        """Return figures and share kept of a target, and how many prompts can tell."""
        target = problem.target(beta, divergence)
        quantities = target.figures() | {"lost": lost(problem, target)}
        means = self._means(quantities, problem.by_reference)
        loss = means.pop("lost")
        minus = Estimate(-loss.value, loss.standard_error, -loss.high, -loss.low, loss.n)
        trusted = self._trusted(problem, target, beta, divergence)
        return with_numbers(means), exponential(minus), trusted

    def _trusted(self, problem: Problem, target: Measure, beta: float, divergence: Any) -> float:
        """Return the share of prompts that can be trusted about a target."""
        return frac_reliable(problem, target, beta, divergence, self.settings.limits)

    def _anchored(self, problem: Problem, beta: float, divergence: Any) -> dict[str, Estimate]:
        """Return figures of an anchored target."""
        found = Anchoring.of(problem, beta, divergence).figures()
        return with_numbers(self._means(found, problem.by_reference))

    def _means(self, quantities: Mapping[str, Quantity], sampling: Sampling) -> dict[str, Estimate]:
        """Return means over prompts; errors of prompts only where they are needed."""
        if self.averaging.resampled == "samples":
            spreads = {name: sampling.spread(found) for name, found in quantities.items()}
        else:
            nothing = np.full(len(self.table.prompts), np.nan)
            spreads = {
                name: Spread(found.value, nothing, nothing, found.unsure)
                for name, found in quantities.items()
            }
        return self.averaging.means(spreads, ENDS)

    def _kept(self, problem: Problem) -> Estimate:
        """Return that anchoring keeps everything: it is flat."""
        has = int((problem.n_good().value > 0).sum())
        return Estimate(1.0, 0.0, 1.0, 1.0, has)


def _stacked(found: list[dict[str, Estimate]]) -> dict[str, Estimate]:
    """Return estimates along a sweep."""
    names = ("value", "standard_error", "low", "high", "n")
    return {
        key: Estimate(*(np.asarray([getattr(each[key], name) for each in found]) for name in names))
        for key in found[0]
    }
