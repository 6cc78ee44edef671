"""Reward shapers: one battery of laws for all of them, then each against its formula."""

import math
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import wrightomega

import polymode
from polymode.core import anchored_rewards, optimal_policy, shape, shaping
from polymode.errors import ArgumentError, ShapeError
from tests.libraries import given_in_each_library
from tests.strategies import BETAS, SEEDS, labelled_shapes


class Columns(NamedTuple):
    """A batch as every shaper takes it."""

    rewards: np.ndarray
    ref_log_probs: np.ndarray
    log_probs: np.ndarray
    groups: np.ndarray
    lengths: np.ndarray
    modes: np.ndarray

    @property
    def keywords(self):
        return dict(zip(self._fields[2:], self[2:], strict=True))

    def take(self, positions):
        return Columns(*(column[..., positions] for column in self))

    def to(self, convert):
        return Columns(*map(convert, self))

    def rows(self):
        """The batch row by row, without leading axes."""
        n = self.rewards.shape[-1]
        floats = {"rewards", "ref_log_probs", "log_probs", "lengths"}
        for i in range(self.rewards.size // n):
            pairs = zip(self._fields, self, strict=True)
            yield Columns(*(x.reshape(-1, n)[i] if name in floats else x for name, x in pairs))


@st.composite
def columns(draw, broken=True, few=False):
    """A batch with ties in log p, missing rewards, and logarithms of -inf and NaN if `broken`."""
    shape_, groups = draw(labelled_shapes(few=few))
    rng = np.random.default_rng(draw(SEEDS))
    rewards = rng.choice([-1.0, 0.0, 0.5, 1.0, 2.0, np.nan], shape_)
    # Ties in log q would leave the choice of the anchor to the order of the samples.
    logs = [rng.uniform(-20, 0, shape_), rng.integers(-20, 0, shape_).astype(float)]
    if broken and draw(st.booleans()):
        for column in logs:
            column[rng.random(shape_) < 0.2] = -np.inf
            column[rng.random(shape_) < 0.1] = np.nan
    lengths = rng.integers(1, 5, shape_).astype(float)
    modes = np.array([5, 7, 7, 5, 7, 9]) if few else rng.integers(0, 3, shape_[-1])
    return Columns(rewards, *logs, groups, lengths, modes)


def run(name, batch, **parameters):
    return shape(name, batch.rewards, batch.ref_log_probs, **batch.keywords, **parameters)


# The oracle: one group without leading axes, sample by sample, from the definition.


def there(x, *logs):
    """Positions that have a reward, and every logarithm that the method reads."""
    return [i for i in range(len(x.rewards)) if not any(np.isnan(c[i]) for c in (x.rewards, *logs))]


def naive_plain(x):
    return x.rewards


def naive_anchored(x, **parameters):
    return anchored_rewards(x.rewards, x.ref_log_probs, modes=x.modes, **parameters)


def naive_unlikeliness(x, threshold, strength=0.25):
    alive, out = there(x, x.log_probs), np.full(len(x.rewards), np.nan)
    for i in alive:
        above = sum(x.log_probs[j] > x.log_probs[i] for j in alive)
        ties = sum(x.log_probs[j] == x.log_probs[i] for j in alive)
        rank, size = above + (ties + 1) / 2, len(alive)
        factor = 1 - strength * (size - rank) / size if x.rewards[i] >= threshold else 1
        out[i] = x.rewards[i] * factor
    return out


def naive_differential_smoothing(x, threshold, correct, wrong=0.0):
    out = x.rewards + 0 * np.where(np.isinf(x.ref_log_probs), 0, x.ref_log_probs)
    for i in there(x, x.ref_log_probs):
        if x.ref_log_probs[i] > -np.inf:
            slope = -correct if x.rewards[i] >= threshold else wrong
            out[i] = x.rewards[i] + slope * x.ref_log_probs[i]
    return out


def naive_uniform_correct(x, threshold):
    alive, out = there(x, x.log_probs), np.full(len(x.rewards), np.nan)
    right = [i for i in alive if x.rewards[i] >= threshold and x.log_probs[i] > -np.inf]
    weight = {i: np.exp(-x.log_probs[i] / x.lengths[i]) for i in right}
    for i in alive:
        out[i] = x.rewards[i]
        if i in right:
            out[i] = weight[i] / sum(weight.values()) * sum(x.rewards[j] for j in right)
    return out


def naive_entropy_bonus(x, strength):
    out = np.full(len(x.rewards), np.nan)
    for i in there(x, x.log_probs):
        bonus = -strength * x.log_probs[i] if x.log_probs[i] > -np.inf else 0
        out[i] = x.rewards[i] + bonus
    return out


def naive_inverse_probability(x, floor=1e-6):
    alive, out = there(x), np.full(len(x.rewards), np.nan)
    for i in alive:
        frequency = sum(x.modes[j] == x.modes[i] for j in alive) / len(alive)
        out[i] = x.rewards[i] / max(frequency, floor)
    return out


def naive_uniqueness(x, exponent=1.0):
    alive, out = there(x), np.full(len(x.rewards), np.nan)
    for i in alive:
        out[i] = x.rewards[i] / sum(x.modes[j] == x.modes[i] for j in alive) ** exponent
    return out


def naive_dra(x):
    alive, out = there(x), np.full(len(x.rewards), np.nan)
    for i in alive:
        out[i] = x.rewards[i] / (1 + sum(x.modes[j] == x.modes[i] for j in alive if j != i))
    return out


def naive_pass_at_k(x, threshold, k, credit="sample", standardise=True):
    alive, out = there(x), np.full(len(x.rewards), np.nan)
    n, bad = len(alive), sum(x.rewards[i] < threshold for i in alive)
    if n < k:
        return out
    passes = 1 - math.comb(bad, k) / math.comb(n, k)
    scale = math.sqrt(passes * (1 - passes)) if standardise else 1
    for i in alive:
        others = math.comb(bad - 1, k - 1) / math.comb(n - 1, k - 1) if bad else 0
        gain = 1 - passes if x.rewards[i] >= threshold else 1 - passes - others
        out[i] = passes if credit == "group" else gain / scale if passes not in (0, 1) else 0
    return out


def naive_gapo(x, threshold, n_options=None, invalid=None):
    out = x.rewards.copy()
    valid = [i for i in there(x) if x.rewards[i] >= threshold]
    for i in set(there(x)) - set(valid):
        out[i] = out[i] if invalid is None else invalid
    for i in valid:
        frequency = sum(x.modes[j] == x.modes[i] for j in valid) / len(valid)
        options = n_options or len({x.modes[j] for j in valid})
        out[i] = 1 - frequency + 1 / options
    return out


def naive_best_of_n(x):
    alive, out = there(x), np.full(len(x.rewards), np.nan)
    out[alive] = 0
    best = [i for i in alive if x.rewards[i] == max(x.rewards[alive])]
    out[best] = len(alive) / max(1, len(best))
    return out


CASES = [
    ("plain", {}),
    ("anchored", {"beta": 0.3, "threshold": 0.5}),
    ("anchored", {"beta": 0.3, "threshold": 0.5, "strength": 0.4, "max_bonus": 0.2}),
    ("unlikeliness", {"threshold": 0.5}),
    ("unlikeliness", {"threshold": 0.5, "strength": 0.9}),
    ("differential_smoothing", {"threshold": 0.5, "correct": 0.1}),
    ("differential_smoothing", {"threshold": 0.5, "correct": 0.1, "wrong": 0.3}),
    ("uniform_correct", {"threshold": 0.5}),
    ("entropy_bonus", {"strength": 0.2}),
    ("inverse_probability", {}),
    ("inverse_probability", {"floor": 0.4}),
    ("uniqueness", {}),
    ("uniqueness", {"exponent": 0.5}),
    ("dra", {}),
    ("pass_at_k", {"threshold": 0.5, "k": 1}),
    ("pass_at_k", {"threshold": 0.5, "k": 3}),
    ("pass_at_k", {"threshold": 0.5, "k": 2, "standardise": False}),
    ("pass_at_k", {"threshold": 0.5, "k": 2, "credit": "group"}),
    ("gapo", {"threshold": 0.5}),
    ("gapo", {"threshold": 0.5, "n_options": 5}),
    ("gapo", {"threshold": 0.5, "invalid": -1}),
    ("best_of_n", {}),
]
every_shaper = pytest.mark.parametrize(
    ("name", "parameters"),
    CASES,
    ids=["-".join([name, *map(str, parameters)]) for name, parameters in CASES],
)


def test_the_battery_has_every_shaper_and_every_parameter():
    for name, function in shaping.SHAPERS.items():
        used = {key for case, parameters in CASES if case == name for key in parameters}
        known = set(function.__kwdefaults__ or {}) | set(function.__annotations__)
        known -= {"rewards", "ref_log_probs", "log_probs", "groups", "lengths", "modes", "return"}
        assert known - used <= {"outputs", "choice", "similarity"}, name  # these have tests below


@every_shaper
@given(batch=columns())
def test_naive_restatement(name, parameters, batch):
    actual = run(name, batch, **parameters)
    assert actual.shape == batch.rewards.shape
    naive = globals()[f"naive_{name}"]
    for row, found in zip(batch.rows(), actual.reshape(-1, batch.groups.size), strict=True):
        for label in np.unique(batch.groups):
            own = batch.groups == label
            expected = naive(row.take(own), **parameters)
            np.testing.assert_allclose(found[own], expected, rtol=1e-9, atol=1e-9)


@every_shaper
@given(batch=columns(), seed=SEEDS)
def test_permuted_samples_give_permuted_rewards(name, parameters, batch, seed):
    order = np.random.default_rng(seed).permutation(batch.groups.size)
    before, after = run(name, batch, **parameters), run(name, batch.take(order), **parameters)
    np.testing.assert_allclose(after, before[..., order], rtol=1e-9, atol=1e-9)


@every_shaper
@given(batch=columns())
def test_names_of_groups_and_modes_do_not_matter(name, parameters, batch):
    named = batch._replace(groups=5 - 3 * batch.groups, modes=[f"mode {m}" for m in batch.modes])
    expected = run(name, batch, **parameters)
    np.testing.assert_allclose(run(name, named, **parameters), expected, rtol=1e-9, atol=1e-9)


@every_shaper
@given(batch=columns())
def test_unscored_samples_might_as_well_not_be_there(name, parameters, batch):
    for row in batch.rows():
        kept = ~np.isnan(row.rewards)
        shaped = run(name, row, **parameters)
        assert np.isnan(shaped[~kept]).all()
        if kept.any():
            expected = run(name, row.take(kept), **parameters)
            np.testing.assert_allclose(shaped[kept], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("unlikeliness", "log_probs"),
        ("uniform_correct", "log_probs"),
        ("uniform_correct", "lengths"),
        ("entropy_bonus", "log_probs"),
    ],
)
def test_nor_those_without_a_column_that_the_method_needs(name, column):
    batch = Columns(
        np.array([1.0, 2.0, 0.0, 1.0]),
        np.array([-1.0, -2.0, -3.0, -1.5]),
        np.array([-2.0, -1.0, -4.0, -2.5]),
        np.zeros(4, int),
        np.array([1.0, 2.0, 3.0, 1.0]),
        np.zeros(4, int),
    )
    missing = getattr(batch, column).copy()
    missing[1] = np.nan
    parameters = next(parameters for case, parameters in CASES if case == name)
    shaped = run(name, batch._replace(**{column: missing}), **parameters)
    others = np.array([0, 2, 3])
    assert np.isnan(shaped[1])
    expected = run(name, batch.take(others), **parameters)
    np.testing.assert_allclose(shaped[others], expected, rtol=1e-12)


