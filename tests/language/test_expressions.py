"""Arithmetic over given numbers: read safely, compared up to order and brackets, enumerated."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError
from polymode.language.expressions import OPERATIONS, combined, expressions, number, parsed

TREES = st.recursive(
    st.integers(0, 9).map(str),
    lambda inner: st.builds(
        lambda a, op, b: f"({a}{op}{b})", inner, st.sampled_from(OPERATIONS), inner
    ),
    max_leaves=7,
)


def exact(text):
    """The value by Python's own evaluation, with fractions in place of the numbers."""
    wrapped = "".join(f"F({c})" if c.isdigit() else c for c in text)
    try:
        return eval(wrapped, {"F": Fraction})
    except ZeroDivisionError:
        return None


@given(TREES)
def test_value_is_exact(text):
    expression = parsed(text)
    assert (None if expression is None else expression.value) == exact(text)


@given(TREES)
def test_the_key_writes_the_same_expression(text):
    expression = parsed(text)
    if expression is not None:
        again = parsed(expression.key)
        assert again is not None
        assert again.key == expression.key
        assert again.value == expression.value
        assert again.numbers == expression.numbers


@given(TREES, TREES, TREES)
def test_order_and_brackets_of_sums_and_products_do_not_matter(a, b, c):
    for op, back in (("+", "-"), ("*", "/")):
        one, other = parsed(f"({a}{op}{b}){op}{c}"), parsed(f"{c}{op}({b}{op}{a})")
        assert (one and one.key) == (other and other.key)
        # a - b - c is a - (b + c), unless something is divided by zero on one side only: never.
        one, other = parsed(f"({a}{back}{b}){back}{c}"), parsed(f"{a}{back}({c}{op}{b})")
        assert (one and one.key) == (other and other.key)


@pytest.mark.parametrize(
    ("one", "other"),
    [("2-1", "1-2"), ("2*(3+4)", "2*3+2*4"), ("4/2", "2"), ("2+2", "2*2"), ("8/(3-1)", "8/3-1")],
)
def test_other_ways_have_other_keys(one, other):
    assert parsed(one).key != parsed(other).key


def test_signs_that_models_write_are_read():
    assert parsed(" 6 \u00d7 4 \u2212 8 \u00f7 2 ").key == "4*6-8/2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "four",
        "2**3",
        "7//2",
        "-3+5",
        "1.5*2",
        "(2+3",
        "2(3)",
        "03+1",
        "1/0",
        "1/(2-2)",
        "__import__('os')",
        "9**9**9",
        "1,2",
        "2 3",
        "1" + "+1" * 100,
    ],
)
def test_anything_else_is_no_expression(text):
    assert parsed(text) is None


def naive(numbers):
    """Every binary tree over every ordered choice of numbers, as text: keys by their value."""
    if len(numbers) == 1:
        return {str(numbers[0])}
    texts = set()
    for i in range(1, 2 ** len(numbers) - 1):
        left = [n for j, n in enumerate(numbers) if i >> j & 1]
        right = [n for j, n in enumerate(numbers) if not i >> j & 1]
        texts |= {f"({a}{op}{b})" for a in naive(left) for b in naive(right) for op in OPERATIONS}
    return texts


@pytest.mark.parametrize("numbers", [[5], [2, 3], [2, 2], [1, 2, 4], [3, 3, 3], [0, 1, 2]])
def test_every_expression_is_listed_once(numbers):
    subsets = [
        [n for j, n in enumerate(numbers) if i >> j & 1] for i in range(1, 2 ** len(numbers))
    ]
    trees = [parsed(text) for subset in subsets for text in naive(subset)]
    expected = {tree.key: tree.value for tree in trees if tree is not None}
    assert {key: each.value for key, each in expressions(numbers).items()} == expected


def test_two_numbers_have_eight_expressions():
    # 2, 3, 2+3, 2*3, and both orders of - and /
    assert set(expressions([2, 3])) == {"2", "3", "2+3", "2*3", "2-3", "3-2", "2/3", "3/2"}


def test_too_many_numbers_are_refused():
    with pytest.raises(ArgumentError, match=r"numbers must be at most 5 to be listed, got \[1, 2"):
        expressions([1, 2, 3, 4, 5, 6])


def test_division_by_zero_is_no_expression():
    assert combined("/", number(1), number(0)) is None
