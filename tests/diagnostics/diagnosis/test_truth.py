"""Intervals and verdicts where the truth is known: `benchmarks/science/diagnose.py` in small."""

import numpy as np
import pytest

pytest.importorskip("arviz_stats")

from polymode.diagnostics.diagnosis import diagnose_samples
from tests.diagnostics.diagnosis.truth import true_numbers, true_verdict
from tests.diagnostics.diagnosis.worlds import THRESHOLD, World, draw_samples

FIGURES = ("expected_reward", "mass_good", "entropy", "entropy_good")
TERMS = ("ceiling", "reference_bias", "reward_gaps", "left")
WORLDS = (
    (World(100, 1.0, "mixed"), 256, 0.1),
    (World(1000, 1.0, "binary"), 512, 0.3),
    (World(30, 0.5, "neglected", phrasings=6), 512, 0.1),
    (World(100, 1.5, "gap", phrasings=6), 1024, 1.0),
    (World(100, 1.0, "favoured", tilt=2.0), 256, 0.2),
    (World(10, 1.0, "mixed", phrasings=3, tilt=2.0), 128, 0.1),
)
N_PROMPTS = 16


def test_intervals_hold_and_verdicts_are_right():
    """Of 90 % intervals about 90 % hold, in every world 75 % at least.

    16 prompts of a world are independent, their intervals are not. If 85 % of each figure's held,
    fewer than 9 of 16 would with probability 2e-3; that three quarters of all figures together do
    not hold is less likely than that.
    """
    held, verdicts = [], []
    for number, (world, n, beta) in enumerate(WORLDS):
        rng = np.random.default_rng(number)
        prompts = [world.prompt(rng) for _ in range(N_PROMPTS)]
        report = diagnose_samples(
            draw_samples(prompts, n, rng),
            beta=beta,
            threshold=THRESHOLD,
            n_betas=1,
            divergences=(),
            thresholds=(2.0,),
        )
        own = []
        for i, prompt in enumerate(prompts):
            if report.prompts.verdicts[i] == "cannot_tell":
                continue
            truth = true_numbers(prompt, n, beta=beta, threshold=THRESHOLD)
            verdicts.append(report.prompts.verdicts[i] == true_verdict(truth))
            for name, estimate in estimates(report):
                low, high = estimate.low[i] - 1e-7, estimate.high[i] + 1e-7
                if high - low > 1e-5 and not np.isnan(truth[name]):
                    own.append(low <= truth[name] <= high)
        assert len(own) > 20, world
        assert np.mean(own) > 0.75, (world, np.mean(own))
        held += own
    assert 0.85 <= np.mean(held) <= 0.97
    assert len(verdicts) > 40
    assert np.mean(verdicts) >= 0.95


def estimates(report):
    for policy, figures in report.prompts.figures.items():
        yield from ((f"{policy} {name}", figures[name]) for name in FIGURES)
    yield from ((name, getattr(report.prompts.budget, name)) for name in TERMS)


def test_few_samples_cannot_tell():
    rng = np.random.default_rng(0)
    prompts = [World(1000, 1.0, "mixed").prompt(rng) for _ in range(4)]
    for n in (8, 16):
        report = diagnose_samples(draw_samples(prompts, n, rng), beta=0.02, threshold=THRESHOLD)
        assert report.verdict.kind == "cannot_tell"
        assert "fewer than 20 effective samples: 4 prompts" in report.verdict.reasons
        assert report.verdict.sentence.startswith("I cannot tell")


def test_intervals_shrink_with_samples_and_with_the_level():
    rng = np.random.default_rng(0)
    prompts = [World(200, 1.0, "mixed").prompt(rng) for _ in range(6)]

    def width(n, level=0.9):
        samples = draw_samples(prompts, n, np.random.default_rng(1))
        report = diagnose_samples(
            samples, beta=0.3, threshold=THRESHOLD, level=level, n_betas=1, divergences=()
        )
        found = report.overall["target"]["expected_reward"]
        return found.high - found.low

    assert width(2000) < 0.5 * width(200) < width(200)
    assert width(200, level=0.5) < 0.6 * width(200)


def test_many_prompts_are_resampled():
    """Of prompts that differ much, the error of their mean is that of the prompts."""
    rng = np.random.default_rng(0)
    prompts = [World(10, 1.0, "mixed").prompt(rng) for _ in range(30)]
    samples = draw_samples(prompts, 2000, rng)
    report = diagnose_samples(samples, beta=0.3, threshold=THRESHOLD, n_rounds=400)
    assert report.resampled == "prompts"
    values = report.prompts.figures["target"]["expected_reward"].value
    found = report.overall["target"]["expected_reward"]
    assert found.value == pytest.approx(values.mean())
    expected = values.std(ddof=1) / np.sqrt(30)
    assert found.standard_error == pytest.approx(expected, rel=5 / np.sqrt(2 * 400) / 2)
    fewer = draw_samples(prompts[:8], 2000, rng)
    assert diagnose_samples(fewer, beta=0.3, threshold=THRESHOLD, n_rounds=9).resampled == "samples"