@every_shaper
@given(batch=columns())
def test_rewards_stay_finite_where_they_were(name, parameters, batch):
    shaped = run(name, batch, **parameters)
    assert not np.isinf(shaped).any()


@every_shaper
@given_in_each_library(batch=columns)
def test_all_libraries_agree(to, name, parameters, batch):
    expected = run(name, batch, **parameters)
    actual = run(name, batch.to(to), **parameters)
    assert type(actual) is type(to(expected))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-9, atol=1e-9)


@every_shaper
def test_dtypes_and_lists(name, parameters):
    rewards, logs, ones = [0, 1, 1], [-1.0, -2.0, -2.0], [1, 1, 1]
    keywords = {"log_probs": logs, "lengths": ones, "modes": ["a", "a", "b"], **parameters}
    wide = shape(name, rewards, logs, **keywords)
    assert wide.dtype == np.float64
    narrow = shape(name, rewards, np.float32(logs), **keywords)
    assert narrow.dtype == np.float32  # the other columns do not widen it
    np.testing.assert_allclose(narrow, wide, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [case for case in CASES if case[0] not in {"inverse_probability", "uniqueness", "dra", "gapo"}],
)
def test_values_are_never_looked_at(name, parameters):
    # Tensors of the device "meta" have no values: whatever needs one fails. (To count modes, their
    # labels have to be numbered first, which does wait for the device.)
    torch = pytest.importorskip("torch")
    column = torch.zeros(2, 3, device="meta")
    shaped = shape(name, column, column, log_probs=column, lengths=column, **parameters)
    assert shaped.device == column.device


@every_shaper
def test_functions_take_the_same_columns_as_their_names(name, parameters):
    batch = Columns(
        np.array([1.0, 0.0, 2.0, 1.0]),
        np.array([-1.0, -2.0, -3.0, -1.5]),
        np.array([-2.0, -1.0, -4.0, -2.5]),
        np.array([0, 0, 0, 1]),
        np.array([1.0, 2.0, 3.0, 1.0]),
        np.array([0, 1, 0, 1]),
    )
    function = getattr(shaping, name)
    direct = function(batch.rewards, batch.ref_log_probs, **batch.keywords, **parameters)
    np.testing.assert_array_equal(direct, run(name, batch, **parameters))
    assert name in shaping.__all__
    assert polymode.shape is shape


# Laws of single shapers.


@given(columns(broken=False))
def test_three_ways_to_count_modes(batch):
    # A frequency is a size over N, and a 0/1 similarity to the others is the size less 1.
    sizes = run("uniqueness", batch)
    np.testing.assert_allclose(run("dra", batch), sizes, rtol=1e-12)
    one_group = batch._replace(groups=np.zeros_like(batch.groups))
    n = (~np.isnan(batch.rewards)).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        run("inverse_probability", one_group), n * run("uniqueness", one_group), rtol=1e-12
    )
    np.testing.assert_array_equal(run("uniqueness", batch, exponent=0), batch.rewards)


@given(columns(broken=False))
def test_a_similarity_of_modes_is_that_of_the_default(batch):
    alike = (batch.modes[:, None] == batch.modes).astype(float)
    alike = np.broadcast_to(alike, (*batch.rewards.shape, batch.groups.size))
    np.testing.assert_allclose(
        run("dra", batch, similarity=alike), run("dra", batch), rtol=1e-12, atol=1e-12
    )


@given_in_each_library(batch=partial(columns, broken=False), seed=SEEDS)
def test_naive_restatement_of_a_general_similarity(to, batch, seed):
    alike = np.random.default_rng(seed).random((*batch.rewards.shape, batch.groups.size))
    actual = np.asarray(run("dra", batch.to(to), similarity=to(alike)))
    for index in np.ndindex(batch.rewards.shape):
        row, i = index[:-1], index[-1]
        others = [
            alike[(*row, i, j)]
            for j in range(batch.groups.size)
            if j != i and batch.groups[j] == batch.groups[i] and batch.rewards[(*row, j)] > -np.inf
        ]
        expected = batch.rewards[index] / (1 + sum(others))
        np.testing.assert_allclose(actual[index], expected, rtol=1e-9)


@given(columns())
def test_uniform_correct_keeps_the_sum_of_each_group(batch):
    shaped = run("uniform_correct", batch, threshold=0.5)
    scored = ~np.isnan(shaped)  # also without NaN in log p
    for label in np.unique(batch.groups):
        own = batch.groups == label
        sums = [np.where(scored[..., own], x[..., own], 0).sum(-1) for x in (shaped, batch.rewards)]
        np.testing.assert_allclose(*sums, rtol=1e-9, atol=1e-9)


@given(columns(), st.integers(1, 4), st.booleans())
def test_pass_at_k_advantages_sum_to_zero(batch, k, standardise):
    shaped = run("pass_at_k", batch, threshold=0.5, k=k, standardise=standardise)
    for label in np.unique(batch.groups):
        total = np.nansum(shaped[..., batch.groups == label], axis=-1)
        np.testing.assert_allclose(total, 0.0, atol=1e-9)


@given(columns(broken=False))
def test_what_is_wrong_keeps_its_reward(batch):
    wrong = ~(batch.rewards >= 0.5)
    for name in ("anchored", "unlikeliness", "uniform_correct", "gapo"):
        parameters = next(parameters for case, parameters in CASES if case == name)
        shaped = run(name, batch, **parameters)
        np.testing.assert_array_equal(shaped[wrong], batch.rewards[wrong])


# Implied optima under reverse KL.


def target(rewards, log_q, beta):
    return np.exp(optimal_policy(rewards, log_q, beta=beta))


@given(BETAS)
def test_differential_smoothing_of_strength_beta_is_flat_over_the_correct(beta):
    log_q = np.log([0.5, 0.3, 0.15, 0.05])
    shaped = shape(
        "differential_smoothing", [1, 0, 1, 1], log_q, threshold=1, correct=beta, wrong=0.1
    )
    t = target(shaped, log_q, beta)
    np.testing.assert_allclose(t[[2, 3]], t[0], rtol=1e-9)
    # t ∝ q^(1 - g_p/beta) e^(r/beta) = e^(1/beta), and q^(1 + g_n/beta) for the wrong one
    ratio = 0.3 ** (1 + 0.1 / beta) / np.exp(1 / beta)
    np.testing.assert_allclose(t[1] / t[0], ratio, rtol=1e-9)


@given(BETAS, st.floats(0.05, 5))
def test_the_entropy_bonus_is_stationary_where_it_promises(beta, strength):
    # At t ∝ q^(beta/(beta+eta)) e^(r/(beta+eta)), shaped reward less beta log(t/q) is constant.
    rewards, log_q = np.array([1.0, 0.0, 1.0]), np.log([0.7, 0.2, 0.1])
    log_t = (beta * log_q + rewards) / (beta + strength)
    log_t -= np.logaddexp.reduce(log_t)
    shaped = shape("entropy_bonus", rewards, log_q, log_probs=log_t, strength=strength)
    value = shaped - beta * (log_t - log_q)
    np.testing.assert_allclose(value, value[0], rtol=1e-9, atol=1e-9)


def test_unlikeliness_cannot_make_up_a_lead_of_the_reference():
    # b r / beta = .25 / .1 = 2.5 nats at most; the reference leads by log(.9/.01) = 4.5 nats.
    log_q, beta = np.log([0.9, 0.01, 0.09]), 0.1
    shaped = shape("unlikeliness", [1, 1, 0], log_q, log_probs=log_q, threshold=1)
    t = target(shaped, log_q, beta)
    assert np.log(t[0] / t[1]) >= np.log(90) - 2.5


def test_inverse_probability_pushes_nothing_where_modes_are_proportional_to_rewards():
    # p ∝ r in a group of 8: rewards 1, 3, 4 with 1, 3 and 4 samples. All get r/f = 8.
    modes = np.repeat([0, 1, 2], [1, 3, 4])
    rewards = np.repeat([1.0, 3.0, 4.0], [1, 3, 4])
    shaped = shape("inverse_probability", rewards, np.zeros(8), modes=modes)
    np.testing.assert_allclose(shaped, 8.0, rtol=1e-12)


def test_uniform_correct_pushes_every_correct_output_alike():
    # One token each, frequencies .5, .25, .25 as under p, all correct: every *output* earns in all
    # 2 * .5 = 4 * .25 * ... by hand: w = 2, 4, 4; sum over samples 2+2+4+4 = 12, mass 4.
    log_p = np.log([0.5, 0.5, 0.25, 0.25])
    shaped = shape(
        "uniform_correct", np.ones(4), log_p, log_probs=log_p, lengths=np.ones(4), threshold=1
    )
    np.testing.assert_allclose(shaped, np.array([2, 2, 4, 4]) * 4 / 12, rtol=1e-12)
    assert shaped[0] + shaped[1] == pytest.approx(shaped[2], rel=1e-12)


def test_pass_at_k_is_unbiased_for_the_gradient_of_pass_at_k():
    # One correct output of probability P = .3, groups of 4, k = 2. pass@2 = 1 - (1 - P)^2, and
    # d/dlogit = 2 (1 - P) P (1 - P) = .294; the mean of A dlog p/dlogit gives 1/k - 1/N of that.
    chance, k = 0.3, 2
    estimate = 0.0
    for right in product([0, 1], repeat=4):
        weight = np.prod([chance if x else 1 - chance for x in right])
        score = np.where(right, 1 - chance, -chance)
        advantages = shape(
            "pass_at_k", np.array(right), np.zeros(4), threshold=1, k=k, standardise=False
        )
        estimate += weight * np.mean(advantages * score)
    assert estimate == pytest.approx(0.294 * (1 / 2 - 1 / 4), rel=1e-12)


@given(BETAS)
def test_gapo_is_stationary_where_it_promises(beta):
    # Shares g = beta W(q exp(c / beta) / beta), W in logarithms; the rest by its own Gibbs form.
    log_q = np.log([0.5, 0.2, 0.01, 0.2, 0.09])
    g, c = gapo_shares(log_q[:3], beta)
    log_wrong = log_q[3:] + np.array([-1.0, 0.5]) / beta
    log_odds = (1 + 1 / 3 - c) / beta - np.logaddexp(*log_wrong)
    log_mass = -np.logaddexp(0, -log_odds)
    log_t = np.append(log_mass + np.log(g), log_wrong - np.logaddexp(*log_wrong))
    log_t[3:] -= np.logaddexp(0, log_odds)
    assert np.logaddexp.reduce(log_t) == pytest.approx(0, abs=1e-9)
    level = np.append(1 - g + 1 / 3, [-1.0, 0.5]) - beta * (log_t - log_q)
    np.testing.assert_allclose(level, level[0], rtol=1e-9, atol=1e-9)


def gapo_shares(log_q, beta):
    """Shares of the options under GAPO and reverse KL, and their constant."""

    def shares(c):
        return beta * wrightomega((c + beta * (log_q - math.log(beta))) / beta).real

    top = 1 + beta * np.abs(log_q).max()
    c = brentq(lambda c: shares(c).sum() - 1, -top, top, xtol=1e-15, rtol=1e-14)
    return shares(c), c


def test_gapo_pays_the_rarer_of_two_options_more():
    # .9 is .4 above 1/2, and .1 is .4 below.
    shaped = shape("gapo", np.ones(10), np.zeros(10), modes=[0] * 9 + [1], threshold=1)
    np.testing.assert_allclose(shaped, [0.6] * 9 + [1.4], rtol=1e-12)


