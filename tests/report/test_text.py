"""Text of users in pages, scripts, plots, Markdown and LaTeX."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.report import Cell, Column, Table, to_latex, to_markdown
from polymode.report.comparison.words import p_words
from polymode.report.numbers import number, signed
from polymode.report.text import plot_text, script_json, shown
from tests.report.hostile import HOSTILE

ANY = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=80))


def table(text, **cell):
    columns = [Column(text, text, number=False), Column("x")]
    return Table("t", text, columns, [[Cell(text, **cell), Cell("1", "[0, 2]")]])


@given(ANY)
def test_script_json_is_the_same_value_and_cannot_end_the_script(text):
    found = script_json({"a": [text, 1.5]})
    assert json.loads(found) == {"a": [text, 1.5]}
    assert found.isascii()
    assert not set(found) & set("<>&")


def test_numbers_that_json_lacks_become_null():
    assert script_json((math.nan, math.inf, {"a": -math.inf})) == '[null, null, {"a": null}]'


@given(ANY)
def test_shown_text_can_be_encoded_and_printed(text):
    found = shown(text)
    found.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", found)


def test_long_text_is_cut_and_says_so():
    assert shown("x" * 1_000_000, 10) == "xxxxxxxxxx … (999,990 more characters)"
    assert shown("x" * 10, 10) == "x" * 10


@given(ANY)
def test_plot_text_has_no_tag(text):
    found = plot_text(text)
    assert not set(found) & set("<>\n")
    assert re.fullmatch(r"[^&]*(&(amp|lt|gt);[^&]*)*", found)


def cells(line):
    """Split a row of Markdown as its readers do: at bars that are not escaped."""
    return re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]


@given(ANY)
def test_markdown_keeps_its_columns(text):
    lines = to_markdown(table(text)).split("\n")
    assert len(lines) == 3
    assert {len(cells(line)) for line in lines} == {2}


def test_markdown_by_hand():
    found = to_markdown(table("a|b_c", detail="<i>", strong=True)).split("\n")
    assert found[1] == "|:---|---:|"
    assert found[2] == r"| **a\|b\_c** \<i\> | 1 \[0, 2\] |"


@given(ANY)
def test_latex_has_balanced_braces_and_no_bare_special(text):
    found = to_latex(table(text))
    row = found.split("\\midrule\n")[1].split("\n")[0]
    bare = re.sub(r"\\[&%$#_{}]", "", row)
    assert bare.count("&") == 1
    assert not set(bare) & set("%$#_^~")
    assert bare.count("{") == bare.count("}")
    assert row.endswith(r"\\")


def test_latex_by_hand():
    found = to_latex(table("50% of $x_1$", strong=True))
    assert r"\textbf{50\% of \$x\_1\$} & 1 {\footnotesize {}[0, 2]} \\" in found
    assert r"\begin{tabular}{lr}" in found
    assert r"\label{tab:t}" in found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.9996, "1.00"),
        (1.0, "1.00"),
        (-55.706, "-55.7"),
        (999.9, "1,000"),
        (1e-9, "1.00e-09"),
        (3e7, "3.00e+07"),
        (math.inf, "inf"),
        (math.nan, "-"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_signs_and_p_values():
    assert (signed(0.5), signed(-0.5), signed(0.0)) == ("+0.500", "-0.500", "0")
    assert (p_words(1e-9), p_words(0.0312), p_words(0.732)) == ("< 0.0001", "0.031", "0.73")
