"""Exact gradient flow: one step against autograd, its ends against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymode.core import ESTIMATORS, estimate_kl, gradient_flow, optimal_policy, shape
from polymode.errors import ArgumentError, ShapeError
from polymode.metrics import total_variation
from tests.libraries import each_library
from tests.strategies import SEEDS

KLS = ["sequence_k1", *ESTIMATORS]
every_kl = pytest.mark.parametrize("kl", KLS)


def problem(seed, shape_):
    """Rewards, a reference and another policy over all sequences."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(size=(2, *shape_))
    logs -= np.logaddexp.reduce(logs.reshape(2, -1), axis=-1).reshape(2, *[1] * len(shape_))
    return rng.normal(size=shape_), logs[0], logs[1]


# Oracle: the expected loss of a trainer, differentiated by torch.


def by_autograd(rewards, log_q, log_p, beta, kl, step):
    """One natural-gradient step: the gradient of each table over the chance of its entries."""
    torch = pytest.importorskip("torch")
    rewards, log_q, log_p = map(torch.tensor, (rewards, log_q, log_p))

    def tables(joint):
        first = joint.logsumexp(1)
        return first, joint - first[:, None]

    first, second = (table.detach().requires_grad_() for table in tables(log_p))
    tokens = (first.log_softmax(0)[:, None], second.log_softmax(1))
    log_policy, chance = sum(tokens), log_p.exp()
    if kl == "sequence_k1":
        weight = rewards - beta * estimate_kl(log_policy.detach(), log_q, estimator="k1")
        objective = weight * log_policy
    else:
        refs = (tables(log_q)[0][:, None], tables(log_q)[1])
        penalties = [
            estimate_kl(p.expand(log_p.shape), q.expand(log_p.shape).clone(), estimator=kl)
            for p, q in zip(tokens, refs, strict=True)
        ]
        objective = rewards * log_policy - beta * sum(penalties)
    torch.sum(chance * objective).backward()
    first = (first + step * first.grad / chance.sum(1)).log_softmax(0)
    second = (second + step * second.grad / chance).log_softmax(1)
    return (first[:, None] + second).detach().numpy()


@every_kl
@given(seed=SEEDS)
def test_a_step_is_that_of_autograd(kl, seed):
    rewards, log_q, log_p = problem(seed, (3, 4))
    keywords = {"beta": 0.3, "kl": kl, "step": 0.5}
    actual = gradient_flow(rewards, log_q, log_probs=log_p, n_tokens=2, n_steps=1, **keywords)
    expected = by_autograd(rewards, log_q, log_p, **keywords)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)


@each_library
@every_kl
@pytest.mark.parametrize("n_tokens", [1, 2, 3])
def test_all_libraries_agree(to, kl, n_tokens):
    rewards, log_q, _ = problem(0, (2, 1, 6))
    log_q = log_q - np.logaddexp.reduce(log_q, axis=tuple(range(-n_tokens, 0)), keepdims=True)
    keywords = {"beta": 0.5, "kl": kl, "n_tokens": n_tokens, "n_steps": 5}
    actual = gradient_flow(to(rewards), to(log_q), **keywords)
    assert type(actual) is type(to(log_q))
    expected = gradient_flow(rewards, log_q, **keywords)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-9, atol=1e-9)


# Laws.


@settings(max_examples=20)
@given(seed=SEEDS, n_tokens=st.integers(1, 3))
def test_k1_in_the_reward_ends_at_the_optimal_policy(seed, n_tokens):
    rewards, log_q, start = problem(seed, (2, 3, 2)[:n_tokens])
    ended = gradient_flow(
        rewards, log_q, beta=0.5, n_tokens=n_tokens, step=0.5, log_probs=start, n_steps=500
    )
    target = optimal_policy(rewards.reshape(-1), log_q.reshape(-1), beta=0.5)
    assert total_variation(ended.reshape(-1), target) < 1e-6


