"""Samples that show everything: what a diagnosis says is then exact, whatever the objective."""

import numpy as np
import pytest

pytest.importorskip("arviz_stats")

from hypothesis import given, settings
from hypothesis import strategies as st

from polymode.diagnostics.diagnosis import RecordedSamples, diagnose_samples
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from tests.diagnostics.diagnosis.truth import true_numbers, true_verdict
from tests.diagnostics.diagnosis.worlds import THRESHOLD, Prompt, World, draw_samples

FIGURES = ("expected_reward", "mass_good", "entropy", "entropy_good")
TERMS = ("ceiling", "reference_bias", "reward_gaps", "optimiser", "left")
FAST = {"n_betas": 1, "divergences": (), "thresholds": (2.0,), "effective_modes": ()}


def everything(prompt, times=40):
    """Every output of a prompt, drawn many times: so many that none can be missing."""
    n = len(prompt.q)
    p = prompt.p
    return RecordedSamples(
        prompt=np.zeros(n * times, dtype=int),
        prompt_texts=["all"],
        output=np.repeat(np.arange(n), times),
        output_texts=[f"text {i}" for i in range(n)],
        rewards=np.repeat(prompt.rewards, times),
        ref_log_probs=np.log(np.repeat(prompt.q, times)),
        drawn_from="reference" if p is None else "policy",
        log_probs=None if p is None else np.log(np.repeat(p, times)),
        modes=np.repeat(prompt.mode, times),
        mode_names=[f"mode {i}" for i in range(int(prompt.mode.max()) + 1)],
    )


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "jensen_shannon"])
@pytest.mark.parametrize("phrasings", [1, 4])
@pytest.mark.parametrize("tilt", [None, 2.0])
def test_all_of_a_prompt_seen_gives_its_true_numbers(divergence, phrasings, tilt):
    rng = np.random.default_rng(0)
    prompt = World(8, 0.5, "mixed", phrasings, tilt).prompt(rng)
    samples = everything(prompt)
    beta, n = 0.3, samples.n_samples
    report = diagnose_samples(
        samples, beta=beta, threshold=THRESHOLD, divergence=divergence, **FAST
    )
    truth = true_numbers(prompt, n, beta=beta, threshold=THRESHOLD, divergence=divergence)
    found = {
        f"{policy} {name}": figures[name]
        for policy, figures in report.overall.items()
        for name in FIGURES
    }
    found |= {name: getattr(report.budget, name) for name in TERMS}
    for name, estimate in found.items():
        if estimate is not None:
            assert estimate.value == pytest.approx(truth[name], abs=2e-4), name
            assert estimate.high - estimate.low < 0.01, name
    assert report.verdict.kind == true_verdict(truth)
    assert report.prompts.verdicts == (report.verdict.kind,)


def test_two_good_answers_by_hand():
    """q = .6, .2, .2 with rewards 1, .9, 0 at beta .1: t1 / t2 = 3 e^1, bad ones cost e^10."""
    prompt = Prompt(np.array([0.6, 0.2, 0.2]), np.array([1.0, 0.9, 0.0]), np.arange(3))
    report = diagnose_samples(everything(prompt), beta=0.1, threshold=0.5, **FAST)
    t2 = 1 / (1 + 3 * np.e)
    entropy = -(1 - t2) * np.log(1 - t2) - t2 * np.log(t2)
    assert report.budget.n_good_modes.value == pytest.approx(2)
    assert report.budget.left.value == pytest.approx(entropy, abs=1e-6)
    bias = np.log(2) - (-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert report.budget.reference_bias.value == pytest.approx(bias, abs=1e-6)
    assert report.overall["target"]["expected_reward"].value == pytest.approx(
        1 - 0.1 * t2, abs=1e-3
    )
    anchored = report.overall["anchored"]  # both as the first one: .6 each, reward 1; .2 bad
    assert anchored["effective_modes_good"].value == pytest.approx(2)
    assert anchored["mass_good"].value == pytest.approx(1.2 / (1.2 + 0.2 * np.exp(-10)))
    assert anchored["expected_reward"].value == pytest.approx(0.95, abs=1e-4)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 5]), st.sampled_from([0.02, 0.3, 3.0]))
