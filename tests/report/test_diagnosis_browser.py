"""The page of a diagnosis in a real browser: slider, prompts, keyboard, hostile text, size."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("playwright")

import polymode as pm
from polymode.report.diagnosis import diagnosis_page
from tests.report.browsing import CHROMIUM, NO_CHROMIUM, SHOTS, until, visiting
from tests.report.made_report import made_report
from tests.report.test_diagnosis_page import hostile_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)

OWN, OTHER = 0.05, 0.4


@pytest.fixture(scope="module")
def samples():
    """Three answers in up to four wordings, and one that is wrong, of 30 prompts."""
    rng = np.random.default_rng(3)
    q = np.asarray([0.3, 0.15, 0.05, 0.2, 0.1, 0.1, 0.1])
    modes = np.asarray([0, 0, 0, 1, 1, 2, 3])
    rewards = np.asarray([1.0, 0.95, 1.0, 0.9, 1.0, 1.0, 0.0])
    drawn = rng.choice(len(q), p=q, size=(30, 24))
    return pm.RecordedSamples(
        prompt=np.repeat(np.arange(30), 24),
        prompt_texts=[f"Name a colour, number {i}." for i in range(30)],
        output=drawn.ravel(),
        output_texts=[f"wording {i}" for i in range(len(q))],
        rewards=rewards[drawn.ravel()],
        ref_log_probs=np.log(q)[drawn.ravel()],
        drawn_from="reference",
        modes=modes[drawn.ravel()],
        mode_names=("red", "blue", "green", "dog"),
    )


def diagnosed(samples, beta):
    pytest.importorskip("arviz_stats")
    betas = (OWN / 10, OWN, OTHER, 10 * OTHER)
    return pm.diagnose(samples, beta=beta, threshold=0.5, betas=betas, n_rounds=20)


@pytest.fixture(scope="module")
def pages(tmp_path_factory, samples):
    home = tmp_path_factory.mktemp("pages")

    def write(name, text):
        (home / f"{name}.html").write_text(text, encoding="utf-8")

    write("ordinary", diagnosis_page(made_report(60)))
    write("hostile", diagnosis_page(hostile_report()))
    write("forward", diagnosis_page(made_report(divergence="forward_kl")))
    found = diagnosed(samples, OWN)
    write("real", diagnosis_page(found))
    write("notebook", f"<!doctype html><body>{found._repr_html_()}</body>")
    return home


@pytest.fixture
def visit(browser, pages):
    with visiting(browser, pages) as open_page:
        yield lambda name="ordinary", **options: open_page(name, **options)


def shown(tab, column):
    return tab.locator(
        f"#table-prompts tbody tr:not(.inside) > :nth-child({column})"
    ).all_inner_texts()


def opened(tab, prompt):
    """Open a prompt by its number in the page; return its outputs with their shares."""
    tab.locator(f"tr[data-prompt='{prompt}'] button").click()
    return shares(tab, prompt)


def shares(tab, prompt):
    found = tab.evaluate(
        """prompt => {
          const items = document.querySelectorAll(`tr[data-prompt='${prompt}'] + tr.inside li`);
          const share = (line) => parseFloat(line.querySelector("i").style.width) / 100;
          return [...items].map(li => [
            li.querySelector("pre").textContent,
            Object.fromEntries([...li.querySelectorAll(".weight")].map(
              line => [line.classList[1], share(line)]))]);
        }""",
        prompt,
    )
    return dict(found)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_page_opens_in_every_shape(visit, width, scheme):
    tab = visit("real", width=width, scheme=scheme)
    tab.locator("[data-plot=budget] .main-svg").first.wait_for()
    assert tab.locator("figure .plot-container").count() == 7  # bars, waterfall, sweeps
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    opened(tab, 0)
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SHOTS / f"diagnose-{width}-{scheme}.png", full_page=True)


def test_phone_of_360_pixels_does_not_scroll_sideways(visit):
    for name in ("ordinary", "hostile"):
        tab = visit(name, width=360)
        opened(tab, 0)
        assert tab.evaluate("document.documentElement.scrollWidth") == 360
        assert tab.locator("tr.inside .inside-box").bounding_box()["width"] < 360


def test_the_slider_moves_figures_and_lines_by_keyboard(visit):
    tab = visit()
    slider, figures = tab.locator("#beta-slider"), tab.locator("#table-beta tbody td:nth-child(2)")
    before = figures.all_inner_texts()
    assert before[3] == tab.locator("#table-figures tbody tr:last-child td").nth(1).evaluate(
        "cell => cell.firstChild.textContent.trim()"
    )
    slider.focus()
    tab.keyboard.press("Home")
    until(tab, "document.getElementById('beta-value').textContent === '0.0000254'")
    after = figures.all_inner_texts()
    assert float(after[3]) < float(before[3])  # a smaller beta keeps fewer modes
    assert slider.get_attribute("aria-valuetext") == "beta 0.0000254"
    line = """() => { const box = document.querySelector("[data-plot=sweep-expected_reward]");
      return Math.abs((box.layout?.shapes?.[0]?.x0 ?? 0) / 2.54e-5 - 1) < 0.01; }"""
    until(tab, line)
    tab.locator("#theme").click()  # plots are drawn anew, the line stays
    until(tab, line)
    tab.locator("#beta-own").press("Enter")
    assert figures.all_inner_texts() == before


def test_between_computed_strengths_lines_are_straight(visit):
    tab = visit()
    sweep = tab.evaluate("JSON.parse(document.getElementById('data-sweep').textContent)")
    tab.evaluate(
        """at => { const slider = document.getElementById('beta-slider');
        slider.value = at; slider.dispatchEvent(new Event('input')); }""",
        8 * sweep["own"] + 2,
    )
    a, b = sweep["rows"][3]["target"][sweep["own"] : sweep["own"] + 2]
    until(tab, "document.getElementById('beta-value').textContent !== '0.02'")
    found = tab.locator("#table-beta tbody td:nth-child(2)").nth(3).inner_text()
    assert float(found) == pytest.approx(a + 0.25 * (b - a), abs=0.006)


def listed_shares(report, text, column):
    """The shares of one prompt's outputs in a report, relative to those that are listed."""
    prompt = list(report.prompts.texts).index(text)
    own = report.outputs.prompt == prompt
    values = getattr(report.outputs, column)[own]
    outputs = np.asarray(report.outputs.text)[own]
    return dict(zip(outputs.tolist(), (values / values.sum()).tolist(), strict=True))


