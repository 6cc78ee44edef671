"""The figures of a step: what was earned, how diverse it was, how far off the target is.

Names, units and what a bad value means: ``docs/reference/chemistry-training.md``.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from polymode.chemistry.learner.learner import Learner, Step
from polymode.chemistry.learner.modes import structure_of
from polymode.chemistry.learner.targets import AnchoredModes
from polymode.metrics.distributions import effective_number, total_variation
from polymode.metrics.molecules import SphereExclusion, collapse_figures

__all__ = ["Monitor"]

_CIRCLES = 0.75  # the distance that the literature counts #Circles at


class Monitor:
    """Figures of each step, and of all hits so far.

    Parameters
    ----------
    threshold : float
        From which reward on a molecule is a hit.
    """

    def __init__(self, *, threshold: float) -> None:
        self._threshold = threshold
        self._circles = SphereExclusion(_CIRCLES)
        self._hits: set[str] = set()
        self._scaffolds: set[str] = set()
        self._best = -math.inf
        self.n_samples = 0
        """Strings drawn so far."""

    def figures(self, step: Step, learner: Learner) -> dict[str, float]:
        """Return the figures of a step, in the order in which they are logged.

        Parameters
        ----------
        step : Step
            What the step drew.
        learner : Learner
            The learner after the step.
        """
        batch = step.batch
        names, n = batch.scores.canonical, len(batch.kept)
        valid = np.array([name is not None for name in names])
        # What the budget did not reach is no call, and no repeat either.
        reached = valid & np.array([status != "over_budget" for status in batch.scores.status])
        rewards = batch.scores.rewards
        scored = valid & np.isfinite(rewards)
        hits = scored & (rewards >= self._threshold)
        self.n_samples += n
        scaffolds = [None if name is None else structure_of("murcko", name) for name in names]
        self._remember([name for name, hit in zip(names, hits, strict=True) if hit and name])
        if scored.any():
            self._best = max(self._best, float(rewards[scored].max()))
        collapse = collapse_figures(
            np.where(scored, rewards, np.nan),
            batch.ref_log_probs,
            molecules=names,
            modes=scaffolds,
            threshold=self._threshold,
        )
        return {
            "n_calls": learner.oracle.n_calls,
            "n_samples": self.n_samples,
            "reward/mean": _mean(rewards[scored]),
            "reward/best": self._best,
            "samples/frac_valid": float(valid.mean()),
            "samples/frac_repeats": _mean(~batch.scores.new[reached]),
            "samples/frac_hits": float(hits.mean()),
            "samples/frac_lost": float((valid & ~scored).mean()),
            "samples/frac_cut": float(batch.sample.truncated.float().mean()),
            "hits/total": len(self._hits),
            "hits/scaffolds": len(self._scaffolds),
            "hits/circles": len(self._circles),
            "hits/ref_log_prob_spread": float(collapse.ref_log_prob_spread),
            "diversity/effective_scaffolds": float(collapse.effective_modes),
            "diversity/top_scaffold_share": float(collapse.top_mode_share),
            "kl/to_prior": _mean((batch.log_probs - batch.ref_log_probs)[batch.kept]),
            "loss": step.loss,
            "gradient_norm": step.gradient_norm,
            "target/log_ratio_std": _deviation(step.log_ratios),
            **_mode_figures(learner),
        }

    def state(self) -> dict[str, Any]:
        """Return what later figures depend on."""
        return {
            "circles": self._circles.state(),
            "hits": sorted(self._hits),
            "scaffolds": sorted(self._scaffolds),
            "best": self._best,
            "n_samples": self.n_samples,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            What `state` returned.
        """
        self._circles.load_state(state["circles"])
        self._hits, self._scaffolds = set(state["hits"]), set(state["scaffolds"])
        self._best, self.n_samples = state["best"], state["n_samples"]

    def _remember(self, names: list[str]) -> None:
        """Count hits that are new."""
        new = [name for name in dict.fromkeys(names) if name not in self._hits]
        self._hits.update(new)
        if new:
            self._circles.assign(new)
            self._scaffolds.update(structure_of("murcko", name) for name in new)


def _mode_figures(learner: Learner) -> dict[str, float]:
    """Return promised against measured shares of modes, where the target knows them."""
    target = learner.target
    if not isinstance(target, AnchoredModes) or not len(target.memory):
        return {}
    memory = target.memory
    promised = np.log(target.mode_shares(remaining=learner.remaining))
    measured = np.log(memory.shares())
    pressure = target.pressure.on(memory, gap=target.gap, remaining=learner.remaining)
    return {
        "target/modes": len(memory),
        "target/effective_modes_promised": float(effective_number(promised)),
        "target/effective_modes_measured": float(effective_number(measured)),
        "target/mode_distance": float(total_variation(promised, measured)),
        "target/frac_modes_used_up": float((pressure >= target.gap).mean()) if target.gap else 0.0,
        "target/members_per_mode": float(memory.n_members.mean()),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan
