"""Runs beside each other: which prompts count, the front, tests, notes, JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from polymode.diagnostics import ComparisonSettings, compare_runs
from polymode.diagnostics.records import Curve, Exact, Run
from polymode.diagnostics.results import comparison_dict
from polymode.errors import ArgumentError
from tests.diagnostics.made import many, run

FAST = ComparisonSettings(n_rounds=200)


def test_the_front_has_the_good_and_the_diverse():
    runs = [many("good", 0.9, 2), many("wide", 0.5, 6), many("poor", 0.4, 2)]
    found = {x.run.name: x for x in compare_runs(runs, FAST).runs}
    assert {name for name, x in found.items() if x.on_front} == {"good", "wide"}
    assert found["good"].front_share == found["wide"].front_share == 1.0
    assert found["poor"].front_share < 0.05


def test_the_axes_span_the_front():
    runs = [many("good", 0.9, 2), many("wide", 0.5, 6)]
    one = compare_runs(runs, ComparisonSettings(n_rounds=50, diversity="reward"))
    assert [x.on_front for x in one.runs] == [True, False]
    assert {pair.figure for pair in one.pairs} == {"reward"}


def test_a_close_race_is_unsure_of_its_front():
    runs = [many("a", 0.5, 3, seed=1), many("b", 0.5, 3, seed=2)]
    shares = [x.front_share for x in compare_runs(runs, FAST).runs]
    assert 0 < min(shares) < 1


def test_figures_are_over_shared_prompts():
    short = many("short", 0.5, 3, n_prompts=8, seed=1)
    found = compare_runs([many("long", 0.5, 3), short], FAST)
    assert found.shared
    assert [len(x.prompts.keys) for x in found.runs] == [8, 8]
    assert "figures are over the 8 prompts that all runs share" in found.notes


def test_runs_without_shared_prompts_stand_on_their_own():
    other = run("other", *((f"else {i}", 1, "a") for i in range(8)))
    found = compare_runs([many("one", 0.5, 3), other], FAST)
    assert not found.shared
    assert not found.pairs
    assert any(note.startswith("no prompt is shared by all runs") for note in found.notes)
    assert any(note.startswith("runs have from 1 to 8 samples") for note in found.notes)
    assert any(note.startswith("paired tests need 6 prompts") for note in found.notes)


def test_few_shared_prompts_are_not_enough():
    other = run("other", ("prompt 0", 1, "a"), *((f"else {i}", 1, "a") for i in range(8)))
    found = compare_runs([many("one", 0.5, 3), other], FAST)
    assert not found.shared
    assert any(note.startswith("only 1 of 12 prompts are shared") for note in found.notes)


def test_more_samples_alone_do_not_look_more_diverse():
    """Both draw from the same 20 modes; as they stand, 32 samples would show about twice 4."""
    few, many_ = many("few", 0.5, 20, n=4, n_prompts=40), many("many", 0.5, 20, n=32, n_prompts=40)
    found = [x.figures["effective_modes"] for x in compare_runs([few, many_], FAST).runs]
    alone = compare_runs([many_], FAST).runs[0].figures["effective_modes"].value
    assert alone > 2 * found[0].value
    gap = abs(found[0].value - found[1].value)
    assert gap < 5 * np.hypot(found[0].standard_error, found[1].standard_error)


def test_one_prompt_resamples_its_samples():
    rows = [("p", i % 2, "ab"[i % 4 // 2]) for i in range(40)]
    (found,) = compare_runs([run("one", *rows)], FAST).runs
    assert found.resampled == "samples"
    # The standard error of a share of 1/2 in 40 samples is .079; that of 200 rounds varies by 5 %.
    assert found.figures["reward"].standard_error == pytest.approx(0.5 / np.sqrt(40), abs=0.02)
    assert found.figures["reward"].n == 40


def test_exact_runs_have_no_interval():
    exact = Run("demo", "demo", Path("demo"), Exact("die", "die", (0.5, 0.25)))
    (found,) = compare_runs([exact], FAST).runs
    assert found.resampled == "nothing"
    assert found.figures["reward"].value == 0.75
    assert np.isnan(found.figures["reward"].low)
    assert np.isnan(found.front_share)


def test_a_run_of_curves_only_is_kept_apart():
    curves = (Curve("reward", (1, 2), (0.1, 0.2)),)
    found = compare_runs([many("one", 0.5, 3), run("curves", curves=curves)], FAST)
    assert found.runs[1].figures == {}
    assert not found.runs[1].on_front
    assert len(found.runs[0].prompts.keys) == 12


def test_k_is_the_fewest_samples_or_8():
    assert compare_runs([many("a", 0.5, 3, n=5)], FAST).settings.k == 5
    assert compare_runs([many("a", 0.5, 3, n=20)], FAST).settings.k == 8
    assert compare_runs([many("a", 0.5, 3)], ComparisonSettings(k=2, n_rounds=10)).settings.k == 2


def test_a_threshold_that_nothing_reaches_is_told():
    found = compare_runs([many("a", 0.5, 3)], ComparisonSettings(threshold=7, n_rounds=10))
    assert any(note.startswith("no sample reaches a reward of 7") for note in found.notes)


def test_a_note_of_several_runs_comes_once():
    runs = [run(name, ("p", 1, "a"), notes=("so so",)) for name in "abc"]
    assert compare_runs(runs, FAST).notes[0] == "so so"
    assert compare_runs([*runs, run("d", ("p", 1, "a"))], FAST).notes[0] == "a, b, c: so so"


def test_the_same_seed_gives_the_same_numbers():
    runs = [many("a", 0.5, 3, seed=1), many("b", 0.5, 3, seed=2)]
    texts = [
        json.dumps(comparison_dict(compare_runs(runs, ComparisonSettings(n_rounds=50, seed=seed))))
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_plain_data_has_every_number_and_no_nan():
    data = comparison_dict(compare_runs([many("a", 0.5, 3), many("b", 0.9, 1)], FAST))
    text = json.dumps(data, allow_nan=False)
    assert data["schema_version"] == 1
    assert json.loads(text)["runs"][0]["prompts"][3]["key"] == "prompt 3"
    assert data["runs"][0]["figures"]["kl"]["value"] is None
    assert {pair["figure"] for pair in data["pairs"]} == {"reward", "effective_modes"}


def test_all_wrong_settings_at_once():
    with pytest.raises(ArgumentError) as error:
        ComparisonSettings(
            threshold=float("inf"), k=0, quality="rewards", level=2, n_rounds=0, seed=-1
        )
    text = str(error.value)
    for name in ("threshold", "k must", "did you mean 'reward'", "level", "rounds", "seed"):
        assert name in text


def test_runs_need_different_names():
    with pytest.raises(ArgumentError, match="at least one, with different names"):
        compare_runs([many("a", 0.5, 3), many("a", 0.5, 3)])
    with pytest.raises(ArgumentError, match="at least one"):
        compare_runs([])