def test_opened_prompts_are_recomputed_as_a_diagnosis_would(visit, samples):
    """Oracle: the whole diagnosis at the other strength, in Python."""
    tab = visit("real")
    texts = json.loads(tab.locator("#data-prompts").text_content())["texts"]
    for prompt in (0, 7):
        opened(tab, prompt)
    for beta, steps in ((OWN, 1), (OTHER, 2)):
        report = diagnosed(samples, beta)
        tab.evaluate(
            """at => { const slider = document.getElementById('beta-slider');
            slider.value = at; slider.dispatchEvent(new Event('input')); }""",
            8 * steps,
        )
        until(
            tab,
            "beta => [...document.querySelectorAll('.inside .more')].every("
            "note => note.textContent.endsWith(`for beta ${beta}.`))",
            arg=beta,
        )
        for prompt in (0, 7):
            found = shares(tab, prompt)
            for column in ("reference", "target", "anchored"):
                expected = listed_shares(report, texts[prompt], column)
                assert {k: v[column] for k, v in found.items()} == pytest.approx(
                    expected, abs=2e-4
                ), (beta, prompt, column)


def test_under_another_divergence_opened_prompts_stay(visit):
    tab = visit("forward")
    before = opened(tab, 0)
    tab.locator("#beta-slider").press("End")
    until(tab, "document.getElementById('beta-value').textContent === '25.4'")
    assert shares(tab, 0) == before
    assert tab.locator(".inside .more").inner_text().endswith("for beta 0.02.")


