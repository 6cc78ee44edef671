"""The page in a real browser: opens offline, sorts by keyboard, changes its theme, runs nothing."""

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("playwright")

from polymode.diagnostics import ComparisonSettings, compare_runs
from polymode.diagnostics.records import Curve
from polymode.report.comparison import comparison_page
from tests.diagnostics.made import many
from tests.report.browsing import CHROMIUM, NO_CHROMIUM, SHOTS, visiting
from tests.report.test_page import hostile_comparison

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """An ordinary page and a hostile one, on the disk."""
    home = tmp_path_factory.mktemp("pages")
    curve = [
        Curve(name, (1, 2, 3), (0.1, 0.4, 0.6)) for name in ("reward", "effective_modes", "kl")
    ]
    runs = [
        many("plain", 0.8, 2, n_prompts=30),
        many("anchored", 0.78, 5, n_prompts=30, seed=1),
        many("base", 0.3, 5, n_prompts=30, seed=2),
    ]
    for known in runs:
        object.__setattr__(known, "curves", tuple(curve))
    ordinary = comparison_page(
        compare_runs(runs, ComparisonSettings(n_rounds=100)), facts={"made": "here"}
    )
    (home / "ordinary.html").write_text(ordinary, encoding="utf-8")
    hostile = comparison_page(hostile_comparison())
    (home / "hostile.html").write_text(hostile, encoding="utf-8")
    return home


@pytest.fixture
def visit(browser, pages):
    """Open a page offline; at the end nothing may have been asked for or complained about."""
    with visiting(browser, pages) as open_page:
        yield lambda name="ordinary", **options: open_page(name, **options)


def column(tab, table, number):
    return tab.locator(f"#table-{table} tbody tr > :nth-child({number})").evaluate_all(
        "cells => cells.map(cell => cell.dataset.sort)"
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_opens_in_every_shape(visit, width, scheme):
    tab = visit(width=width, scheme=scheme)
    tab.locator("[data-plot=front] .main-svg").first.wait_for()
    assert tab.locator("figure .plot-container").count() == 4  # the front and three curves
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    tab.locator("details").first.click()
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SHOTS / f"compare-{width}-{scheme}.png", full_page=True)


def test_phone_of_360_pixels_does_not_scroll_sideways(visit):
    for name in ("ordinary", "hostile"):
        tab = visit(name, width=360)
        tab.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert tab.evaluate("document.documentElement.scrollWidth") == 360


def test_tables_sort_by_keyboard(visit):
    tab = visit()
    button = tab.locator("#table-summary thead button").nth(1)
    head = tab.locator("#table-summary thead th").nth(1)
    button.focus()
    tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"  # numbers: the largest first
    down = [float(value) for value in column(tab, "summary", 2)]
    assert down == sorted(down, reverse=True)
    tab.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(value) for value in column(tab, "summary", 2)] == sorted(down)
    tab.locator("#table-summary thead button").first.press("Enter")
    assert column(tab, "summary", 1) == ["anchored", "base", "plain"]
    assert head.get_attribute("aria-sort") == "none"


def test_theme_toggles_and_is_remembered(visit):
    tab = visit(scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(paper)
    tab.locator("#theme").press("Enter")
    dark = tab.evaluate(paper)
    assert dark != light
    assert tab.locator("#theme").get_attribute("aria-pressed") == "true"
    label = tab.locator("[data-plot=front] .xtitle").evaluate("text => getComputedStyle(text).fill")
    tab.reload()
    assert tab.evaluate(paper) == dark
    tab.locator("#theme").click()
    assert tab.evaluate(paper) == light
    after = tab.locator("[data-plot=front] .xtitle").evaluate("text => getComputedStyle(text).fill")
    assert after != label  # plots follow


def test_the_system_decides_the_theme_at_first(visit):
    assert visit(scheme="dark").locator("#theme").get_attribute("aria-pressed") == "true"


def test_keyboard_reaches_the_content_and_shows_where_it_is(visit):
    tab = visit()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.locator(".skip").bounding_box()["x"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    tab.locator("#theme").focus()
    tab.keyboard.press("Tab")
    style = "getComputedStyle(document.activeElement)"
    assert tab.evaluate(f"{style}.outlineStyle") == "solid"
    assert float(tab.evaluate(f"{style}.outlineWidth").removesuffix("px")) >= 2


def test_hostile_text_is_shown_and_does_not_run(visit):
    tab = visit("hostile")
    tab.locator("[data-plot=front] .main-svg").first.wait_for()
    tab.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("main img, main script, main a[href^=javascript]").count() == 0
    assert "</script><script>window.hacked = 1</script>" in tab.locator("h1").inner_text()
    legend = tab.locator("[data-plot=front] .legendtext").all_text_contents()
    assert any("<img src=x" in text or "</script>" in text for text in legend)


def test_without_scripts_the_tables_are_there(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator("#table-summary tbody tr").count() == 3
    assert tab.locator("#theme").is_hidden()
