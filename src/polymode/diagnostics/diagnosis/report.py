"""What a diagnosis found, as frozen data: verdict first, then the numbers behind it.

Everything with an interval is an `Estimate`. Over all prompts its parts are floats; of each prompt
they are arrays of shape (P,), prompts as in the samples; along a sweep arrays of shape (b,). NaN
stands for what the samples cannot tell. Notation: ``q`` reference, ``t`` target, ``p`` policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer

from polymode.diagnostics.diagnosis.samples import BadRows, DrawnFrom
from polymode.diagnostics.diagnosis.settings import DiagnosisSettings
from polymode.metrics.intervals import Estimate

__all__ = [
    "FIGURE_NAMES",
    "POLICIES",
    "SCHEMA_VERSION",
    "VERDICTS",
    "Budget",
    "ModesKept",
    "OutputTable",
    "PromptTable",
    "Reliability",
    "Report",
    "SampleSummary",
    "Sweep",
    "Verdict",
    "VerdictKind",
    "WhatIf",
]

SCHEMA_VERSION = 1

VerdictKind = Literal[
    "healthy",
    "collapsed_by_reward_gaps",
    "collapsed_by_reference_bias",
    "not_optimised_yet",
    "cannot_tell",
]

VERDICTS: Mapping[str, str] = {
    "healthy": "healthy",
    "collapsed_by_reward_gaps": "collapsed by reward gaps",
    "collapsed_by_reference_bias": "collapsed by reference bias",
    "not_optimised_yet": "not optimised yet",
    "cannot_tell": "too few samples to say",
}
"""Each kind of verdict, as it is shown."""

POLICIES: Mapping[str, str] = {
    "reference": "reference",
    "target": "what the objective asks for",
    "anchored": "what it asks for when anchored",
    "policy": "current policy",
}
"""Whose figures there are, as they are shown; "policy" only with its log-probabilities."""

FIGURE_NAMES: Mapping[str, str] = {
    "expected_reward": "expected reward",
    "mass_good": "probability of a good output",
    "entropy": "entropy over modes (nats)",
    "effective_modes": "effective number of modes",
    "entropy_good": "entropy over good modes (nats)",
    "effective_modes_good": "effective number of good modes",
}
"""Each figure of a policy, as it is shown. Those ending in ``_good`` are about good outputs alone,
their probabilities taken relative to their sum. An effective number over all prompts is the
exponential of the mean entropy: its geometric mean."""

Figures = Mapping[str, Estimate]
"""From each of `FIGURE_NAMES` to its estimate."""


@dataclass(frozen=True)
class Verdict:
    """The answer.

    Parameters
    ----------
    kind : str
        One of `VERDICTS`.
    sentence : str
        What a colleague would say: one or two sentences with the numbers that decide.
    advice : str
        What to do about it, in one sentence; empty where nothing is to be done.
    reasons : tuple of str
        For "cannot_tell": each reason. Else what was tested and held, with numbers.
    numbers : mapping of str to float
        The numbers that decided, by name: `kept` the share of effective good modes that the target
        keeps, with `kept_low` and `kept_high`, `n_good_modes`, `effective_modes_good`,
        `reference_bias`, `reward_gaps` and `optimiser` in nats, `frac_reliable`.
    """

    kind: VerdictKind
    sentence: str
    advice: str
    reasons: tuple[str, ...]
    numbers: Mapping[str, float]

    @property
    def title(self) -> str:
        """The kind, as it is shown."""
        return VERDICTS[self.kind]


@dataclass(frozen=True)
class SampleSummary:
    """What the numbers were made from.

    Parameters
    ----------
    source : str
        Where the samples come from.
    drawn_from : {"reference", "policy"}
        Who drew them.
    n_rows, n_samples : int
        Rows that were read, and rows that were used.
    n_prompts, n_outputs, n_modes : int
        Prompts; distinct outputs of a prompt; modes of a prompt, summed over prompts.
    samples_per_prompt : tuple of int
        Fewest, median and most.
    modes_are_outputs : bool
        Whether every output was taken as a mode of its own.
    has_policy : bool
        Whether the policy's log-probabilities are known.
    bad_rows : tuple of BadRows
        What was dropped. `n_rows` is `n_samples` and all of these.
    """

    source: str
    drawn_from: DrawnFrom
    n_rows: int
    n_samples: int
    n_prompts: int
    n_outputs: int
    n_modes: int
    samples_per_prompt: tuple[int, int, int]
    modes_are_outputs: bool
    has_policy: bool
    bad_rows: tuple[BadRows, ...]


@dataclass(frozen=True, eq=False)
class Budget:
    r"""Where the diversity among good modes goes, in nats: a waterfall that adds up exactly.

    .. math::

        \underbrace{\log K}_{ceiling} = \underbrace{\log K - H(q)}_{reference\ bias}
            + \underbrace{H(q) - H(t)}_{reward\ gaps} + \underbrace{H(t) - H(p)}_{optimiser}
            + \underbrace{H(p)}_{left}

    All entropies are over the good modes within reach, probabilities relative to their sum.

    Parameters
    ----------
    n_good_modes : Estimate
        K, the good modes that the samples show with a probability of `reach` or more, seen or not.
        Over all prompts the geometric mean.
    ceiling : Estimate
        ``log K``.
    reference_bias : Estimate
        What equal rewards would lose: the target would keep the reference's ratios.
    reward_gaps : Estimate
        What the differences between good rewards, divided by beta, lose beyond that. Negative where
        they favour what the reference neglects.
    optimiser : Estimate or None
        What the policy has lost against its own target; None without a policy.
    left : Estimate
        Entropy that remains, of the policy, or of the target where there is no policy.
    kept : Estimate
        ``exp(H(t)) / K``, the share of the effective good modes that the target keeps.
    n_prompts : int
        Prompts with two or more good modes within reach: only these count, in others there is
        nothing to lose.
    """

    n_good_modes: Estimate
    ceiling: Estimate
    reference_bias: Estimate
    reward_gaps: Estimate
    optimiser: Estimate | None
    left: Estimate
    kept: Estimate
    n_prompts: int


@dataclass(frozen=True, eq=False)
class Sweep:
    """The target and its anchored sibling at other strengths, over all prompts.

    Parameters
    ----------
    betas : array, shape (b,)
        Strengths, ascending.
    target, anchored : mapping of str to Estimate
        Figures as arrays of shape (b,).
    kept : Estimate
        The share of effective good modes that the target keeps, shape (b,).
    frac_reliable : array, shape (b,)
        Share of the prompts with a good output that can be trusted about the target there: samples
        that say enough at one strength may say too little at a smaller one.
    """

    betas: Float[np.ndarray, " b"]
    target: Figures
    anchored: Figures
    kept: Estimate
    frac_reliable: Float[np.ndarray, " b"]


@dataclass(frozen=True)
class ModesKept:
    """The smallest beta of the sweep that is known to keep a number of modes, and its price.

    Parameters
    ----------
    effective_modes_good : float
        The number of good modes to keep.
    beta : float
        The strength; NaN where no strength of the sweep keeps so many, as far as samples can tell.
    expected_reward : float
        What the target gets there, in reward units.
    price : float
        How much less that is than at the beta of the settings, in reward units.
    """

    effective_modes_good: float
    beta: float
    expected_reward: float
    price: float


@dataclass(frozen=True, eq=False)
class WhatIf:
    """The target under one change.

    Parameters
    ----------
    kind : {"anchoring", "divergence", "threshold", "beta"}
        What is changed.
    name : str
        The change, as it is shown: "anchored modes", "forward_kl", "threshold 0.5".
    value : str or float
        The change itself: "outputs" or "modes", the divergence, the threshold, the strength.
    figures : mapping of str to Estimate
        Of the target, over all prompts.
    kept : Estimate
        The share of effective good modes that the target keeps.
    frac_reliable : float
        Share of the prompts with a good output that can be trusted about it.
    """

    kind: str
    name: str
    value: str | float
    figures: Figures
    kept: Estimate
    frac_reliable: float


@dataclass(frozen=True, eq=False)
class Reliability:
    """How far the samples of each prompt can be trusted; arrays of shape (P,).

    Parameters
    ----------
    ess : array, shape (P,)
        Effective number of samples for the target: one over the relative variance of its
        normaliser. Kish's ``(sum w)^2 / sum w^2`` where no output was sure to be seen; outputs that
        were bring no error, so that it is the number of samples where all of the target was seen.
    pareto_k : array, shape (P,)
        Shape of the tail of the weights, by Pareto-smoothed importance sampling; NaN where there
        are too few samples for it, -inf where the largest weights are all equal: there is no tail.
    coverage : array, shape (P,)
        Estimated share of the reference's probability on modes that were seen (Good–Turing).
    target_coverage : array, shape (P,)
        Estimated share of the target's probability on modes that were seen.
    seen_mass : array, shape (P,)
        Known exactly: probability under the reference of the outputs that were seen.
    reliable : array of bool, shape (P,)
        Whether all limits hold.
    reasons : mapping of str to int
        Why prompts are not reliable, and how many for each reason; a prompt may have several.
    """

    ess: Float[np.ndarray, " P"]
    pareto_k: Float[np.ndarray, " P"]
    coverage: Float[np.ndarray, " P"]
    target_coverage: Float[np.ndarray, " P"]
    seen_mass: Float[np.ndarray, " P"]
    reliable: np.ndarray
    reasons: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class PromptTable:
    """The numbers of each prompt.

    Parameters
    ----------
    texts : sequence of str, length P
        The prompts.
    n_samples, n_outputs, n_modes, n_good_modes_seen : array of int, shape (P,)
        Samples; distinct outputs, modes and good modes among them.
    figures : mapping from each of `POLICIES` that there is to figures
        Estimates of shape (P,).
    budget : Budget
        With estimates of shape (P,); NaN where fewer than two good modes are within reach.
    group_size : array, shape (P,)
        Samples of the reference that show the rarest good mode that was seen with a probability of
        0.95.
    verdicts : tuple of str, length P
        The kind of each prompt's own verdict.
    """

    texts: Sequence[str]
    n_samples: Integer[np.ndarray, " P"]
    n_outputs: Integer[np.ndarray, " P"]
    n_modes: Integer[np.ndarray, " P"]
    n_good_modes_seen: Integer[np.ndarray, " P"]
    figures: Mapping[str, Figures]
    budget: Budget
    group_size: Float[np.ndarray, " P"]
    verdicts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class OutputTable:
    """Outputs of the prompts: columns of one length, by prompt, those with most weight first.

    Parameters
    ----------
    prompt : array of int, shape (k,)
        The prompt.
    text : tuple of str
        The output.
    mode : tuple of str
        Its mode; empty where it gives no answer.
    n_drawn : array of int, shape (k,)
        How often it was drawn.
    reward : array, shape (k,)
        Its reward.
    ref_log_prob : array, shape (k,)
        ``log q``, in nats.
    reference, target, anchored : array, shape (k,)
        Its estimated probability under each. They sum to the seen share, over all outputs of the
        prompt; where that is below 1e-9, as of long outputs, to 1e-9, in proportion.
    policy : array, shape (k,), or None
        Its probability under the policy.
    n_left_out : array of int, shape (P,)
        How many outputs of each prompt are not in the table.
    """

    prompt: Integer[np.ndarray, " k"]
    text: tuple[str, ...]
    mode: tuple[str, ...]
    n_drawn: Integer[np.ndarray, " k"]
    reward: Float[np.ndarray, " k"]
    ref_log_prob: Float[np.ndarray, " k"]
    reference: Float[np.ndarray, " k"]
    target: Float[np.ndarray, " k"]
    anchored: Float[np.ndarray, " k"]
    policy: Float[np.ndarray, " k"] | None
    n_left_out: Integer[np.ndarray, " P"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """Everything that a diagnosis found.

    Parameters
    ----------
    verdict : Verdict
        The answer.
    settings : DiagnosisSettings
        What decided the numbers.
    samples : SampleSummary
        What they were made from.
    overall : mapping from each of `POLICIES` that there is to figures
        Estimates over all prompts.
    budget : Budget
        Where the diversity goes, over the prompts that have some.
    sweep : Sweep
        Other strengths.
    modes_kept : tuple of ModesKept
        Which strength keeps how many modes.
    what_ifs : tuple of WhatIf
        Other changes.
    group_size : mapping of str to float
        Samples of the reference that show the rarest good mode that was seen with a probability of
        0.95: "median" and "most" over the prompts, and "frac_prompts" that have one.
    reliability : Reliability
        How far the samples can be trusted.
    prompts : PromptTable
        The numbers of each prompt.
    outputs : OutputTable
        Their outputs, with weights.
    resampled : {"prompts", "samples"}
        What the intervals over all prompts resample: prompts, where there are enough of them; else
        the samples of these very prompts.
    notes : tuple of str
        What a reader has to know.
    """

    verdict: Verdict
    settings: DiagnosisSettings
    samples: SampleSummary
    overall: Mapping[str, Figures]
    budget: Budget
    sweep: Sweep
    modes_kept: tuple[ModesKept, ...]
    what_ifs: tuple[WhatIf, ...]
    group_size: Mapping[str, float]
    reliability: Reliability
    prompts: PromptTable
    outputs: OutputTable
    resampled: Literal["prompts", "samples"]
    notes: tuple[str, ...]

    @property
    def by_prompt(self) -> Any:
        """The numbers of each prompt as a pandas frame, worst first.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        from polymode.diagnostics.diagnosis.export import prompt_frame

        return prompt_frame(self)

    def to_dict(self, *, outputs: bool = True) -> dict[str, Any]:
        """Return the report as plain data.

        Parameters
        ----------
        outputs : bool
            Whether the table of outputs is part of it.

        Returns
        -------
        dict
            Lists for arrays, None for numbers that are not known, `schema_version` first.
        """
        from polymode.diagnostics.diagnosis.export import report_dict

        return report_dict(self, outputs=outputs)

    def to_json(self, *, outputs: bool = True) -> str:
        """Return the report as JSON.

        Parameters
        ----------
        outputs : bool
            Whether the table of outputs is part of it.

        Returns
        -------
        str
            What `to_dict` returns, in ASCII.
        """
        import json

        return json.dumps(self.to_dict(outputs=outputs), allow_nan=False)
