"""Strengths at which the optimum changes character: swaps of two outcomes, and lost diversity."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings

from polymode.core import (
    Divergence,
    alpha_divergence,
    effective_number_beta,
    optimal_policy,
    swap_beta,
    target_statistics,
)
from polymode.core.divergences import get_divergence
from polymode.errors import ArgumentError, ShapeError
from polymode.metrics import effective_number
from tests.libraries import each_library
from tests.strategies import SEEDS

# Exponent kappa and scale c of f' = c (u^kappa - 1) / kappa.
POWERS = {
    "forward_kl": (-1.0, 1.0),
    "reverse_chi_squared": (1.0, 2.0),
    "forward_chi_squared": (-2.0, 2.0),
    "squared_hellinger": (-0.5, 0.25),
    alpha_divergence(-3.0): (-4.0, 1.0),
    alpha_divergence(1.5): (0.5, 1.0),
    alpha_divergence(3.0): (2.0, 1.0),
}
SMOOTH = ["reverse_kl", "jensen_shannon", *POWERS]
ALL = [*SMOOTH, "total_variation"]


def a_few_batches(test):
    """Draw a few seeds, each for a whole batch: one scan serves all rows."""
    return settings(max_examples=3)(given(seed=SEEDS)(test))


def name_of(divergence):
    return divergence if isinstance(divergence, str) else divergence.name


each_divergence = pytest.mark.parametrize("divergence", ALL, ids=name_of)
each_smooth = pytest.mark.parametrize("divergence", SMOOTH, ids=name_of)


def random_problem(seed, *leading, n=5):
    """Rewards and a normalised reference in general position."""
    rng = np.random.default_rng(seed)
    rewards = rng.uniform(-1, 1, (*leading, n))
    log_q = rng.normal(size=(*leading, n)) * rng.choice([0.3, 2.0])
    return rewards, log_q - np.logaddexp.reduce(log_q, axis=-1, keepdims=True)


def policies(rewards, log_q, strengths, divergence):
    """The optimum of each row at its own strength."""
    return np.exp(optimal_policy(rewards, log_q, beta=strengths, divergence=divergence))


# Swaps.


@each_smooth
@a_few_batches
def test_a_swap_makes_two_outcomes_equal_and_parts_the_strengths(divergence, seed):
    rewards, log_q = random_problem(seed, 40)
    beta = swap_beta(rewards, log_q, pair=(0, 1), divergence=divergence)
    rises = rewards[:, 0] < rewards[:, 1]
    contested = rises == (log_q[:, 0] > log_q[:, 1])
    assert np.isnan(beta[~contested]).all()
    third_is_best = rewards.argmax(-1) > 1
    assert np.isfinite(beta[contested & ~third_is_best]).all()
    found = np.isfinite(beta)
    order = np.where(rises[:, None], [[0, 1]], [[1, 0]])  # the likelier under the reference first

    def pair_at(strengths):  # in logarithms: either may have less than 1e-308
        log_t = optimal_policy(rewards, log_q, beta=strengths, divergence=divergence)
        return np.take_along_axis(log_t, order, axis=-1).T

    likely, better = pair_at(np.where(found, beta, 1.0))
    np.testing.assert_allclose(likely[found], better[found], rtol=1e-10, atol=1e-8)
    for factor in (1.01, 3.0, 100.0):
        likely, better = pair_at(np.where(found, beta * factor, 1.0))
        assert np.all((likely > better)[found])
        likely, better = pair_at(np.where(found, beta / factor, 1.0))
        assert np.all(((better > likely) | (better == -np.inf))[found])
    for strength in (1e-2, 1.0, 100.0):
        likely, better = pair_at(np.full(40, strength))
        assert np.all((likely > better)[contested & ~found])


def exact_swap(kappa, scale, rewards, log_q):
    """The swap of the first two outcomes, and their mass there, to 50 digits; None without one.

    With f' = c (u^kappa - 1) / kappa the optimum is u^kappa = y, y_i = (kappa / c beta) (M + r_i).
    At a swap y_1 / y_2 = (q_2 / q_1)^kappa = rho, hence M; that t sums to 1 gives beta. For
    kappa < 0 there is one only if y is positive for all outcomes.
    """
    with mpmath.workdps(50):
        kappa, r = mpmath.mpf(kappa), [mpmath.mpf(each) for each in rewards.tolist()]
        q = [mpmath.exp(each) for each in log_q.tolist()]
        q = [each / mpmath.fsum(q) for each in q]
        rho = (q[1] / q[0]) ** kappa
        shift = (rho * r[1] - r[0]) / (1 - rho)
        y = [kappa * (shift + each) for each in r]
        if (q[0] - q[1]) * (r[0] - r[1]) > 0 or (kappa < 0 and min(y) <= 0):
            return None
        weights = [a * b ** (1 / kappa) if b > 0 else 0 for a, b in zip(q, y, strict=True)]
        total = mpmath.fsum(weights)
        return float(total**kappa / scale), float(weights[0] / total)


@pytest.mark.parametrize(
    ("divergence", "power"), POWERS.items(), ids=[name_of(each) for each in POWERS]
)
def test_swaps_of_the_alpha_family_have_a_closed_form(divergence, power):
    rewards, log_q = random_problem(0, 100)
    beta = swap_beta(rewards, log_q, pair=(0, 1), divergence=divergence)
    n_compared = 0
    for row in range(100):
        expected = exact_swap(*power, rewards[row], log_q[row])
        if expected is None:
            assert np.isnan(beta[row])
        elif expected[1] > 1e-6 * np.exp(log_q[row, :2].min()):
            assert beta[row] == pytest.approx(expected[0], rel=1e-11)
            n_compared += 1
    assert n_compared > 10


@each_smooth
@a_few_batches
def test_a_pair_alone_swaps_at_half_its_mass(divergence, seed):
    # t_1 = t_2 = 1/2: beta = (r_1 - r_2) / (f'(1 / 2 q_1) - f'(1 / 2 q_2)) for every divergence.
    rewards, log_q = random_problem(seed, 40, n=2)
    beta = swap_beta(rewards, log_q, pair=(0, 1), divergence=divergence)
    slopes = get_divergence(divergence).slope(0.5 / np.exp(log_q))
    expected = np.diff(rewards)[:, 0] / np.diff(slopes)[:, 0]
    np.testing.assert_allclose(beta, np.where(expected > 0, expected, np.nan), rtol=1e-9)


def test_figure_2():
    # 0.25 / 1.9 = 0.1316, in either order, beside any third outcome.
    for pair in ((0, 1), (1, 0), (-3, 1)):
        beta = swap_beta([0.75, 1.0, 7.0], [-4.05, -5.95, 0.0], pair=pair)
        assert beta == pytest.approx(0.25 / 1.9, rel=1e-12)
    assert round(float(beta), 3) == 0.132


def test_under_the_forward_kl_a_better_third_outcome_may_forestall_the_swap():
    # q = .6, .3, .1, r_3 = 1: t_1 / t_2 tends to 2 (1 - r_2) / (1 - r_1), 1.2 for r = 0, 0.4
    # and 0.8 for r = 0, 0.6. Swap there: (L - r_1) / (L - r_2) = 2, L = 1.2,
    # 1 / beta = .6 / 1.2 + .3 / .6 + .1 / .2 = 1.5.
    log_q = np.log([0.6, 0.3, 0.1])
    options = {"pair": (0, 1), "divergence": "forward_kl"}
    assert np.isnan(swap_beta([0.0, 0.4, 1.0], log_q, **options))
    assert swap_beta([0.0, 0.6, 1.0], log_q, **options) == pytest.approx(2 / 3, rel=1e-10)
    assert swap_beta([0.0, 0.4, 1.0], log_q, pair=(0, 1)) == pytest.approx(0.4 / math.log(2))


def test_total_variation_swaps_in_a_jump():
    # The likelier one keeps its mass until beta falls below its distance to the best, 1.
    log_q = np.log([0.6, 0.3, 0.1])
    beta = swap_beta([0.0, 0.4, 1.0], log_q, pair=(0, 1), divergence="total_variation")
    assert beta == pytest.approx(1.0, rel=1e-10)


def wavy_divergence(a=0.95, omega=20.0):
    """f' = log u + a sin(omega log u) / omega: log-ratios rise and fall along a sweep."""

    def inverse_slope(s):
        low, high = s - 1.0, s + 1.0
        for _ in range(60):
            middle = (low + high) / 2
            above = middle + a * np.sin(omega * middle) / omega > s
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.exp(low)

    return Divergence(
        name="wavy",
        generator=lambda u: 0.0 * u,  # no optimum needs it
        slope=lambda u: np.log(u) + a * np.sin(omega * np.log(u)) / omega,
        inverse_slope=inverse_slope,
        domain=(-np.inf, np.inf),
        at_zero=0.0,
        curvature=lambda u: (1 + a * np.cos(omega * np.log(u))) / u,
    )


