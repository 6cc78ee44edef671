"""Errors: their derivatives against finite differences, and all against draws of one prompt."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("arviz_stats")

from polymode.diagnostics.diagnosis import diagnose_samples
from polymode.diagnostics.diagnosis.anchored import Anchoring
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.targets import Problem
from tests.diagnostics.diagnosis.truth import true_numbers
from tests.diagnostics.diagnosis.worlds import THRESHOLD, World, draw_samples

N_DRAWS = 150
STEP = 1e-5


def quantities(problem, divergence):
    """Every figure of reference, target and anchored target; means as they are before mending."""
    measures = {
        "reference": problem.reference(),
        "target": problem.target(0.3, divergence),
        "anchored": Anchoring.of(problem, 0.3, divergence),
    }
    found = {
        f"{policy} {name}": quantity
        for policy, measure in measures.items()
        for name, quantity in measure.figures().items()
    }
    for policy in ("reference", "target"):
        means = {"expected_reward": problem.table.rewards, "mass_good": problem.good.astype(float)}
        found |= {f"{policy} {name}": measures[policy].mean(x) for name, x in means.items()}
    return found


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "jensen_shannon"])
@pytest.mark.parametrize("tilt", [None, 1.5])
def test_effects_are_derivatives(divergence, tilt):
    """By the logarithm of what an output stands for.

    Up to a multiple of the known probabilities, which sum to 1 whatever the weights are: what is
    proportional to them is no error.
    """
    rng = np.random.default_rng(5)
    table = DistinctOutputs.of(
        draw_samples([World(30, 1.0, "mixed", tilt=tilt).prompt(rng)], 60, rng)
    )
    problem = Problem.of(table, threshold=THRESHOLD, reach=0.1)
    known = problem.by_reference

    def moved(j, step):
        log_a = known.log_weights + step * (np.arange(len(table.text)) == j)
        sampling = replace(known, log_weights=log_a, share=np.exp(table.log_q + log_a))
        return quantities(replace(problem, by_reference=sampling), divergence)

    ends = [(moved(j, STEP), moved(j, -STEP)) for j in range(len(table.text))]
    for name, found in quantities(problem, divergence).items():
        slopes = [(up[name].value[0] - down[name].value[0]) / (2 * STEP) for up, down in ends]
        apart = np.array(slopes) - found.effect
        apart -= (apart @ known.share) / (known.share @ known.share) * known.share
        assert np.abs(apart).max() < 1e-5 * max(1.0, np.abs(slopes).max()), name


def simulated(world, n, *, divergence="reverse_kl", beta=0.3, **options):
    """Estimates and errors of each figure when one prompt is drawn anew, and the truth.

    The prompt stands in one table many times over: a diagnosis of each copy knows no other.
    """
    rng = np.random.default_rng(5)
    prompt = world.prompt(rng)
    samples = draw_samples([prompt] * N_DRAWS, n, rng)
    objective = {"beta": beta, "threshold": THRESHOLD, "divergence": divergence}
    report = diagnose_samples(
        samples, **objective, n_betas=1, divergences=(), thresholds=(2.0,), **options
    )
    found = {
        f"{policy} {name}": figures[name]
        for policy, figures in report.prompts.figures.items()
        for name in ("expected_reward", "mass_good", "entropy", "entropy_good")
    }
    budget = report.prompts.budget
    found |= {name: getattr(budget, name) for name in ("reference_bias", "reward_gaps", "left")}
    return found, true_numbers(prompt, n, **objective, **options)


@pytest.mark.parametrize(
    ("world", "n", "divergence"),
    [
        (World(60, 1.0, "mixed"), 300, "reverse_kl"),
        (World(60, 1.0, "mixed"), 300, "forward_kl"),
        (World(60, 1.0, "favoured", tilt=1.5), 300, "reverse_kl"),
        (World(300, 1.0, "mixed"), 300, "jensen_shannon"),
    ],
)
def test_standard_errors_are_those_of_repeated_draws(world, n, divergence):
    """Of outputs as modes. A deviation of 150 draws has an error of 6 %, of heavier tails more."""
    found, truth = simulated(world, n, divergence=divergence)
    for name, estimate in found.items():
        values, errors = estimate.value, estimate.standard_error
        spread = values.std()
        assert abs(values.mean() - truth[name]) < 0.4 * spread + 1e-9, name
        ratio = np.sqrt((errors**2).mean()) / spread
        assert 0.75 < ratio < 1.6, (name, ratio)


def test_modes_of_hidden_texts_have_hardly_any_bias():
    """A hundred modes of up to six texts, 512 draws: .02 nats at most, where plug-in misses .1."""
    found, truth = simulated(World(100, 0.5, "mixed", phrasings=6), 512)
    for policy in ("reference", "target"):
        name = f"{policy} entropy"
        assert found[name].value.mean() == pytest.approx(truth[name], abs=0.02), name


def test_anchoring_leaves_out_good_modes_beyond_reach():
    """With a reach of .9 a good part of the good mass is beyond it."""
    found, truth = simulated(World(60, 1.0, "favoured"), 100, reach=0.9)
    plain, _ = simulated(World(60, 1.0, "favoured"), 100)
    for name in ("anchored mass_good", "anchored entropy_good", "anchored expected_reward"):
        spread = found[name].value.std()
        assert abs(found[name].value.mean() - truth[name]) < 0.5 * spread + 1e-9, name
    apart = plain["anchored entropy_good"].value - found["anchored entropy_good"].value
    assert (apart > 0.3).all()


def test_means_from_few_draws_of_a_policy_have_hardly_any_bias():
    """3,000 times 16 draws of one prompt: 5 standard errors, which the plain quotient is beyond."""
    rng = np.random.default_rng(0)
    prompt = World(200, 0.5, "mixed", tilt=2.0).prompt(rng)
    samples = draw_samples([prompt] * 3000, 16, rng)
    problem = Problem.of(DistinctOutputs.of(samples), threshold=THRESHOLD, reach=0.1)
    reference, truth = problem.reference(), prompt.q @ prompt.rewards
    plain = reference.mean(problem.table.rewards).value
    mended = reference.figures()["expected_reward"].value
    reach = 5 * plain.std() / np.sqrt(3000)
    assert abs(mended.mean() - truth) < reach < abs(plain.mean() - truth)