@settings(max_examples=20)
@given(seed=SEEDS)
@pytest.mark.parametrize("kl", ["k2", "ratio_k1", "ratio_k3", "k3_plus"])
def test_with_one_token_the_estimators_of_the_reverse_kl_end_there_too(kl, seed):
    rewards, log_q, _ = problem(seed, (5,))
    ended = gradient_flow(rewards, log_q, beta=0.5, kl=kl)
    np.testing.assert_allclose(ended, optimal_policy(rewards, log_q, beta=0.5), rtol=1e-6)


@settings(max_examples=20)
@given(seed=SEEDS)
def test_plain_k3_ends_at_the_optimum_of_the_forward_kl(seed):
    # t = beta q / (L - r): r + beta q / t is the same L for all outcomes. The slowest rate is
    # L - max r >= beta min q >= .1 here, so that at time 250 the rest is below e^-25.
    rewards, log_q, _ = problem(seed, (5,))
    log_q = np.log(np.exp(log_q) / 2 + 0.1)
    ended = gradient_flow(rewards, log_q, beta=1.0, kl="k3", step=0.05, n_steps=5000)
    levels = rewards + np.exp(log_q - ended)
    np.testing.assert_allclose(levels, levels[0], rtol=1e-6)


def test_the_biased_estimator_ends_elsewhere():
    # Reverse KL: D_1 - D_0 = (r_1 - r_0)/beta = .4. With ratio·k2: w(D_1) - w(D_0) = .4 for
    # w = D + D^2/2, whose slope 1 + D is not 1.
    rewards, log_q = np.array([0.0, 0.2]), np.log([0.3, 0.7])
    d = gradient_flow(rewards, log_q, beta=0.5, kl="ratio_k2") - log_q
    weight = d + d * d / 2
    assert weight[1] - weight[0] == pytest.approx(0.4, rel=1e-9)
    assert abs((d[1] - d[0]) - 0.4) > 0.02


def test_the_biased_estimator_lets_go_of_what_falls_far_below_the_reference():
    # w(D) = D + D^2/2 is positive again below D = -2: what is there is pushed further down. Here
    # D = log(.01/.5) = -3.9, w = 3.7, against w = .92 for the other. Rewards are equal: the optimum
    # under any KL is the reference, and reverse KL goes back to it.
    log_q, start = np.log([0.5, 0.5]), np.log([0.99, 0.01])
    keywords = {"beta": 0.5, "log_probs": start, "n_steps": 2}
    assert gradient_flow(np.zeros(2), log_q, kl="ratio_k2", **keywords)[1] < np.log(0.005)
    keywords["n_steps"] = 30
    assert gradient_flow(np.zeros(2), log_q, kl="ratio_k1", **keywords)[1] > np.log(0.45)


@given(seed=SEEDS)
def test_the_objective_never_falls(seed):
    rewards, log_q, log_p = problem(seed, (3, 3))

    def objective(x):
        return np.sum(np.exp(x) * (rewards - 0.3 * (x - log_q)))

    for _ in range(5):
        before = objective(log_p)
        log_p = gradient_flow(
            rewards, log_q, beta=0.3, n_tokens=2, n_steps=1, step=0.05, log_probs=log_p
        )
        assert objective(log_p) >= before - 1e-12


@given(seed=SEEDS)
def test_leading_axes_are_problems_of_their_own(seed):
    cases = [problem(seed + i, (3, 2)) for i in range(2)]
    rewards, log_q, start = (np.stack(columns) for columns in zip(*cases, strict=True))
    keywords = {"beta": 0.3, "kl": "k3", "n_tokens": 2, "n_steps": 3}
    whole = gradient_flow(rewards, log_q, log_probs=start, **keywords)
    for i, (r, q, p) in enumerate(cases):
        part = gradient_flow(r, q, log_probs=p, **keywords)
        np.testing.assert_allclose(whole[i], part, rtol=1e-9, atol=1e-12)