def test_best_of_n_pays_what_best_of_n_draws_over_the_policy():
    # E[r'(y)] = (F_le^G - F_lt^G) / F_eq, here summed over all groups of 4 of five outputs. The
    # right side is written with masses; the left draws groups. Two outputs tie in the middle.
    p, rewards, size = np.array([0.1, 0.3, 0.2, 0.25, 0.15]), np.array([0, 1, 1, 2, 3]), 4
    paid = np.zeros(5)
    for others in product(range(5), repeat=size - 1):
        for y in range(5):
            drawn = [y, *others]
            shaped = shape("best_of_n", rewards[drawn], np.zeros(size))
            paid[y] += np.prod(p[list(others)]) * shaped[0]
    worse, up_to = (
        np.array([p[op(rewards, r)].sum() for r in rewards]) for op in (np.less, np.less_equal)
    )
    np.testing.assert_allclose(paid, (up_to**size - worse**size) / (up_to - worse), rtol=1e-12)
    # p times it is a distribution: that of the best of 4, ties broken by lot.
    assert (p * paid).sum() == pytest.approx(1, rel=1e-12)


@given(columns(broken=False))
def test_best_of_n_reads_the_order_of_rewards_and_pays_1_on_average(batch):
    shaped = run("best_of_n", batch)
    cubed = batch._replace(rewards=5 * batch.rewards**3 - 2)
    np.testing.assert_array_equal(run("best_of_n", cubed), shaped)
    for row, paid in zip(batch.rows(), shaped.reshape(-1, batch.groups.size), strict=True):
        for label in np.unique(batch.groups):
            own = paid[(batch.groups == label) & ~np.isnan(row.rewards)]
            if own.size:
                assert own.mean() == pytest.approx(1, rel=1e-12)
                # Leaving the sample out of its baseline stretches what a fixed sum leaves.
                expected = own.size / max(1, own.size - 1) * (own - 1)
                np.testing.assert_allclose(polymode.leave_one_out(own), expected, atol=1e-12)


# Known answers.


def test_hand_calculations():
    rewards, log_q = np.array([1.0, 1.0, 0.0, 1.0]), np.log([0.4, 0.2, 0.3, 0.1])
    log_p = np.log([0.5, 0.1, 0.3, 0.1])
    # Ranks under p: 1, 3.5, 2, 3.5 of 4. 1 - .5 (4 - 1)/4 = .625; 1 - .5 (.5)/4 = .9375.
    shaped = shape("unlikeliness", rewards, log_q, log_probs=log_p, threshold=1, strength=0.5)
    np.testing.assert_allclose(shaped, [0.625, 0.9375, 0.0, 0.9375], rtol=1e-12)
    # 1 - .1 log .4, 1 - .1 log .2, 0 + .2 log .3, 1 - .1 log .1
    shaped = shape("differential_smoothing", rewards, log_q, threshold=1, correct=0.1, wrong=0.2)
    np.testing.assert_allclose(shaped, [1.0916291, 1.1609438, -0.2407946, 1.2302585], rtol=1e-6)
    # w = 1/.5 = 2, sqrt(1/.1) = 3.1622777 (two tokens), 1/.1 = 10; the mass is 3.
    lengths = [1, 2, 1, 1]
    shaped = shape("uniform_correct", rewards, log_q, log_probs=log_p, lengths=lengths, threshold=1)
    total = 2 + math.sqrt(10) + 10
    expected = [6 / total, 3 * math.sqrt(10) / total, 0.0, 30 / total]
    np.testing.assert_allclose(shaped, expected, rtol=1e-12)
    # 1 - .5 log .5 = 1.3465736, 1 + .5 log 10 = 2.1512925, 0 - .5 log .3 = .6019864
    shaped = shape("entropy_bonus", rewards, log_q, log_probs=log_p, strength=0.5)
    np.testing.assert_allclose(shaped, [1.3465736, 2.1512925, 0.6019864, 2.1512925], rtol=1e-6)
    # Modes of 3 and 1: 1/(3/4), 1/(1/4); 1/3^.5
    modes = ["a", "a", "a", "b"]
    shaped = shape("inverse_probability", rewards, log_q, modes=modes)
    np.testing.assert_allclose(shaped, [4 / 3, 4 / 3, 0, 4], rtol=1e-12)
    shaped = shape("inverse_probability", rewards, log_q, modes=modes, floor=0.5)
    np.testing.assert_allclose(shaped, [4 / 3, 4 / 3, 0, 2], rtol=1e-12)
    shaped = shape("uniqueness", rewards, log_q, modes=modes, exponent=0.5)
    np.testing.assert_allclose(shaped, [1 / math.sqrt(3), 1 / math.sqrt(3), 0, 1], rtol=1e-12)
    # Valid: a twice, b once. 2/3 - 1/2 = 1/6, 1/3 - 1/2 = -1/6; of three options 1/3 and 0.
    shaped = shape("gapo", rewards, log_q, modes=modes, threshold=1)
    np.testing.assert_allclose(shaped, [5 / 6, 5 / 6, 0, 7 / 6], rtol=1e-12)
    shaped = shape("gapo", rewards, log_q, modes=modes, threshold=1, n_options=3, invalid=-1)
    np.testing.assert_allclose(shaped, [2 / 3, 2 / 3, -1, 1], rtol=1e-12)
    # Three of four share 4; in a group of their own, the first two share 2, the fourth takes 2.
    shaped = shape("best_of_n", rewards, log_q)
    np.testing.assert_allclose(shaped, [4 / 3, 4 / 3, 0, 4 / 3], rtol=1e-12)
    shaped = shape("best_of_n", rewards, log_q, groups=[0, 0, 1, 1])
    np.testing.assert_array_equal(shaped, [1, 1, 0, 2])


