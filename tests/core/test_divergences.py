"""Generators, slopes and their inverses, the divergences themselves, and the registry."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy.spatial import distance

from polymode.core import (
    Divergence,
    alpha_divergence,
    divergence_names,
    divergences,
    f_divergence,
    optimal_policy,
    register_divergence,
)
from polymode.core.curves import Curve
from polymode.core.divergences import get_divergence
from polymode.errors import ArgumentError, ShapeError
from polymode.metrics import total_variation
from tests.libraries import each_library
from tests.strategies import SEEDS

NAMES = divergence_names()
ALPHAS = [-20.0, -2.0, -1.0, -1e-9, 0.0, 1e-9, 0.3, 0.5, 0.995, 1.0, 1 + 1e-9, 1.5, 2.0, 3.0, 20.0]
ALL = [get_divergence(name) for name in NAMES] + [alpha_divergence(a) for a in ALPHAS]
SMOOTH = [each for each in ALL if each.name != "total_variation"]

each_divergence = pytest.mark.parametrize("divergence", ALL, ids=lambda each: each.name)
each_smooth = pytest.mark.parametrize("divergence", SMOOTH, ids=lambda each: each.name)


@st.composite
def pairs(draw):
    """Two distributions over the same outcomes, the same in a third of the cases."""
    n = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(SEEDS))
    p, q = np.log(rng.dirichlet(np.full(n, draw(st.sampled_from([0.3, 1.0, 30.0]))), 2) + 1e-9)
    p, q = p - np.logaddexp.reduce(p), q - np.logaddexp.reduce(q)
    return p, (p if draw(st.integers(0, 2)) == 0 else q)


def naive(divergence, log_p, log_q):
    """The definition, from the generator alone."""
    q = np.exp(log_q)
    return np.sum(q * divergence.generator(np.exp(log_p) / q))


# Laws of the parts.


@each_smooth
@given(log_u=st.floats(-3.0, 3.0))
def test_slope_is_the_derivative_and_curvature_that_of_the_slope(divergence, log_u):
    torch = pytest.importorskip("torch")
    u = torch.tensor([math.exp(log_u)], dtype=torch.float64, requires_grad=True)
    for whole, part in (
        (divergence.generator, divergence.slope),
        (divergence.slope, divergence.curvature),
    ):
        (derivative,) = torch.autograd.grad(whole(u).sum(), u)
        scale = float((u * divergence.curvature(u)).detach())
        expected = part(u).detach()
        torch.testing.assert_close(derivative, expected, rtol=1e-7, atol=1e-12 * (1 + scale))


@each_smooth
@given(u=st.floats(0.05, 20.0))
def test_inverse_slope_inverts_the_slope_within_its_domain(divergence, u):
    s = divergence.slope(np.array([u]))
    low, high = divergence.domain
    assert low <= s[0] <= high
    if divergence.name not in {"alpha(20.0)", "alpha(-20.0)"}:  # slopes of 20**20 hide u
        np.testing.assert_allclose(divergence.inverse_slope(s), u, rtol=1e-7)


@each_smooth
@given(log_u=st.floats(-5.0, 5.0))
def test_the_curve_is_the_inverse_slope(divergence, log_u):
    curve = divergence.curve
    x = np.array([log_u])
    y = curve.distance(x)
    np.testing.assert_allclose(curve.log_ratio(y), x, rtol=1e-9, atol=1e-9)
    side = -1 if curve.above else 1
    expected = divergence.slope(np.exp(x))
    atol = 1e-9 * (1 + abs(curve.edge))
    np.testing.assert_allclose(curve.edge + side * curve.unit * y, expected, rtol=1e-9, atol=atol)
    expected = 1 / (np.exp(x) * divergence.curvature(np.exp(x)))
    np.testing.assert_allclose(curve.gain(y) / curve.unit, expected, rtol=1e-9)


@each_smooth
@given(seed=SEEDS)
def test_the_fast_sums_of_a_curve_are_the_plain_ones(divergence, seed):
    curve, rng = divergence.curve, np.random.default_rng(seed)
    q, d = rng.random((5, 3)) + 0.01, rng.exponential(size=(5, 3))
    d -= d.min(0)
    x = curve.unknown(np.zeros(3)) * rng.uniform(1.1, 2.0, 3)
    work = np.empty_like(q), np.empty_like(q)
    mass, best = q.sum(0), np.where(d == 0, q, 0).sum(0)
    weights, gaps = curve.prepare(q.copy(), d.copy(), np.empty_like(d))
    fast, _ = curve.advance(x, *curve.sums(weights, gaps, x, work), mass, best)
    plain = Curve.sums(curve, q, d, curve.offset(x), work)
    expected, _ = Curve.advance(curve, x, *plain, mass, best)
    np.testing.assert_allclose(fast, expected, rtol=1e-9, atol=1e-12)
    ratios = np.empty_like(q)
    with np.errstate(divide="ignore"):
        curve.log_ratios(d, gaps, x, ratios)
    y = curve.offset(x) + d if curve.above else curve.offset(x) - d
    np.testing.assert_allclose(ratios, curve.log_ratio(y), rtol=1e-9, atol=1e-12)


@each_divergence
def test_generator_is_0_at_1_and_has_the_limit_at_0_that_it_states(divergence):
    assert divergence.generator(np.ones(1))[0] == pytest.approx(0.0, abs=1e-15)
    near = divergence.generator(np.array([1e-12]))[0]
    if divergence.name == "alpha(1e-09)":
        return  # comes near its limit of 1e9 only below e**-1e9
    if math.isfinite(divergence.at_zero):
        assert near == pytest.approx(divergence.at_zero, rel=1e-2, abs=1e-5)
    else:
        assert near > 20


@each_divergence
def test_domain_ends_are_the_limits_of_the_slope(divergence):
    low, high = divergence.domain
    slopes = divergence.slope(np.array([1e-12, 1e12]))
    for end, slope in zip((low, high), slopes, strict=True):
        if math.isfinite(end):
            assert slope == pytest.approx(end, rel=1e-2, abs=1e-6) or abs(end) > 30
        else:
            assert abs(slope) > 10


# Laws of the divergence.


@each_divergence
@given(pair=pairs())
def test_never_negative_and_0_only_for_equal_distributions(divergence, pair):
    log_p, log_q = pair
    value = f_divergence(log_p, log_q, divergence=divergence)
    assert value >= 0
    if np.array_equal(log_p, log_q):
        assert value == pytest.approx(0.0, abs=1e-14)
    elif total_variation(log_p, log_q) > 1e-3:
        assert value > 0


@each_divergence
@given(pair=pairs())
def test_naive_restatement(divergence, pair):
    log_p, log_q = pair
    value = f_divergence(log_p, log_q, divergence=divergence)
    np.testing.assert_allclose(value, naive(divergence, log_p, log_q), rtol=1e-7, atol=1e-13)


@given(pairs(), st.sampled_from(ALPHAS))
def test_swapping_the_arguments_mirrors_alpha(pair, alpha):
    log_p, log_q = pair
    a = f_divergence(log_p, log_q, divergence=alpha_divergence(alpha))
    b = f_divergence(log_q, log_p, divergence=alpha_divergence(1 - alpha))
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-13)


@given(pairs())
def test_merging_outcomes_never_raises_a_divergence(pair):
    log_p, log_q = pair
    merged = [np.append(x[2:], np.logaddexp.reduce(x[:2])) for x in pair]
    for divergence in ALL:
        whole = f_divergence(log_p, log_q, divergence=divergence)
        assert f_divergence(*merged, divergence=divergence) <= whole * (1 + 1e-9) + 1e-13


@pytest.mark.parametrize("at", [0.0, 1.0])
@given(pair=pairs())
def test_the_limits_of_alpha_are_continuous(at, pair):
    exact = f_divergence(*pair, divergence=alpha_divergence(at))
    for near in (at - 1e-10, at + 1e-10):  # where a difference over alpha has six digits left
        close = f_divergence(*pair, divergence=alpha_divergence(near))
        np.testing.assert_allclose(close, exact, rtol=1e-7, atol=1e-13)


# Oracles.


@given(pairs())
def test_scipy_and_textbook_formulas(pair):
    log_p, log_q = pair
    p, q = np.exp(log_p), np.exp(log_q)
    expected = {
        "reverse_kl": special.rel_entr(p, q).sum(),
        "forward_kl": special.rel_entr(q, p).sum(),
        "jensen_shannon": 2 * distance.jensenshannon(p, q) ** 2,
        "reverse_chi_squared": np.sum((p - q) ** 2 / q),
        "forward_chi_squared": np.sum((p - q) ** 2 / p),
        "squared_hellinger": 1 - np.sum(np.sqrt(p * q)),
        "total_variation": np.abs(p - q).sum() / 2,
    }
    assert set(expected) == set(NAMES)
    for name, value in expected.items():
        actual = f_divergence(log_p, log_q, divergence=name)
        np.testing.assert_allclose(actual, value, rtol=1e-9, atol=1e-13, err_msg=name)


@each_library
@each_divergence
def test_all_libraries_agree_and_keep_the_type(to, divergence):
    p, q = (
        np.log([[0.2, 0.8], [0.5, 0.5], [1.0, 1e-9]]),
        np.log([[0.7, 0.3], [0.5, 0.5], [0.5, 0.5]]),
    )
    p[2, 1] = -np.inf
    expected = f_divergence(p, q, divergence=divergence)
    actual = f_divergence(to(p), to(q), divergence=divergence)
    assert type(actual) is type(to(p))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-12, atol=1e-12)
    narrow = f_divergence(np.float32(p), np.float32(q), divergence=divergence)
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, expected, rtol=1e-4, atol=1e-6)


# Known answers.


def test_hand_calculation():
    # p = (1/2, 1/2), q = (1/4, 3/4).
    p, q = np.log([0.5, 0.5]), np.log([0.25, 0.75])
    values = {
        "reverse_kl": 0.5 * math.log(2) + 0.5 * math.log(2 / 3),
        "forward_kl": 0.25 * math.log(1 / 2) + 0.75 * math.log(3 / 2),
        "reverse_chi_squared": 1 / 16 / (1 / 4) + 1 / 16 / (3 / 4),  # 1/3
        "forward_chi_squared": 1 / 16 / (1 / 2) * 2,  # 1/4
        "squared_hellinger": 1 - math.sqrt(1 / 8) - math.sqrt(3 / 8),
        "total_variation": 1 / 4,
        # m = (3/8, 5/8)
        "jensen_shannon": 0.5 * math.log(4 / 3)
        + 0.5 * math.log(4 / 5)
        + 0.25 * math.log(2 / 3)
        + 0.75 * math.log(6 / 5),
    }
    for name, expected in values.items():
        assert f_divergence(p, q, divergence=name) == pytest.approx(expected, rel=1e-12)


# p = (1, 0, 0), q = (1/2, 1/2, 0): one term each of both, of q alone, of neither.
GIVEN_UP = {
    "reverse_kl": math.log(2),  # f(0) = 0
    "forward_kl": math.inf,
    # 1 log(1/(3/4)) + 1/2 log((1/2)/(3/4)) + 1/2 log((1/2)/(1/4))
    "jensen_shannon": math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2),
    "reverse_chi_squared": 0.25 / 0.5 * 2,
    "forward_chi_squared": math.inf,
    "squared_hellinger": 1 - math.sqrt(0.5),
    "total_variation": 0.5,
}
# The arguments exchanged: the policy has mass where the reference has none.
BEYOND = GIVEN_UP | {
    "reverse_kl": math.inf,
    "forward_kl": math.log(2),
    "reverse_chi_squared": math.inf,
    "forward_chi_squared": 1.0,
}


@pytest.mark.parametrize("name", NAMES)
def test_rules_for_outcomes_without_mass(name):
    p, q = np.array([0.0, -np.inf, -np.inf]), np.array([*np.log([0.5, 0.5]), -np.inf])
    assert f_divergence(p, q, divergence=name) == pytest.approx(GIVEN_UP[name], rel=1e-12)
    assert f_divergence(q, p, divergence=name) == pytest.approx(BEYOND[name], rel=1e-12)


@each_divergence
def test_nan_propagates_and_the_axis_is_the_one_asked_for(divergence):
    p = np.log([[0.2, 0.8], [0.5, 0.5]])
    q = np.log([[0.5, 0.5], [0.5, 0.5]])
    by_column = f_divergence(p.T, q.T, divergence=divergence, axis=0)
    np.testing.assert_array_equal(by_column, f_divergence(p, q, divergence=divergence))
    p[0, 0] = np.nan
    value = f_divergence(p, q, divergence=divergence)
    assert np.isnan(value[0])
    assert value[1] == pytest.approx(0.0, abs=1e-15)
    p[0] = [np.nan, -np.inf]
    assert np.isnan(f_divergence(p, q, divergence=divergence)[0])


@pytest.mark.parametrize("name", NAMES)
def test_ratios_beyond_the_range_of_floats_do_not_overflow(name):
    log_q = np.array([-700.0, 0.0])
    for p in (np.array([0.0, -700.0]), np.array([-0.5, np.log1p(-np.exp(-0.5))])):
        value = f_divergence(p, log_q, divergence=name)
        assert np.isfinite(value)
        assert value > 0.3


def test_gradients_are_right():
    torch = pytest.importorskip("torch")
    logits = torch.tensor([[0.3, -0.2, 1.0], [0.1, 0.0, 2.0]], dtype=torch.float64)
    logits.requires_grad_()
    for divergence in SMOOTH:
        assert torch.autograd.gradcheck(
            lambda x, d=divergence: f_divergence(
                x.log_softmax(-1)[0], x.log_softmax(-1)[1], divergence=d
            ),
            (logits,),
        )


# Registration and messages.


def own(name="square_and_log", **changes):
    """A user's divergence, reverse KL plus Pearson's, whose inverse slope is a Lambert function."""
    parts = {
        "generator": lambda u: u * np.log(u) + (u - 1) ** 2 / 2 - (u - 1),
        "slope": lambda u: np.log(u) + u - 1,
        "inverse_slope": lambda s: special.wrightomega(s + 1),
        "domain": (-np.inf, np.inf),
        "at_zero": 1.5,
    }
    return Divergence(name=name, **(parts | changes))


def test_a_registered_divergence_works_by_name(monkeypatch):
    # On a copy of the registry: what is registered here is unknown to other tests.
    monkeypatch.setattr(divergences, "_KNOWN", dict(divergences._KNOWN))
    mine = own()
    register_divergence(mine)
    register_divergence(mine)  # again: nothing happens
    assert "square_and_log" in divergence_names()
    log_q = np.log([0.2, 0.8])
    by_name = optimal_policy([1.0, 0.0], log_q, beta=1.0, divergence="square_and_log")
    np.testing.assert_array_equal(
        by_name, optimal_policy([1.0, 0.0], log_q, beta=1.0, divergence=mine)
    )
    t = np.exp(by_name)
    assert t.sum() == pytest.approx(1.0, rel=1e-12)
    slopes = mine.slope(t / np.exp(log_q))  # (r - L) / beta: they differ as the rewards do
    assert slopes[0] - slopes[1] == pytest.approx(1.0, rel=1e-9)
    # p = (1, 0): 0.2 f(5) + 0.8 f(0)
    point = f_divergence([0.0, -np.inf], log_q, divergence=mine)
    assert point == pytest.approx(0.2 * (5 * math.log(5) + 8 - 4) + 0.8 * 1.5, rel=1e-12)


def test_a_taken_name_and_other_objects_are_refused():
    with pytest.raises(ArgumentError, match="name must be free, got 'forward_kl'"):
        register_divergence(own("forward_kl"))
    with pytest.raises(ArgumentError, match="divergence must be a Divergence, got 'forward_kl'"):
        register_divergence("forward_kl")


def test_bad_parts_are_listed_at_once():
    with pytest.raises(ArgumentError) as caught:
        own(3, slope=None, domain=(1.0, 1.0), at_zero=math.nan)
    words = [problem.split()[0] for problem in caught.value.problems]
    assert words == ["name", "slope", "domain", "at_zero"]


def test_parts_of_the_wrong_type_are_listed_at_once():
    for domain in (None, (1,), (0, "a"), (0, 1, 2), "ab", (math.nan, 1), 3):
        with pytest.raises(ArgumentError) as caught:
            own(domain=domain, at_zero=None, curvature=3, terms=3, curve=3)
        assert caught.value.problems == (
            "curvature must be callable or None, got 3",
            "terms must be callable or None, got 3",
            "curve must be a Curve, got 3",
            f"domain must be an interval, got {domain!r}",
            "at_zero must be a number or inf, got None",
        )


def test_bad_alpha_and_scale():
    with pytest.raises(ArgumentError, match="alpha must be a finite number, got nan"):
        alpha_divergence(math.nan)
    with pytest.raises(ArgumentError, match="scale must be a finite number > 0, got 0"):
        alpha_divergence(1.0, scale=0)


def test_unknown_names_and_shapes():
    with pytest.raises(ArgumentError, match="got 'hellinger'; did you mean 'squared_hellinger'"):
        f_divergence([0.0], [0.0], divergence="hellinger")
    with pytest.raises(ShapeError, match=r"log_p \(2,\), log_q \(1,\)"):
        f_divergence([0.0, 0.0], [0.0], divergence="reverse_kl")
    with pytest.raises(ShapeError, match="axis must be a non-empty axis"):
        f_divergence([0.0], [0.0], divergence="reverse_kl", axis=1)