def test_the_budget_adds_up_and_weights_sum_to_one(seed, phrasings, beta):
    rng = np.random.default_rng(seed)
    world = World(int(rng.integers(2, 60)), 1.0, "mixed", phrasings, 2.0 if seed % 2 else None)
    samples = draw_samples([world.prompt(rng) for _ in range(3)], 40, rng)
    report = diagnose_samples(samples, beta=beta, threshold=THRESHOLD, **FAST)
    parts = report.prompts.budget
    losses = parts.reference_bias.value + parts.reward_gaps.value
    if parts.optimiser is not None:
        losses = losses + parts.optimiser.value
    np.testing.assert_allclose(parts.ceiling.value, losses + parts.left.value, atol=1e-9)
    for policy in report.prompts.figures.values():
        mass = policy["mass_good"].value
        assert ((mass >= -1e-12) & (mass <= 1 + 1e-9)).all()
    for column in ("reference", "target"):
        share = np.bincount(report.outputs.prompt, getattr(report.outputs, column))
        assert (share <= 1 + 1e-9).all()


def test_a_larger_beta_keeps_more_modes_and_earns_less():
    rng = np.random.default_rng(1)
    samples = draw_samples([World(20, 0.5, "mixed").prompt(rng) for _ in range(4)], 400, rng)
    report = diagnose_samples(
        samples, beta=0.05, threshold=THRESHOLD, effective_modes=(1.5, 3.0, 1e6)
    )
    reward = np.asarray(report.sweep.target["expected_reward"].value)
    assert (np.diff(reward) <= 1e-9).all()
    first, second, never = report.modes_kept
    assert first.beta <= second.beta
    assert first.price <= second.price
    assert np.isnan(never.beta)
    number = np.asarray(report.sweep.target["effective_modes_good"].value)
    place = report.sweep.betas.tolist().index(second.beta)
    assert number[place] >= 3.0 > number[place - 1]
    own = report.sweep.betas.tolist().index(0.05)
    assert number[own] == pytest.approx(report.overall["target"]["effective_modes_good"].value)


def test_samples_that_tell_at_one_beta_may_not_at_a_smaller_one():
    """100 of 400 equal outputs, each of its own reward: near q they all count, at 1e-4 one does."""
    rng = np.random.default_rng(2)
    n = 400
    prompt = Prompt(np.full(n, 1 / n), rng.uniform(0.8, 1, n), np.arange(n))
    samples = draw_samples([prompt], 100, rng)
    report = diagnose_samples(samples, beta=1.0, threshold=0.5, effective_modes=(1.0,))
    sweep = report.sweep
    assert report.verdict.kind == "healthy"
    assert sweep.frac_reliable[[0, -1]].tolist() == [0, 1]
    assert (np.diff(sweep.frac_reliable) >= 0).all()  # of one prompt: 0 up to some beta, then 1
    (kept,) = report.modes_kept  # every beta keeps one mode; only some are known to
    assert kept.beta == sweep.betas[np.argmax(sweep.frac_reliable)] > sweep.betas[0]
    (mild,) = (each for each in report.what_ifs if each.name == "forward_kl")
    assert mild.frac_reliable == 1
    assert [each.frac_reliable for each in report.what_ifs if each.kind == "anchoring"] == [1]


def test_the_group_size_shows_the_rarest_good_mode():
    """The rarest good one has q = .05: log .05 / log .95 = 58.4 samples."""
    prompt = Prompt(np.array([0.5, 0.45, 0.05]), np.array([0.0, 1.0, 1.0]), np.arange(3))
    report = diagnose_samples(everything(prompt), beta=0.1, threshold=0.5, **FAST)
    assert report.group_size == {"median": 59, "most": 59, "frac_prompts": 1}


@pytest.mark.parametrize("phrasings", [1, 3])
def test_long_outputs_are_as_short_ones(phrasings):
    """Where no output is drawn twice, all being a million nats less likely changes nothing.

    What was seen is a vanishing part either way, and what each output stands for depends on ratios
    alone. Entropies over outputs grow by what all of them lost.
    """
    rng = np.random.default_rng(0)
    n, more = 200, 1e6
    log_q = np.log(rng.uniform(1e-12, 1e-11, n))
    rewards = np.where(rng.random(n) < 0.4, rng.uniform(0.8, 1.0, n), 0.0)

    def diagnosed(shift):
        samples = RecordedSamples(
            prompt=np.zeros(n, dtype=int),
            prompt_texts=["long"],
            output=np.arange(n),
            output_texts=[f"text {i}" for i in range(n)],
            rewards=rewards,
            ref_log_probs=log_q - shift,
            drawn_from="reference",
            modes=None if phrasings == 1 else np.arange(n) % 17,
            mode_names=() if phrasings == 1 else [str(i) for i in range(17)],
        )
        return diagnose_samples(samples, beta=0.2, threshold=0.5, n_outputs=n, **FAST)

    short, long = diagnosed(0.0), diagnosed(more)
    assert long.verdict.kind == short.verdict.kind
    for policy in ("reference", "target", "anchored"):
        for name in FIGURES:
            a, b = short.overall[policy][name], long.overall[policy][name]
            grows = more if phrasings == 1 and "entropy" in name and policy != "anchored" else 0.0
            if policy == "anchored" and phrasings == 1:
                continue  # no output is within reach: nothing is anchored
            assert b.value - grows == pytest.approx(a.value, abs=1e-6), (policy, name)
            assert b.standard_error == pytest.approx(a.standard_error, rel=1e-4), (policy, name)
    for column in ("reference", "target", "anchored"):
        a, b = (
            getattr(report.outputs, column)[np.argsort(report.outputs.text)]
            for report in (short, long)
        )
        np.testing.assert_allclose(a / a.sum(), b / b.sum(), rtol=1e-6)
    if phrasings > 1:
        assert long.budget.n_good_modes.value == pytest.approx(short.budget.n_good_modes.value)
        assert long.budget.left.value == pytest.approx(short.budget.left.value)


