"""The demo's figure: its data say what result.json says, and the files are real pictures."""

import math

import pytest

pytest.importorskip("matplotlib")

from polymode.plots.demo import (
    answer_bars_data,
    demo_figure,
    entropy_curves_data,
    save_demo_figure,
)


def distribution(*probabilities):
    names = ("red", "blue")
    total = sum(probabilities)
    shares = [p / total for p in probabilities]
    entropy = -sum(s * math.log(s) for s in shares)
    return {
        "probabilities": dict(zip(names, probabilities, strict=True)),
        "frac_valid": total,
        "entropy": entropy,
        "frac_of_max_entropy": entropy / math.log(2),
        "effective_answers": math.exp(entropy),
        "expected_reward": total,
    }


def run(promised, measured, *steps):
    return {
        "promised": promised,
        "measured": {"exact": measured, "sampled": measured},
        "history": [
            {"step": i, "answers/frac_valid": a + b, "answers/red": a, "answers/blue": b}
            for i, (a, b) in enumerate(steps, start=1)
        ],
        "total_variation_to_promise": 0.1,
    }


RESULT = {
    "settings": {"task": "colour"},
    "base": {"exact": distribution(0.3, 0.1), "sampled": distribution(0.3, 0.1)},
    "runs": {
        "plain": run(distribution(0.7, 0.2), distribution(0.8, 0.1), (0.5, 0.1), (0.8, 0.1)),
        "anchored": run(distribution(0.45, 0.45), distribution(0.4, 0.5), (0.3, 0.3), (0.4, 0.5)),
    },
}


def test_bars_hold_measured_and_promised():
    base, plain, anchored = answer_bars_data(RESULT)
    assert (base.model, base.measured, base.promised) == ("base", (0.3, 0.1), None)
    assert (plain.measured, plain.promised) == ((0.8, 0.1), (0.7, 0.2))
    assert anchored.answers == ("red", "blue")
    assert anchored.frac_valid == pytest.approx(0.9)


def test_curves_start_at_the_base_model():
    plain, anchored = entropy_curves_data(RESULT)
    assert plain.steps == (0, 1, 2)
    assert plain.frac_of_max_entropy[0] == RESULT["base"]["exact"]["frac_of_max_entropy"]
    # Entropy of (5/6, 1/6) over log 2, then of (1/2, 1/2).
    expected = -(5 / 6 * math.log2(5 / 6) + 1 / 6 * math.log2(1 / 6))
    assert plain.frac_of_max_entropy[1] == pytest.approx(expected)
    assert anchored.frac_of_max_entropy[1] == pytest.approx(1.0)
    assert anchored.promised == pytest.approx(1.0)


def test_the_figure_has_a_panel_each_and_names_its_axes():
    figure = demo_figure(RESULT)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["base model", "plain RL", "mode-anchored RL", "diversity of answers"]
    assert figure.axes[0].get_ylabel() == "probability of the answer"
    heights = [bar.get_height() for bar in figure.axes[2].patches]
    assert heights == [0.4, 0.5]


def test_files_are_pictures_and_repeat_exactly(tmp_path):
    png, svg = save_demo_figure(RESULT, tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    first = svg.read_text()
    assert "<svg" in first
    save_demo_figure(RESULT, tmp_path)
    assert svg.read_text() == first