def test_hand_calculation_of_pass_at_k():
    # N = 5, N- = 3, k = 2: R = 1 - 3/10 = .7; s = sqrt(.21). Right: .3. Wrong: .3 - 2/4 = -.2.
    rewards, log_q = np.array([1.0, 0.0, 0.0, 1.0, 0.0]), np.zeros(5)
    shaped = shape("pass_at_k", rewards, log_q, threshold=1, k=2, standardise=False)
    np.testing.assert_allclose(shaped, [0.3, -0.2, -0.2, 0.3, -0.2], rtol=1e-12)
    scaled = shape("pass_at_k", rewards, log_q, threshold=1, k=2)
    np.testing.assert_allclose(scaled, shaped / math.sqrt(0.21), rtol=1e-12)
    group = shape("pass_at_k", rewards, log_q, threshold=1, k=2, credit="group")
    np.testing.assert_allclose(group, 0.7, rtol=1e-12)


def test_single_samples_and_groups_without_a_correct_sample():
    # Group 0 is one correct sample, group 1 one wrong one, group 2 is not scored, group 3 is wrong.
    rewards = np.array([1.0, 0.0, np.nan, 0.0, 0.0])
    groups, log_q = np.array([0, 1, 2, 3, 3]), np.full(5, -2.0)
    keywords = {
        "groups": groups,
        "log_probs": log_q,
        "lengths": np.ones(5),
        "modes": np.array([0, 0, 0, 0, 1]),
    }
    kept = {"plain", "unlikeliness", "uniform_correct", "inverse_probability", "uniqueness", "dra"}
    for name, parameters in CASES:
        shaped = shape(name, rewards, log_q, **keywords, **parameters)
        assert np.isnan(shaped[2])
        if name in kept:
            np.testing.assert_array_equal(shaped, rewards)
        elif name == "gapo" and "n_options" not in parameters:
            wrong = parameters.get("invalid", 0)
            np.testing.assert_array_equal(shaped, [1, wrong, np.nan, wrong, wrong])
        elif name == "best_of_n":
            np.testing.assert_array_equal(shaped, [1, 1, np.nan, 1, 1])
        elif parameters.get("k") == 2:
            expected = [np.nan] * 3 + [0.0, 0.0]
            np.testing.assert_array_equal(shaped, expected)


def test_anchored_passes_everything_on():
    rewards, log_q = np.array([0.0, 1.0, 2.0, 1.0]), np.log([0.4, 0.3, 0.2, 0.1])
    keywords = {
        "beta": 0.3,
        "threshold": 1.0,
        "groups": [0, 1, 1, 1],
        "modes": ["a", "b", "c", "c"],
        "outputs": [1, 2, 3, 3],
        "strength": 0.5,
        "max_bonus": 0.1,
        "choice": "most_likely",
    }
    expected = anchored_rewards(rewards, log_q, **keywords)
    np.testing.assert_array_equal(shape("anchored", rewards, log_q, **keywords), expected)


def test_gradients_are_right():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    log_q, log_p = torch.log(torch.rand(2, 5, dtype=torch.float64, generator=generator))
    rewards = torch.tensor([0.0, 1.0, 2.0, 1.5, 0.1], dtype=torch.float64, requires_grad=True)
    for name, parameters in CASES:
        if name in {"pass_at_k", "best_of_n"}:
            continue  # they only compare rewards
        keywords = {"lengths": torch.ones(5), "modes": [0, 0, 1, 0, 1], "groups": [0, 0, 0, 1, 1]}
        assert torch.autograd.gradcheck(
            lambda r, q, p, n=name, kw={**keywords, **parameters}: shape(
                n, r, q, log_probs=p, **kw
            ),
            (rewards, log_q.requires_grad_(), log_p.requires_grad_()),
        )


# Messages.


def test_unknown_names_suggest_known_ones():
    with pytest.raises(ArgumentError, match=r"^name must be 'plain' or .*'; did you mean 'gapo'"):
        shape("gappo", [1.0], [0.0])


