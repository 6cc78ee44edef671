"""Mode functions: which texts are the same answer."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError
from polymode.metrics import MODE_FUNCTIONS, mode_function
from polymode.metrics.dotted import function_at

LAST = mode_function("last_number")


@given(st.text(), st.text(" \t\n", max_size=3))
def test_exact_forgets_white_space_around_the_text_only(text, space):
    exact = mode_function("exact")
    assert exact(space + text + space) == text.strip()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,000", "1000"),
        ("1000.0", "1000"),
        ("01000.50", "1000.5"),
        ("12 + 988 = 1,000.", "1000"),
        ("-0.0", "0"),
        ("x = -5", "-5"),
        ("\u22125 degrees", "-5"),
        ("from 3-5", "5"),  # a range, not minus five
        ("f(2)-7", "7"),
        ("+7", "7"),
        (".5", "0.5"),
        ("-.50", "-0.5"),
        ("1e3", "1000"),
        ("2.5E-2", "0.025"),
        ("1,2,3", "3"),  # a list
        ("2020,300", "300"),  # groups have three digits, and a first one of one to three
        ("1,2345", "2345"),
        ("1,234,567.80 dollars", "1234567.8"),
        ("12345678901234567890123456789012345678.10", "12345678901234567890123456789012345678.1"),
        ("50%", "50"),
        ("1e99999999", "99999999"),  # no exponent that anyone means, and none that fills memory
        ("", None),
        ("no number", None),
        ("-", None),
    ],
)
def test_the_last_number_by_hand(text, number):
    assert LAST(text) == number


@given(st.decimals(-1000000, 1000000, places=4), st.integers(0, 3), st.text("abc ", max_size=5))
def test_every_way_to_write_a_number_is_one_mode(value, zeros, words):
    written = {
        f"{value:f}",
        f"{value:,f}",
        f"{value:f}{'0' * zeros}",
        f"{words} {value:f} {words}.",
    }
    (mode,) = {LAST(text) for text in written}
    assert float(mode) == float(value)
    assert LAST(mode) == mode


@given(st.text("0123456789.,-+eE x", max_size=12))
def test_a_mode_is_a_plain_decimal_and_its_own_mode(text):
    mode = LAST(text)
    if mode is not None:
        assert LAST(mode) == mode
        assert "e" not in mode.lower()
        assert math.isfinite(float(mode)) or len(mode) > 300


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("<answer> B </answer>", "B"),
        ("<answer>A</answer> no: <answer>B\n</answer> done", "B"),
        ("<answer>A</answer> or <answer>B", "A"),  # the second is not complete
        ("<answer>A <answer>B</answer>", "B"),
        ("<answer></answer>", ""),
        ("</answer> A <answer>", None),
        ("<answers>A</answers>", None),
        ("A", None),
    ],
)
def test_the_last_complete_tag(text, content):
    assert mode_function("xml_tag:answer")(text) == content


def test_regular_expressions_give_their_first_group_or_the_match():
    assert mode_function(r"regex:\d+ km")("about 12 km, or 13 km") == "12 km"
    assert mode_function(r"regex:(\d+) (km)")("about 12 km") == "12"
    assert mode_function(r"regex:(\d+) km")("far") is None
    assert mode_function("regex:(a)|b")("b") is None  # the group takes no part
    assert mode_function("regex:a:b")("xa:b") == "a:b"  # colons belong to the pattern


@pytest.mark.parametrize("spec", ["my_modes:vowel", "my_modes.vowel"])
def test_functions_by_their_path(spec, tmp_path, monkeypatch):
    (tmp_path / "my_modes.py").write_text(
        "def vowel(text):\n    return next((c for c in text if c in 'aeiou'), None)\nN = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_modes", raising=False)
    assert mode_function(spec)("crate") == "a"
    with pytest.raises(ArgumentError, match="got 'my_modes:N', which is not callable"):
        mode_function("my_modes:N")
    with pytest.raises(
        ArgumentError, match=r"module my_modes, got 'my_modes\.x', which is not there"
    ):
        mode_function("my_modes.x")


def test_a_module_that_breaks_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken_modes.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArgumentError, match="'broken_modes:f': ZeroDivisionError: division by"):
        function_at("broken_modes:f", name="rewards")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("exat", r"must be exact, last_number, .*got 'exat'; did you mean 'exact'\?"),
        ("", "must be exact, .*got ''"),
        ("xmltag:answer", r"got 'xmltag:answer': ModuleNotFoundError.*did you mean 'xml_tag'\?"),
        ("no_such_module.f", "must be importable, got 'no_such_module.f': ModuleNotFoundError"),
        ("a b:f", "must be a path like package.module:function, got 'a b:f'"),
        (".f", "must be a path like"),
        ("exact:x", "exact takes nothing after it, got ':x'"),
        ("last_number:", "last_number takes nothing after it, got ':'"),
        ("xml_tag", "xml_tag needs a name, as in xml_tag:answer, got None"),
        ("xml_tag:<a>", "xml_tag needs a name, .*got '<a>'"),
        ("regex:", "regex needs a pattern"),
        ("regex:(", r"must be a regular expression, got '\(': missing \)"),
    ],
)
def test_messages(spec, message):
    with pytest.raises(ArgumentError, match=message):
        mode_function(spec)


def test_the_registry_lists_the_built_in_names():
    text = ["exact", "last_number", "xml_tag", "regex"]
    assert list(MODE_FUNCTIONS) == [*text, "canonical", "murcko", "generic", "tanimoto"]
