"""From recorded samples to a report: the whole way, step by step."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Integer

from polymode.core import checks
from polymode.core.divergences import Divergence
from polymode.diagnostics.diagnosis.blocks import Found, find, joined
from polymode.diagnostics.diagnosis.budget import budget_of_prompts, budget_overall
from polymode.diagnostics.diagnosis.changes import ENDS, Changes, Trial, Tried, with_numbers
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.overall import Averaging
from polymode.diagnostics.diagnosis.reliability import share_trusted
from polymode.diagnostics.diagnosis.report import (
    PromptTable,
    Report,
    Verdict,
    VerdictKind,
)
from polymode.diagnostics.diagnosis.samples import RecordedSamples
from polymode.diagnostics.diagnosis.settings import DiagnosisSettings
from polymode.diagnostics.diagnosis.tables import sample_summary, size_summary
from polymode.diagnostics.diagnosis.targets import Problem
from polymode.diagnostics.diagnosis.verdict import Evidence, decide, say
from polymode.metrics.intervals import Estimate
from polymode.metrics.modes import ModeFunction, mode_function

__all__ = ["diagnose_samples"]


def diagnose_samples(
    samples: RecordedSamples,
    *,
    beta: float,
    threshold: float,
    divergence: str | Divergence = "reverse_kl",
    mode: str | ModeFunction | None = None,
    **options: Any,
) -> Report:
    """Return which distribution an objective asks for, whether it is collapsed, and why.

    Parameters
    ----------
    samples : RecordedSamples
        Samples of the reference or of the current policy.
    beta : float
        Strength of the regulariser, in reward units per nat; finite and > 0.
    threshold : float
        Rewards at or above it are good, in reward units.
    divergence : str or Divergence
        Which divergence regularises.
    mode : str, callable or None
        What counts as the same answer, from the text of an output; see
        `polymode.metrics.mode_function`. None takes the modes of the samples.
    **options
        Other fields of `DiagnosisSettings`.

    Returns
    -------
    Report
        The verdict first.

    Raises
    ------
    ArgumentError
        If `samples` is no `RecordedSamples`, or a setting is out of its range. Lists everything
        that is wrong.
    MissingExtraError
        If arviz-stats is not installed.

    Notes
    -----
    Rewards, and with them the target, are taken to be functions of prompt and output. Cost: a sort
    of the samples, then some passes over the distinct outputs for each strength of the sweep.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817.
    .. [2] Horvitz and Thompson, "A Generalization of Sampling Without Replacement From a Finite
       Universe", Journal of the American Statistical Association 47, 1952.
    .. [3] Chao and Shen, "Nonparametric Estimation of Shannon's Index of Diversity When There Are
       Unseen Species in Sample", Environmental and Ecological Statistics 10, 2003.
    """
    checks.require(checks.instance("samples", samples, RecordedSamples))
    settings = DiagnosisSettings(beta=beta, threshold=threshold, divergence=divergence, **options)
    # Rewards of 1e100 are legal. Their squares are infinite: so are errors then, and intervals.
    with np.errstate(over="ignore", invalid="ignore"):
        return _report(_with_modes(samples, mode), settings)


def _report(samples: RecordedSamples, settings: DiagnosisSettings) -> Report:
    """Return the report of samples that have their modes."""
    table = DistinctOutputs.of(samples)
    averaging = Averaging(len(table.prompts), settings.level, settings.n_rounds, settings.seed)
    changes = Changes.of(table, settings, averaging)
    found, tried = _of_blocks(samples, table, settings, changes)
    figures = {
        policy: with_numbers(averaging.means(each, ENDS)) for policy, each in found.spreads.items()
    }
    budget, means = budget_overall(found.parts, averaging)
    sweep = changes.sweep(tried)
    return Report(
        verdict=_verdict(found, figures, means, budget.optimiser, settings),
        settings=settings,
        samples=sample_summary(samples, table),
        overall=figures,
        budget=budget,
        sweep=sweep,
        modes_kept=changes.modes_kept(sweep),
        what_ifs=tuple(changes.what_ifs(tried)),
        group_size=size_summary(found.group_size),
        reliability=found.trust,
        prompts=_prompt_table(samples, table, found, settings),
        outputs=found.outputs,
        resampled=averaging.resampled,
        notes=(*samples.notes, *_notes(table, found)),
    )


def _of_blocks(
    samples: RecordedSamples, table: DistinctOutputs, settings: DiagnosisSettings, changes: Changes
) -> tuple[Found, dict[Trial, Tried]]:
    """Return what is found of all prompts, and what each change does to them."""
    found: list[Found] = []
    tried: list[dict[Trial, Tried]] = []
    first = 0
    for block in table.blocks():
        problem = Problem.of(block, threshold=settings.threshold, reach=settings.reach)
        found.append(find(samples, problem, settings, first))
        tried.append(changes.of_block(problem, first))
        first += len(block.prompts)
    everything = joined(found)
    reasons = {name: n for name, n in everything.trust.reasons.items() if n}
    everything = everything._replace(trust=replace(everything.trust, reasons=reasons))
    return everything, {trial: Tried.joined([part[trial] for part in tried]) for trial in tried[0]}


def _with_modes(samples: RecordedSamples, mode: Any) -> RecordedSamples:
    """Return samples whose modes are those of a function of the text."""
    if mode is None:
        return samples
    key_of = mode_function(mode) if isinstance(mode, str) else mode
    numbers: dict[Any, int] = {}
    keys = (key_of(text) for text in samples.output_texts)
    of_text = [-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys]
    modes = np.asarray(of_text, dtype=np.int32)[samples.output]
    return replace(samples, modes=modes, mode_names=tuple(map(str, numbers)))


def _prompt_table(
    samples: RecordedSamples, table: DistinctOutputs, found: Found, settings: DiagnosisSettings
) -> PromptTable:
    """Return the numbers of each prompt."""
    n = table.n_samples.astype(np.int64)
    figures = {
        policy: with_numbers(
            {
                name: spread.estimate(
                    level=settings.level,
                    n=n,
                    least=ENDS.get(name, (-np.inf, np.inf))[0],
                    largest=ENDS.get(name, (-np.inf, np.inf))[1],
                )
                for name, spread in each.items()
            }
        )
        for policy, each in found.spreads.items()
    }
    budget = budget_of_prompts(found.parts, level=settings.level, n=n)
    good = table.modes.max((table.rewards >= settings.threshold).astype(float))
    return PromptTable(
        texts=[str(samples.prompt_texts[i]) for i in table.prompt_ids.tolist()],
        n_samples=n,
        n_outputs=table.prompts.sizes,
        n_modes=table.of_modes.sizes,
        n_good_modes_seen=table.of_modes.sum(good).astype(np.int64),
        figures=figures,
        budget=budget,
        group_size=found.group_size,
        verdicts=tuple(_prompt_verdicts(n, figures, found, settings)),
    )


def _prompt_verdicts(
    n: Integer[np.ndarray, " P"], figures: Any, found: Found, settings: DiagnosisSettings
) -> Iterator[VerdictKind]:
    """Yield the kind of each prompt's verdict."""
    terms = {
        name: _listed(getattr(found.parts, name).estimate(level=settings.level, n=n))
        for name in ("lost", "entropy", "difference", "optimiser")
        if getattr(found.parts, name) is not None
    }
    masses = {
        policy: _listed(figures[policy]["mass_good"])
        for policy in ("target", "policy")
        if policy in figures
    }
    number = found.n_good.tolist()
    for i, reliable in enumerate(found.trust.reliable.tolist()):
        loss = terms["lost"][i]
        evidence = Evidence(
            n_good=number[i],
            kept=Estimate(
                np.exp(-loss.value), np.nan, np.exp(-loss.high), np.exp(-loss.low), loss.n
            ),
            entropy=terms["entropy"][i],
            difference=terms["difference"][i],
            mass_good=masses["target"][i],
            policy_mass_good=masses["policy"][i] if "policy" in masses else None,
            optimiser=terms["optimiser"][i] if "optimiser" in terms else None,
            doubts=() if reliable else ("too few samples",),
        )
        yield decide(evidence, settings.limits)[0]