HINT = "of 'uniform_correct', which has threshold; did you mean 'threshold'?"


def test_everything_that_is_missing_or_unknown_is_named_at_once():
    with pytest.raises(ArgumentError) as caught:
        shape("uniform_correct", np.zeros(2), np.zeros(3), thresh=1, groups=["a", "b"])
    assert list(caught.value.problems) == [
        "log_probs must be given: 'uniform_correct' needs this column",
        "lengths must be given: 'uniform_correct' needs this column",
        "threshold must be given: 'uniform_correct' needs this parameter",
        f"unknown parameter 'thresh' {HINT}",
        "rewards, ref_log_probs must have equal shapes, got rewards (2,), ref_log_probs (3,)",
        "groups must be integers, got dtype object",
    ]
    with pytest.raises(ArgumentError, match=r"^unknown parameter 'k' of 'plain', which has none$"):
        shape("plain", [1.0], [0.0], k=2)


def test_missing_columns_of_a_function():
    for name in ("unlikeliness", "entropy_bonus"):
        parameters = next(parameters for case, parameters in CASES if case == name)
        with pytest.raises(ArgumentError, match=r"^log_probs must be given, got None$"):
            getattr(shaping, name)([1.0], [0.0], log_probs=None, **parameters)
    with pytest.raises(ArgumentError, match=r"^modes must be given, got None$"):
        shaping.uniqueness([1.0], [0.0], modes=None)
    with pytest.raises(ArgumentError, match=r"^similarity or modes must be given, got None for bo"):
        shape("dra", [1.0], [0.0])


def test_bad_parameters():
    one = ([1.0], [0.0])
    with pytest.raises(ArgumentError, match=r"^strength must be a finite number >= 0, got -1$"):
        shape("entropy_bonus", *one, log_probs=[0.0], strength=-1)
    with pytest.raises(ArgumentError, match=r"^2 problems:\n  - correct must .*\n  - wrong must "):
        shape("differential_smoothing", *one, threshold=1, correct=np.nan, wrong="much")
    with pytest.raises(ArgumentError, match=r"^floor must be a finite number > 0, got 0$"):
        shape("inverse_probability", *one, modes=[0], floor=0)
    with pytest.raises(ArgumentError, match=r"^exponent must be a finite number >= 0, got -0.5$"):
        shape("uniqueness", *one, modes=[0], exponent=-0.5)
    for k in (0, 1.5, True):
        with pytest.raises(ArgumentError, match=rf"^k must be an integer >= 1, got {k}$"):
            shape("pass_at_k", *one, threshold=1, k=k)
    with pytest.raises(
        ArgumentError, match=r"^credit must be 'sample' or 'group', got 'groups'; d"
    ):
        shape("pass_at_k", *one, threshold=1, k=1, credit="groups")
    with pytest.raises(ArgumentError, match=r"^n_options must be an integer >= 1, got 0$"):
        shape("gapo", *one, modes=[0], threshold=1, n_options=0)
    with pytest.raises(ArgumentError, match=r"^invalid must be a finite number, got nan$"):
        shape("gapo", *one, modes=[0], threshold=1, invalid=math.nan)
    with pytest.raises(ArgumentError, match=r"^threshold must be finite, got nan$"):
        shape("unlikeliness", *one, log_probs=[0.0], threshold=np.nan)
    with pytest.raises(ArgumentError, match=r"^choice must be .* or 'best_level', got 'best'"):
        shape("anchored", *one, beta=1, threshold=1, choice="best")


def test_bad_columns():
    with pytest.raises(ShapeError, match=r"^rewards, ref_log_probs, log_probs must have equal sh"):
        shape("plain", [1.0, 2.0], [0.0, 0.0], log_probs=[0.0])
    with pytest.raises(ShapeError, match=r"^rewards, ref_log_probs, lengths must have equal sha"):
        shape("plain", [1.0, 2.0], [0.0, 0.0], lengths=[1])
    with pytest.raises(ShapeError, match=r"^modes must have one label for each sample"):
        shape("plain", [1.0, 2.0], [0.0, 0.0], modes=["a"])
    with pytest.raises(ShapeError, match=r"^similarity must have an entry for every two samples"):
        shape("dra", [1.0, 2.0], [0.0, 0.0], similarity=np.zeros((2, 3)))
    with pytest.raises(ArgumentError, match=r"^similarity must be an array of real numbers"):
        shape("dra", [1.0, 2.0], [0.0, 0.0], similarity=[["a", "b"], ["c", "d"]])
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="rewards from torch, similarity from numpy"):
        shape("dra", torch.zeros(2), torch.zeros(2), similarity=np.zeros((2, 2)))