def test_of_several_swaps_the_largest_strength_counts():
    wavy = wavy_divergence()
    rewards, log_q = np.array([0.0, 0.1, 1.0]), np.array([math.pi / 20, 0.0, 0.0])
    betas = np.geomspace(10, 0.1, 2000)
    ahead = np.greater(*policies(rewards, log_q, betas, wavy)[:, :2].T)
    swaps = betas[1:][ahead[1:] != ahead[:-1]]
    assert len(swaps) >= 3
    beta = swap_beta(rewards, log_q, pair=(0, 1), divergence=wavy)
    assert swaps[0] <= beta <= swaps[0] * (betas[0] / betas[1])


@each_divergence
def test_many_pairs_rows_and_groups_are_those_alone(divergence):
    rewards, log_q = random_problem(3, 4, n=7)
    groups = np.array([5, 2, 5, 2, 2, 5, 5])
    first, second = np.array([0, 1, 2, 5]), np.array([2, 3, 6, 0])
    options = {"divergence": divergence}
    found = swap_beta(rewards, log_q, pair=(first, second), groups=groups, **options)
    assert found.shape == (4, 4)
    assert np.isfinite(found).sum() >= 4
    assert np.isnan(found).any()
    for m, (i, j) in enumerate(zip(first, second, strict=True)):
        own = np.flatnonzero(groups == groups[i])
        pair = tuple(int(np.flatnonzero(own == each)[0]) for each in (i, j))
        alone = swap_beta(rewards[:, own], log_q[:, own], pair=pair, **options)
        np.testing.assert_allclose(found[:, m], alone, rtol=1e-9)