def _listed(estimate: Estimate) -> list[Estimate]:
    """Return the estimates of an array one by one."""
    parts = (estimate.value, estimate.standard_error, estimate.low, estimate.high, estimate.n)
    return [Estimate(*each) for each in zip(*(part.tolist() for part in parts), strict=True)]


def _verdict(
    found: Found,
    figures: Mapping[str, Mapping[str, Estimate]],
    means: Mapping[str, Estimate],
    optimiser: Estimate | None,
    settings: DiagnosisSettings,
) -> Verdict:
    """Return the verdict over all prompts."""
    number, trust = found.n_good, found.trust
    share, limit = share_trusted(trust.reliable, number > 0), settings.limits.prompts
    doubts = () if share >= limit else tuple(f"{k}: {v} prompts" for k, v in trust.reasons.items())
    loss, policy = means["lost"], figures.get("policy")
    kept = Estimate(np.exp(-loss.value), np.nan, np.exp(-loss.high), np.exp(-loss.low), loss.n)
    evidence = Evidence(
        n_good=float(number.max()),
        kept=kept,
        entropy=means["entropy"],
        difference=means["difference"],
        mass_good=figures["target"]["mass_good"],
        policy_mass_good=None if policy is None else policy["mass_good"],
        optimiser=optimiser,
        doubts=doubts,
    )
    kind, reasons = decide(evidence, settings.limits)
    numbers = {
        "kept": kept.value,
        "kept_low": kept.low,
        "kept_high": kept.high,
        "n_good_modes": np.exp(means["ceiling"].value),
        "effective_modes_good": np.exp(means["entropy"].value),
        "reference_bias": means["reference_bias"].value,
        "reward_gaps": means["reward_gaps"].value,
        "optimiser": np.nan if optimiser is None else optimiser.value,
        "mass_good": evidence.mass_good.value,
        "policy_mass_good": np.nan if policy is None else policy["mass_good"].value,
        "frac_reliable": share,
    }
    return say(kind, reasons, {name: float(value) for name, value in numbers.items()})


def _notes(table: DistinctOutputs, found: Found) -> Iterator[str]:
    """Yield what a reader has to know."""
    beyond = int(found.beyond_one.sum())
    if beyond:
        yield (
            f"the probabilities of the outputs of {beyond} prompts sum to more than 1: "
            "their log-probabilities cannot be those of whole outputs"
        )
    if not (table.rewards >= -np.inf).all():
        yield "some outputs have no reward"