def test_the_rate_is_the_one_promised():
    # One token, step * beta = .2: the distance to log t shrinks by the factor .8 a step.
    rewards, log_q = np.array([0.0, 1.0]), np.log([0.9, 0.1])
    target = optimal_policy(rewards, log_q, beta=0.4)

    def gap(steps):
        moved = gradient_flow(rewards, log_q, beta=0.4, step=0.5, n_steps=steps)
        return (moved[1] - moved[0]) - (target[1] - target[0])

    assert gap(3) / gap(2) == pytest.approx(0.8, rel=1e-9)


def test_float32_stays():
    flow = gradient_flow([0.0, 1.0], np.log(np.float32([0.5, 0.5])), beta=1.0)
    assert flow.dtype == np.float32


# Shapers that read the policy, in the limit of large groups: where do they end?


def ends(reward_of, log_q, **keywords):
    return np.exp(gradient_flow(reward_of, log_q, **{"beta": 1e-9, **keywords}))


def test_inverse_probability_ends_in_proportion_to_rewards():
    r = np.array([1.0, 2.0, 1.0, 0.0])
    p = ends(lambda log_p: r / np.exp(log_p), np.log([0.6, 0.2, 0.15, 0.05]), step=0.05)
    np.testing.assert_allclose(p, [0.25, 0.5, 0.25, 0], rtol=1e-6, atol=1e-6)


def test_inverse_probability_under_a_kl_ends_between_rewards_and_reference():
    r, log_q, beta = np.array([1.0, 2.0, 1.0]), np.log([0.7, 0.2, 0.1]), 0.5
    p = ends(lambda log_p: r / np.exp(log_p), log_q, beta=beta, step=0.05)
    level = r / p - beta * (np.log(p) - log_q)
    np.testing.assert_allclose(level, level[0], rtol=1e-6)
    assert 0.1 < p[2] < 0.25


def test_a_power_of_the_cluster_size_ends_at_a_power_of_the_rewards():
    # exponent 1/2: t ∝ r^2, that is 1 : 4 : 1
    r = np.array([1.0, 2.0, 1.0])
    p = ends(lambda log_p: r / np.exp(log_p) ** 0.5, np.log([0.6, 0.2, 0.2]), step=0.05)
    np.testing.assert_allclose(p, np.array([1, 4, 1]) / 6, rtol=1e-6)