@each_divergence
def test_swaps_scale_with_the_rewards_and_ignore_their_level(divergence):
    rewards, log_q = random_problem(1, 30)
    options = {"pair": (0, 1), "divergence": divergence}
    beta = swap_beta(rewards, log_q, **options)
    assert 3 < np.isfinite(beta).sum() < 27
    for other in (
        swap_beta(rewards * 1e4, log_q, **options) / 1e4,
        swap_beta(rewards + 16, log_q, **options),
        swap_beta(rewards, log_q - 7, **options),
    ):
        np.testing.assert_allclose(other, beta, rtol=1e-9)


@each_divergence
def test_pairs_that_never_swap(divergence):
    def swap(rewards, probabilities):
        log_q = np.where(
            np.array(probabilities) > 0, np.log(np.maximum(probabilities, 1e-9)), -np.inf
        )
        return swap_beta(rewards, log_q, pair=(0, 1), divergence=divergence)

    assert np.isnan(swap([1.0, 1.0, 0.0], [0.5, 0.3, 0.2]))  # equal rewards
    assert np.isnan(swap([1.0, 0.5, 0.0], [0.4, 0.4, 0.2]))  # equal references
    assert np.isnan(swap([1.0, 0.5, 0.0], [0.5, 0.3, 0.2]))  # the likelier one is the better
    assert np.isnan(swap([0.5, 1.0, 0.0], [0.5, 0.0, 0.5]))  # out of reach
    assert np.isnan(swap([0.5, 1.0, 0.0], [0.0, 0.0, 1.0]))
    assert np.isnan(swap([-np.inf, 1.0, 0.0], [0.5, 0.3, 0.2]))  # forbidden
    assert np.isnan(swap([-np.inf, -np.inf, 0.0], [0.5, 0.3, 0.2]))
    assert np.isnan(swap([np.nan, 1.0, 0.0], [0.5, 0.3, 0.2]))  # without a reward
    assert np.isfinite(swap([0.5, 1.0, 2.0], [0.5, 0.3, 0.0]))  # a third one without mass
    assert np.isfinite(swap([0.5, 1.0, -np.inf], [0.6, 0.3, 0.1]))


