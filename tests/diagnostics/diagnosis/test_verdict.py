"""From numbers to verdicts: every limit, from both sides."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("arviz_stats")

from polymode.diagnostics.diagnosis import (
    VERDICTS,
    RecordedSamples,
    VerdictLimits,
    diagnose_samples,
)
from polymode.diagnostics.diagnosis.verdict import Evidence, decide, say
from polymode.errors import ArgumentError
from polymode.metrics.intervals import Estimate


def about(low, high):
    return Estimate((low + high) / 2, 0.1, low, high, 10)


HEALTHY = Evidence(
    n_good=8.0,
    kept=about(0.6, 0.8),
    entropy=about(1.4, 1.8),
    difference=about(-0.1, 0.1),
    mass_good=about(0.9, 0.95),
    policy_mass_good=None,
    optimiser=None,
    doubts=(),
)
COLLAPSED = replace(HEALTHY, kept=about(0.1, 0.2), difference=about(0.5, 0.9))
CASES = {
    "healthy": HEALTHY,
    "fifty are many": replace(COLLAPSED, entropy=about(math.log(51), math.log(60))),
    "gaps": COLLAPSED,
    "bias": replace(COLLAPSED, difference=about(-0.9, -0.5)),
    "both": replace(COLLAPSED, difference=about(-0.1, 0.2)),
    "either": replace(COLLAPSED, kept=about(0.4, 0.6)),
    "nearly fifty": replace(COLLAPSED, entropy=about(math.log(40), math.log(60))),
    "doubts": replace(HEALTHY, doubts=("too few",)),
    "none": replace(HEALTHY, n_good=0.0),
    "single": replace(HEALTHY, kept=about(math.nan, math.nan)),
    "behind": replace(HEALTHY, policy_mass_good=about(0.3, 0.5), optimiser=about(-0.1, 0.1)),
    "nearly there": replace(HEALTHY, policy_mass_good=about(0.8, 0.9), optimiser=about(-0.1, 0.1)),
    "narrowed": replace(HEALTHY, policy_mass_good=about(0.9, 0.95), optimiser=about(0.8, 1.2)),
}
KINDS = {
    "healthy": "healthy",
    "fifty are many": "healthy",
    "gaps": "collapsed_by_reward_gaps",
    "bias": "collapsed_by_reference_bias",
    "both": "cannot_tell",
    "either": "cannot_tell",
    "nearly fifty": "cannot_tell",
    "doubts": "cannot_tell",
    "none": "cannot_tell",
    "single": "healthy",
    "behind": "not_optimised_yet",
    "nearly there": "healthy",
    "narrowed": "not_optimised_yet",
}


@pytest.mark.parametrize("name", CASES)
def test_every_verdict(name):
    kind, reasons = decide(CASES[name], VerdictLimits())
    assert kind == KINDS[name]
    assert bool(reasons) == (kind == "cannot_tell")


def test_limits_matter():
    strict = VerdictLimits(kept=0.9)
    assert decide(HEALTHY, strict)[0] == "cannot_tell"
    assert decide(HEALTHY, VerdictLimits(many=3.0))[0] == "healthy"
    assert decide(COLLAPSED, VerdictLimits(many=3.0))[0] == "healthy"
    assert decide(CASES["behind"], VerdictLimits(on_target=0.3))[0] == "healthy"
    with pytest.raises(ArgumentError, match=r"kept must .*\n?.*pareto_k must"):
        VerdictLimits(kept=2.0, pareto_k=0.0)


@pytest.mark.parametrize("kind", VERDICTS)
def test_sentences_have_their_numbers(kind):
    numbers = {
        "kept": 0.3,
        "kept_low": 0.2,
        "kept_high": 0.4,
        "n_good_modes": 7.25,
        "effective_modes_good": 2.5,
        "reference_bias": 0.7,
        "reward_gaps": 1.3,
        "optimiser": 0.4,
        "mass_good": 0.9,
        "policy_mass_good": 0.4,
        "frac_reliable": 0.75,
    }
    verdict = say(kind, ("no good output",) if kind == "cannot_tell" else (), numbers)
    assert verdict.title == VERDICTS[kind]
    assert verdict.sentence.endswith(".")
    expected = "no good output" if kind == "cannot_tell" else "2.5 of 7.2 good modes"
    assert expected in verdict.sentence
    assert verdict.reasons


def prompts(best, *, beta=0.01, n=80):
    """Each prompt has ten outputs of .0999, drawn equally often, all but the first one worth .9."""
    k = len(best)
    rewards = np.full((k, 10), 0.9)
    rewards[:, 0] = best
    return diagnose_samples(
        RecordedSamples(
            prompt=np.repeat(np.arange(k), n),
            prompt_texts=[str(i) for i in range(k)],
            output=np.tile(np.arange(n) % 10, k),
            output_texts=[str(i) for i in range(10)],
            rewards=rewards[:, np.arange(n) % 10].reshape(-1),
            ref_log_probs=np.full(k * n, np.log(0.0999)),
            drawn_from="reference",
        ),
        beta=beta,
        threshold=0.5,
    )


def test_a_better_answer_of_another_prompt_makes_doubtful():
    """An unseen output of .001 that earns 1 beats ten at .9 by e^10 / 999."""
    report = prompts([1.0, 0.9, 0.9])
    assert report.reliability.reliable.tolist() == [True, False, False]
    (reason,) = report.reliability.reasons
    assert "as good as the best of all prompts" in reason
    assert prompts([0.9, 0.9, 0.9]).reliability.reliable.all()
    assert prompts([1.0, 0.9, 0.9], beta=1.0).reliability.reliable.all()


def test_few_samples_and_heavy_tails_make_doubtful():
    assert not prompts([0.9], n=10).reliability.reliable.any()
    rng = np.random.default_rng(0)
    n = 400
    report = diagnose_samples(
        RecordedSamples(
            prompt=np.zeros(n, dtype=int),
            prompt_texts=["tail"],
            output=np.arange(n),
            output_texts=[str(i) for i in range(n)],
            rewards=rng.exponential(1.0, n),
            ref_log_probs=np.full(n, -30.0),
            drawn_from="reference",
        ),
        beta=0.8,  # weights with exponent .8: no variance, hardly a mean
        threshold=0.5,
    )
    assert report.reliability.pareto_k[0] > 0.7
    assert any("Pareto k" in reason for reason in report.reliability.reasons)
    assert report.verdict.kind == "cannot_tell"


def test_a_number_of_modes_that_is_hardly_known_makes_doubtful():
    """300 of 2,000 equal outputs: each stands for 7, two good ones for 13 ± 9, 20 for 133 ± 28."""
    n = 300

    def trusted(n_good):
        report = diagnose_samples(
            RecordedSamples(
                prompt=np.zeros(n, dtype=int),
                prompt_texts=["a"],
                output=np.arange(n),
                output_texts=[str(i) for i in range(n)],
                rewards=(np.arange(n) < n_good).astype(float),
                ref_log_probs=np.full(n, -np.log(2000)),
                drawn_from="reference",
            ),
            beta=10.0,
            threshold=0.5,
        )
        (mild,) = (each for each in report.what_ifs if each.name == "forward_kl")
        assert mild.frac_reliable == report.reliability.reliable[0]
        return report.reliability

    few = trusted(2)
    assert few.reasons == {"the number of good modes within reach hardly known": 1}
    assert trusted(20).reliable.all()
