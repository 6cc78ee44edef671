"""The page of a diagnosis as a document, its tables, and how it stays small."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("jinja2")

from polymode.diagnostics.diagnosis import FIGURE_NAMES, DiagnosisSettings, diagnose_samples
from polymode.metrics.intervals import Estimate
from polymode.report.diagnosis import (
    bad_row_table,
    budget_table,
    diagnosis_page,
    diagnosis_tables,
    explorer,
    figure_table,
    modes_kept_table,
    reliability_table,
    what_if_table,
)
from polymode.report.diagnosis.plots import waterfall_plot
from polymode.report.diagnosis.sweep import FIGURES, sweep_widget
from tests.diagnostics.diagnosis.worlds import THRESHOLD, World, draw_samples
from tests.report.hostile import HOSTILE
from tests.report.made_report import made_report
from tests.report.test_page import Outline


def data(page, name):
    return json.loads(re.search(rf'id="data-{name}">(.*?)</script>', page, re.DOTALL)[1])


def hostile_report():
    """Every text that a user can put in is hostile."""
    return made_report(
        len(HOSTILE),
        prompts=HOSTILE,
        outputs=HOSTILE,
        modes=HOSTILE,
        note=HOSTILE[0],
        source=HOSTILE[1],
        n_left_out=3,
    )


@pytest.fixture(scope="module")
def ordinary():
    return made_report()


@pytest.fixture(scope="module")
def ordinary_page(ordinary):
    return diagnosis_page(ordinary, facts={"written": "today"})


def test_page_is_a_document_that_loads_nothing(ordinary_page):
    found = Outline(ordinary_page)
    assert found.loads == []
    assert found.handlers == []
    assert len(found.ids) == len(set(found.ids))
    assert found.scripts.count("") == 4  # plotly, the page, the slider, the prompts


def test_the_verdict_comes_first(ordinary, ordinary_page):
    text = re.sub(r"<(script|style).*?</\1>", "", ordinary_page, flags=re.DOTALL)
    places = [
        text.index(part)
        for part in (
            "<h1>Collapsed by reward gaps</h1>",
            ordinary.verdict.advice,
            ordinary.verdict.reasons[0],
            "What the objective asks for",
            "Where the diversity goes",
            "At another beta",
            "What would change it",
            "Can the samples tell?",
            "Rows and notes</h2>",
        )
    ]
    assert places == sorted(places)


def test_hostile_text_stays_text():
    page = diagnosis_page(hostile_report())
    found = Outline(page)
    assert found.loads == []
    assert found.handlers == []
    assert "</script><script>window" not in page
    assert "\x00" not in page
    assert data(page, "prompts")["texts"].count("<img src=x onerror='window.hacked = 2'>") == 1


def test_prompts_are_worst_first_and_unknown_ones_last(ordinary):
    kept = np.asarray(ordinary.prompts.budget.kept.value).copy()
    kept[3] = np.nan
    budget = replace(
        ordinary.prompts.budget, kept=replace(ordinary.prompts.budget.kept, value=kept)
    )
    report = replace(ordinary, prompts=replace(ordinary.prompts, budget=budget))
    shown = data(diagnosis_page(report), "prompts")["columns"]["kept"]
    assert shown[-1] is None
    assert shown[:-1] == sorted(shown[:-1])
    assert shown[0] == pytest.approx(np.nanmin(kept), rel=5e-3)  # three digits


def test_outputs_belong_to_their_prompts(ordinary, ordinary_page):
    prompts, outputs = data(ordinary_page, "prompts"), data(ordinary_page, "outputs")
    order = np.argsort(ordinary.prompts.budget.kept.value)
    for at, prompt in enumerate(order.tolist()):
        own = ordinary.outputs.prompt == prompt
        listed = slice(outputs["starts"][at], outputs["starts"][at + 1])
        np.testing.assert_allclose(
            outputs["target"][listed], ordinary.outputs.target[own], rtol=1e-3, atol=1e-300
        )
        assert outputs["reward"][listed] == pytest.approx(ordinary.outputs.reward[own], rel=1e-9)
    assert len(prompts["texts"]) == 40


def test_a_page_that_grows_too_large_leaves_outputs_out_and_counts_them(ordinary, monkeypatch):
    monkeypatch.setattr(explorer, "MOST_BYTES", 20_000)
    page = diagnosis_page(ordinary)
    outputs = data(page, "outputs")
    listed = np.diff(outputs["starts"])
    assert 0 < listed.max() < 8
    assert (listed + outputs["leftOut"] == 8).all()
    assert len(re.search(r'id="data-outputs">(.*?)</script>', page, re.DOTALL)[1]) < 20_000
    monkeypatch.setattr(explorer, "MOST_PROMPTS", 7)
    page = diagnosis_page(ordinary)
    assert "The 7 of 40 prompts that keep least are here" in page
    assert len(data(page, "prompts")["texts"]) == 7


def test_modes_that_are_cut_to_the_same_letters_stay_apart():
    modes = tuple("m" * 200 + end for end in "abcd")
    outputs = data(diagnosis_page(made_report(modes=modes)), "outputs")
    assert len(outputs["modes"]) == 4
    assert len(set(outputs["modes"])) == 1


def test_another_divergence_says_what_the_slider_cannot_do():
    page = diagnosis_page(made_report(divergence="forward_kl"))
    assert "stay at beta 0.02: the page recomputes them for reverse KL only" in page
    assert data(page, "prompts")["exact"] is False


def test_tables_have_what_was_found(ordinary):
    figures = figure_table(ordinary)
    assert [c.title for c in figures.columns][1:3] == ["reference", "what the objective asks for"]
    assert figures.rows[0][1].value == ordinary.overall["reference"]["expected_reward"].value
    budget = budget_table(ordinary)
    nats = [row[1].value for row in budget.rows]
    assert nats[0] - sum(nats[1:-1]) == pytest.approx(nats[-1])
    assert math.prod(row[2].value for row in budget.rows[:-1]) == pytest.approx(
        budget.rows[-1][2].value
    )
    assert what_if_table(ordinary).rows[0][0].strong
    assert modes_kept_table(ordinary).rows[1][1].text == "none of the sweep"
    ess = reliability_table(ordinary).rows[0]
    limit = ordinary.settings.limits.ess
    held = int((ordinary.reliability.ess >= limit).sum())
    assert [cell.text for cell in ess[:2]] == ["effective samples", f"at least {limit:g}"]
    assert ess[-1].value == held
    assert (
        "963 rows were read; 960 were used, and these 3 were not" in bad_row_table(ordinary).caption
    )
    assert len(diagnosis_tables(ordinary)) == 6


def test_what_is_not_there_is_left_out(ordinary):
    samples = replace(ordinary.samples, bad_rows=())
    budget = replace(ordinary.budget, optimiser=None)
    overall = {name: each for name, each in ordinary.overall.items() if name != "policy"}
    outputs = replace(ordinary.outputs, policy=None)
    report = replace(
        ordinary, samples=samples, budget=budget, overall=overall, outputs=outputs, notes=()
    )
    assert bad_row_table(report) is None
    assert [row[0].text for row in budget_table(report).rows][-1] == "left to the target"
    page = diagnosis_page(report)
    assert "Rows and notes" not in page
    assert "current policy" not in page
    assert "policy" not in data(page, "outputs")


def test_nothing_to_lose_has_no_waterfall(ordinary):
    nothing = Estimate(np.nan, np.nan, np.nan, np.nan, 0)
    budget = replace(
        ordinary.budget,
        **dict.fromkeys(("n_good_modes", "ceiling", "reference_bias", "reward_gaps"), nothing),
        **dict.fromkeys(("optimiser", "left", "kept"), nothing),
        n_prompts=0,
    )
    report = replace(ordinary, budget=budget)
    assert waterfall_plot(report) is None
    assert budget_table(report).rows == []
    diagnosis_page(report)


def test_the_waterfall_ends_where_it_says(ordinary):
    bars, _ = waterfall_plot(ordinary).traces
    ends = [base + height for base, height in zip(bars["base"], bars["y"], strict=True)]
    assert bars["base"][1:-1] == pytest.approx(ends[:-2])  # each step starts where one ended
    assert ends[-2] == pytest.approx(ends[-1])


def test_the_guide_names_the_limits_that_there_are():
    """docs/how-to/read-the-diagnosis.md says half, fifty, and a probability of 0.1."""
    settings = DiagnosisSettings(beta=1, threshold=0)
    assert (settings.limits.kept, settings.limits.many, settings.reach) == (0.5, 50, 0.1)


@pytest.mark.parametrize("divergence", ["reverse_kl", "jensen_shannon"])
def test_lines_between_strengths_are_off_by_about_what_the_page_says(divergence):
    """Against a sweep of the middles: at most twice as much, and of most figures not much less."""
    pytest.importorskip("arviz_stats")
    rng = np.random.default_rng(0)
    prompts = [World(40, 0.7, "mixed").prompt(rng) for _ in range(5)]
    samples = draw_samples(prompts, 300, rng)
    betas = np.geomspace(0.01, 1.0, 13)
    report, middle = (
        diagnose_samples(
            samples, beta=0.1, threshold=THRESHOLD, divergence=divergence, betas=tuple(at)
        )
        for at in (betas, np.sqrt(betas[1:] * betas[:-1]))
    )
    own = np.argmin(np.abs(middle.sweep.betas - 0.1))  # which every sweep has, too
    said = {label: float(missed) for label, *_, missed in sweep_widget(report).context["rows"]}
    close = []
    for name in FIGURES:
        off = 0.0
        for policy in ("target", "anchored"):
            line, true = (getattr(each.sweep, policy)[name].value for each in (report, middle))
            true = np.delete(true, own)
            off = max(off, np.abs((line[1:] + line[:-1]) / 2 - true).max())
        assert off <= 2 * said[FIGURE_NAMES[name]]
        close.append(off >= said[FIGURE_NAMES[name]] / 2)
    assert sum(close) >= 3
