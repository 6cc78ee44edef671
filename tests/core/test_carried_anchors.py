"""Anchors that are carried over: the best seen so far of each prompt, state in and state out."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.core import CarriedAnchors, anchor, augment
from polymode.errors import ArgumentError, ShapeError
from tests.core.naive_anchoring import naive, rows
from tests.libraries import each_library, given_in_each_library
from tests.strategies import BETAS, batches

CHOICES = st.sampled_from(["most_likely", "best_level"])


@st.composite
def streams(draw):
    """Up to four batches without leading axes, of the same few prompts."""
    return [next(rows(batch)) for batch in draw(st.lists(batches(), min_size=1, max_size=4))]


def run(function, stream, carried, **keywords):
    """Results of the batches in turn, each with the state of the one before."""
    results = []
    for batch in stream:
        own = {"threshold": batch.threshold, **batch.labels, **keywords}
        results.append(function(batch.rewards, batch.ref_log_probs, carried=carried, **own))
        carried = results[-1].carried
    return results


def as_dict(carried):
    columns = (np.asarray(getattr(carried, field.name)) for field in dataclasses.fields(carried))
    return {int(label): (r, q) for label, r, q in zip(*columns, strict=True)}


def check_state(actual, expected):
    assert list(actual) == sorted(expected)  # in ascending order
    for label, pair in expected.items():
        np.testing.assert_allclose(actual[label], pair, rtol=1e-9, atol=1e-9)


# Oracle.


@given(streams(), BETAS, CHOICES)
def test_naive_restatement_of_a_stream(stream, beta, choice):
    keywords = {"beta": beta, "choice": choice}
    one, two = (run(f, stream, CarriedAnchors(), **keywords) for f in (augment, anchor))
    seen = {}
    for batch, first, second in zip(stream, one, two, strict=True):
        expected = naive(batch, beta, choice=choice, carried=seen)
        augmented, replaced_r, replaced_q, good, anchors = expected
        np.testing.assert_allclose(first.rewards, augmented, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(second.rewards, replaced_r, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(second.ref_log_probs, replaced_q, rtol=1e-9, atol=1e-9)
        for result in (first, second):
            np.testing.assert_array_equal(result.good, good)
            np.testing.assert_array_equal(result.anchor, anchors)
            check_state(as_dict(result.carried), seen)


@given_in_each_library(stream=streams(), beta=BETAS, choice=CHOICES)
def test_all_libraries_agree(to, stream, beta, choice):
    keywords = {"beta": beta, "choice": choice}
    converted = [
        batch._replace(rewards=to(batch.rewards), ref_log_probs=to(batch.ref_log_probs))
        for batch in stream
    ]
    expected = run(augment, stream, CarriedAnchors(), **keywords)
    actual = run(augment, converted, CarriedAnchors(), **keywords)
    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_allclose(np.asarray(other.rewards), one.rewards, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(np.asarray(other.anchor), one.anchor)
        check_state(as_dict(other.carried), as_dict(one.carried))
        assert type(other.carried.rewards) is type(to(np.zeros(1)))


# Laws.


@given(streams(), BETAS, CHOICES)
def test_an_empty_state_changes_nothing(stream, beta, choice):
    batch = stream[0]
    keywords = {"beta": beta, "choice": choice, "threshold": batch.threshold, **batch.labels}
    args = (batch.rewards, batch.ref_log_probs)
    plain, started = (
        augment(*args, **keywords),
        augment(*args, carried=CarriedAnchors(), **keywords),
    )
    np.testing.assert_array_equal(started.rewards, plain.rewards)
    np.testing.assert_array_equal(started.anchor, plain.anchor)
    assert plain.carried is None


@given(streams(), BETAS, CHOICES)
def test_a_batch_seen_again_anchors_as_before(stream, beta, choice):
    # Ties go to the batch, so its own anchors are still its own, and the state stays.
    batch = stream[0]
    one, two = run(augment, [batch, batch], CarriedAnchors(), beta=beta, choice=choice)
    np.testing.assert_array_equal(one.rewards, two.rewards)
    np.testing.assert_array_equal(one.anchor, two.anchor)
    check_state(as_dict(two.carried), as_dict(one.carried))


@given(streams(), BETAS, CHOICES)
def test_state_goes_in_and_comes_out_and_is_never_changed(stream, beta, choice):
    first, *rest = run(augment, stream, CarriedAnchors(), beta=beta, choice=choice)
    before = as_dict(first.carried)
    again = run(augment, stream[1:], first.carried, beta=beta, choice=choice)
    assert as_dict(first.carried) == before
    for one, other in zip(rest, again, strict=True):
        np.testing.assert_array_equal(one.rewards, other.rewards)
        assert as_dict(one.carried) == as_dict(other.carried)


@given(streams(), BETAS, CHOICES)
def test_the_order_decides_what_each_batch_sees_but_not_what_is_left(stream, beta, choice):
    # The last state is the best of all batches, up to ties; rewards know only those before.
    keywords = {"beta": beta, "choice": choice}
    there = run(augment, stream, CarriedAnchors(), **keywords)
    back = run(augment, stream[::-1], CarriedAnchors(), **keywords)

    def levels(carried):
        weight = beta if choice == "best_level" else 1.0
        reward = 1.0 if choice == "best_level" else 0.0
        return {label: reward * r + weight * q for label, (r, q) in as_dict(carried).items()}

    one, other = levels(there[-1].carried), levels(back[-1].carried)
    assert one.keys() == other.keys()
    for label, level in one.items():
        np.testing.assert_allclose(level, other[label], rtol=1e-9, atol=1e-9)
    prefix = run(augment, stream[:-1], CarriedAnchors(), **keywords)
    for longer, shorter in zip(there, prefix, strict=False):
        np.testing.assert_array_equal(longer.rewards, shorter.rewards)


# Known answers.


def test_three_batches_by_hand():
    # Batch 1: prompt 7 has one good output, reward 1 and log q = -2: the anchor, carried.
    # Batch 2: prompt 7 has log q = -5: anchored to the first, 1 + .5 (-2 + 5) = 2.5. Prompt 3 has
    # nothing good: rewards stay, and nothing is carried for it.
    # Batch 3: log q = -1 takes over, with its reward of 3; prompt 3 has its first.
    first = augment(
        [1, 0], [-2, -1], beta=0.5, threshold=1, groups=[7, 7], carried=CarriedAnchors()
    )
    np.testing.assert_array_equal(first.anchor, [0, 0])
    second = augment(
        [2.0, 0.0, 0.5],
        [-5, -1, -3],
        beta=0.5,
        threshold=1,
        groups=[7, 7, 3],
        carried=first.carried,
    )
    np.testing.assert_allclose(second.rewards, [2.5, 0.0, 0.5], rtol=1e-12)
    np.testing.assert_array_equal(second.anchor, [-1, -1, -1])
    np.testing.assert_array_equal(second.good, [True, False, False])
    assert as_dict(second.carried) == {7: (1.0, -2.0)}
    third = augment(
        [3, 1, 0], [-1, -4, -2], beta=0.5, threshold=1, groups=[7, 3, 3], carried=second.carried
    )
    np.testing.assert_array_equal(third.rewards, [3.0, 1.0, 0.0])
    np.testing.assert_array_equal(third.anchor, [0, 1, 1])
    assert as_dict(third.carried) == {3: (1.0, -4.0), 7: (3.0, -1.0)}


def test_a_prompt_without_a_good_output_keeps_what_is_carried_for_it():
    carried = CarriedAnchors([5], [2.0], [-1.0])
    for result in (
        augment([0.0], [-3], beta=1, threshold=1, groups=[5], carried=carried),
        anchor([0.0], [-3], threshold=1, groups=[9], carried=carried),
    ):
        np.testing.assert_array_equal(result.rewards, [0.0])
        np.testing.assert_array_equal(result.anchor, [-1])
        assert as_dict(result.carried) == {5: (2.0, -1.0)}


def test_the_rule_decides_and_so_does_the_beta_of_today():
    # Carried: 2 at log q = -3; the batch: 1 at -2, likelier. Levels at beta = .5: 2 - 1.5 = .5
    # against 1 - 1 = 0, so the carried one is better; at beta = 2: -4 against -3, so it is not.
    carried = CarriedAnchors([0], [2.0], [-3.0])
    keywords = {"threshold": 1, "groups": [0], "carried": carried}
    assert augment([1.0], [-2.0], beta=0.5, **keywords).anchor[0] == 0
    best = augment([1.0], [-2.0], beta=0.5, choice="best_level", **keywords)
    assert best.anchor[0] == -1
    np.testing.assert_allclose(best.rewards, [2 + 0.5 * (-3 + 2)], rtol=1e-12)
    assert augment([1.0], [-2.0], beta=2.0, choice="best_level", **keywords).anchor[0] == 0


def test_a_mode_that_was_measured_larger_lifts_itself():
    # The first batch draws two phrasings of a mode (.2 and .1), the second one of them: it stands
    # for .3 of the mode's mass, and gets the gap log(.3/.2).
    log_q = np.log([0.2, 0.1])
    first = augment([1, 1], log_q, beta=1, threshold=1, groups=[0, 0], modes=[0, 0],
                    carried=CarriedAnchors())  # fmt: skip
    second = augment([1], log_q[:1], beta=1, threshold=1, groups=[0], modes=[0],
                     carried=first.carried)  # fmt: skip
    np.testing.assert_allclose(second.rewards, [1 + np.log(1.5)], rtol=1e-12)


def test_strength_and_cap_act_on_the_carried_anchor_too():
    keywords = {
        "threshold": 1,
        "groups": [0],
        "beta": 0.5,
        "carried": CarriedAnchors([0], [2.0], [-1.0]),
        "max_bonus": 0.2,
        "strength": 0.5,
    }
    result = augment([1.0], [-9.0], **keywords)
    np.testing.assert_allclose(result.rewards, [0.5 * 1 + 0.5 * 2.2], rtol=1e-12)
    result = anchor([1.0], [-9.0], **keywords)
    np.testing.assert_allclose(result.ref_log_probs, [-9 + 0.5 * 0.2 / 0.5], rtol=1e-12)


@each_library
def test_state_can_be_saved_and_loaded(to):
    rewards, log_q = to(np.float32([1.0, 1.0])), to(np.float32([-1.0, -2.0]))
    keywords = {"beta": 0.3, "threshold": 1, "groups": [2, -4]}
    first = augment(rewards, log_q, carried=CarriedAnchors(), **keywords)
    assert first.rewards.dtype == rewards.dtype
    arrays = dataclasses.asdict(first.carried)
    assert list(arrays) == ["groups", "rewards", "ref_log_probs"]
    in_numpy = CarriedAnchors(**{name: np.asarray(array) for name, array in arrays.items()})
    np.testing.assert_array_equal(in_numpy.groups, [-4, 2])
    expected = augment(rewards, log_q - 1, carried=first.carried, **keywords)
    loaded = augment(rewards, log_q - 1, carried=in_numpy, **keywords)
    np.testing.assert_array_equal(np.asarray(loaded.rewards), np.asarray(expected.rewards))
    np.testing.assert_allclose(np.asarray(loaded.rewards), [1.3, 1.3], rtol=1e-6)


def test_state_carries_no_gradient():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([1.0, 2.0], requires_grad=True)
    log_q = torch.tensor([-1.0, -2.0], requires_grad=True)
    keywords = {"beta": 0.3, "threshold": 1, "groups": [0, 0]}
    first = augment(rewards, log_q, carried=CarriedAnchors(), **keywords)
    assert first.rewards.requires_grad
    assert not first.carried.rewards.requires_grad
    assert not first.carried.ref_log_probs.requires_grad


# Messages.


@pytest.mark.parametrize("function", [anchor, lambda *a, **k: augment(*a, beta=0.3, **k)])
def test_bad_state(function):
    def call(carried, rewards=(1.0,), groups=(0,)):
        log_q = np.zeros(np.shape(rewards))
        return function(rewards, log_q, threshold=0, groups=groups, carried=carried)

    with pytest.raises(ArgumentError, match=r"^carried must be a CarriedAnchors, got \{\}$"):
        call({})
    with pytest.raises(ArgumentError, match=r"^groups must be given with carried: their labels"):
        call(CarriedAnchors(), groups=None)
    with pytest.raises(ShapeError, match=r"^carried needs rewards without leading axes, got shape"):
        call(CarriedAnchors(), rewards=np.zeros((2, 1)))
    with pytest.raises(
        ArgumentError, match=r"^carried.groups must be integers, got dtype float64$"
    ):
        call(CarriedAnchors([0.5], [0.0], [0.0]))
    with pytest.raises(ArgumentError, match=r"carried.rewards must be an array of real numbers"):
        call(CarriedAnchors([0], ["a"], [0.0]))
    for columns in (([0], [0.0], []), ([[0]], [[0.0]], [[0.0]]), (0, 0.0, 0.0)):
        with pytest.raises(
            ShapeError, match=r"^carried.groups, .* must have one axis and one length"
        ):
            call(CarriedAnchors(*columns))
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match=r"rewards from numpy, carried.rewards from torch"):
        call(CarriedAnchors([0], torch.zeros(1), [0.0]))


def test_all_problems_of_a_state_are_reported_at_once():
    with pytest.raises(ArgumentError, match=r"^4 problems:"):
        anchor(
            np.zeros((2, 1)),
            np.zeros((2, 1)),
            threshold=0,
            carried=CarriedAnchors([0.5], [0.0], [0.0, 1.0]),
        )
