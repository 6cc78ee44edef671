"""Optimal policies under every divergence: laws, known answers, and an oracle of 50 digits."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from polymode.core import (
    Divergence,
    alpha_divergence,
    anchor,
    anchored_rewards,
    divergence_names,
    f_divergence,
    multiplier,
    optimal_policy,
    optimal_value,
)
from polymode.core.divergences import get_divergence
from polymode.errors import ArgumentError, ShapeError
from tests.core import exact
from tests.core.alternatives import brentq_policy
from tests.libraries import each_library, to_jax, to_torch
from tests.strategies import BETAS, RAGGED, SEEDS, batches, problems

ALPHAS = [-20.0, -3.0, -1e-9, 0.2, 0.98, 0.995, 1 - 1e-9, 1.0, 1.005, 1.02, 1.5, 3.0, 7.0]
NAMED = [get_divergence(name) for name in divergence_names() if name != "square_and_log"]
ALL = NAMED + [alpha_divergence(alpha) for alpha in (-3.0, 0.995, 1.5, 3.0)]
SMOOTH = [each for each in ALL if each.name != "total_variation"]
TV = get_divergence("total_variation")

FAMILIES = exact.FAMILIES | {
    alpha_divergence(alpha).name: exact.power_family(alpha) for alpha in ALPHAS
}

# A law gets its examples from all divergences together.
shared = settings(max_examples=max(1, settings.default.max_examples // 3))

each_divergence = pytest.mark.parametrize("divergence", ALL, ids=lambda each: each.name)
each_smooth = pytest.mark.parametrize("divergence", SMOOTH, ids=lambda each: each.name)
each_named = pytest.mark.parametrize("divergence", NAMED, ids=lambda each: each.name)


def objective(log_p, log_q, rewards, beta, divergence):
    """E_p[r] - beta * D_f(p, q)."""
    gain = np.sum(np.exp(log_p) * rewards, axis=-1)
    return gain - beta * f_divergence(log_p, log_q, divergence=divergence)


def normalised(log_p):
    """The same, summing to 1."""
    return log_p - np.logaddexp.reduce(log_p, axis=-1, keepdims=True)


def stationarity(log_t, log_q, rewards, beta, divergence):
    """The levels of outcomes with mass, r - beta f'(t / q), and r - beta f'(0) of the others."""
    live = np.isfinite(log_q)
    kept = live & np.isfinite(log_t)
    u = np.exp(log_t[kept] - log_q[kept])
    levels = rewards[kept] - beta * divergence.slope(u)
    return levels, rewards[live & ~kept] - beta * divergence.domain[0]


# Oracles.


@pytest.mark.parametrize(
    "divergence",
    NAMED[:-1] + [alpha_divergence(alpha) for alpha in ALPHAS],
    ids=lambda each: each.name,
)
def test_fifty_digits(divergence):
    # Random cases over the whole promised range: rewards to 1e6, beta 1e-6 to 1e6, q to e^-690,
    # ties, single outcomes. Seeded; larger runs (500 cases each) stay below 1e-12.
    rng = np.random.default_rng(3)
    for _ in range(25):
        rewards, log_q, beta = exact.hard_case(rng)
        log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence)
        expected = exact.exact_log_policy(FAMILIES[divergence.name], rewards, log_q, beta)
        assert exact.largest_error(log_t, expected)[0] <= 1e-9
        assert abs(math.fsum(np.exp(log_t)) - 1) <= 1e-12


@each_smooth
@shared
@given(problems(), st.floats(0.3, 20.0))
def test_a_loop_of_scalar_root_finding(divergence, problem, beta):
    rewards, log_q, groups = problem
    log_q = np.where(np.isfinite(log_q), np.maximum(log_q, -6), log_q)  # ratios that slopes resolve
    log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence, groups=groups)
    rows = [x.reshape(-1, groups.size) for x in (rewards, log_q, log_t)]
    for r, q, actual in zip(*rows, strict=True):
        for label in np.unique(groups):
            own = (groups == label) & np.isfinite(q)
            np.testing.assert_allclose(
                np.exp(actual[own]),
                brentq_policy(r[own], q[own], beta, divergence),
                rtol=1e-6,
                atol=1e-9,
            )


@each_library
@each_divergence
def test_all_libraries_agree(to, divergence):
    rng = np.random.default_rng(5)
    rewards, log_q = rng.normal(size=(2, 2, 1, 6)) * [[[[1.0]]], [[[3.0]]]]
    log_q[0, 0, 3], rewards[1, 0, 4] = -np.inf, -np.inf
    for function in (optimal_policy, optimal_value, multiplier):
        expected = function(rewards, log_q, beta=0.7, divergence=divergence, groups=RAGGED)
        actual = function(to(rewards), to(log_q), beta=0.7, divergence=divergence, groups=RAGGED)
        assert type(actual) is type(to(rewards))
        np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-9, atol=1e-9)


# Laws.


@each_divergence
@shared
@given(problem=problems(), beta=BETAS, seed=SEEDS)
def test_no_other_policy_scores_higher(divergence, problem, beta, seed):
    rewards, log_q, _ = problem
    log_q = normalised(log_q)
    log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence)
    best = objective(log_t, log_q, rewards, beta, divergence)
    value = optimal_value(rewards, log_q, beta=beta, divergence=divergence)
    np.testing.assert_allclose(best, value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.exp(log_t).sum(-1), 1.0, rtol=1e-12)
    noise = np.random.default_rng(seed).normal(size=log_t.shape)
    for rival in (
        normalised(log_q + noise),
        normalised(np.maximum(log_t, log_q - 9) + 0.1 * noise),
    ):
        rival = np.where(np.isfinite(log_q), rival, -np.inf)
        scored = objective(normalised(rival), log_q, rewards, beta, divergence)
        assert np.all(scored <= best + 1e-9 * (1 + beta))


@each_smooth
@shared
@given(problem=problems(), beta=st.floats(0.3, 20.0))
def test_kept_outcomes_share_one_level_and_dropped_ones_lie_below(divergence, problem, beta):
    rewards, log_q, groups = problem
    log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence, groups=groups)
    level = multiplier(rewards, log_q, beta=beta, divergence=divergence, groups=groups)
    for g, label in enumerate(np.unique(groups)):
        own = groups == label
        for r, q, t, x in zip(
            *(each[..., own].reshape(-1, own.sum()) for each in (rewards, log_q, log_t)),
            level[..., g].reshape(-1),
            strict=True,
        ):
            reference = normalised(q)
            kept, dropped = stationarity(t, reference, r, beta, divergence)
            scale = 1 + np.abs(kept - r[np.isfinite(t)]).max()
            np.testing.assert_allclose(kept, x, rtol=1e-7, atol=1e-7 * scale)
            assert np.all(dropped <= x + 1e-9 * scale)


@each_divergence
@shared
@given(problem=problems(), beta=BETAS)
def test_grouped_result_is_that_of_each_group_alone(divergence, problem, beta):
    rewards, log_q, groups = problem
    options = {"beta": beta, "divergence": divergence}
    policy = optimal_policy(rewards, log_q, groups=1000 - 7 * groups, **options)
    value = optimal_value(rewards, log_q, groups=groups, **options)
    level = multiplier(rewards, log_q, groups=groups, **options)
    for g, label in enumerate(np.unique(groups)):
        own = groups == label
        r, q = rewards[..., own], log_q[..., own]
        alone = optimal_policy(r, q, **options)
        np.testing.assert_allclose(np.exp(policy[..., own]), np.exp(alone), rtol=1e-9, atol=1e-12)
        for whole, function in ((value, optimal_value), (level, multiplier)):
            np.testing.assert_allclose(
                whole[..., g], function(r, q, **options), rtol=1e-9, atol=1e-9
            )


@each_divergence
@shared
@given(problem=problems(), beta=BETAS, seed=SEEDS, shift=st.floats(-50, 50))
def test_permutation_shift_scale_and_normalisation_change_nothing(
    divergence, problem, beta, seed, shift
):
    rewards, log_q, groups = problem
    t = np.exp(optimal_policy(rewards, log_q, beta=beta, divergence=divergence, groups=groups))
    order = np.random.default_rng(seed).permutation(groups.size)
    for r, q, b, where, expected in (
        (rewards[..., order], log_q[..., order], beta, groups[order], t[..., order]),
        (np.round(rewards, 3) + shift, log_q, beta, groups, None),
        (rewards * 3, log_q, beta * 3, groups, t),
        (rewards, log_q + shift, beta, groups, t),
    ):
        if expected is None:  # a shift may round: compare with what it rounds to
            expected = optimal_policy(r - shift, q, beta=b, divergence=divergence, groups=where)
            expected = np.exp(expected)
            if divergence is TV:
                continue  # rounding decides ties
        other = optimal_policy(r, q, beta=b, divergence=divergence, groups=where)
        np.testing.assert_allclose(np.exp(other), expected, rtol=1e-7, atol=1e-9)


@each_divergence
@shared
@given(problem=problems(), beta=st.sampled_from([1e-6, 0.1, 1.0, 1e6]))
def test_equal_rewards_keep_the_reference(divergence, problem, beta):
    _, log_q, groups = problem
    rewards = np.full_like(log_q, 3.7)
    log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence, groups=groups)
    np.testing.assert_allclose(log_t, log_q, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl"])
@given(problem=problems(), beta=BETAS)
def test_equal_rewards_keep_the_ratio_of_the_reference_among_unequal_ones(
    divergence, problem, beta
):
    rewards, log_q, _ = problem
    rewards = np.round(rewards / 3)
    log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence)
    live = np.isfinite(log_q)
    gap = np.where(live, log_t, 0) - np.where(live, log_q, 0)
    for level in np.unique(rewards):
        same = live & (rewards == level)
        low = np.where(same, gap, np.inf).min(-1)
        high = np.where(same, gap, -np.inf).max(-1)
        assert np.all((high - low)[same.any(-1)] <= 1e-9)


@each_divergence
@shared
@given(problem=problems())
def test_limits_of_the_strength(divergence, problem):
    rewards, log_q, _ = problem
    rewards = np.round(rewards)
    log_q = np.where(np.isfinite(log_q), np.maximum(log_q, -6), log_q)
    strong = optimal_policy(rewards, log_q, beta=1e9, divergence=divergence)
    np.testing.assert_allclose(np.exp(strong), np.exp(normalised(log_q)), rtol=1e-6, atol=1e-9)
    weak = np.exp(optimal_policy(rewards, log_q, beta=1e-9, divergence=divergence))
    best = np.where(np.isfinite(log_q), rewards, -np.inf)
    best = best == best.max(-1, keepdims=True)
    slack = 0.1 if divergence.name == "alpha(-3.0)" else 1e-3  # beta^(1 / (1 - alpha)) is left
    assert np.all(np.where(best, weak, 0.0).sum(-1) >= 1 - slack)


@each_divergence
@shared
@given(problem=problems(), beta=BETAS)
def test_better_outcomes_gain_at_least_as_much(divergence, problem, beta):
    rewards, log_q, _ = problem
    live = np.isfinite(log_q)
    log_t = optimal_policy(rewards, log_q, beta=beta, divergence=divergence)
    gap = np.where(live, log_t - np.where(live, log_q, 0), np.nan)
    better = (rewards[..., :, None] > rewards[..., None, :]) & live[..., :, None]
    better &= live[..., None, :]
    rise = np.exp(gap[..., :, None]) - np.exp(gap[..., None, :]) * (1 - 1e-9)
    assert np.all(rise[better] >= -1e-9)


@each_divergence
def test_float32_is_close_and_stays_float32(divergence):
    rng = np.random.default_rng(8)
    rewards, log_q = np.float32(rng.normal(size=(20, 9))), np.float32(rng.normal(size=(20, 9)))
    expected = optimal_policy(
        rewards.astype(float), log_q.astype(float), beta=0.5, divergence=divergence
    )
    actual = optimal_policy(rewards, log_q, beta=0.5, divergence=divergence)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


# Anchoring.


@each_divergence
@shared
@given(problem=problems(), beta=BETAS)
def test_substitution_is_flat_over_the_good_outcomes_under_every_divergence(
    divergence, problem, beta
):
    rewards, log_q, groups = problem
    found = anchor(rewards, log_q, threshold=0.0, groups=groups)
    log_t = optimal_policy(
        found.rewards, found.ref_log_probs, beta=beta, divergence=divergence, groups=groups
    )
    for label in np.unique(groups):
        own = np.where(found.good & (groups == label), np.exp(log_t), np.nan)
        own = own[~np.isnan(own).all(-1)]
        if own.size:
            high = np.nanmax(own, -1)
            np.testing.assert_allclose(np.nanmin(own, -1), high, rtol=1e-9, atol=1e-300)


@each_divergence
@shared
@given(batch=batches(), beta=BETAS)
def test_modes_are_equal_and_keep_their_proportions_under_every_divergence(divergence, batch, beta):
    rewards = np.nan_to_num(batch.rewards, nan=-3.0)  # below every threshold
    found = anchor(rewards, batch.ref_log_probs, threshold=batch.threshold, **batch.labels)
    options = {"beta": beta, "divergence": divergence, "groups": batch.groups}
    log_t = optimal_policy(found.rewards, found.ref_log_probs, **options)
    n = batch.groups.size
    rows = (x.reshape(-1, n) for x in (found.good, log_t, batch.ref_log_probs))
    labels = np.stack([batch.groups, batch.modes, batch.outputs])
    for good, log_p, log_q in zip(*rows, strict=True):
        masses = {}  # of each group's modes, over distinct outputs
        for group, mode in {(g, m) for g, m, _ in labels.T[good].tolist()}:
            inside = np.flatnonzero(good & (labels[0] == group) & (labels[1] == mode))
            inside = inside[np.unique(labels[2, inside], return_index=True)[1]]
            gained = log_p[inside] - log_q[inside]
            np.testing.assert_allclose(gained, gained[0], rtol=1e-9, atol=1e-9)
            masses.setdefault(group, []).append(np.logaddexp.reduce(log_p[inside]))
        for mass in masses.values():
            np.testing.assert_allclose(mass, mass[0], rtol=1e-9, atol=1e-9)


def test_augmented_rewards_are_flat_under_reverse_kl_only():
    rewards, log_q = np.array([0.0, 1.0, 1.0, 1.0]), np.log([0.5, 0.4, 0.09, 0.01])
    augmented = anchored_rewards(rewards, log_q, beta=0.1, threshold=1.0)
    t = np.exp(optimal_policy(augmented, log_q, beta=0.1))
    np.testing.assert_allclose(t[1:], t[1], rtol=1e-12)
    t = np.exp(optimal_policy(augmented, log_q, beta=0.1, divergence="forward_kl"))
    # L - r' is smallest where q is: the least likely good outcome gets the most.
    assert t[3] > t[2] > 0
    assert t[3] > 2 * t[1]


# Known answers.


def test_hand_calculations():
    # Forward KL, q = 1/2 twice, r = (0, 1), beta = 1: 1/(2L) + 1/(2(L - 1)) = 1 gives
    # 2L^2 - 4L + 1 = 0, L = 1 + sqrt(1/2); t = 1/(2L), 1/(2(L-1)).
    args = ([0.0, 1.0], np.log([0.5, 0.5]))
    level = 1 + math.sqrt(0.5)
    assert multiplier(*args, beta=1.0, divergence="forward_kl") == pytest.approx(level, rel=1e-12)
    t = np.exp(optimal_policy(*args, beta=1.0, divergence="forward_kl"))
    np.testing.assert_allclose(t, [0.5 / level, 0.5 / (level - 1)], rtol=1e-12)
    # Chi-squared, policy first: t = q (1 + (r - L) / (2 beta)), L = E_q[r] = 1/2: t = 3/8, 5/8;
    # value 5/8 - (1/64)/(1/2) * 2 = 9/16.
    t = np.exp(optimal_policy(*args, beta=1.0, divergence="reverse_chi_squared"))
    np.testing.assert_allclose(t, [3 / 8, 5 / 8], rtol=1e-12)
    value = optimal_value(*args, beta=1.0, divergence="reverse_chi_squared")
    assert value == pytest.approx(9 / 16, rel=1e-12)
    # beta = 1/4: 1 + 2 (r - L) reaches 0 for r = 0 at L = 1/2: all mass on the better one.
    log_t = optimal_policy(*args, beta=0.24, divergence="reverse_chi_squared")
    np.testing.assert_array_equal(log_t, [-np.inf, 0.0])
    # Reverse KL: L = V - beta, as f'(1) = 1.
    level = multiplier(*args, beta=1.0)
    assert level == pytest.approx(math.log((1 + math.e) / 2) - 1, rel=1e-12)


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl"])
@pytest.mark.parametrize("beta", [0.01, 1.0])
def test_figure_5_only_anchoring_is_flat_over_both_plateaus(divergence, beta):
    # 100 tokens, a smoothly decaying reference, reward 1 on two plateaus of 20.
    tokens = np.arange(100)
    log_q = normalised(-0.1 * tokens)
    likely, unlikely = (tokens >= 10) & (tokens < 30), (tokens >= 60) & (tokens < 80)
    rewards = np.where(likely | unlikely, 1.0, 0.0)
    plain = np.exp(optimal_policy(rewards, log_q, beta=beta, divergence=divergence))
    ratio = math.exp(5.0)  # 50 tokens apart: what the reference likes less stays less likely
    np.testing.assert_allclose(plain[likely], plain[unlikely] * ratio, rtol=1e-9)
    found = anchor(rewards, log_q, threshold=1.0)
    flat = np.exp(
        optimal_policy(found.rewards, found.ref_log_probs, beta=beta, divergence=divergence)
    )
    good = likely | unlikely
    np.testing.assert_allclose(flat[good], flat[10], rtol=1e-9)
    if beta == 0.01:
        assert plain[likely].sum() > 0.95
        assert flat[10] == pytest.approx(0.025, rel=0.01)  # 1 / 40: the figure reads about 0.02
    bad = flat[~good]
    np.testing.assert_allclose(bad / bad[0], np.exp(log_q[~good] - log_q[0]), rtol=1e-9)


def linear_program(rewards, log_q, beta):
    """The largest E_p[r] - beta TV(p, q), by scipy: variables p and d >= |p - q|."""
    n = len(rewards)
    q, eye = np.exp(log_q), np.eye(n)
    return -optimize.linprog(
        np.concatenate([-rewards, np.full(n, beta / 2)]),
        A_ub=np.block([[eye, -eye], [-eye, -eye]]),
        b_ub=np.concatenate([q, -q]),
        A_eq=np.concatenate([np.ones(n), np.zeros(n)])[None],
        b_eq=[1.0],
        bounds=(0, None),
    ).fun


@pytest.mark.parametrize("seed", range(10))
def test_total_variation_is_a_linear_program(seed):
    rng = np.random.default_rng(seed)
    rewards, log_q = rng.choice([0.0, 0.4, 0.9, 1.0], 6), normalised(rng.normal(size=6))
    beta = rng.uniform(0.05, 1.2)
    value = optimal_value(rewards, log_q, beta=beta, divergence=TV)
    assert value == pytest.approx(linear_program(rewards, log_q, beta), rel=1e-9)


def test_total_variation_moves_what_lies_beyond_beta_and_settles_ties():
    q = np.array([0.4, 0.3, 0.2, 0.1])
    # 0 is 1 below the best and leaves, 0.5 is exactly beta below and stays; the two best share the
    # 0.4 as 2 : 1.
    t = np.exp(optimal_policy([0.0, 0.5, 1.0, 1.0], np.log(q), beta=0.5, divergence=TV))
    np.testing.assert_allclose(t, [0.0, 0.3, 0.2 + 0.8 / 3, 0.1 + 0.4 / 3], rtol=1e-12)
    assert multiplier([0.0, 0.5, 1.0, 1.0], np.log(q), beta=0.5, divergence=TV) == 0.75
    np.testing.assert_allclose(
        optimal_policy([0.0, 0.5, 1.0, 1.0], np.log(q), beta=2.0, divergence=TV),
        np.log(q),
        rtol=1e-12,
    )


# Extremes.


@each_divergence
@pytest.mark.parametrize("beta", [1e-6, 1.0, 1e6])
def test_point_masses_forbidden_and_single_outcomes(divergence, beta):
    options = {"beta": beta, "divergence": divergence}
    for rewards, log_q, expected in (
        ([5.0, 9.0], [0.0, -np.inf], [0.0, -np.inf]),
        ([-np.inf, 9.0], [0.0, -3.0], [-np.inf, 0.0]),
        ([7e6], [-3.0], [0.0]),
    ):
        log_t = optimal_policy(rewards, log_q, **options)
        np.testing.assert_allclose(log_t, expected, atol=1e-15)


@each_divergence
@each_library
def test_nan_and_missing_mass_stay_in_their_group(to, divergence):
    rewards = to(np.array([[[1.0, np.nan, 1.0, 2.0, 5.0, 5.0]]] * 2))
    log_q = to(np.array([[[-1.0, -1.0, -np.inf, -np.inf, -1.0, -1.0]]] * 2))
    options = {"beta": 1.0, "divergence": divergence, "groups": [0, 0, 1, 1, 2, 2]}
    t = np.asarray(optimal_policy(rewards, log_q, **options))
    assert np.isnan(t[..., :4]).all()
    np.testing.assert_allclose(np.exp(t[..., 4:]), 0.5, rtol=1e-12)
    value = np.asarray(optimal_value(rewards, log_q, **options))
    assert np.isnan(value[..., 0]).all()
    assert np.all(value[..., 1] == -np.inf)
    assert np.isnan(np.asarray(multiplier(rewards, log_q, **options))[..., :2]).all()


@each_smooth
def test_the_mass_of_forbidden_outcomes_is_the_others_to_share(divergence):
    # Chi-squared, q = (.8, .1, .1), the first forbidden: .1 (2 + 1/2 - L) = 1, L = -7.5, and
    # t = .1 (1 + (r + 7.5)/2) = .475, .525. In general: one level, on a q that is not made to sum
    # to 1 again.
    rewards, log_q = np.array([-np.inf, 0.0, 1.0]), np.log([0.8, 0.1, 0.1])
    log_t = optimal_policy(rewards, log_q, beta=1.0, divergence=divergence)
    levels, _ = stationarity(log_t[1:], log_q[1:], rewards[1:], 1.0, divergence)
    assert levels[0] == pytest.approx(levels[1], rel=1e-9)
    if divergence.name == "reverse_chi_squared":
        np.testing.assert_allclose(np.exp(log_t), [0.0, 0.475, 0.525], rtol=1e-12)


@each_divergence
def test_where_all_is_forbidden_there_is_no_policy_and_no_warning(divergence):
    log_t = optimal_policy([-np.inf, -np.inf], [-1.0, -2.0], beta=1.0, divergence=divergence)
    assert np.isnan(log_t).all()


@each_divergence
def test_no_rows_are_fine(divergence):
    for function in (optimal_policy, optimal_value, multiplier):
        out = function(np.zeros((0, 3)), np.zeros((0, 3)), beta=1.0, divergence=divergence)
        assert out.shape[0] == 0


# Divergences of one's own.


@pytest.mark.parametrize("curvature", [None, lambda u: 1 / u**2])
@given(problem=problems(), beta=st.floats(0.3, 20.0))
def test_a_divergence_given_by_its_functions_has_the_optimum_of_the_built_in(
    curvature, problem, beta
):
    mine = Divergence(
        name="mine",
        generator=lambda u: -np.log(u),
        slope=lambda u: -1 / u,
        inverse_slope=lambda s: -1 / s,
        domain=(-np.inf, 0.0),
        at_zero=np.inf,
        curvature=curvature,
    )
    rewards, log_q, groups = problem
    for function in (optimal_policy, optimal_value, multiplier):
        expected, actual = (
            function(rewards, log_q, beta=beta, divergence=each, groups=groups)
            for each in ("forward_kl", mine)
        )
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


# Gradients.


@pytest.mark.parametrize(
    "divergence",
    SMOOTH,
    ids=lambda each: each.name,
)
def test_gradients_are_right(divergence):
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([[0.3, -0.2, 1.0, 0.1]], dtype=torch.float64, requires_grad=True)
    log_q = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64))
    log_q.requires_grad_()

    def whole(function, r, q):
        return function(r, q.log_softmax(-1), beta=1.5, divergence=divergence)

    def grouped(function, r, q):
        q = q.reshape(2, 2).log_softmax(0).reshape(1, 4)
        return function(r, q, beta=1.5, divergence=divergence, groups=[1, 0, 1, 0])

    for function in (optimal_policy, optimal_value):
        for call in (whole, grouped):
            assert torch.autograd.gradcheck(partial(call, function), (rewards, log_q))


@each_smooth
def test_gradient_of_the_value_is_the_policy_beside_outcomes_without_mass(divergence):
    torch = pytest.importorskip("torch")
    rewards = to_torch(np.array([0.3, -0.2, 1.0, 0.1])).requires_grad_()
    log_q = to_torch(np.array([np.log(0.4), np.log(0.6), -np.inf, -np.inf]))
    for groups in (None, [0, 0, 0, 1]):
        value = optimal_value(rewards, log_q, beta=0.5, divergence=divergence, groups=groups)
        (gradient,) = torch.autograd.grad(value.reshape(-1)[0], rewards)
        t = optimal_policy(rewards[:2], log_q[:2], beta=0.5, divergence=divergence).exp()
        torch.testing.assert_close(gradient, torch.cat([t.detach(), torch.zeros(2)]).double())


@pytest.mark.slow
def test_jit_vmap_and_grad_of_jax():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    rewards, log_q = to_jax(np.array([0.3, -0.2, 1.0, 0.1])), to_jax(np.log([0.4, 0.3, 0.2, 0.1]))
    for divergence in ("reverse_kl", "forward_kl", "reverse_chi_squared"):

        def policy(r, q, beta, divergence=divergence):
            return optimal_policy(r, q, beta=beta, divergence=divergence)

        expected = policy(np.asarray(rewards), np.asarray(log_q), 0.5)
        np.testing.assert_allclose(jax.jit(policy)(rewards, log_q, 0.5), expected, rtol=1e-9)
        many = jax.vmap(policy, in_axes=(0, None, None))(
            jax.numpy.stack([rewards, -rewards]), log_q, 0.5
        )
        np.testing.assert_allclose(many[0], expected, rtol=1e-9)

        def loss(r, policy=policy):
            return policy(r, log_q, 0.5)[0]

        eager, jitted = jax.grad(loss)(rewards), jax.jit(jax.grad(loss))(rewards)
        np.testing.assert_allclose(jitted, eager, rtol=1e-9)
        tensor = to_torch(np.array(rewards)).requires_grad_()
        first = policy(tensor, to_torch(np.array(log_q)), 0.5)[0]
        (expected,) = torch.autograd.grad(first, tensor)
        np.testing.assert_allclose(eager, expected, rtol=1e-9)


@pytest.mark.slow
def test_jit_with_groups_and_vmap_over_strengths():
    jax = pytest.importorskip("jax")
    rewards, log_q = to_jax(np.array([0.3, -0.2, 1.0, 0.1])), to_jax(np.log([0.4, 0.3, 0.2, 0.1]))
    arrays, groups = (np.asarray(rewards), np.asarray(log_q)), [0, 1, 0, 1]
    for divergence in ("reverse_kl", "squared_hellinger", "total_variation"):
        options = {"divergence": divergence, "groups": groups}
        for function in (optimal_policy, optimal_value, multiplier):
            jitted = jax.jit(lambda r, f=function, kw=options: f(r, log_q, beta=0.5, **kw))(rewards)
            np.testing.assert_allclose(jitted, function(*arrays, beta=0.5, **options), rtol=1e-9)

        def policy(beta, divergence=divergence):
            return optimal_policy(rewards, log_q, beta=beta, divergence=divergence)

        betas = np.array([0.3, 1.0])
        swept = optimal_policy(*arrays, beta=betas, divergence=divergence)
        np.testing.assert_allclose(jax.vmap(policy)(to_jax(betas)), swept, rtol=1e-9)
    modes = jax.jit(
        lambda r: anchored_rewards(
            r, log_q, beta=0.5, threshold=0.1, groups=groups, modes=["a", "b", "c", "a"]
        )
    )(rewards)
    expected = anchored_rewards(
        *arrays, beta=0.5, threshold=0.1, groups=groups, modes=["a", "b", "c", "a"]
    )
    np.testing.assert_allclose(modes, expected, rtol=1e-12)
    with pytest.raises(ArgumentError, match="groups must be known before JAX traces a function"):
        jax.jit(lambda g: optimal_policy(rewards, log_q, beta=0.5, groups=g))(to_jax(groups))


@each_smooth
def test_the_derivative_in_the_strength(divergence):
    torch = pytest.importorskip("torch")
    rewards, log_q = np.array([0.3, -0.2, 1.0]), np.log([0.5, 0.3, 0.2])
    beta = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    log_t = optimal_policy(to_torch(rewards), to_torch(log_q), beta=beta, divergence=divergence)
    derivative = [torch.autograd.grad(x, beta, retain_graph=True)[0].item() for x in log_t]
    step = 1e-5
    ends = optimal_policy(rewards, log_q, beta=[0.9 + step, 0.9 - step], divergence=divergence)
    np.testing.assert_allclose(derivative, (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


def test_gradient_of_the_value_under_total_variation():
    # q = (1/2, 1/2), r = (0, 1/10), beta = 1: nothing moves, V = E_q[r], dV/dq = r.
    torch = pytest.importorskip("torch")
    log_q = torch.log(torch.tensor([0.5, 0.5], dtype=torch.float64)).requires_grad_()
    rewards = torch.tensor([0.0, 0.1], dtype=torch.float64)
    value = optimal_value(rewards, log_q, beta=1.0, divergence=TV)
    (gradient,) = torch.autograd.grad(value, log_q)
    along = gradient[1] / 0.5 - gradient[0] / 0.5  # q2 up, q1 down
    assert along.item() == pytest.approx(0.1, rel=1e-9)


# Hard to resolve.


@each_divergence
@pytest.mark.parametrize("constant", [-2000.0, -746.0, -735.0, 700.0])
def test_any_constant_may_be_added_to_the_reference(divergence, constant):
    rewards, log_q = np.array([0.0, 1.0, 1.0]), np.array([-1.0, -1.0, -2.0])
    for groups in (None, [0, 1, 1]):
        options = {"beta": 0.5, "divergence": divergence, "groups": groups}
        for function in (optimal_policy, multiplier):
            actual = function(rewards, log_q + constant, **options)
            np.testing.assert_allclose(actual, function(rewards, log_q, **options), rtol=1e-9)


@pytest.mark.parametrize("name", ["forward_kl", "jensen_shannon"])
@pytest.mark.parametrize(
    ("rewards", "log_q", "beta"),
    [
        (
            [0.10740262467520238, 0.21150082103196804, 0.20049146225330855],
            [-10.291752960009518, -425.1366697675136, -3.391219058812567e-05],
            0.0015694927276376468,
        ),
        (
            [0.04347778964157609, 0.03347843426891714, 0.007600359587102374],
            [-397.6519291584928, -0.01452779952256833, -4.238946362338325],
            0.0002550445048606083,
        ),
    ],
)
def test_a_best_outcome_that_hardly_counts(name, rewards, log_q, beta):
    # Its pole is so close that the slope of all others drowns in its rounding.
    rewards, log_q = np.array(rewards), np.array(log_q)
    log_t = optimal_policy(rewards, log_q, beta=beta, divergence=name)
    expected = exact.exact_log_policy(FAMILIES[name], rewards, log_q, beta)
    assert exact.largest_error(log_t, expected)[0] <= 1e-9


@pytest.mark.parametrize("name", ["forward_kl", "jensen_shannon"])
def test_others_whose_slope_is_lost_beside_that_of_the_best(name):
    # The best has q = e^-212 and takes .97; the other 36 strengths below keeps .03, with a slope of
    # 1e-95 of the first one's. Taken from rounding, a slope makes steps that leave 3% of an error.
    for gap in np.linspace(30.0, 40.0, 41):
        rewards, log_q = np.array([0.0, gap]), np.array([0.0, -211.8])
        log_t = optimal_policy(rewards, log_q, beta=1.0, divergence=name)
        expected = exact.exact_log_policy(FAMILIES[name], rewards, log_q, 1.0)
        assert exact.largest_error(log_t, expected)[0] <= 1e-12
        assert np.exp(log_t).sum() == pytest.approx(1.0, abs=1e-12)


@each_smooth
def test_the_last_step_leaves_nothing(divergence):
    rng = np.random.default_rng(9)
    rewards, log_q = rng.normal(size=(2, 3000, 16))
    log_t = optimal_policy(rewards, 2 * log_q, beta=0.5, divergence=divergence)
    np.testing.assert_allclose(np.exp(log_t).sum(-1), 1.0, rtol=0, atol=1e-12)


def test_small_gaps_beside_a_small_unknown_under_jensen_shannon():
    # Unknown and gap are about 1e-10: of 1 - e^-d, taken as it stands, six digits are left.
    problem = np.array([0.0, -1.234e-10, -5.0]), np.array([-22.9, -23.5, -1e-10])
    log_t = optimal_policy(*problem, beta=1.0, divergence="jensen_shannon")
    expected = exact.exact_log_policy(FAMILIES["jensen_shannon"], *problem, 1.0)
    assert exact.largest_error(log_t, expected)[0] <= 1e-12


@pytest.mark.parametrize("alpha", [5.0, 7.0, 15.0])
def test_an_outcome_at_the_very_edge_of_a_steep_ratio(alpha):
    # Distances of 1e-18 and less decide: x - d has no digit of them.
    rng = np.random.default_rng(0)
    for _ in range(40):
        rewards, log_q = rng.normal(size=(2, 8))
        log_t = optimal_policy(rewards, log_q, beta=1.0, divergence=alpha_divergence(alpha))
        expected = exact.exact_log_policy(exact.power_family(alpha), rewards, log_q, 1.0)
        assert exact.largest_error(log_t, expected)[0] <= 1e-9


def test_a_best_outcome_that_lies_1e14_strengths_above():
    # Next to its distance of 1e14 the other one's has no digit left.
    rewards, log_q = np.array([1e14, 0.0]), np.array([math.log(1e-16), 0.0])
    log_t = optimal_policy(rewards, log_q, beta=1.0, divergence="reverse_chi_squared")
    expected = exact.exact_log_policy(FAMILIES["reverse_chi_squared"], rewards, log_q, 1.0)
    assert exact.largest_error(log_t, expected)[0] <= 1e-9


def test_a_best_outcome_beyond_the_smallest_floats():
    # Forward KL, t2 = beta q2 / (L - r2) with the level L at the best reward, 1: t2 = .1.
    log_t = optimal_policy([1.0, 0.0], [-1000.0, 0.0], beta=0.1, divergence="forward_kl")
    np.testing.assert_allclose(np.exp(log_t), [0.9, 0.1], rtol=1e-12)


def test_slopes_without_digits_give_no_policy():
    # Jensen–Shannon from its textbook formulas: at q = e^-50 the slope is log 2 to the last digit.
    mine = Divergence(
        name="textbook",
        generator=lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2),
        slope=lambda u: np.log(2 * u / (u + 1)),
        inverse_slope=lambda s: 1 / (2 * np.exp(-s) - 1),
        domain=(-np.inf, math.log(2)),
        at_zero=math.log(2),
    )
    assert np.isnan(optimal_policy([0.0, 1.0], [0.0, -50.0], beta=0.1, divergence=mine)).all()
    close = optimal_policy([0.0, 1.0], [0.0, -5.0], beta=0.1, divergence=mine)
    expected = optimal_policy([0.0, 1.0], [0.0, -5.0], beta=0.1, divergence="jensen_shannon")
    np.testing.assert_allclose(close, expected, rtol=1e-9)


# Tiles.


@each_divergence
def test_groups_of_very_different_size(divergence):
    # From one sample to more than a tile holds, in any order, in two rows: each group as if alone.
    rng = np.random.default_rng(0)
    sizes = [1, 1, 2, 3, 60, 75, 1000, 70_000]
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rewards, log_q = rng.normal(size=(2, 2, groups.size))
    log_t = optimal_policy(rewards, log_q, beta=0.5, divergence=divergence, groups=groups)
    for label in range(len(sizes)):
        own = groups == label
        np.testing.assert_allclose(np.exp(log_t[:, own]).sum(-1), 1.0, rtol=1e-9)
        alone = optimal_policy(rewards[:, own], log_q[:, own], beta=0.5, divergence=divergence)
        np.testing.assert_allclose(np.exp(log_t[:, own]), np.exp(alone), rtol=1e-9, atol=1e-15)


def test_more_groups_than_sixteen_bits_hold():
    # Pairs in any order, every one with rewards 0 and 1.
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(70_000), 2))
    rewards = np.argsort(np.argsort(groups, kind="stable"), kind="stable") % 2.0
    log_t = optimal_policy(
        rewards,
        np.full(groups.size, math.log(0.5)),
        beta=1.0,
        divergence="forward_kl",
        groups=groups,
    )
    pair = optimal_policy([0.0, 1.0], np.log([0.5, 0.5]), beta=1.0, divergence="forward_kl")
    np.testing.assert_allclose(log_t, pair[rewards.astype(int)], rtol=1e-12)


@each_divergence
def test_arguments_are_not_written_to(divergence):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(6, 5))
    for rewards, log_q in (
        (base.copy(), base.copy()),
        (np.asfortranarray(base), base[::-1]),
        (base[:, ::2], base[:, 1::1][:, :3]),
        (np.broadcast_to(base[0], (6, 5)), base),
        (base[0], base[1]),
    ):
        before = rewards.copy(), log_q.copy()
        rewards, log_q = rewards.view(), log_q.view()
        rewards.flags.writeable = log_q.flags.writeable = False
        log_t = optimal_policy(rewards, log_q, beta=0.5, divergence=divergence)
        assert np.array_equal(rewards, before[0])
        assert np.array_equal(log_q, before[1])
        expected = optimal_policy(*before, beta=0.5, divergence=divergence)
        np.testing.assert_allclose(np.exp(log_t), np.exp(expected), rtol=1e-12)


# Messages.


def test_all_problems_are_reported_at_once():
    for function in (optimal_policy, optimal_value, multiplier):
        with pytest.raises(ArgumentError) as caught:
            function(np.zeros(2), np.zeros(3), beta=0, divergence="forward", groups=[0.5, 1.5])
        problems_ = caught.value.problems
        assert [line.split()[0] for line in problems_] == [
            "rewards,",
            "beta",
            "divergence",
            "groups",
        ]
        assert problems_[2].endswith("got 'forward'; did you mean 'forward_kl'?")
        with pytest.raises(ShapeError, match="must have a sample on the last axis"):
            function([], [], beta=1.0, divergence="forward_kl")
