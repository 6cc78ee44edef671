"""What follows from an objective's facts: divergence, effective beta, anchoring."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.core import ESTIMATORS
from polymode.diagnostics.audit import EffectiveObjective


def objective(**facts):
    named = {"framework": "trl", "version": "0", "trainer": "any"}
    return EffectiveObjective(**named, **facts)


STANDARDISED = {"baseline": "group_mean", "scale": "group_std"}
KL = {"beta": 0.5, "kl_placement": "loss", "kl_estimator": "k3", "kl_ratio": "token"}


@pytest.mark.parametrize(
    ("n", "rate", "gap"),
    [
        *[(8, 0.5, 1.735), (8, 0.9, 2.177), (8, 0.99, 2.440)],
        *[(64, 0.5, 1.97), (64, 0.9, 3.23), (64, 0.99, 6.68)],
    ],
)
def test_known_gaps_of_standardised_rewards(n, rate, gap):
    found = objective(**STANDARDISED).reward_gap(rate, n)
    assert found == pytest.approx(gap, rel=2e-3)


def test_the_gap_of_large_groups_is_one_over_the_deviation():
    """s = sqrt(.3 * .7) = .458."""
    assert objective(**STANDARDISED).reward_gap(0.3, 1000) == pytest.approx(1 / 0.4583, rel=5e-3)


@pytest.mark.parametrize("baseline", ["group_mean", "leave_one_out"])
@pytest.mark.parametrize("scale", ["none", "group_std"])
@pytest.mark.parametrize("ddof", [0, 1])
@given(rate=st.floats(0.05, 0.95), n=st.integers(2, 6))
def test_the_gap_is_that_of_all_groups_counted_out(baseline, scale, ddof, rate, n):
    good = bad = 0.0
    for rewards in itertools.product((0.0, 1.0), repeat=n):
        r = np.array(rewards)
        weight = np.prod(np.where(r == 1, rate, 1 - rate))
        base = r.mean() if baseline == "group_mean" else (r.sum() - r[0]) / (n - 1)
        deviation = r.std(ddof=ddof) + 1e-4 if scale == "group_std" else 1.0
        advantage = weight * (r[0] - base) / deviation
        good += advantage / rate if r[0] else 0.0
        bad += 0.0 if r[0] else advantage / (1 - rate)
    found = objective(baseline=baseline, scale=scale, scale_ddof=ddof).reward_gap(rate, n)
    assert found == pytest.approx(good - bad, rel=1e-9)


@given(rate=st.floats(0.01, 0.99), n=st.integers(2, 64))
def test_beta_eff_times_the_gap_is_beta(rate, n):
    o = objective(**KL, **STANDARDISED, group_size=n)
    assert o.beta_eff(rate) * o.reward_gap(rate) == pytest.approx(0.5)
    assert objective(**KL, baseline="leave_one_out").beta_eff(rate, n) == 0.5


def test_the_mean_of_the_group_makes_beta_larger():
    assert objective(**KL, baseline="group_mean", group_size=8).beta_eff(0.3) == 0.5 * 8 / 7


def test_a_kl_in_the_reward_is_scaled_with_it():
    o = objective(
        **STANDARDISED, beta=0.5, kl_placement="reward", kl_estimator="k1", kl_in_advantage=True
    )
    assert {o.beta_eff(rate, 8) for rate in (0.1, 0.5, 0.9)} == {0.5}


def test_a_group_size_that_is_not_known_gives_no_number():
    assert math.isnan(objective(**KL, **STANDARDISED).beta_eff(0.5))
    assert objective().beta_eff(0.5) == 0.0


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_divergence_in_the_loss_is_that_of_the_estimator(name):
    ratio = "token" if name.startswith("ratio_") else "none"
    plain = name.removeprefix("ratio_")
    o = objective(beta=0.5, kl_placement="loss", kl_estimator=plain, kl_ratio=ratio)
    assert o.estimator == name
    descends = ESTIMATORS[name].descends
    assert o.divergence == ("none" if descends == "nothing" else descends)
    assert o.level == (None if o.divergence == "none" else "token")


@pytest.mark.parametrize(
    ("estimator", "divergence"),
    [("k1", "reverse_kl"), ("k2", "biased"), ("k3", "biased"), ("abs", "biased")],
)
def test_only_k1_in_the_reward_is_a_divergence(estimator, divergence):
    o = objective(beta=0.5, kl_placement="reward", kl_estimator=estimator, kl_level="sequence")
    assert o.divergence == divergence


def test_the_clip_acts_off_policy_alone():
    assert not objective(clip_high=0.2).clipping
    assert objective(clip_high=0.2, n_updates=2).clipping
    assert objective(clip_high=0.2, n_updates=None).clipping
    assert objective(clip_low=0.2, asynchronous=True).clipping
    assert not objective(n_updates=2).clipping


EXACT = {
    **{"beta": 0.1, "kl_placement": "reward", "kl_estimator": "k1", "kl_level": "sequence"},
    **{"kl_in_advantage": True, "baseline": "leave_one_out", "reference": "fixed"},
}


def test_anchoring_is_exact_under_k1_of_whole_outputs_in_the_reward():
    assert objective(**EXACT).anchoring_problems() == ()
    assert objective(**EXACT, scale="batch_std").anchoring_problems() == ()
    # Advantages are zero at the target, and so is any multiple of them.
    assert objective(**EXACT, aggregation="per_sequence").anchoring_problems() == ()


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"beta": 0.0}, "nothing regularises"),
        ({"kl_placement": "loss", "kl_estimator": "k3"}, "forward kl"),
        ({"kl_placement": "loss", "kl_estimator": "k2", "kl_level": "token"}, "that of tokens"),
        ({"kl_in_advantage": False, "scale": "group_std"}, "divided by a deviation"),
        ({"kl_in_advantage": False, "baseline": "group_mean", "group_size": 8}, "weigh less"),
        ({"reward_clip": (0.0, 1.0)}, "clipped"),
        ({"reference": "moving"}, "the reference moves"),
        ({"aggregation": "per_sequence", "baseline": "none"}, "length"),
        ({"entropy_coef": 0.1}, "entropy"),
        ({"truncated_sampling": {"top_p": 0.9}}, "sampling distribution"),
        ({"drops": ("zero_variance",)}, "dropped"),
    ],
)
def test_why_anchoring_would_not_be_exact(facts, reason):
    problems = objective(**{**EXACT, **facts}).anchoring_problems()
    assert any(reason in problem for problem in problems)
