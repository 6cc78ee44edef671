"""What decides the numbers of a diagnosis, and the limits between its verdicts."""

import math
from dataclasses import dataclass, field
from typing import Any

from polymode.core import checks
from polymode.core.divergences import Divergence, check_divergence, get_divergence

__all__ = ["DiagnosisSettings", "VerdictLimits"]


@dataclass(frozen=True, kw_only=True)
class VerdictLimits:
    """The limits between verdicts, each with its reason.

    Parameters
    ----------
    kept : float
        A target is collapsed that keeps less than this share of the effective number of its good
        modes. One half: most people would call it a loss to see half of the good answers go.
    many : float
        … unless it keeps at least this many effective good modes: nobody misses the rest.
    on_target : float
        A policy is optimised that gives good outputs with at least this share of the probability
        with which its target does.
    ess : float
        Fewest effective samples of a prompt: below, weights of a few samples decide everything.
    pareto_k : float
        Largest shape of the tail of a prompt's weights: above it means of weights are no means
        (Vehtari et al. 2024).
    coverage : float
        Smallest share of the target that the samples of a prompt have shown: what is hidden could
        turn the verdict.
    number : float
        Largest relative standard error of the number of good modes within reach: beyond it, its
        logarithm is no longer as it is on average.
    prompts : float
        Smallest share of the prompts with a good output that must be reliable.
    """

    kept: float = 0.5
    many: float = 50.0
    on_target: float = 0.9
    ess: float = 20.0
    pareto_k: float = 0.7
    coverage: float = 0.8
    number: float = 0.5
    prompts: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be, all of it at once."""
        checks.require(
            checks.within(0, 1, kept=self.kept, on_target=self.on_target),
            checks.within(0, 1, coverage=self.coverage, prompts=self.prompts),
            checks.positive(many=self.many, ess=self.ess, pareto_k=self.pareto_k),
            checks.positive(number=self.number),
        )


@dataclass(frozen=True, kw_only=True)
class DiagnosisSettings:
    """What decides the numbers of a diagnosis.

    Parameters
    ----------
    beta : float
        Strength of the regulariser, in reward units per nat; finite and > 0.
    threshold : float
        Rewards at or above it are good, in reward units.
    divergence : str or Divergence
        Which divergence regularises.
    level : float
        Probability of the intervals, in (0, 1).
    n_rounds : int
        Bootstrap rounds.
    seed : int
        Seed of the bootstrap.
    betas : tuple of float
        Strengths of the sweep, ascending; empty takes `n_betas` from a thousandth to a thousand
        times `beta`.
    n_betas : int
        Number of strengths of a sweep that is not given.
    thresholds : tuple of float
        Other thresholds to try; empty takes quantiles of the rewards.
    divergences : tuple of str
        Other divergences to try.
    effective_modes : tuple of float
        Numbers of good modes to keep, for each of which the smallest sufficient beta is looked for.
    reach : float
        Good modes that the samples of a prompt show with less than this probability count for
        nothing in the budget: of those nobody could know how many there are.
    n_outputs : int
        How many outputs of each prompt the report lists, those with most weight first.
    limits : VerdictLimits
        The limits between verdicts.
    """

    beta: float
    threshold: float
    divergence: str | Divergence = "reverse_kl"
    level: float = 0.9
    n_rounds: int = 200
    seed: int = 0
    betas: tuple[float, ...] = ()
    n_betas: int = 30
    thresholds: tuple[float, ...] = ()
    divergences: tuple[str, ...] = ("reverse_kl", "forward_kl", "jensen_shannon")
    effective_modes: tuple[float, ...] = (2.0, 4.0, 8.0)
    reach: float = 0.1
    n_outputs: int = 50
    limits: VerdictLimits = field(default_factory=VerdictLimits)

    def __post_init__(self) -> None:
        """Refuse what cannot be, all of it at once."""
        checks.require(
            checks.positive(beta=self.beta),
            checks.finite(threshold=self.threshold),
            check_divergence(self.divergence),
            *(check_divergence(name) for name in self.divergences),
            checks.within(0, 1, level=self.level, reach=self.reach),
            checks.whole(n_rounds=self.n_rounds, n_betas=self.n_betas, n_outputs=self.n_outputs),
            checks.non_negative(seed=self.seed),
            *(checks.positive(betas=beta) for beta in self.betas),
            *(checks.finite(thresholds=threshold) for threshold in self.thresholds),
            *(checks.positive(effective_modes=number) for number in self.effective_modes),
        )

    @property
    def divergence_name(self) -> str:
        """The name of the divergence."""
        return get_divergence(self.divergence).name

    def swept(self) -> tuple[float, ...]:
        """Return the strengths of the sweep.

        Returns
        -------
        tuple of float
            Ascending, `beta` itself among them.
        """
        if self.betas:
            return tuple(sorted({*map(float, self.betas), float(self.beta)}))
        n, own = self.n_betas, math.log10(self.beta)
        if n == 1:
            return (float(self.beta),)
        step = 6 / (n - 1)
        middle = (n - 1) // 2
        found = [10 ** (own + step * (i - middle)) for i in range(n)]
        found[middle] = float(self.beta)
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data.

        Returns
        -------
        dict
            By the names of the fields.
        """
        from dataclasses import asdict, replace

        plain = asdict(replace(self, divergence="reverse_kl"))
        return plain | {"divergence": self.divergence_name, "betas": self.swept()}
