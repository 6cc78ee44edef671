"""Transforms and aggregation: laws, and values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from polymode.chemistry.oracles import TRANSFORMS, aggregate
from polymode.chemistry.oracles.transforms import Transform
from polymode.errors import ArgumentError

number = st.floats(-1e6, 1e6)
ENDS = [
    ("sigmoid", {}),
    ("reverse_sigmoid", {}),
    ("double_sigmoid", {}),
    ("double_sigmoid", {"coef_div": 0}),
    ("step", {}),
]


def made(kind, **parameters):
    return TypeAdapter(Transform).validate_python({"type": kind, **parameters})


def at(kind, x, **parameters):
    return made(kind, **parameters)(np.array([x], dtype=float))[0]


@pytest.mark.parametrize(("kind", "parameters"), ENDS)
@given(values=st.lists(number, min_size=1), ends=st.tuples(number, number))
def test_scores_lie_between_0_and_1_and_nan_stays(kind, parameters, values, ends):
    transform = made(kind, low=min(ends), high=max(ends), **parameters)
    scores = transform(np.array([*values, np.nan]))
    assert ((scores[:-1] >= 0) & (scores[:-1] <= 1)).all()
    assert np.isnan(scores[-1])
    one_by_one = [transform(np.array([value]))[0] for value in values]
    np.testing.assert_array_equal(scores[:-1], one_by_one)


@given(values=st.lists(number, min_size=2), ends=st.tuples(number, number), k=st.floats(0.01, 10))
def test_sigmoids_rise_and_mirror_each_other(values, ends, k):
    settings = {"low": min(ends), "high": max(ends), "k": k}
    x = np.sort(values)
    rising = made("sigmoid", **settings)(x)
    assert (np.diff(rising) >= 0).all()
    np.testing.assert_allclose(made("reverse_sigmoid", **settings)(x), 1 - rising, atol=1e-12)


def test_sigmoid_counts_in_powers_of_ten():
    # K = 10 * 0.5 / (20 - 10) = 0.5, middle 15: at 20 the odds are 10^(0.5 * 5) to 1.
    odds = 10**2.5
    assert at("sigmoid", 20, low=10, high=20) == pytest.approx(odds / (1 + odds))
    assert at("sigmoid", 15, low=10, high=20) == pytest.approx(0.5)
    assert at("sigmoid", 10, low=10, high=20, k=0.25) == pytest.approx(1 / (1 + 10**1.25))
    assert at("sigmoid", -1e9, low=10, high=20) == 0
    assert [at("sigmoid", x, low=1, high=1) for x in (0.9, 1, 1.1)] == [0, 0, 1]
    assert [at("reverse_sigmoid", x, low=1, high=1) for x in (0.9, 1, 1.1)] == [1, 1, 0]


def test_double_sigmoid_is_a_half_at_both_ends():
    settings = {"low": 200, "high": 500, "coef_div": 500, "coef_si": 20, "coef_se": 10}
    assert at("double_sigmoid", 200, **settings) == pytest.approx(0.5)
    assert at("double_sigmoid", 500, **settings) == pytest.approx(0.5)
    # 25 below the left end: 10^(-25 * 20 / 500) = 1/10; 50 above the right: 10^(-50 * 10 / 500).
    assert at("double_sigmoid", 175, **settings) == pytest.approx(1 / 11)
    assert at("double_sigmoid", 550, **settings) == pytest.approx(1 / 11)
    hard = [at("double_sigmoid", x, low=1, high=2, coef_div=0) for x in (1, 1.1, 2, 2.1)]
    assert hard == [0, 1, 1, 0]


def test_steps_include_their_ends_and_lines_do_not_leave_them():
    assert [at("step", x, low=1, high=2) for x in (0.9, 1, 2, 2.1)] == [0, 1, 1, 0]
    assert [at("left_step", x, low=1) for x in (1, 1.1)] == [1, 0]
    assert [at("right_step", x, high=1) for x in (0.9, 1)] == [0, 1]
    assert [at("linear", x, low=1, high=3) for x in (0, 1, 1.5, 3, 4)] == [0, 0, 0.25, 1, 1]
    assert at("none", 7.5) == 7.5


def test_a_custom_transform_is_a_function_at_a_path():
    path = "tests.chemistry.oracles.test_transforms:halved"
    assert at("custom", 4, function=path, parameters={"by": 8}) == 0.5
    with pytest.raises(ValueError, match=r"returned shape \(2,\) for \(1,\)"):
        at("custom", 4, function="tests.chemistry.oracles.test_transforms:doubled")


def halved(values, *, by):
    return values / by


def doubled(values):
    return [*values, *values]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"type": "sigmoid", "low": 2, "high": 1}, "low must be <= high, got 2.0 and 1.0"),
        ({"type": "linear", "low": 1, "high": 1}, "low must be < high, got 1.0 for both"),
        ({"type": "sigmoid", "low": 0, "high": 1, "k": 0}, "greater than 0"),
        ({"type": "step", "low": math.nan, "high": 1}, "finite number"),
        ({"type": "custom", "function": "no.such:thing"}, "must be importable"),
    ],
)
def test_wrong_transforms_are_refused(parameters, text):
    with pytest.raises(ValidationError, match=text):
        TypeAdapter(Transform).validate_python(parameters)


def test_every_transform_has_a_name():
    assert set(TRANSFORMS) == {
        *("none", "linear", "custom", "step", "left_step", "right_step"),
        *("sigmoid", "reverse_sigmoid", "double_sigmoid"),
    }


def test_aggregation_by_hand():
    scores, weights = np.array([[0.25, 0.5]]), np.array([1.0, 3.0])
    assert aggregate(scores, weights, how="product")[0] == pytest.approx(0.25 * 0.125)
    assert aggregate(scores, weights, how="geometric_mean")[0] == pytest.approx(0.03125**0.25)
    assert aggregate(scores, weights, how="arithmetic_mean")[0] == pytest.approx(0.4375)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=1, max_size=6),
    st.floats(0.1, 10),
)
def test_means_lie_between_their_scores_and_know_no_scale_of_weights(pairs, scale):
    scores = np.array([[score for score, _ in pairs]])
    weights = np.array([weight for _, weight in pairs])
    for how in ("geometric_mean", "arithmetic_mean"):
        mean = aggregate(scores, weights, how=how)[0]
        assert scores.min() - 1e-12 <= mean <= scores.max() + 1e-12
        np.testing.assert_allclose(aggregate(scores, scale * weights, how=how), mean, atol=1e-9)
    geometric, arithmetic = (
        aggregate(scores, weights, how=how)[0] for how in ("geometric_mean", "arithmetic_mean")
    )
    assert geometric <= arithmetic + 1e-12


@pytest.mark.parametrize("how", ["product", "geometric_mean"])
def test_products_know_zero_nan_and_what_has_no_weight(how):
    scores = np.array([[0.0, 0.5, np.nan], [np.nan, 0.5, 0.5], [-0.1, 0.5, 0.5]])
    rewards = aggregate(scores, np.array([1.0, 1.0, 0.0]), how=how)
    assert rewards[0] == 0
    assert np.isnan(rewards[1:]).all()


def test_unknown_aggregations_are_refused():
    with pytest.raises(ArgumentError, match="did you mean 'geometric_mean'"):
        aggregate(np.ones((1, 1)), np.ones(1), how="geometric")