def test_uniform_correct_ends_uniform_over_correct_outputs_of_one_token():
    correct = np.array([True, True, True, False])

    def reward_of(log_p):  # mass sum_j p_j, weights 1/p: over *samples*, sum_j p_j w_j = 3
        return np.where(correct, np.exp(-log_p) * np.exp(log_p[correct]).sum() / 3, 0.0)

    p = ends(reward_of, np.log([0.5, 0.2, 0.05, 0.25]), step=0.02, n_steps=5000)
    np.testing.assert_allclose(p, [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-6)


def test_pass_at_k_keeps_the_proportions_of_the_reference():
    correct, log_q, beta, k = np.array([True, True, False]), np.log([0.3, 0.1, 0.6]), 0.1, 4

    def reward_of(log_p):  # right minus wrong, in large groups: (1 - P)^(k - 1)
        return np.where(correct, (1 - np.exp(log_p[correct]).sum()) ** (k - 1), 0.0)

    p = ends(reward_of, log_q, beta=beta)
    chance = p[0] + p[1]
    np.testing.assert_allclose(p[0] / p[1], 3.0, rtol=1e-9)
    lift = np.log(chance / (1 - chance)) - np.log(0.4 / 0.6)
    assert lift == pytest.approx((1 - chance) ** (k - 1) / beta, rel=1e-6)


def best_of_n(log_p, rewards, size):
    """What an output is worth: (F_le^G - F_lt^G) / F_eq."""
    p = np.exp(log_p)
    worse, up_to = (p @ op.outer(rewards, rewards) for op in (np.less, np.less_equal))
    return (up_to**size - worse**size) / (up_to - worse)


@pytest.mark.parametrize("size", [2, 8])
def test_best_of_n_solves_the_equation_of_its_success_rate(size):
    rewards, log_q, beta = np.array([1.0, 1.0, 0.0, 0.0]), np.log([0.06, 0.02, 0.62, 0.3]), 1.5
    p = ends(lambda log_p: best_of_n(log_p, rewards, size), log_q, beta=beta, n_steps=5000)
    chance = p[:2].sum()
    assert 0.1 < chance < 0.9
    np.testing.assert_allclose([p[0] / p[1], p[2] / p[3]], [3.0, 62 / 30], rtol=1e-9)
    lift = np.log(chance / (1 - chance)) - np.log(0.08 / 0.92)
    assert lift == pytest.approx((1 - (1 - chance) ** (size - 1)) / (beta * chance), rel=1e-6)


def test_best_of_n_without_a_kl_ends_at_the_best_in_the_proportions_of_the_reference():
    rewards, log_q = np.array([2.0, 2.0, 1.0, 0.0]), np.log([0.06, 0.02, 0.62, 0.3])
    p = ends(lambda log_p: best_of_n(log_p, rewards, 4), log_q, step=0.05, n_steps=5000)
    np.testing.assert_allclose(p, [0.75, 0.25, 0, 0], atol=1e-9)


def gapo(log_p, valid, invalid):
    p = np.where(valid, np.exp(log_p), 0)
    return np.where(valid, 1 - (p / p.sum() - 1 / valid.sum()), invalid)


def test_gapo_ends_uniform_over_valid_options():
    valid = np.array([True, True, True, False])
    p = ends(lambda log_p: gapo(log_p, valid, -1.0), np.log([0.6, 0.08, 0.02, 0.3]), n_steps=5000)
    np.testing.assert_allclose(p, [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-9)


@pytest.mark.parametrize("invalid", [0.0, -1.0])
def test_gapo_under_a_kl_ends_between_uniform_and_reference(invalid):
    valid, beta = np.array([True, True, True, False, False]), 0.3
    log_q = np.log([0.4, 0.08, 0.02, 0.3, 0.2])
    p = ends(lambda log_p: gapo(log_p, valid, invalid), log_q, beta=beta)
    g, q = p[:3] / p[:3].sum(), np.exp(log_q)
    level = g + beta * np.log(g / q[:3])
    np.testing.assert_allclose(level, level[0], rtol=1e-9)
    assert 1 < g[0] / g[2] < 20 / 3
    # The invalid ones keep their own proportions, and their total balances the level.
    np.testing.assert_allclose(p[3] / p[4], 1.5, rtol=1e-9)
    log_odds = (1 + 1 / 3 - level[0]) / beta - np.log(0.5) - invalid / beta
    assert np.log(p[:3].sum() / p[3:].sum()) == pytest.approx(log_odds, rel=1e-9)


def test_the_entropy_bonus_ends_where_it_promises():
    rewards, log_q = np.array([1.0, 0.0, 1.0]), np.log([0.7, 0.2, 0.1])

    def reward_of(log_p):
        return shape("entropy_bonus", rewards, log_q, log_probs=log_p, strength=0.3)

    target = optimal_policy(rewards, 0.5 / 0.8 * log_q, beta=0.8)
    np.testing.assert_allclose(gradient_flow(reward_of, log_q, beta=0.5), target, rtol=1e-6)


# Messages.


def test_messages():
    flat = np.log([0.5, 0.5])
    with pytest.raises(ArgumentError) as caught:
        gradient_flow(np.zeros(3), flat, beta=0, kl="k5", n_tokens=2, n_steps=0, step=-1)
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "ref_log_probs,",
        "beta",
        "step",
        "n_steps",
        "kl",
        "ref_log_probs",
    ]
    with pytest.raises(ShapeError, match=r"^ref_log_probs must have 2 axes at least, got shape"):
        gradient_flow(np.zeros(2), flat, beta=1, n_tokens=2)
    with pytest.raises(ArgumentError, match="got 'k3plus'; did you mean 'k3_plus'"):
        gradient_flow(np.zeros(2), flat, beta=1, kl="k3plus")
    with pytest.raises(ShapeError, match="log_probs, rewards must have equal shapes"):
        gradient_flow(np.zeros(2), flat, beta=1, log_probs=np.zeros(3))
