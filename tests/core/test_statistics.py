"""What a policy gives, in numbers for each group."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from polymode.core import (
    PolicyStatistics,
    anchor,
    effective_number_beta,
    group_maximum,
    optimal_policy,
    percentile_threshold,
    policy_statistics,
    target_statistics,
)
from polymode.errors import ArgumentError, ShapeError
from tests.libraries import each_library
from tests.strategies import BETAS, SEEDS, batches, problems

NAMES = [field.name for field in dataclasses.fields(PolicyStatistics)]
BETA_ROW = np.array([3.0, 0.3, 0.03])


def same(actual, expected, **tolerances):
    """Every statistic agrees, NaN with NaN and infinity with infinity."""
    tolerances = {"rtol": 1e-9, "atol": 1e-9} | tolerances
    for name in NAMES:
        np.testing.assert_allclose(
            np.asarray(getattr(actual, name)),
            np.asarray(getattr(expected, name)),
            err_msg=name,
            **tolerances,
        )


@st.composite
def policies(draw):
    """(log p, rewards, log q, groups): both without mass here and there, never in a whole group."""
    rewards, log_q, groups = draw(problems())
    rng = np.random.default_rng(draw(SEEDS))
    log_p = rng.normal(size=log_q.shape) * 3
    log_p[rng.random(log_p.shape) < 0.2] = -np.inf
    log_p[..., np.unique(groups, return_index=True)[1]] = 0.0
    return log_p, np.round(rewards), log_q, groups


def naive(log_p, rewards, log_q, threshold, modes=None):
    """All statistics of one group in one row, by dictionaries and scipy.stats."""
    p, q = (np.exp(x - np.logaddexp.reduce(x)) for x in (log_p, log_q))
    modes = range(len(p)) if modes is None else modes
    everything, good = {}, {}
    for mass, reference, reward, mode in zip(p, q, rewards, modes, strict=True):
        everything[mode] = everything.get(mode, 0.0) + mass
        if reward >= threshold and (mass > 0 or reference > 0):
            good[mode] = good.get(mode, 0.0) + mass
    found = {
        "mass_good": sum(good.values()),
        "min_good": min(good.values(), default=np.nan),
        "max_good": max(good.values(), default=np.nan),
        "expected_reward": sum(m * r for m, r in zip(p, rewards, strict=True) if m > 0),
        "reverse_kl": special.rel_entr(p, q).sum(),
        "forward_kl": special.rel_entr(q, p).sum(),
    }
    for suffix, masses in (("", everything), ("_good", good)):
        mass = np.array(list(masses.values()))
        mass = mass / mass.sum() if mass.sum() > 0 else np.array([np.nan])
        found |= {
            f"entropy{suffix}": stats.entropy(mass),
            f"effective_number_0{suffix}": np.sum(mass > 0) + 0 * mass.sum(),
            f"effective_number_1{suffix}": np.exp(stats.entropy(mass)),
            f"effective_number_2{suffix}": 1 / np.sum(mass**2),
        }
    return PolicyStatistics(**found)


def picked(found, index):
    """The statistics of one row or group."""
    return PolicyStatistics(**{name: getattr(found, name)[index] for name in NAMES})


# Oracles.


@given(policies(), st.sampled_from([-9.0, 0.0, 2.0, 9.0]), st.booleans(), SEEDS)
def test_naive_restatement(problem, threshold, with_modes, seed):
    log_p, rewards, log_q, groups = problem
    modes = np.random.default_rng(seed).integers(0, 3, groups.size)
    labels = {"modes": modes} if with_modes else {}
    found = policy_statistics(log_p, rewards, log_q, threshold=threshold, groups=groups, **labels)
    for g, label in enumerate(np.unique(groups)):
        own = groups == label
        for row in np.ndindex(log_p.shape[:-1]):
            rows = (x[row][own] for x in (log_p, rewards, log_q))
            mine = modes[own].tolist() if with_modes else None
            same(picked(found, (*row, g)), naive(*rows, threshold, mine))


@given(batches())
def test_unscored_samples_and_outputs_beyond_the_reference(batch):
    log_p = np.zeros_like(batch.rewards)
    found = policy_statistics(
        log_p,
        batch.rewards,
        batch.ref_log_probs,
        threshold=batch.threshold,
        groups=batch.groups,
        modes=batch.modes,
    )
    for g, label in enumerate(np.unique(batch.groups)):
        own = batch.groups == label
        for row in np.ndindex(log_p.shape[:-1]):
            r = batch.rewards[row][own]
            assert np.isnan(found.expected_reward[(*row, g)]) == np.isnan(r).any()
            frac_good = np.mean(r >= batch.threshold)
            assert found.mass_good[(*row, g)] == pytest.approx(frac_good, rel=1e-9, abs=1e-12)


@given(problems(), BETAS, st.sampled_from(["reverse_kl", "forward_kl", "reverse_chi_squared"]))
def test_statistics_of_the_target_are_those_of_the_optimal_policy(problem, beta, divergence):
    rewards, log_q, groups = problem
    options = {"divergence": divergence, "groups": groups}
    log_t = optimal_policy(rewards, log_q, beta=beta, **options)
    expected = policy_statistics(log_t, rewards, log_q, threshold=0.0, groups=groups)
    same(target_statistics(rewards, log_q, beta=beta, threshold=0.0, **options), expected)


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "reverse_chi_squared"])
@given(problem=problems())
def test_a_sweep_is_its_strengths_one_by_one(divergence, problem):
    rewards, log_q, groups = problem
    options = {"divergence": divergence, "threshold": 0.0, "groups": groups, "modes": groups % 2}
    strengths = BETA_ROW.reshape(3, *[1] * (rewards.ndim - 1))
    sweep = target_statistics(rewards, log_q, beta=strengths, **options)
    assert sweep.entropy.shape == (3, *rewards.shape[:-1], np.unique(groups).size)
    for i, beta in enumerate(BETA_ROW):
        alone = target_statistics(rewards, log_q, beta=float(beta), **options)
        same(picked(sweep, i), alone)


def test_an_entropy_bonus_broadens_the_target():
    args = ([0.0, 1.0, 1.0], np.log([0.68, 0.30, 0.02]))
    bonus = np.array([0.0, 0.1, 1.0])
    found = target_statistics(*args, beta=0.1, entropy=bonus, threshold=1.0)
    for i, eta in enumerate(bonus.tolist()):
        log_t = optimal_policy(*args, beta=0.1, entropy=eta)
        same(picked(found, i), policy_statistics(log_t, *args, threshold=1.0))
    assert np.all(np.diff(found.effective_number_1_good) > 0.1)
    with pytest.raises(ArgumentError, match="entropy must be 0 unless"):
        target_statistics(*args, beta=0.1, entropy=0.1, divergence="forward_kl", threshold=1.0)


# Laws.


@given(policies(), st.sampled_from([-9.0, 0.0, 9.0]))
def test_ranges_and_order(problem, threshold):
    log_p, rewards, log_q, groups = problem
    found = policy_statistics(log_p, rewards, log_q, threshold=threshold, groups=groups)
    size = np.array([np.sum(groups == label) for label in np.unique(groups)])
    slack = 1e-9
    assert np.all((found.mass_good >= 0) & (found.mass_good <= 1 + slack))
    assert np.all((found.reverse_kl >= 0) & (found.forward_kl >= 0))
    for suffix in ("", "_good"):
        number = [getattr(found, f"effective_number_{a}{suffix}") for a in (0, 1, 2)]
        defined = ~np.isnan(number[0])
        assert np.all((number[0] <= size) | ~defined)
        assert np.all((number[1] <= number[0] + slack) | ~defined)
        assert np.all((number[2] <= number[1] + slack) | ~defined)
        assert np.all((number[2] >= 1 - slack) | ~defined)
        entropy = getattr(found, f"entropy{suffix}")
        np.testing.assert_allclose(np.exp(entropy), number[1], rtol=1e-12)
    exists = ~np.isnan(found.min_good)
    assert np.all((found.min_good <= found.max_good)[exists])
    assert np.all((found.max_good <= found.mass_good + slack)[exists])
    if threshold == 9.0:  # beyond all rewards
        assert not exists.any()
        assert not found.mass_good.any()
        assert np.isnan(found.entropy_good).all()
    if threshold == -9.0:  # below all
        np.testing.assert_allclose(found.mass_good, 1.0, rtol=1e-9)
        np.testing.assert_allclose(found.entropy_good, found.entropy, rtol=1e-9, atol=1e-9)


@given(policies(), SEEDS)
def test_order_names_and_normalisation_change_nothing(problem, seed):
    log_p, rewards, log_q, groups = problem
    expected = policy_statistics(log_p, rewards, log_q, threshold=0.0, groups=groups)
    order = np.random.default_rng(seed).permutation(groups.size)
    columns = (x[..., order] for x in (log_p, rewards, log_q))
    same(policy_statistics(*columns, threshold=0.0, groups=groups[order] * 7 + 2), expected)
    shifted = (log_p + 30.0, rewards, log_q - 9.0)
    same(policy_statistics(*shifted, threshold=0.0, groups=groups), expected)


@given(policies())
def test_every_output_its_own_mode_is_no_modes_and_one_mode_is_none_left(problem):
    log_p, rewards, log_q, groups = problem
    options = {"threshold": 0.0, "groups": groups}
    expected = policy_statistics(log_p, rewards, log_q, **options)
    own = [f"mode {i}" for i in range(groups.size)]
    same(policy_statistics(log_p, rewards, log_q, modes=own, **options), expected)
    # Modes are compared within a group only: one key for all is one mode for each group.
    merged = policy_statistics(log_p, rewards, log_q, modes=np.zeros_like(groups), **options)
    for name in ("mass_good", "expected_reward", "reverse_kl", "forward_kl"):
        np.testing.assert_allclose(getattr(merged, name), getattr(expected, name), rtol=1e-9)
    np.testing.assert_allclose(merged.effective_number_1, 1.0, rtol=1e-9)
    exists = ~np.isnan(expected.min_good)
    np.testing.assert_allclose(merged.min_good[exists], merged.mass_good[exists], rtol=1e-9)


@given(policies(), SEEDS)
def test_merging_outputs_never_adds_diversity(problem, seed):
    log_p, rewards, log_q, groups = problem
    modes = np.random.default_rng(seed).integers(0, 3, groups.size)
    fine = policy_statistics(log_p, rewards, log_q, threshold=0.0, groups=groups)
    coarse = policy_statistics(log_p, rewards, log_q, threshold=0.0, groups=groups, modes=modes)
    for name in NAMES:
        if name.startswith("effective"):
            low, high = getattr(coarse, name), getattr(fine, name)
            assert np.all((low <= high + 1e-9) | np.isnan(high))


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "jensen_shannon"])
@given(problem=problems())
def test_weaker_regularisation_never_lowers_the_reward(divergence, problem):
    rewards, log_q, _ = problem
    strengths = np.geomspace(100, 0.05, 8).reshape(8, *[1] * (rewards.ndim - 1))
    sweep = target_statistics(rewards, log_q, beta=strengths, divergence=divergence, threshold=0.0)
    assert np.all(np.diff(sweep.expected_reward, axis=0) >= -1e-9)
    if divergence != "jensen_shannon":
        assert np.all(np.diff(getattr(sweep, divergence), axis=0) >= -1e-9)


@given(problems(), BETAS)
def test_an_anchored_target_has_as_many_effective_good_outputs_as_there_are(problem, beta):
    rewards, log_q, groups = problem
    found = anchor(rewards, log_q, threshold=0.0, groups=groups)
    result = target_statistics(
        found.rewards, found.ref_log_probs, beta=beta, threshold=0.0, groups=groups
    )
    exists = ~np.isnan(result.min_good)
    np.testing.assert_allclose(result.min_good[exists], result.max_good[exists], rtol=1e-9)
    for a in (1, 2):
        number = getattr(result, f"effective_number_{a}_good")
        np.testing.assert_allclose(number, result.effective_number_0_good, rtol=1e-9)


# Known answers.


def test_uniform_point_mass_and_hand_calculation():
    log_q = np.log([0.25, 0.25, 0.25, 0.25])
    found = policy_statistics(log_q, [0, 1, 1, 1], log_q, threshold=1)
    expected = {
        **dict.fromkeys(NAMES, 0.0),
        "mass_good": 0.75,
        "min_good": 0.25,
        "max_good": 0.25,
        "expected_reward": 0.75,
        "entropy": np.log(4),
        "entropy_good": np.log(3),
        **{f"effective_number_{a}": 4.0 for a in (0, 1, 2)},
        **{f"effective_number_{a}_good": 3.0 for a in (0, 1, 2)},
    }
    same(found, PolicyStatistics(**expected))
    point = policy_statistics([-np.inf, 0, -np.inf, -np.inf], [0, 1, 1, 1], log_q, threshold=1)
    expected |= {
        "mass_good": 1.0,
        "min_good": 0.0,  # a good output that q can give, and p does not
        "max_good": 1.0,
        "expected_reward": 1.0,
        "reverse_kl": np.log(4),
        "forward_kl": np.inf,
        "entropy": 0.0,
        "entropy_good": 0.0,
        **{f"effective_number_{a}{s}": 1.0 for a in (0, 1, 2) for s in ("", "_good")},
    }
    same(point, PolicyStatistics(**expected))


def test_figure_3_in_numbers():
    # t = 1, e^1.8, e^2 over 14.4387: .06926, .41899, .51175; E[r] = .9 * .41899 + .51175 = .88884.
    # Of the good ones .45017, .54983: 1 / (.20265 + .30231) = 1.98033.
    found = target_statistics([0, 0.9, 1], np.log([1 / 3] * 3), beta=0.5, threshold=0.9)
    assert found.mass_good == pytest.approx(0.93074, abs=1e-5)
    assert found.min_good == pytest.approx(0.41899, abs=1e-5)
    assert found.max_good == pytest.approx(0.51175, abs=1e-5)
    assert found.expected_reward == pytest.approx(0.88884, abs=1e-5)
    assert found.effective_number_2_good == pytest.approx(1.98033, abs=1e-4)


def test_figure_4_in_numbers():
    # .9375, .0625 at every small strength: the good mass is 1, its effective number 1.263.
    found = target_statistics(
        [0, 1, 1], np.log([0.68, 0.30, 0.02]), beta=np.array([0.01, 1e-4]), threshold=1
    )
    np.testing.assert_allclose(found.mass_good, 1.0, rtol=1e-9)
    np.testing.assert_allclose(found.min_good, 0.0625, rtol=1e-9)
    h = -0.9375 * np.log(0.9375) - 0.0625 * np.log(0.0625)
    np.testing.assert_allclose(found.entropy_good, h, rtol=1e-9)
    np.testing.assert_allclose(found.effective_number_2_good, 1 / (0.9375**2 + 0.0625**2))
    np.testing.assert_allclose(found.reverse_kl, -np.log(0.32), rtol=1e-9)
    np.testing.assert_array_equal(found.effective_number_0, 3.0)  # nothing is ever dropped


def test_modes_in_numbers():
    # Answers: "yes" .5 + .2 (one good), "no" .3 (good). Good masses .2 and .3.
    log_p = np.log([0.5, 0.2, 0.3])
    found = policy_statistics(log_p, [0, 1, 1], log_p, threshold=1, modes=["yes", "yes", "no"])
    assert found.effective_number_2 == pytest.approx(1 / (0.49 + 0.09))
    assert found.effective_number_2_good == pytest.approx(1 / (0.16 + 0.36))
    assert (found.min_good, found.max_good) == (pytest.approx(0.2), pytest.approx(0.3))


# Degenerate values.


@each_library
def test_nan_missing_mass_and_missing_goods_stay_in_their_group(to):
    rewards = to(np.array([1.0, np.nan, 1.0, 1.0, 0.0, 0.0, 1.0, -np.inf, 1.0, 1.0]))
    log_q = to(np.log(np.maximum([1, 1, 0, 0, 1, 1, 1, 1, 3, 1], 1e-300)))
    log_q = to(np.where(np.asarray(log_q) < -600, -np.inf, np.asarray(log_q)))
    groups = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    found = target_statistics(rewards, log_q, beta=1.0, threshold=0.5, groups=groups)
    for name in NAMES:
        value = np.asarray(getattr(found, name))
        assert np.isnan(value[:2]).all(), name
        assert not np.isnan(value[3:]).any(), name
        without = "good" in name and name != "mass_good"
        assert np.isnan(value[2]) == without, name
    assert np.asarray(found.mass_good)[2] == 0
    assert np.asarray(found.forward_kl)[3] == np.inf  # a forbidden output
    assert np.asarray(found.max_good)[4] == pytest.approx(0.75)


def test_rewards_and_references_that_are_missing_spoil_only_what_needs_them():
    log_p = np.log([0.5, 0.5])
    found = policy_statistics(log_p, [1.0, np.nan], log_p, threshold=1.0)
    assert np.isnan(found.expected_reward)
    assert found.mass_good == pytest.approx(0.5)
    assert found.entropy == pytest.approx(np.log(2))
    found = policy_statistics([0.0, -np.inf], [1.0, np.nan], log_p, threshold=1.0)
    assert found.expected_reward == 1.0  # without mass it is not missed
    found = policy_statistics(log_p, [1.0, -np.inf], log_p, threshold=1.0)
    assert found.expected_reward == -np.inf
    found = policy_statistics(log_p, [1.0, 1.0], [0.0, np.nan], threshold=1.0)
    assert np.isnan(found.reverse_kl)
    assert np.isnan(found.forward_kl)
    assert found.mass_good == pytest.approx(1.0)
    # An output that neither can give does not exist, whatever its reward.
    found = policy_statistics([0.0, -np.inf], [1.0, 1.0], [0.0, -np.inf], threshold=1.0)
    assert found.min_good == 1.0


def test_extremes_raise_no_warning():
    rewards, log_q = np.array([1e6, -1e6, 1e6, 0.0]), np.array([-700.0, 0.0, -1e-3, -np.inf])
    for divergence in ("reverse_kl", "forward_kl", "reverse_chi_squared", "total_variation"):
        found = target_statistics(
            rewards, log_q, beta=np.array([1e-6, 1.0, 1e6]), threshold=0, divergence=divergence
        )
        assert found.mass_good[0] == pytest.approx(1.0)
    empty = policy_statistics(*[np.zeros((0, 3))] * 3, threshold=0)
    assert empty.entropy.shape == (0,)


# Libraries, dtypes, gradients.


@each_library
def test_all_libraries_agree(to):
    rng = np.random.default_rng(2)
    rewards, log_q = rng.normal(size=(2, 9)), rng.normal(size=(2, 9))
    log_q[0, 2], rewards[1, 4] = -np.inf, -np.inf
    labels = {"groups": rng.integers(0, 3, 9), "modes": list("abcabcabc")}
    for divergence in ("reverse_kl", "forward_kl"):
        options = {"threshold": 0.0, "divergence": divergence, **labels}
        expected = target_statistics(rewards, log_q, beta=BETA_ROW[:, None], **options)
        strengths = to(BETA_ROW[:, None])
        actual = target_statistics(to(rewards), to(log_q), beta=strengths, **options)
        assert type(actual.entropy) is type(strengths)
        same(actual, expected)


@given(policies())
def test_float32_is_close_and_stays_float32(problem):
    log_p, rewards, log_q, groups = problem
    options = {"threshold": 0.0, "groups": groups}
    narrow = [x.astype(np.float32) for x in (log_p, rewards, log_q)]
    expected = policy_statistics(*(x.astype(float) for x in narrow), **options)
    actual = policy_statistics(*narrow, **options)
    assert all(getattr(actual, name).dtype == np.float32 for name in NAMES)
    same(actual, expected, rtol=1e-5, atol=1e-5)


def test_a_float32_reward_reaches_its_own_threshold():
    log_q = np.log(np.float32([0.5, 0.5]))
    found = target_statistics(np.float32([0.7, 0.1]), log_q, beta=0.1, threshold=0.7)
    assert found.mass_good > 0.9


def test_thresholds_may_be_functions_of_the_batch():
    rewards, log_q = np.array([0.1, 0.2, 0.3, 5.0, 7.0]), np.log([0.2, 0.2, 0.6, 0.5, 0.5])
    groups = [0, 0, 0, 1, 1]
    best = np.array([0.3, 0.3, 0.3, 7.0, 7.0])
    for function, options in ((target_statistics, {"beta": BETA_ROW}), (policy_statistics, {})):
        columns = (rewards, log_q) if options else (log_q, rewards, log_q)
        found, expected = (
            function(*columns, threshold=each, groups=groups, **options)
            for each in (group_maximum(), best)
        )
        same(found, expected)
    options = {"k": 1.5, "groups": groups}
    found = effective_number_beta(rewards, log_q, threshold=percentile_threshold(50), **options)
    expected = effective_number_beta(
        rewards, log_q, threshold=np.array([0.2, 0.2, 0.2, 6.0, 6.0]), **options
    )
    np.testing.assert_array_equal(found, expected)


def test_gradients_are_right():
    torch = pytest.importorskip("torch")
    log_p = torch.tensor([0.1, 0.4, -0.3, 0.9, 0.2], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([0.0, 1.0, 0.6, 1.5, 2.0], dtype=torch.float64, requires_grad=True)
    log_q = torch.tensor([0.3, -0.1, 0.2, 0.0, 0.7], dtype=torch.float64, requires_grad=True)
    smooth = [name for name in NAMES if "number_0" not in name]
    labels = {"threshold": 0.5, "groups": [0, 0, 0, 1, 1], "modes": [0, 1, 1, 0, 1]}

    def measured(*columns):
        found = policy_statistics(*columns, **labels)
        return tuple(getattr(found, name) for name in smooth)

    def targeted(*columns, divergence):
        found = target_statistics(*columns, beta=0.7, divergence=divergence, **labels)
        return tuple(getattr(found, name) for name in smooth)

    assert torch.autograd.gradcheck(measured, (log_p, rewards, log_q))
    for each in ("reverse_kl", "forward_kl"):
        assert torch.autograd.gradcheck(
            lambda r, q, d=each: targeted(r, q, divergence=d), (rewards, log_q)
        )
    silent = torch.tensor([0.0, -torch.inf, 0.0], dtype=torch.float64, requires_grad=True)
    found = policy_statistics(silent, torch.ones(3), torch.zeros(3).double(), threshold=1)
    for name in ("entropy", "effective_number_2_good", "expected_reward", "mass_good"):
        (gradient,) = torch.autograd.grad(getattr(found, name), silent, retain_graph=True)
        assert torch.isfinite(gradient).all()
        assert gradient[1] == 0


# Messages.


def test_all_problems_are_reported_at_once():
    with pytest.raises(ArgumentError) as caught:
        target_statistics(
            np.zeros(2),
            np.zeros(3),
            beta=0,
            entropy=-1,
            divergence="reverse-kl",
            threshold=np.inf,
            groups=[0.5, 1.5],
            modes=[0.5, 1.5],
        )
    first_words = [line.split()[0] for line in caught.value.problems]
    expected = ["rewards,", "beta", "entropy", "divergence", "threshold", "groups", "modes"]
    assert first_words == expected
    assert caught.value.problems[3].endswith("did you mean 'reverse_kl'?")
    with pytest.raises(ArgumentError) as caught:
        policy_statistics(np.zeros(2), np.zeros(3), np.zeros(3), threshold=None, groups=[1.5] * 2)
    assert "log_probs (2,), rewards (3,), ref_log_probs (3,)" in caught.value.problems[0]
    with pytest.raises(ShapeError, match="beta must broadcast with the rows of rewards"):
        target_statistics(np.zeros((2, 3)), np.zeros((2, 3)), beta=np.ones(3), threshold=0.0)
    with pytest.raises(ShapeError, match="must have a sample on the last axis"):
        policy_statistics([], [], [], threshold=0.0)