@each_divergence
@pytest.mark.parametrize("gap", [1e-6, 1e6])
@pytest.mark.parametrize("bias", [1e-6, 200.0])
def test_swaps_at_the_ends_of_the_scale(divergence, gap, bias):
    # A pair alone: the law of half the mass, or the jump of total variation at the gap.
    log_q = np.array([0.0, -bias])
    log_q -= np.logaddexp.reduce(log_q)
    beta = swap_beta([0.0, gap], log_q, pair=(0, 1), divergence=divergence)
    if divergence == "total_variation":
        assert beta == pytest.approx(gap, rel=1e-10)
        return
    slopes = get_divergence(divergence).slope(0.5 / np.exp(log_q))
    expected = gap / (slopes[1] - slopes[0])
    if expected > 1e-100 * gap:
        assert beta == pytest.approx(expected, rel=1e-6)
    else:
        assert np.isnan(beta)


# Effective numbers.


@each_smooth
@pytest.mark.parametrize(
    ("order", "good"), [(0.5, False), (1, False), (1, True), (2, True), (math.inf, True)]
)
@a_few_batches
def test_at_the_found_strength_the_effective_number_is_k(divergence, order, good, seed):
    rewards, log_q = random_problem(seed, 20)
    k = np.random.default_rng(seed).uniform(1.05, 3.0)
    if np.isfinite(get_divergence(divergence).domain[0]):
        order = max(order, 1)  # lower ones dip too shortly where an outcome is about to be dropped
    options = {"divergence": divergence, "order": order, "threshold": 0.0 if good else None}
    beta = effective_number_beta(rewards, log_q, k=k, **options)
    counts = (rewards >= 0) | (not good)

    def number(strengths):
        t = policies(rewards, log_q, strengths, divergence) * counts
        t = t / t.sum(-1, keepdims=True)
        with np.errstate(divide="ignore"):
            return effective_number(np.log(t), order=order)

    missing = ~counts.any(-1)
    np.testing.assert_array_equal(np.isnan(beta), missing)
    counts[missing] = True  # of no consequence
    for strength in np.geomspace(1e4, 1e-2, 40):
        number_here = number(np.full(20, strength))
        assert np.all(number_here[strength > beta * 1.01] >= k - 1e-9)
    found = (beta > 0) & (beta < np.inf)
    np.testing.assert_allclose(number(np.where(found, beta, 1.0))[found], k, rtol=0, atol=1e-8)
    assert np.all(number(np.where(found, beta * (1 - 1e-6), 1.0))[found] < k)
    assert np.all(number(np.full(20, 1e6 * np.ptp(rewards)))[beta == np.inf] < k)


def test_figure_4_the_ratio_of_the_reference_stays_at_every_strength():
    # 15 : 1 has an effective number of exp(H(15/16)) = 1.2634 at every strength.
    args = ([0.0, 1.0, 1.0], np.log([0.68, 0.30, 0.02]))
    for divergence in ("reverse_kl", "forward_kl"):
        options = {"threshold": 1.0, "divergence": divergence}
        assert effective_number_beta(*args, k=1.26, **options) == 0.0
        assert effective_number_beta(*args, k=1.27, **options) == np.inf
    # Over all outputs it falls from 1.98 to 1.2634, but only after it has risen to 2.26 and more.
    assert effective_number_beta(*args, k=1.26) == 0.0
    assert 0.1 < effective_number_beta(*args, k=1.9) < 1.0


def test_figure_3_two_good_outputs_with_a_gap_of_a_tenth():
    # Equal reference: odds exp(0.1 / beta). Order infinity: 1 / max = 1 + exp(-0.1 / beta) is k at
    # beta = -0.1 / log(k - 1); order 2: with x = exp(-0.1 / beta), (1 + x)^2 / (1 + x^2) = 1.6 at
    # x = 1/3: beta = 0.1 / log 3.
    args, good = ([0.0, 0.9, 1.0], np.log([1 / 3] * 3)), {"threshold": 0.9}
    beta = effective_number_beta(*args, k=1.25, order=math.inf, **good)
    assert beta == pytest.approx(0.1 / math.log(4), rel=1e-10)
    beta = effective_number_beta(*args, k=1.6, order=2, **good)
    assert beta == pytest.approx(0.1 / math.log(3), rel=1e-10)


