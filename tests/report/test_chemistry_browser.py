"""The page of a run on molecules in a real browser: shapes, keyboard, hostile text."""

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("playwright")
pytest.importorskip("pyarrow")
pytest.importorskip("rdkit")

from polymode.diagnostics.chemistry import read_molecule_run
from polymode.report.chemistry import chemistry_page
from tests.report.browsing import CHROMIUM, NO_CHROMIUM, SHOTS, visiting
from tests.report.hostile import HOSTILE
from tests.report.made_run import made_run, molecules

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    home = tmp_path_factory.mktemp("pages")

    def write(name, **options):
        run = read_molecule_run(made_run(home / name, **options))
        (home / f"{name}.html").write_text(chemistry_page(run), encoding="utf-8")

    modes = {name: str(i % 13) for i, name in enumerate(molecules())}
    write("ordinary", kind="cluster", modes=modes)
    hostile = {name: HOSTILE[i % len(HOSTILE)] for i, name in enumerate(molecules())}
    hostile = {name: mode for name, mode in hostile.items() if "\ud800" not in mode}
    alerts = [(step, text) for step, text in enumerate(HOSTILE, start=1)]
    text = {"component": HOSTILE[1], "prior": HOSTILE[0], "losses": HOSTILE, "alerts": alerts}
    write("hostile", kind="generic", modes=hostile, **text)
    write("killed", kept=0, result=False)
    return home


@pytest.fixture
def visit(browser, pages):
    with visiting(browser, pages) as open_page:
        yield lambda name="ordinary", **options: open_page(name, **options)


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (360, "dark")]
)
def test_page_opens_in_every_shape(visit, width, scheme):
    tab = visit(width=width, scheme=scheme)
    tab.locator("[data-plot=yield] .main-svg").first.wait_for()
    tab.locator("[data-plot=spread] .main-svg").first.wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    for button in tab.locator(".gallery summary").all():
        if button.is_visible():
            button.click()
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SHOTS / f"chemistry-{width}-{scheme}.png", full_page=True)


def test_drawings_take_the_colours_of_the_page(visit):
    colours = """() => [...document.querySelectorAll(".drawing path.c.line")].map(
        path => getComputedStyle(path).stroke)"""
    tab = visit()
    light = set(tab.evaluate(colours))
    tab.locator("#theme").click()
    dark = set(tab.evaluate(colours))
    assert (light, dark) == ({"rgb(26, 33, 38)"}, {"rgb(232, 236, 237)"})
    seen = tab.locator(".drawing").first.bounding_box()
    assert seen["width"] > 150
    assert seen["height"] > 100


def test_clusters_and_the_rest_open_by_keyboard(visit):
    tab = visit()
    cards = tab.locator("#gallery-clusters > .grid-molecules > li")
    assert cards.count() == 10
    cluster = cards.first.locator("summary")
    assert cluster.inner_text() == "cluster 11: 3 molecules"
    inside = cards.first.locator(".grid-molecules.small > li")
    assert not inside.first.is_visible()
    cluster.focus()
    tab.keyboard.press("Enter")
    assert inside.first.is_visible()
    rest = tab.locator("#gallery-clusters .rest > summary")
    assert rest.inner_text() == "3 more"
    rest.press("Space")
    assert tab.locator("#gallery-clusters .rest > .grid-molecules > li").first.is_visible()


def test_the_table_of_molecules_sorts(visit):
    tab = visit()
    calls = tab.locator("#table-molecules tbody tr > :nth-child(3)")
    assert calls.first.inner_text() == "77"  # the best reward came last
    tab.locator("#table-molecules thead button").nth(2).press("Enter")
    tab.locator("#table-molecules thead button").nth(2).press("Enter")
    assert calls.first.inner_text() == "39"  # the first hit


def test_hostile_text_is_shown_and_does_not_run(visit):
    tab = visit("hostile")
    tab.locator("[data-plot=yield] .main-svg").first.wait_for()
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("main img, main script, main a[href^=javascript]").count() == 0
    assert "<img src=x onerror='window.hacked = 2'>" in tab.locator("#oracle li").all_inner_texts()
    assert tab.evaluate("document.documentElement.scrollWidth") == 1280


def test_a_run_without_molecules_opens(visit):
    tab = visit("killed")
    tab.locator("[data-plot=reward] .main-svg").first.wait_for()
    assert tab.locator(".gallery").count() == 0


def test_without_scripts_molecules_are_there(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator(".drawing").first.is_visible()
    tab.locator("#gallery-clusters .rest > summary").click()
    assert tab.locator("#gallery-clusters .rest > .grid-molecules > li").first.is_visible()
