"""The page as a document: complete, self-contained, escaped, small."""

import base64
import hashlib
import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

pytest.importorskip("jinja2")

from polymode.diagnostics import ComparisonSettings, compare_runs
from polymode.diagnostics.records import Curve, Promise
from polymode.report import Cell, Column, Plot, Prose, Section, Table, page
from polymode.report.comparison import comparison_page, comparison_tables, verdict
from tests.diagnostics.made import many, run
from tests.report.hostile import HOSTILE

FAST = ComparisonSettings(n_rounds=50)
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Outline(HTMLParser):
    """Checks that elements nest, and keeps what could load or run something."""

    def __init__(self, text):
        super().__init__()
        self.open, self.scripts, self.loads, self.handlers, self.ids = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        known = dict(attrs)
        if tag == "script":
            self.scripts.append(known.get("type", ""))
        self.ids += [known["id"]] if "id" in known else []
        self.loads += [
            v for k, v in attrs if k in ("src", "srcset", "data") or (k == "href" and v[0] != "#")
        ]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def hostile_comparison():
    """Every text that a user can put in is hostile."""
    rows = [(text, i % 2, text, f"{text} and {i}") for text in HOSTILE for i in range(2)]
    promise = Promise(HOSTILE[:2], (0.5, 0.5), (0.4, 0.6), 0.1)
    curves = (Curve("reward", (1, 2), (0.0, 1.0)),)
    runs = [
        replace(run(text, *rows, curves=curves, promise=promise), notes=(text,))
        for text in HOSTILE[:4]
    ]
    return compare_runs(runs, ComparisonSettings(n_rounds=20))


@pytest.fixture(scope="module")
def hostile():
    return comparison_page(hostile_comparison(), facts={"path": HOSTILE[0]})


def test_page_of_every_block_is_a_document():
    table = Table("t", "cap", [Column("a", number=False)], [[Cell("x", "y", None)]])
    plot = Plot("p", "cap", [{"x": [1], "y": [float("nan")]}], {})
    sections = [Section("s", "S", [table, plot, Prose(["a"]), Prose(["b"], listed=True)], "lead")]
    found = Outline(page("title", sections, subtitle="sub", verdict=["v"], facts={"k": "v"}))
    assert found.scripts == ["application/json", "", ""]
    assert len(found.ids) == len(set(found.ids))


def test_plots_bring_the_library_once_and_their_absence_none(hostile):
    assert hostile.count("plotly.js (basic - minified)") == 1
    assert "plotly.js" not in page("t", [])


def test_nothing_is_loaded_and_nothing_of_the_user_runs(hostile):
    found = Outline(hostile)
    assert found.loads == []
    assert found.handlers == []
    assert found.scripts == ["application/json", "", ""]
    assert "{{ 7 * 7 }}{% raw %}" in hostile
    assert "\x00" not in hostile
    hostile.encode("utf-8")


def test_the_policy_allows_the_scripts_of_the_page_only(hostile):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', hostile)[1]
    scripts = re.findall(r"<script>(.*?)</script>", hostile, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert len(digests) == 2
    assert re.findall(r"sha256-([^']+)'", html.unescape(policy)) == digests
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe-eval" not in policy


def test_ids_are_unique(hostile):
    ids = Outline(hostile).ids
    assert len(ids) == len(set(ids))


def test_a_completion_of_a_megabyte_is_cut():
    rows = [("p", 1, "a", "x" * 1_000_000), ("p", 0, "b", "y")]
    text = comparison_page(compare_runs([run("one", *rows)], ComparisonSettings(n_rounds=10)))
    assert len(text) < 2_000_000
    assert "(999,400 more characters)" in text


def test_ten_thousand_prompts_make_a_small_page():
    runs = [many(name, 0.5, 3, n_prompts=10_000, n=4, seed=i) for i, name in enumerate("ab")]
    text = comparison_page(compare_runs(runs, ComparisonSettings(n_rounds=500)))
    assert len(text.encode()) < 15e6
    assert "The 200 of 10,000 prompts" in text


def test_verdict_names_the_best_run_or_the_trade():
    best = compare_runs([many("good", 0.9, 6), many("poor", 0.4, 2)], FAST)
    assert verdict(best)[0].startswith("good is the best run")
    trade = compare_runs([many("good", 0.9, 2), many("wide", 0.5, 6)], FAST)
    assert verdict(trade)[0].startswith("good has the highest mean reward")
    assert "On the front: good, wide." in verdict(trade)[0]
    assert verdict(trade)[1].startswith("good against wide: mean reward +")
    alone = compare_runs([many("only", 0.9, 2)], FAST)
    assert verdict(alone)[0].startswith("only: mean reward")
    assert "No run has samples" in verdict(compare_runs([run("curves")]))[0]


def test_verdict_warns_of_different_prompts():
    other = run("other", *((f"else {i}", 1, "a") for i in range(8)))
    found = verdict(compare_runs([many("one", 0.5, 3), other], FAST))
    assert "different prompts" in found[1]


def test_tables_of_a_comparison():
    names = [table.name for table in comparison_tables(hostile_comparison())]
    assert names == ["summary", "promises", "pairs"]
    pair = compare_runs([many("a", 0.5, 3)], ComparisonSettings(n_rounds=10))
    assert [table.name for table in comparison_tables(pair)] == ["summary"]


def test_the_best_of_a_column_stands_out():
    found = compare_runs([many("good", 0.9, 2), many("wide", 0.5, 6)], FAST)
    summary = comparison_tables(found)[0]
    titles = [column.title for column in summary.columns]
    strong = [[titles[i] for i, cell in enumerate(row) if cell.strong] for row in summary.rows]
    assert "mean reward" in strong[0]
    assert "effective modes" in strong[1]
    assert "pass@1" not in titles  # rewards are 0 and 1: it is the mean reward
