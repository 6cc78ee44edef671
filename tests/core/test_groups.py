"""Ragged groups of samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polymode.core.groups import Groups
from tests.libraries import each_library, given_in_each_library
from tests.strategies import RAGGED, integer_labels, labelled_shapes

REDUCTIONS = {
    "sum": np.sum,
    "max": np.max,
    "logsumexp": np.logaddexp.reduce,
}


@st.composite
def grouped(draw, few=False):
    """Values with -inf here and there, and integer labels of their last axis."""
    shape, labels = draw(labelled_shapes(few=few))
    elements = st.floats(-50, 50) | st.just(-np.inf)
    return draw(hnp.arrays(np.float64, shape, elements=elements)), labels


@pytest.mark.parametrize("name", REDUCTIONS)
@given_in_each_library(case=grouped)
def test_reductions_are_those_of_a_loop_over_groups(to, name, case):
    values, labels = case
    groups = Groups.of(labels, like=to(values))
    actual = np.asarray(getattr(groups, name)(to(values)))
    assert actual.shape == (*values.shape[:-1], np.unique(labels).size)
    for g, label in enumerate(np.unique(labels)):  # in ascending order
        expected = REDUCTIONS[name](values[..., labels == label], axis=-1)
        np.testing.assert_allclose(actual[..., g], expected, rtol=1e-12, atol=1e-12)


@given_in_each_library(case=grouped)
def test_argmax_is_the_position_of_the_first_maximum(to, case):
    values, labels = case
    values = np.round(values, -1)  # ties
    positions = np.asarray(Groups.of(labels, like=to(values)).argmax(to(values)))
    for g, label in enumerate(np.unique(labels)):
        own = np.flatnonzero(labels == label)
        expected = own[np.argmax(values[..., own], axis=-1)]
        np.testing.assert_array_equal(positions[..., g], expected)


@given_in_each_library(case=grouped, data=st.data())
def test_rank_counts_the_smaller_ones_and_half_of_the_ties(to, case, data):
    values, labels = case
    values = np.round(values, -1)  # ties
    mask = data.draw(hnp.arrays(np.bool_, values.shape))
    ranks = np.asarray(Groups.of(labels, like=to(values)).rank(to(values), mask=to(mask)))
    for index in np.ndindex(values.shape):
        row, i = index[:-1], index[-1]
        rivals = values[row][mask[row] & (labels == labels[i])]
        smaller, ties = np.sum(rivals < values[index]), np.sum(rivals == values[index])
        assert ranks[index] == (smaller + (ties + 1) / 2 if mask[index] else 0)


@given_in_each_library(case=grouped)
def test_count_and_expand(to, case):
    values, labels = case
    groups = Groups.of(to(labels), like=to(values))
    counts = np.asarray(groups.expand(groups.count(to(values > 0))))
    for i, label in enumerate(labels):
        expected = np.sum(values[..., labels == label] > 0, axis=-1)
        np.testing.assert_array_equal(counts[..., i], expected)


@given_in_each_library(case=grouped, data=st.data())
def test_split_groups_by_pairs_of_labels(to, case, data):
    values, outer = case
    inner = data.draw(integer_labels(outer.size))
    groups = Groups.of(to(outer), like=to(values)).split([f"key {label}" for label in inner])
    index = np.asarray(groups.index)
    same = (outer[:, None] == outer) & (inner[:, None] == inner)
    np.testing.assert_array_equal(index[:, None] == index, same)
    assert groups.n_groups == len(set(zip(outer, inner, strict=True)))


@each_library
def test_no_labels_are_one_group(to):
    values = to(np.array([[1.0, 2.0], [4.0, 8.0]]))
    groups = Groups.of(None, like=values)
    assert groups.n_groups == 1
    np.testing.assert_array_equal(np.asarray(groups.sum(values)), [[3.0], [12.0]])
    np.testing.assert_array_equal(
        np.asarray(groups.expand(groups.max(values))), [[2.0, 2.0], [8.0, 8.0]]
    )


@each_library
@pytest.mark.parametrize("keys", [[0] * 6, RAGGED], ids=["one group", "three groups"])
def test_nan_stays_in_its_group_and_row(to, keys):
    values = np.arange(12.0).reshape(2, 1, 6)
    values[0, 0, 1] = np.nan
    groups = Groups.of(keys, like=to(values))
    for name in REDUCTIONS:
        missing = np.isnan(np.asarray(getattr(groups, name)(to(values))))
        expected = np.zeros((2, 1, groups.n_groups), dtype=bool)
        expected[0, 0, 0] = True  # the smallest label
        np.testing.assert_array_equal(missing, expected)


@each_library
def test_logsumexp_has_no_overflow_and_no_warnings(to):
    values = to(np.array([1e6, 1e6, -np.inf, -np.inf, -1e6, -np.inf]))
    out = np.asarray(Groups.of([0, 0, 1, 1, 2, 2], like=values).logsumexp(values))
    np.testing.assert_allclose(out, [1e6 + np.log(2), -np.inf, -1e6], rtol=1e-12)


@each_library
def test_integers_stay_integers(to):
    values = to(np.array([5, -3, -2]))
    groups = Groups.of([0, 1, 1], like=values)
    np.testing.assert_array_equal(np.asarray(groups.max(values)), [5, -2])
    np.testing.assert_array_equal(np.asarray(groups.sum(values)), [5, -5])
    assert groups.sum(values).dtype == groups.max(values).dtype == values.dtype


@pytest.mark.parametrize(
    "keys",
    [
        [3, 1, 3],
        (3, 1, 3),
        np.array([3, 1, 3], np.uint8),
        ["c", "a", "c"],
        np.array(["c", "a", "c"]),
    ],
    ids=["list", "tuple", "uint8", "strings", "NumPy strings"],
)
@each_library
def test_kinds_of_keys(to, keys):
    groups = Groups.of(keys, like=to(np.zeros(3)))
    index = np.asarray(groups.index)
    assert groups.n_groups == 2
    assert index[0] == index[2] != index[1]


INTEGERS = [np.int8, np.uint8, np.int32, np.int64, np.uint64]


@pytest.mark.parametrize("dtype", INTEGERS)
@given(data=st.data())
def test_integers_are_numbered_in_ascending_order_whatever_their_range(dtype, data):
    # Dense labels go through a table of their range, sparse ones through a sort.
    info = np.iinfo(dtype)
    low, high = sorted(data.draw(st.tuples(*[st.integers(info.min, info.max)] * 2)))
    high = min(high, low + data.draw(st.sampled_from([0, 3, 200, 2**63])))
    keys = np.array(data.draw(st.lists(st.integers(low, high), min_size=1)), dtype=dtype)
    _assert_numbered(keys)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_numbering_at_the_ends_of_a_dtype(dtype):
    # 256 labels: for 8 bits the table holds the whole range, whose width no 8-bit integer holds.
    info = np.iinfo(dtype)
    starts = [info.min, info.max - 255]
    if info.max > 2**63:
        starts.append(2**63 - 100)  # where the signed integers end
    for start in starts:
        _assert_numbered(np.array([start + (i * 37) % 256 for i in range(256)], dtype=dtype))
    _assert_numbered(np.array([info.max, info.min, info.max], dtype=dtype))


def _assert_numbered(keys):
    groups = Groups.of(keys, like=np.zeros(keys.size))
    distinct, expected = np.unique(keys, return_inverse=True)
    np.testing.assert_array_equal(groups.index, expected)
    assert groups.n_groups == distinct.size


@given_in_each_library(case=grouped, percent=st.sampled_from([0, 50, 100]) | st.floats(0, 100))
def test_percentiles_are_those_of_a_loop_over_groups(to, case, percent):
    values, labels = case
    values = np.where(values == -np.inf, np.nan, np.round(values, -1))  # missing ones, and ties
    actual = np.asarray(Groups.of(labels, like=to(values)).percentile(to(values), percent))
    for g, label in enumerate(np.unique(labels)):
        for row in np.ndindex(values.shape[:-1]):
            own = values[row][labels == label]
            own = own[~np.isnan(own)]
            expected = np.percentile(own, percent) if own.size else np.nan
            np.testing.assert_allclose(actual[(*row, g)], expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_right():
    torch = pytest.importorskip("torch")
    values = torch.tensor([[0.3, -1.0, 2.0, 0.7]], dtype=torch.float64, requires_grad=True)
    for keys in (None, [1, 0, 1, 1]):
        groups = Groups.of(keys, like=values)
        for name in REDUCTIONS:
            assert torch.autograd.gradcheck(getattr(groups, name), values)
    silent = torch.tensor([0.3, -torch.inf, -torch.inf], requires_grad=True)
    Groups.of([0, 0, 1], like=silent).logsumexp(silent)[0].backward()
    torch.testing.assert_close(silent.grad, torch.tensor([1.0, 0.0, 0.0]))