def test_a_policy_that_broadens_first_is_followed_to_where_it_narrows_again():
    # q = .99 for the worse one: the number rises to 2 at the swap and falls afterwards, through
    # odds 99 : 1 of the better one at twice the bias.
    log_q = np.log([0.99, 0.01])
    k = float(effective_number(log_q)) - 1e-9
    beta = effective_number_beta([0.0, 1.0], log_q, k=k)
    assert beta == pytest.approx(0.5 / math.log(99), rel=1e-6)
    assert effective_number_beta([0.0, 1.0], log_q, k=k + 1e-3) == np.inf


def test_jumps():
    # Chi-squared drops the worse of two at beta = 1/4 (tests of targets), total variation at 1.
    args = ([0.0, 1.0], np.log([0.5, 0.5]))
    for divergence, expected in (("reverse_chi_squared", 0.25), ("total_variation", 1.0)):
        beta = effective_number_beta(*args, k=1.5, order=0, divergence=divergence)
        assert beta == pytest.approx(expected, rel=1e-6)
    # Reverse KL never drops anything.
    assert effective_number_beta(*args, k=1.5, order=0) == 0.0


@each_divergence
def test_groups_rows_and_modes_are_those_alone(divergence):
    rewards, log_q = random_problem(5, 3, n=9)
    groups = np.array([4, 1, 4, 1, 1, 4, 4, 1, -2])
    modes = np.array(["a", "a", "a", "b", "c", "b", "c", "a", "a"], dtype=object)
    for labels in ({}, {"modes": modes}):
        options = {"k": 1.4, "threshold": -0.5, "divergence": divergence}
        found = effective_number_beta(rewards, log_q, groups=groups, **labels, **options)
        assert found.shape == (3, 3)
        for g, label in enumerate(np.unique(groups)):
            own = groups == label
            mine = {"modes": modes[own]} if labels else {}
            for row in range(3):
                alone = effective_number_beta(rewards[row, own], log_q[row, own], **mine, **options)
                np.testing.assert_allclose(found[row, g], alone, rtol=1e-9)


def test_modes_are_what_is_counted():
    # Ten equal phrasings of one answer and one of another, better by 0.1.
    rewards, log_q = np.array([0.9] * 10 + [1.0]), np.log(np.full(11, 1 / 11))
    modes = [0] * 10 + [1]
    beta = effective_number_beta(rewards, log_q, k=1.9, modes=modes)
    pair = effective_number_beta([0.9, 1.0], np.log([10 / 11, 1 / 11]), k=1.9)
    assert beta == pytest.approx(float(pair), rel=1e-10)
    stats = target_statistics(rewards, log_q, beta=0.03, threshold=0.5, modes=modes)
    swap = swap_beta([0.9, 1.0], np.log([10 / 11, 1 / 11]), pair=(0, 1))
    assert swap == pytest.approx(0.1 / math.log(10), rel=1e-12)
    assert stats.effective_number_0 == 2.0


def test_nan_no_mass_and_no_good_output_stay_in_their_group():
    rewards = np.array([1.0, np.nan, 1.0, 2.0, 0.9, 1.0, -1.0, -2.0, 1.0, 1.0])
    log_q = np.log([0.5, 0.5, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.9, 0.1])
    log_q[2:4] = -np.inf
    groups = np.repeat(np.arange(5), 2)
    for divergence in ("reverse_kl", "forward_kl"):
        options = {"threshold": 0.0, "divergence": divergence, "groups": groups}
        found = effective_number_beta(rewards, log_q, k=1.8, **options)
        np.testing.assert_array_equal(np.isnan(found), [True, True, False, True, False])
        assert 0 < found[2] < np.inf
        assert found[4] == np.inf


def test_forbidden_and_terrible_outputs_leave_the_digits_of_the_good_ones():
    # The scan reaches the gap of the two best, however far down the worst reward lies.
    for worst in (-np.inf, -1e9):
        beta = effective_number_beta(
            [worst, 0.9, 1.0], np.log([0.2, 0.4, 0.4]), k=1.6, order=2, threshold=0.5
        )
        assert beta == pytest.approx(0.1 / math.log(3), rel=1e-6)


