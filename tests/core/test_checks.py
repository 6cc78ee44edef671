"""Structural checks of arguments. Their use in each public function is tested with the function."""

import numpy as np
import pytest

from polymode import core
from polymode.core import checks
from polymode.errors import ArgumentError, ShapeError
from tests.libraries import each_library

HUGE = pytest.param(10**400, id="huge")  # beyond all floats


def test_no_problem_no_error():
    checks.require()
    checks.require([], iter(()))


def test_other_problems_outweigh_shapes():
    bad_shapes = {"a": np.zeros(1), "b": np.zeros(2)}
    with pytest.raises(ShapeError):
        checks.require(checks.columns(**bad_shapes))
    with pytest.raises(ArgumentError) as caught:
        checks.require(checks.columns(**bad_shapes), checks.positive(beta=0))
    assert not isinstance(caught.value, ShapeError)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("treshold", "; did you mean 'threshold'?"),
        ("Beta", "; did you mean 'beta'?"),
        ("learning_rate", ""),
        (None, ""),
    ],
)
def test_did_you_mean(given, hint):
    assert checks.did_you_mean(given, ["threshold", "beta"]) == hint


def test_options_are_all_named():
    (problem,) = checks.known("color", "grren", ["red", "green"])
    assert problem == "color must be 'red' or 'green', got 'grren'; did you mean 'green'?"
    assert not list(checks.known("color", "red", ["red", "green"]))


@pytest.mark.parametrize("value", [1, 1e-300, np.float32(2.0), np.int64(3)])
def test_positive_numbers_of_every_kind(value):
    assert not list(checks.positive(beta=value))


@pytest.mark.parametrize("value", [0, 0.0, np.float32(0.5), 3])
def test_numbers_that_may_be_zero(value):
    assert not list(checks.non_negative(strength=value))
    (problem,) = checks.non_negative(strength=-1e-9)
    assert problem == "strength must be a finite number >= 0, got -1e-09"


@pytest.mark.parametrize("value", [1, np.int64(7)])
def test_whole_numbers(value):
    assert not list(checks.whole(k=value))
    for bad in (0, 1.0, True, "1"):
        assert list(checks.whole(k=bad)) == [f"k must be an integer >= 1, got {bad!r}"]


@pytest.mark.parametrize("value", [True, False, np.True_, HUGE, "1", None, 1j])
def test_what_is_no_finite_number(value):
    for check, text in (
        (checks.positive, "a finite number > 0"),
        (checks.non_negative, "a finite number >= 0"),
        (checks.finite, "a finite number"),
    ):
        assert list(check(beta=value)) == [f"beta must be {text}, got {value!r}"]
    (problem,) = checks.within(0, 1, beta=value)
    assert problem == f"beta must be a number in [0, 1], got {value!r}"


def test_a_threshold_beyond_all_floats_is_not_finite():
    (problem,) = checks.threshold_for(np.zeros(1), 10**400)
    assert problem == f"threshold must be finite, got {10**400}"


@pytest.mark.parametrize(
    "value", [[True, False], np.array([True, False]), np.array(True), np.True_]
)
def test_truth_values_are_no_strengths(value):
    for zero, bound in ((False, "> 0"), (True, ">= 0")):
        (problem,) = checks.strengths(np.zeros((2, 3)), zero=zero, beta=value)
        assert problem == f"beta must be finite numbers {bound}, got dtype bool"
    torch = pytest.importorskip("torch")
    (problem,) = checks.strengths(torch.zeros(2, 3), beta=torch.tensor([True, False]))
    assert problem == "beta must be finite numbers > 0, got dtype torch.bool"


@each_library
def test_strengths_of_numpy_go_with_every_library(to):
    rewards = to(np.zeros((2, 3)))
    for beta in (np.array([1.0, 2.0]), np.array(1.0), np.float32(1.0), [1.0, 2.0], to(np.ones(2))):
        assert not list(checks.strengths(rewards, beta=beta))
    (problem,) = checks.strengths(rewards, beta=np.array([1.0, -2.0]))
    assert problem == "beta must be finite numbers > 0, got -2.0 among them"
    torch = pytest.importorskip("torch")
    (problem,) = checks.strengths(np.zeros(2), beta=torch.ones(()))
    assert problem.startswith("arrays must come from one library, got rewards from numpy, beta fr")


def test_strengths_must_broadcast_with_each_other():
    for beta, entropy in (
        (1.0, [1, 2]),
        ([[1], [2]], [1, 2, 3]),
        (np.ones(2), 0.0),
        (1.0, 10**400),
    ):
        assert not list(checks.strengths_together(beta=beta, entropy=entropy))
    found = checks.strengths_together(beta=[1.0, 2.0], entropy=np.ones(3))
    with pytest.raises(
        ShapeError, match=r"^beta, entropy must broadcast together, got beta \(2,\), "
    ):
        checks.require(found)


def test_number_of_axes():
    assert not list(checks.axes_of(2, a=np.zeros((1, 1))))
    assert not list(checks.axes_of("2", a=np.zeros(1)))  # that is another problem
    with pytest.raises(ShapeError, match=r"^a must have 2 axes at least, got shape \(3,\)$"):
        checks.require(checks.axes_of(2, a=np.zeros(3)))


def test_arrays_of_a_library_that_is_not_served():
    class Foreign:
        """An array of a library that follows the standard, but that the core does not know."""

        __module__ = "cupy"
        dtype, shape = np.dtype("float64"), (2,)

        def __array_namespace__(self):
            return np

    (problem,) = checks.real_arrays(rewards=Foreign())
    assert problem == "rewards must be a NumPy, torch or JAX array, got Foreign"


@pytest.mark.parametrize("function", [core.optimal_policy, core.optimal_value, core.log_ratios])
def test_targets_never_look_at_values(function):
    # Tensors of the device "meta" have no values: whatever needs one fails. On an accelerator it
    # would wait for the device instead.
    torch = pytest.importorskip("torch")
    rewards, log_q = torch.zeros(2, 3, device="meta"), torch.zeros(2, 3, device="meta")
    assert function(rewards, log_q, beta=0.1).device == rewards.device


def test_anchoring_and_advantages_never_look_at_values():
    torch = pytest.importorskip("torch")
    rewards, log_q = torch.zeros(2, 3, device="meta"), torch.zeros(2, 3, device="meta")
    thresholds = torch.zeros(2, 1, device="meta")
    for result in (
        core.anchor(rewards, log_q, threshold=0.5),
        core.augment(rewards, log_q, beta=0.1, threshold=thresholds),
    ):
        for name in ("rewards", "ref_log_probs", "good", "anchor"):
            assert getattr(result, name).device == rewards.device
    assert core.leave_one_out(rewards).device == rewards.device