def test_errors_that_prompts_share_do_not_average_out():
    """Sixteen prompts with modes of hidden texts: chance shrinks to a quarter, guesses do not."""
    rng = np.random.default_rng(0)
    prompts = [World(100, 1.0, "binary", phrasings=20).prompt(rng) for _ in range(16)]
    report = diagnose_samples(draw_samples(prompts, 100, rng), beta=0.3, threshold=0.5, **FAST)
    alone = np.median(report.prompts.budget.ceiling.standard_error)
    together = report.budget.ceiling.standard_error
    assert alone / 3 < together < alone


@pytest.mark.parametrize(("times", "by_output"), [(1, False), (30, True)])
def test_a_few_repeats_do_not_make_modes_outputs(times, by_output):
    """Modes 0 and 1 come `times` again with their own text: once may be luck."""
    output = np.concatenate([np.arange(40), np.tile([0, 1], times)])
    report = diagnose_samples(
        RecordedSamples(
            prompt=np.zeros(len(output), dtype=int),
            prompt_texts=["a"],
            output=output,
            output_texts=[str(i) for i in range(40)],
            rewards=np.ones(len(output)),
            ref_log_probs=np.full(len(output), -5.0),
            drawn_from="reference",
            modes=output,
            mode_names=[str(i) for i in range(40)],
        ),
        beta=0.1,
        threshold=0.5,
        **FAST,
    )
    assert report.samples.modes_are_outputs == by_output


def test_rewards_at_the_threshold_stay_good_however_often_they_come():
    """The sum of six times .9, a sixth of it, is one rounding below .9: means are no reason."""
    times = np.arange(1, 60)
    assert (
        np.add.reduceat(np.full(times.sum(), 0.9), np.cumsum(times) - times) / times < 0.9
    ).any()
    n = int(times.sum())
    samples = RecordedSamples(
        prompt=np.zeros(n, dtype=int),
        prompt_texts=["a"],
        output=np.repeat(times - 1, times),
        output_texts=[str(i) for i in range(59)],
        rewards=np.full(n, 0.9),
        ref_log_probs=np.log(np.repeat(times / n, times)),
        drawn_from="reference",
    )
    report = diagnose_samples(samples, beta=0.1, threshold=0.9, **FAST)
    assert report.prompts.n_good_modes_seen.tolist() == [59]
    assert report.overall["target"]["mass_good"].value == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n_prompts", [6, 30])
@pytest.mark.parametrize(("phrasings", "tilt"), [(1, None), (5, 2.0)])
def test_blocks_say_what_all_prompts_say_at_once(monkeypatch, n_prompts, phrasings, tilt):
    """Prompts of two kinds, so that the best reward and the rare modes differ between blocks."""
    rng = np.random.default_rng(0)
    worlds = (World(300, 1.0, "mixed", phrasings, tilt), World(40, 0.5, "gap", phrasings, tilt))
    prompts = [worlds[i % 2].prompt(rng) for i in range(n_prompts)]
    samples = draw_samples(prompts, 80, rng)

    def diagnosed(size):
        monkeypatch.setattr(DistinctOutputs.blocks, "__defaults__", (size,))
        return diagnose_samples(samples, beta=0.05, threshold=THRESHOLD, n_betas=4).to_dict()

    assert len(list(DistinctOutputs.of(samples).blocks(100))) > n_prompts / 3
    assert_alike(diagnosed(100), diagnosed(10**9))


def assert_alike(one, other):
    """Numbers to their last digits: sums are rounded in another order."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_alike(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_alike(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)
    else:
        assert one == other
