"""Optimal policies, their values and their ratios."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from polymode.core import divergence_names, log_ratios, multiplier, optimal_policy, optimal_value
from polymode.errors import ArgumentError, ShapeError
from tests.libraries import each_library, given_in_each_library
from tests.strategies import BETAS, SEEDS, problems

FUNCTIONS = [optimal_policy, optimal_value, log_ratios]


def objective(log_p, log_q, r, beta):
    """E_p[r] - beta * kl(p, q), written out naively: the oracle, not the code."""
    p = np.exp(log_p)
    live = p > 0
    log_ratio = np.where(live, log_p, 0.0) - np.where(live, log_q, 0.0)
    return np.sum(p * r, -1) - beta * np.sum(p * log_ratio, -1)


def by_group(function, rewards, log_q, groups):
    """Apply a function of one group to each group in turn, in ascending order of the label."""
    for label in np.unique(groups):
        own = groups == label
        yield own, function(rewards[..., own], log_q[..., own])


# Laws of the optimal policy.


@given(problems(), BETAS)
def test_policy_is_a_distribution_on_the_support_of_the_reference(problem, beta):
    rewards, log_q, groups = problem
    t = np.exp(optimal_policy(rewards, log_q, beta=beta, groups=groups))
    for label in np.unique(groups):
        np.testing.assert_allclose(t[..., groups == label].sum(-1), 1.0, rtol=1e-9)
    assert not t[np.isneginf(log_q)].any()


@given(problems(), BETAS, SEEDS)
def test_no_other_policy_scores_higher_and_the_best_has_the_optimal_value(problem, beta, seed):
    rewards, log_q, _ = problem
    log_q = log_q - np.logaddexp.reduce(log_q, axis=-1, keepdims=True)
    log_t = optimal_policy(rewards, log_q, beta=beta)
    best = objective(log_t, log_q, rewards, beta)
    np.testing.assert_allclose(best, optimal_value(rewards, log_q, beta=beta), rtol=1e-9, atol=1e-9)
    noise = np.random.default_rng(seed).normal(size=log_t.shape)
    rival = log_t + noise - np.logaddexp.reduce(log_t + noise, axis=-1, keepdims=True)
    assert np.all(objective(rival, log_q, rewards, beta) <= best + 1e-9)


@given(problems(), BETAS)
def test_grouped_result_is_that_of_each_group_alone(problem, beta):
    rewards, log_q, groups = problem
    policy = optimal_policy(rewards, log_q, beta=beta, groups=groups)
    value = optimal_value(rewards, log_q, beta=beta, groups=groups)
    alone = by_group(lambda r, q: optimal_policy(r, q, beta=beta), rewards, log_q, groups)
    for own, expected in alone:
        np.testing.assert_allclose(policy[..., own], expected, rtol=1e-12, atol=1e-12)
    alone = by_group(lambda r, q: optimal_value(r, q, beta=beta), rewards, log_q, groups)
    expected = np.stack([each for _, each in alone], axis=-1)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@given(problems(), BETAS, st.floats(-50, 50))
def test_shifting_the_rewards_changes_nothing_but_the_value(problem, beta, shift):
    rewards, log_q, groups = problem
    before, after = (
        optimal_policy(r, log_q, beta=beta, groups=groups) for r in (rewards, rewards + shift)
    )
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)
    before, after = (
        optimal_value(r, log_q, beta=beta, groups=groups) for r in (rewards, rewards + shift)
    )
    np.testing.assert_allclose(after, before + shift, rtol=1e-9, atol=1e-9)


@given(problems(), BETAS, st.floats(-50, 50))
def test_the_reference_need_not_be_normalised(problem, beta, shift):
    rewards, log_q, groups = problem
    a = optimal_policy(rewards, log_q, beta=beta, groups=groups)
    b = optimal_policy(rewards, log_q + shift, beta=beta, groups=groups)
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@given(problems(), BETAS, st.floats(0.1, 10))
def test_only_the_ratio_of_reward_and_strength_counts(problem, beta, scale):
    rewards, log_q, groups = problem
    a = optimal_policy(rewards, log_q, beta=beta, groups=groups)
    b = optimal_policy(rewards * scale, log_q, beta=beta * scale, groups=groups)
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@given(problems(), st.sampled_from([1e-6, 0.1, 1.0, 1e6]))
def test_equal_rewards_keep_the_reference_whatever_the_strength(problem, beta):
    _, log_q, groups = problem
    t = optimal_policy(np.full_like(log_q, 3.7), log_q, beta=beta, groups=groups)
    np.testing.assert_allclose(t, log_q, rtol=1e-9, atol=1e-9)


@given(problems())
def test_a_strong_regulariser_returns_the_reference(problem):
    rewards, log_q, groups = problem
    t = optimal_policy(rewards, log_q, beta=1e9, groups=groups)
    np.testing.assert_allclose(np.exp(t), np.exp(log_q), rtol=1e-7)


@given(problems())
def test_a_weak_regulariser_keeps_the_best_rewards_in_the_ratio_of_the_reference(problem):
    rewards, log_q, groups = problem
    rewards = np.round(rewards)  # gaps of at least 1, which is 1e6 nats here
    t = np.exp(optimal_policy(rewards, log_q, beta=1e-6, groups=groups))
    for label in np.unique(groups):
        r, q = rewards[..., groups == label], np.exp(log_q[..., groups == label])
        best = np.max(np.where(q > 0, r, -np.inf), axis=-1, keepdims=True)
        expected = np.where(r == best, q, 0.0)
        expected /= expected.sum(-1, keepdims=True)
        np.testing.assert_allclose(t[..., groups == label], expected, rtol=1e-9, atol=1e-12)


@given(problems(), BETAS, SEEDS)
def test_permuted_samples_give_the_permuted_policy(problem, beta, seed):
    rewards, log_q, groups = problem
    order = np.random.default_rng(seed).permutation(groups.size)
    t = optimal_policy(rewards, log_q, beta=beta, groups=groups)
    permuted = optimal_policy(
        rewards[..., order], log_q[..., order], beta=beta, groups=groups[order]
    )
    np.testing.assert_allclose(permuted, t[..., order], rtol=1e-12, atol=1e-12)


@given(problems(), BETAS)
def test_the_names_of_the_groups_do_not_matter(problem, beta):
    rewards, log_q, groups = problem
    renamed = 1000 - 7 * groups
    a = optimal_policy(rewards, log_q, beta=beta, groups=groups)
    b = optimal_policy(rewards, log_q, beta=beta, groups=renamed)
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    a = optimal_value(rewards, log_q, beta=beta, groups=groups)
    b = optimal_value(rewards, log_q, beta=beta, groups=renamed)  # in the opposite order
    np.testing.assert_allclose(a, b[..., ::-1], rtol=1e-12, atol=1e-12)


# Laws of values and ratios.


@given(problems(), BETAS)
def test_value_lies_between_the_mean_and_the_best_reward(problem, beta):
    rewards, log_q, groups = problem
    value = optimal_value(rewards, log_q, beta=beta, groups=groups)
    bounds = by_group(lambda r, q: (np.sum(np.exp(q) * r, -1), r.max(-1)), rewards, log_q, groups)
    for g, (_, (mean, best)) in enumerate(bounds):
        assert np.all(mean - 1e-9 <= value[..., g])
        assert np.all(value[..., g] <= best + 1e-9)


@given(problems(), BETAS)
def test_ratios_are_those_of_the_policy(problem, beta):
    rewards, log_q, _ = problem
    ratios = log_ratios(rewards, log_q, beta=beta)
    log_t = optimal_policy(rewards, log_q, beta=beta)
    live = np.isfinite(log_t)
    finite = live[..., :, None] & live[..., None, :]
    differences = (
        np.where(live, log_t, 0.0)[..., :, None] - np.where(live, log_t, 0.0)[..., None, :]
    )
    np.testing.assert_allclose(ratios[finite], differences[finite], rtol=1e-9, atol=1e-9)
    assert np.all(ratios[~live[..., :, None] & live[..., None, :]] == -np.inf)
    assert np.all(ratios[live[..., :, None] & ~live[..., None, :]] == np.inf)
    assert np.all(np.isnan(ratios[~live[..., :, None] & ~live[..., None, :]]))


# Known answers.


@pytest.mark.parametrize(
    ("beta", "likelier"), [(0.05, 1), (0.10, 1), (0.13, 1), (0.135, 0), (0.15, 0), (0.5, 0)]
)
def test_figure_2_the_order_flips(beta, likelier):
    # log t1/t2 = (-4.05 + 5.95) + (0.75 - 1.0)/beta = 1.9 - 0.25/beta
    # is negative below beta = 0.25/1.9 = 0.1316 and positive above.
    t = optimal_policy([0.75, 1.0], [-4.05, -5.95], beta=beta)
    assert np.argmax(t) == likelier


def test_figure_2_equal_mass():
    t = optimal_policy([0.75, 1.0], [-4.05, -5.95], beta=0.25 / 1.9)
    np.testing.assert_allclose(np.exp(t), 0.5, rtol=1e-12)
    assert round(0.25 / 1.9, 3) == 0.132  # as the paper prints it


def test_figure_3_reward_gaps_are_exponentiated():
    rewards, log_q = [0.0, 0.9, 1.0], np.log([1 / 3] * 3)
    # beta = 1e-3: the runner-up gets e^-100 of the winner.
    t = optimal_policy(rewards, log_q, beta=1e-3)
    np.testing.assert_allclose(t, [-1000.0, -100.0, 0.0], atol=1e-12)
    # beta = 0.5: weights 1, e^1.8 = 6.0496, e^2 = 7.3891, sum 14.4387.
    t = np.exp(optimal_policy(rewards, log_q, beta=0.5))
    np.testing.assert_allclose(t, np.array([1.0, 6.0496, 7.3891]) / 14.4387, rtol=1e-4)
    # The figure shows a trained policy, which comes to within half a percent of mass.
    np.testing.assert_allclose(t, [0.066, 0.422, 0.512], rtol=0, atol=0.005)


@pytest.mark.parametrize("beta", [1e-6, 1e-3, 0.01])
def test_figure_4_equal_rewards_keep_the_ratio_of_the_reference(beta):
    # 0.30 / 0.32 = 0.9375 and 0.02 / 0.32 = 0.0625: the ratio of 15 stays.
    t = np.exp(optimal_policy([0.0, 1.0, 1.0], np.log([0.68, 0.30, 0.02]), beta=beta))
    np.testing.assert_allclose(t, [0.0, 0.9375, 0.0625], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(t, [0.0, 0.937, 0.063], rtol=0, atol=6e-4)  # as printed
    ratio = log_ratios([1.0, 1.0], np.log([0.30, 0.02]), beta=beta)[0, 1]
    assert np.exp(ratio) == pytest.approx(15, rel=1e-12)


def test_hand_calculation():
    # q = (3/4, 1/4), r = (0, log 3), beta = 1: weights 3/4 and 3/4, t = (1/2, 1/2), V = log 1.5.
    rewards, log_q = np.array([0.0, np.log(3.0)]), np.log([0.75, 0.25])
    np.testing.assert_allclose(np.exp(optimal_policy(rewards, log_q, beta=1.0)), 0.5, rtol=1e-12)
    assert optimal_value(rewards, log_q, beta=1.0) == pytest.approx(np.log(1.5), rel=1e-12)
    # log t1/t2 = log 3 - log 3 = 0
    np.testing.assert_allclose(log_ratios(rewards, log_q, beta=1.0), np.zeros((2, 2)), atol=1e-12)


def test_a_gap_of_a_tenth_at_a_thousandth_is_a_factor_of_2_7e43():
    ratio = log_ratios([1.0, 0.9], [0.0, 0.0], beta=1e-3)[0, 1]
    assert np.exp(ratio) == pytest.approx(2.7e43, rel=1e-2)


# Extremes: no overflow, no warnings (all warnings are errors here), no lost digits.


@pytest.mark.parametrize("beta", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("level", [-1e6, 0.0, 1e6])
def test_large_equal_rewards_leave_the_digits_of_the_reference(beta, level):
    log_q = np.array([-700.0, np.log(0.3), np.log(0.7)])
    t = optimal_policy(np.full(3, level), log_q, beta=beta)
    np.testing.assert_allclose(t, log_q, rtol=1e-12)
    assert optimal_value(np.full(3, level), log_q, beta=beta) == pytest.approx(level, abs=1e-9)


def test_the_largest_reward_gap_at_the_smallest_strength():
    # An outcome without mass costs the others no digits, however large its reward.
    t = optimal_policy([1e6, -1e6, -1e6], [-np.inf, np.log(0.3), np.log(0.7)], beta=1e-6)
    np.testing.assert_allclose(np.exp(t), [0.0, 0.3, 0.7], rtol=1e-12)
    t = optimal_policy([-1e6, 1e6], [0.0, -700.0], beta=1e-6)
    np.testing.assert_allclose(t, [-2e12, 0.0])


def test_point_mass_forbidden_outcomes_and_single_outcomes():
    np.testing.assert_array_equal(
        optimal_policy([5.0, 9.0], [0.0, -np.inf], beta=0.1), [0.0, -np.inf]
    )
    np.testing.assert_array_equal(
        optimal_policy([-np.inf, 9.0], [0.0, -3.0], beta=0.1), [-np.inf, 0.0]
    )
    np.testing.assert_array_equal(optimal_policy([7.0], [-3.0], beta=0.1), [0.0])


@each_library
def test_nan_and_missing_mass_stay_in_their_group(to):
    rewards = to(np.array([1.0, np.nan, 1.0, 2.0, 5.0, 6.0]))
    log_q = to(np.array([-1.0, -1.0, -np.inf, -np.inf, -1.0, -1.0]))
    groups = [0, 0, 1, 1, 2, 2]
    t = np.asarray(optimal_policy(rewards, log_q, beta=1.0, groups=groups))
    assert np.isnan(t[:4]).all()
    np.testing.assert_allclose(np.exp(t[4:]), [1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-6)
    value = np.asarray(optimal_value(rewards, log_q, beta=1.0, groups=groups))
    assert np.isnan(value[0])
    assert value[1] == -np.inf
    ratios = np.asarray(log_ratios(rewards, log_q, beta=1.0))
    assert ratios[0, 2] == np.inf
    assert ratios[2, 0] == -np.inf
    assert np.isnan(ratios[2, 3])
    assert np.isnan(ratios[1]).sum() == 6  # a NaN reward spoils its pairs, those without mass too


# Oracles.


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_direct_maximisation_finds_the_same_policy(seed, beta):
    rng = np.random.default_rng(seed)
    rewards, log_q = rng.uniform(-1, 1, 5), np.log(rng.dirichlet(np.ones(5)))

    def loss(logits):
        log_p = logits - np.logaddexp.reduce(logits)
        return -objective(log_p, log_q, rewards, beta)

    found = optimize.minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-7})
    p = np.exp(found.x - np.logaddexp.reduce(found.x))
    t = np.exp(optimal_policy(rewards, log_q, beta=beta))
    np.testing.assert_allclose(p, t, rtol=0, atol=1e-5)
    assert -found.fun == pytest.approx(float(optimal_value(rewards, log_q, beta=beta)), rel=1e-8)


@given(problems(), BETAS)
def test_naive_restatement(problem, beta):
    rewards, log_q, groups = problem
    t = np.exp(optimal_policy(rewards, log_q, beta=beta, groups=groups))
    for label in np.unique(groups):
        own = groups == label
        weights = np.exp(log_q[..., own]) * np.exp(rewards[..., own] / beta)
        expected = weights / weights.sum(-1, keepdims=True)
        np.testing.assert_allclose(t[..., own], expected, rtol=1e-9)


@given_in_each_library(problem=problems, beta=BETAS)
def test_all_libraries_agree(to, problem, beta):
    rewards, log_q, groups = problem
    for function in FUNCTIONS:
        labels = {} if function is log_ratios else {"groups": groups}
        expected = function(rewards, log_q, beta=beta, **labels)
        actual = function(to(rewards), to(log_q), beta=beta, **labels)
        assert type(actual) is type(to(rewards)) or to(rewards).ndim == 0
        np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-9, atol=1e-9)


@given(problems(), BETAS)
def test_float32_is_close_and_stays_float32(problem, beta):
    rewards, log_q, groups = problem
    expected = optimal_policy(rewards, log_q, beta=beta, groups=groups)
    actual = optimal_policy(
        rewards.astype(np.float32), log_q.astype(np.float32), beta=beta, groups=groups
    )
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_beyond_the_range_of_a_narrow_float_lies_zero_probability():
    t = optimal_policy(np.float16([0, 1]), np.float16([0, 0]), beta=1e-6)
    assert t.dtype == np.float16
    np.testing.assert_array_equal(t, [-np.inf, 0.0])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_dtype_and_device_are_kept_and_integers_become_floating(function):
    torch = pytest.importorskip("torch")
    log_q = torch.log(torch.tensor([0.5, 0.5]))
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for rewards in (torch.tensor([0, 1]), torch.tensor([False, True]), log_q.to(dtype)):
            out = function(rewards, log_q.to(dtype), beta=1.0)
            assert out.dtype is dtype
            assert out.device == log_q.device
    assert function([0, 1], [0, 0], beta=1.0).dtype == np.float64


def test_gradients_are_right():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([[0.3, -0.2, 1.0, 0.1]], dtype=torch.float64, requires_grad=True)
    log_q = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64))
    log_q.requires_grad_()
    groups = torch.tensor([1, 0, 1, 0])
    for labels in ({}, {"groups": groups}):
        for function in (optimal_policy, optimal_value):
            assert torch.autograd.gradcheck(
                lambda r, q, f=function, kw=labels: f(r, q, beta=0.5, **kw), (rewards, log_q)
            )
    assert torch.autograd.gradcheck(lambda r, q: log_ratios(r, q, beta=0.5), (rewards, log_q))


def test_gradient_of_the_value_is_the_policy():
    # dV/dr_i = t_i, also beside outcomes without mass and for a whole group without any.
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([0.3, -0.2, 1.0, 0.1], dtype=torch.float64, requires_grad=True)
    log_q = torch.tensor([-0.5, -1.0, -torch.inf, -torch.inf], dtype=torch.float64)
    for groups in (None, [0, 0, 0, 1]):
        value = optimal_value(rewards, log_q, beta=0.5, groups=groups).reshape(-1)[0]
        (gradient,) = torch.autograd.grad(value, rewards)
        t = optimal_policy(rewards[:2], log_q[:2], beta=0.5).exp()
        torch.testing.assert_close(gradient, torch.cat([t, torch.zeros(2)]))


# Sweeps, and an entropy bonus.


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "total_variation"])
@given(problem=problems(), betas=st.lists(BETAS, min_size=1, max_size=3))
def test_a_sweep_is_a_call_for_each_strength(divergence, problem, betas):
    rewards, log_q, groups = problem
    column = np.reshape(betas, (-1,) + (1,) * (rewards.ndim - 1))  # a new first axis
    options = {"divergence": divergence, "groups": groups}
    for function in (optimal_policy, optimal_value, multiplier):
        sweep = function(rewards, log_q, beta=column, **options)
        assert sweep.shape[0] == len(betas)
        for beta, actual in zip(betas, sweep, strict=True):
            expected = function(rewards, log_q, beta=beta, **options)
            np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def test_every_row_has_its_own_strength():
    rng = np.random.default_rng(0)
    rewards, log_q, betas = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), [0.1, 1.0, 10.0]
    for divergence in divergence_names():
        options = {"divergence": divergence}
        rows = optimal_policy(rewards, log_q, beta=betas, **options)
        for beta, r, q, actual in zip(betas, rewards, log_q, rows, strict=True):
            expected = optimal_policy(r, q, beta=beta, **options)
            np.testing.assert_allclose(np.exp(actual), np.exp(expected), rtol=1e-12, atol=1e-15)
    ratios = log_ratios(rewards, log_q, beta=betas)
    np.testing.assert_allclose(ratios[2], log_ratios(rewards[2], log_q[2], beta=10.0), rtol=1e-12)


@each_library
def test_sweeps_in_every_library(to):
    rewards, log_q = to(np.array([0.0, 0.9, 1.0])), to(np.log([0.5, 0.3, 0.2]))
    for betas in (to(np.array([0.1, 1.0])), [0.1, 1.0]):
        for divergence in ("reverse_kl", "jensen_shannon"):
            actual = optimal_policy(rewards, log_q, beta=betas, divergence=divergence)
            expected = [
                optimal_policy(
                    np.asarray(rewards), np.asarray(log_q), beta=b, divergence=divergence
                )
                for b in (0.1, 1.0)
            ]
            np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-9)


@given(problems(), BETAS, BETAS, SEEDS)
def test_no_other_policy_scores_higher_with_an_entropy_bonus(problem, beta, eta, seed):
    rewards, log_q, _ = problem
    log_q = log_q - np.logaddexp.reduce(log_q, axis=-1, keepdims=True)
    log_t = optimal_policy(rewards, log_q, beta=beta, entropy=eta)

    def scored(log_p):
        entropy = -np.sum(np.exp(log_p) * np.where(np.isfinite(log_p), log_p, 0.0), -1)
        return objective(log_p, log_q, rewards, beta) + eta * entropy

    value = optimal_value(rewards, log_q, beta=beta, entropy=eta)
    np.testing.assert_allclose(scored(log_t), value, rtol=1e-9, atol=1e-9)
    rival = log_t + np.random.default_rng(seed).normal(size=log_t.shape)
    rival = rival - np.logaddexp.reduce(rival, axis=-1, keepdims=True)
    assert np.all(scored(rival) <= value + 1e-9 * (1 + beta + eta))


def test_an_entropy_bonus_by_hand():
    # beta = eta = 1/2: t ∝ sqrt(q) exp(r). q = (.81, .19), r = (0, log(9 / sqrt(19))):
    # sqrt(q) = (.9, sqrt(.19)), exp(r) = (1, 9 / sqrt(19)), so t ∝ (.9, .9).
    log_q, rewards = np.log([0.81, 0.19]), np.array([0.0, np.log(9 / np.sqrt(19))])
    t = np.exp(optimal_policy(rewards, log_q, beta=0.5, entropy=0.5))
    np.testing.assert_allclose(t, 0.5, rtol=1e-12)
    # V = log(.9 + .9), and the level at which r - beta (log t/q + 1) - eta (log t + 1) stands.
    value = optimal_value(rewards, log_q, beta=0.5, entropy=0.5)
    np.testing.assert_allclose(value, np.log(1.8), rtol=1e-12)
    level = multiplier(rewards, log_q, beta=0.5, entropy=0.5)
    np.testing.assert_allclose(
        level, rewards - 0.5 * (np.log(t) - log_q + 1) - 0.5 * (np.log(t) + 1)
    )
    ratio = log_ratios([0.0, 1.0], log_q, beta=0.5, entropy=0.5)[1, 0]
    np.testing.assert_allclose(ratio, 0.5 * np.log(0.19 / 0.81) + 1.0)


def test_every_row_has_its_own_entropy_bonus():
    bonus = optimal_policy([0.0, 1.0], [-1.0, -3.0], beta=1.0, entropy=[0.0, 1.0])
    np.testing.assert_allclose(bonus[0], optimal_policy([0.0, 1.0], [-1.0, -3.0], beta=1.0))
    assert bonus[1, 1] > bonus[0, 1] + 0.1


# Messages.


def test_bad_strengths_are_named():
    cases = {
        "beta must be finite numbers > 0, got -1.0 among them": {"beta": [1.0, -1.0]},
        "entropy must be finite numbers >= 0, got nan among them": {"entropy": [0.0, np.nan]},
        "entropy must be a finite number >= 0, got -1": {"entropy": -1},
        "beta must broadcast with the rows of rewards, got beta (3,), rewards (2, 2)": {
            "beta": [1.0, 2.0, 3.0]
        },
        "beta must be an array of real numbers, got dtype <U1": {"beta": ["a"]},
        "entropy must be 0 unless the divergence is 'reverse_kl', got 'forward_kl'": {
            "entropy": 1.0,
            "divergence": "forward_kl",
        },
    }
    for message, options in cases.items():
        with pytest.raises(ArgumentError) as caught:
            optimal_policy(np.zeros((2, 2)), np.zeros((2, 2)), **({"beta": 1.0} | options))
        assert str(caught.value) == message


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("beta", [0, -1.0, float("nan"), float("inf"), None, "0.1"])
def test_bad_beta_is_named(function, beta):
    with pytest.raises(ArgumentError, match=r"^beta must be a finite number > 0, got"):
        function([0.0], [0.0], beta=beta)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_shape_mismatch_names_both_arguments(function):
    with pytest.raises(ShapeError, match=r"rewards \(3,\), ref_log_probs \(2, 3\)"):
        function(np.zeros(3), np.zeros((2, 3)), beta=1.0)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0)])
def test_no_samples(function, shape):
    with pytest.raises(ShapeError, match=r"rewards must have a sample on the last axis, got shape"):
        function(np.zeros(shape), np.zeros(shape), beta=1.0)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_rows_are_fine(function):
    assert function(np.zeros((0, 3)), np.zeros((0, 3)), beta=1.0).shape[0] == 0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_libraries_do_not_mix(function):
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="one library, got rewards from numpy, ref_log_probs "):
        function(np.zeros(3), torch.zeros(3), beta=1.0)


@pytest.mark.parametrize(
    ("rewards", "dtype"), [(["a"], "<U1"), ([1j], "complex128"), ([[1], [1, 2]], "object")]
)
def test_rewards_must_be_real_numbers(rewards, dtype):
    with pytest.raises(ArgumentError, match=f"rewards must be an array of real numbers.*{dtype}"):
        optimal_policy(rewards, [0.0], beta=1.0)


@pytest.mark.parametrize("function", [optimal_policy, optimal_value])
def test_bad_groups(function):
    with pytest.raises(ArgumentError, match="groups must be integers, got dtype float64"):
        function([0.0, 0.0], [0.0, 0.0], beta=1.0, groups=[0.0, 1.0])
    with pytest.raises(ArgumentError, match="groups must be integers, got dtype object"):
        function([0.0, 0.0], [0.0, 0.0], beta=1.0, groups=["a", "b"])
    with pytest.raises(ShapeError, match=r"groups must have one label .* groups \(3,\), rewards"):
        function([0.0, 0.0], [0.0, 0.0], beta=1.0, groups=[0, 1, 1])


def test_unknown_divergence_suggests_the_known_one():
    with pytest.raises(ArgumentError, match="got 'reverse-kl'; did you mean 'reverse_kl'"):
        optimal_policy([0.0], [0.0], beta=1.0, divergence="reverse-kl")
    with pytest.raises(ArgumentError, match=r"divergence must be 'reverse_kl' or .*, got None$"):
        optimal_policy([0.0], [0.0], beta=1.0, divergence=None)


def test_all_problems_are_reported_at_once():
    with pytest.raises(ArgumentError) as caught:
        optimal_policy(np.zeros(2), np.zeros(3), beta=0, divergence="kl", groups=[0.5, 1.5])
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "rewards,",
        "beta",
        "divergence",
        "groups",
    ]