def test_prompts_sort_filter_and_page_by_keyboard(visit):
    tab = visit()
    heads, rows = tab.locator("#table-prompts thead th"), tab.locator("#table-prompts tbody tr")
    kept = [float(text.split()[0]) for text in shown(tab, 2)]
    assert kept == sorted(kept)  # worst first
    assert rows.count() == 25
    reward = heads.nth(7).locator("button")
    reward.focus()
    tab.keyboard.press("Enter")
    assert heads.nth(7).get_attribute("aria-sort") == "descending"
    down = [float(text) for text in shown(tab, 8)]
    assert down == sorted(down, reverse=True)
    tab.keyboard.press("Space")
    assert heads.nth(7).get_attribute("aria-sort") == "ascending"
    up = [float(text) for text in shown(tab, 8)]
    assert up == sorted(up)
    assert up[0] < down[-1]
    tab.locator("[data-step=last]").press("Enter")
    assert tab.locator("#prompts-range").inner_text() == "51\u201360 of 60 prompts"
    assert rows.count() == 10
    tab.locator("#prompts-find").fill("PRIMARY colour")
    assert tab.locator("#prompts-range").inner_text() == "1\u201325 of 30 prompts"
    tab.locator("#prompts-verdict").select_option(label="healthy (12)")
    assert tab.locator("#prompts-range").inner_text() == "1\u20136 of 6 prompts"
    assert set(shown(tab, 3)) <= {"healthy", "healthy\nnot reliable"}
    tab.locator("#prompts-reliable").check()
    assert set(shown(tab, 3)) == {"healthy"}
    tab.locator("#prompts-find").fill("no such words")
    assert tab.locator("#prompts-range").inner_text() == "no prompt is like that"


def test_a_prompt_opens_and_closes_by_keyboard(visit):
    tab = visit()
    button = tab.locator("button.open").first
    button.focus()
    style = "getComputedStyle(document.activeElement).outlineStyle"
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Tab")
    assert tab.evaluate(style) == "solid"
    assert button.get_attribute("aria-expanded") == "false"
    tab.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    assert tab.locator("tr.inside li").count() == 8
    assert tab.evaluate("document.activeElement.className") == "open"
    tab.locator("#table-prompts thead button").nth(0).click()  # it stays open where it goes
    assert tab.locator("tr.inside").count() <= 1
    tab.locator("button.open[aria-expanded=true]").press("Space")
    assert tab.locator("tr.inside").count() == 0


def test_hostile_text_is_shown_and_does_not_run(visit):
    tab = visit("hostile")
    for i in range(tab.locator("button.open").count()):
        tab.locator("button.open").nth(i).click()
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("main img, main script, main a[href^=javascript]").count() == 0
    texts = tab.locator("tr.inside pre").all_text_contents()
    assert "<img src=x onerror='window.hacked = 2'>" in texts
    assert "</script><script>window.hacked = 1</script>" in texts
    assert "8 outputs that are listed" in tab.locator(".inside .more").first.inner_text()


def test_a_notebook_shows_the_page_in_a_frame(visit):
    tab = visit("notebook")
    frame = tab.frame_locator("iframe")
    frame.locator("button.open").first.click()
    assert frame.locator("tr.inside li").count() > 0


def test_without_scripts_the_numbers_are_there(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator("#table-beta tbody tr").count() == 6
    assert tab.locator("#beta-slider").is_hidden()
    assert "needs JavaScript" in tab.locator("#prompts noscript").inner_text()


@pytest.mark.slow
def test_ten_thousand_prompts_open_and_respond(browser, tmp_path):
    """Each output is a text of its own, as those of a reasoning model are."""
    report = made_report(10_000, 20)
    rng = np.random.default_rng(0)
    words = np.asarray(["red", "because", "blue", "and", "yellow", "were", "taken", "before"])
    picks = words[rng.integers(len(words), size=(200_000, 40))]
    report = replace(report, outputs=replace(report.outputs, text=tuple(map(" ".join, picks))))
    page = diagnosis_page(report)
    assert len(page.encode()) < 15e6
    (tmp_path / "large.html").write_text(page, encoding="utf-8")
    with visiting(browser, tmp_path) as open_page:
        tab = open_page("large")
        assert tab.locator("#prompts-range").inner_text() == "1\u201325 of 10,000 prompts"
        assert len(opened(tab, 0)) > 1
        tab.locator("#table-prompts thead button").nth(7).click()
        tab.locator("#prompts-find").fill("primary")
        assert tab.locator("#prompts-range").inner_text() == "1\u201325 of 5,000 prompts"
        tab.locator("#beta-slider").press("End")
        until(tab, "document.getElementById('beta-value').textContent === '25.4'")
