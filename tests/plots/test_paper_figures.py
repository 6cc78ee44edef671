"""The remade figures: their data say what the result says; fresh or read back, one picture."""

import json

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")

from polymode.core import divergence_names
from polymode.papers.figures import figure_result
from polymode.papers.settings import NUMBERS, FigureSettings
from polymode.plots.anchoring import (
    algorithm_bars_data,
    paired_bars_data,
    stacked_answers_data,
)
from polymode.plots.optima import beta_curves_data, outcome_bars_data
from polymode.plots.paper import paper_figure, save_paper_figure
from polymode.plots.plateaus import plateau_panels_data
from polymode.plots.words import divergence_words

SETTINGS = FigureSettings(steps=(2, 4), runs=2)
COLUMNS = ["reverse KL, plain", "reverse KL, anchored", "forward KL, plain", "forward KL, anchored"]


@pytest.fixture(scope="module", params=NUMBERS)
def result(request):
    return figure_result(request.param, SETTINGS, lambda step, steps: None)


def of(number):
    return figure_result(number, SETTINGS, lambda step, steps: None)


def titles(figure):
    return [ax.get_title(loc="left").strip() for ax in figure.axes]


def test_files_are_pictures_and_the_same_from_json(result, tmp_path):
    png, svg = save_paper_figure(result, tmp_path)
    assert png.name == f"figure-{result['figure']}.png"
    first = png.read_bytes(), svg.read_text()
    assert first[0].startswith(b"\x89PNG")
    assert "<svg" in first[1]
    again = json.loads(json.dumps(result))
    png, svg = save_paper_figure(again, tmp_path)
    assert (png.read_bytes(), svg.read_text()) == first


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_columns_are_those_of_the_paper(number):
    found = titles(paper_figure(of(number)))
    assert found == COLUMNS * (len(found) // 4)


def test_curves_mark_where_the_mass_is_equal():
    data = beta_curves_data(of(2))
    assert [panel.equal_mass_beta is None for panel in data] == [False, True, False, True]
    assert len(data[0].targets) == len(data[0].outputs) == 3
    ax = paper_figure(of(2)).axes[0]
    assert ax.get_xlabel() == "beta"
    assert [text.get_text() for text in ax.texts] == ["equal at 0.132"]


def test_bars_are_the_targets():
    data, figure = outcome_bars_data(of(4)), paper_figure(of(4))
    for panel, ax in zip(data, figure.axes, strict=True):
        assert [bar.get_height() for bar in ax.patches] == list(panel.target)
    assert figure.axes[0].get_ylabel() == "beta 0.001\nprobability"
    assert [text.get_text() for text in figure.axes[0].texts[:1]] == ["0.000"]


def test_a_trained_panel_says_how_far_it_is_after_how_many_steps():
    result = of(5)
    (panel, *_), ax = plateau_panels_data(result), paper_figure(result).axes[0]
    assert panel.plateaus == ((5, 30), (50, 75))
    assert [policy.n_steps for policy in panel.trained] == [2, 4]
    for policy in panel.trained:
        text = f"TV to optimum {policy.total_variation:.3f} after {policy.n_steps} steps"
        assert text in ax.get_xlabel()


def test_the_sixth_figure_has_every_divergence_and_owns_up_to_ties():
    result = of(6)
    names = [divergence_words(name) for name in divergence_names()]
    axes = dict(zip(titles(figure := paper_figure(result)), figure.axes, strict=True))
    assert list(axes)[: len(names)] == names
    assert "one optimum of many" in axes["total variation"].get_xlabel()
    assert "many" not in axes["reverse KL"].get_xlabel()
    assert [pair.unique for pair in paired_bars_data(result)].count(False) == 1
    assert [bars.title for bars in algorithm_bars_data(result)] == [
        "plain",
        "Algorithm 1",
        "Algorithm 2",
    ]
    reference, *_ = stacked_answers_data(result)
    assert reference.answers == ("A", "B", "C", "D", "none")
    assert [len(parts) for parts in reference.phrasings] == [10, 1, 1, 1, 1]
    assert sum(reference.phrasings[0]) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("reverse_kl", "reverse KL"),
        ("jensen_shannon", "Jensen\u2013Shannon"),
        ("forward_chi_squared", "forward chi-squared"),
        ("squared_hellinger", "squared Hellinger"),
        ("alpha(3.0)", "alpha(3.0)"),
    ],
)
def test_divergences_have_their_words(name, words):
    assert divergence_words(name) == words
