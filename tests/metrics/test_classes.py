"""The greedy partition of generations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError
from polymode.metrics import cosine_at_least, equivalence_classes, n_classes

ITEMS = st.lists(st.integers(0, 5), min_size=1, max_size=10)


def close(a, b):
    return abs(a - b) <= 1


@given(ITEMS)
def test_an_equivalence_gives_its_classes_in_order_of_appearance(items):
    classes = equivalence_classes(items, equivalent=lambda a, b: a == b).tolist()
    first = list(dict.fromkeys(items))
    assert classes == [first.index(item) for item in items]
    assert n_classes(items, equivalent=lambda a, b: a == b) == len(set(items))


@given(ITEMS)
def test_any_relation_is_followed_greedily(items):
    classes, members = equivalence_classes(items, equivalent=close).tolist(), []
    for item, found in zip(items, classes, strict=True):  # NoveltyBench's loop, restated
        fits = [number for number, own in enumerate(members) if close(own[0], item)]
        assert found == (fits[0] if fits else len(members))
        if fits:
            members[found].append(item)
        else:
            members.append([item])


@given(ITEMS, ITEMS)
def test_prompts_are_never_compared(first, second):
    items = [x for pair in zip(first, second, strict=False) for x in pair]
    labels = [label for _ in zip(first, second, strict=False) for label in (4, -4)]
    n = min(len(first), len(second))
    found = n_classes(items, equivalent=close, groups=labels)
    alone = [n_classes(own[:n], equivalent=close) for own in (second, first)]
    np.testing.assert_array_equal(found, alone)


def test_the_order_matters_where_the_relation_is_no_equivalence():
    # 1 is close to 0 and to 2, but those two are not close
    assert n_classes([1, 0, 2], equivalent=close) == 1
    assert n_classes([0, 1, 2], equivalent=close) == 2


def test_cosines_by_hand():
    rows = np.array([[1.0, 0.0], [3.0, 3.0], [0.0, 2.0], [0.0, 0.0]])
    assert n_classes(rows, equivalent=cosine_at_least(0.8)) == 4
    # cos 45 degrees = .707: the second joins the first, the third does not
    assert equivalence_classes(rows, equivalent=cosine_at_least(0.7)).tolist() == [0, 0, 1, 2]
    assert cosine_at_least(1)([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    assert not cosine_at_least(-1)([0.0, 0.0], [1.0, 0.0])


def test_messages():
    with pytest.raises(ArgumentError, match=r"threshold must be a number in \[-1, 1\], got 2"):
        cosine_at_least(2)
    with pytest.raises(ArgumentError, match="at least one sample"):
        n_classes([], equivalent=close)