@each_library
def test_all_libraries_agree(to):
    rewards, log_q = random_problem(6, 2, n=6)
    groups, modes = [0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 2, 3]
    for divergence in ("reverse_kl", "forward_kl"):
        for function, options in (
            (swap_beta, {"pair": ([0, 1], [2, 3])}),
            (effective_number_beta, {"k": 1.3, "threshold": -0.5, "modes": modes}),
        ):
            options = options | {"groups": groups, "divergence": divergence}
            expected = function(rewards, log_q, **options)
            actual = function(to(rewards), to(log_q), **options)
            assert type(actual) is type(to(rewards))
            np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-9)


def test_dtype_is_kept():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16):
        r, log_q = torch.tensor([0.75, 1.0], dtype=dtype), torch.tensor([-4.0, -6.0], dtype=dtype)
        for divergence in ("reverse_kl", "forward_kl"):
            beta = swap_beta(r, log_q, pair=(0, 1), divergence=divergence)
            assert beta.dtype is dtype
            beta = effective_number_beta(r, log_q, k=1.5, divergence=divergence)
            assert beta.dtype is dtype
    beta = swap_beta(np.float32([0.75, 1.0]), np.float32([-4, -6]), pair=(0, 1))
    assert beta.dtype == np.float32
    assert swap_beta([0, 1], [0, -1], pair=(0, 1)).dtype == np.float64


def test_the_swap_under_reverse_kl_is_differentiable():
    torch = pytest.importorskip("torch")
    r = torch.tensor([0.75, 1.0, -torch.inf, 0.2], dtype=torch.float64, requires_grad=True)
    log_q = torch.tensor([-1.0, -2.0, -torch.inf, -1.5], dtype=torch.float64, requires_grad=True)
    pair = ([0, 2], [1, 3])
    beta = swap_beta(r, log_q, pair=pair)
    beta[0].backward()
    # beta = (r_2 - r_1) / (log q_1 - log q_2): 1 / bias, and -beta / bias
    torch.testing.assert_close(r.grad, torch.tensor([-1.0, 1.0, 0.0, 0.0]).double())
    torch.testing.assert_close(log_q.grad, torch.tensor([-0.25, 0.25, 0.0, 0.0]).double())
    assert torch.isnan(beta[1])


@each_divergence
def test_no_rows_are_fine(divergence):
    nothing = np.zeros((0, 3))
    assert swap_beta(nothing, nothing, pair=(0, 1), divergence=divergence).shape == (0,)
    assert effective_number_beta(nothing, nothing, k=2, divergence=divergence).shape == (0,)


# Messages.


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (3, "pair must be two integers, or two equally long sequences of them, got 3"),
        ((0,), "two integers"),
        ((0, 1.0), "two integers"),
        ((0, "b"), "two integers"),
        ((0, [1]), "two equally long sequences"),
        (([], []), "two equally long sequences"),
        ((0, 3), r"pair must hold positions below 3, the number of outcomes, got \(0, 3\)"),
        ((-4, 0), "positions below 3"),
        ((0, 2), r"pair must lie in one group, got \(0, 2\)"),
    ],
)
def test_bad_pairs_are_named(pair, message):
    with pytest.raises(ArgumentError, match=message):
        swap_beta(np.zeros(3), np.zeros(3), pair=pair, groups=[0, 0, 1])


def test_all_problems_are_reported_at_once():
    with pytest.raises(ArgumentError) as caught:
        swap_beta(np.zeros(2), np.zeros(3), pair=(0, 5), divergence="reverse-kl", groups=[0.5, 1.5])
    first_words = [line.split()[0] for line in caught.value.problems]
    assert first_words == ["rewards,", "pair", "divergence", "groups"]
    assert caught.value.problems[2].endswith("did you mean 'reverse_kl'?")
    with pytest.raises(ArgumentError) as caught:
        effective_number_beta(
            np.zeros(2),
            np.zeros(3),
            k=0,
            order=-1,
            threshold=np.nan,
            divergence="KL",
            groups=[0.5, 1.5],
            modes=[0.5, 1.5],
        )
    first_words = [line.split()[0] for line in caught.value.problems]
    assert first_words == ["rewards,", "k", "order", "threshold", "divergence", "groups", "modes"]
    with pytest.raises(ShapeError, match="must have a sample"):
        effective_number_beta([], [], k=2)
    with pytest.raises(ShapeError, match="must have a sample"):
        effective_number_beta(0.0, 0.0, k=2)
