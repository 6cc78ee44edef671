"""Demos, evaluations, names of runs, and everything that is no run."""

import json
from math import exp, log
from pathlib import Path

import pytest

from polymode.diagnostics import ReadOptions, compare_runs, read_runs
from polymode.diagnostics.runs.columns import mode_name, text_of
from polymode.errors import ArgumentError, InputError

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "science" / "results"


@pytest.fixture
def demo(tmp_path):
    """A directory with the kept result of a real demo."""
    kept = json.loads((RESULTS / "2026-11-24-demo-die.json").read_text("utf-8"))
    home = tmp_path / "demo"
    home.mkdir()
    (home / "result.json").write_text(json.dumps(kept["results"][0]))
    return home


def row(**changes):
    base = {"model": "m", "task": "t", "prompt_id": 1, "prompt": "p", "completion": "I say 7"}
    return {**base, "reward": 1.0, "mode": "7", "log_prob": -1.0, **changes}


def evaluation(home, *rows):
    home.mkdir(parents=True)
    text = "".join(json.dumps(each) + "\n" for each in rows)
    (home / "samples.jsonl").write_text(text, encoding="utf-8")
    return str(home)


def test_a_demo_is_three_runs(demo):
    result = json.loads((demo / "result.json").read_text())
    base, plain, anchored = read_runs([str(demo)])
    assert (base.name, plain.name, anchored.name) == ("base", "plain", "anchored")
    assert base.promise is None
    ours = result["runs"]["anchored"]
    assert anchored.promise.promised == tuple(ours["promised"]["probabilities"].values())
    assert anchored.promise.total_variation == ours["total_variation_to_promise"]
    found = compare_runs([base, plain, anchored]).runs[2].figures
    exact = ours["measured"]["exact"]
    assert found["reward"].value == pytest.approx(exact["expected_reward"])
    assert found["effective_modes"].value == pytest.approx(exact["effective_answers"])


def test_curves_of_a_demo_end_where_it_was_measured(demo):
    last = json.loads((demo / "result.json").read_text())["runs"]["anchored"]["history"][-1]
    anchored = read_runs([str(demo / "result.json")])[2]
    curves = {curve.quantity: curve for curve in anchored.curves}
    assert set(curves) == {"reward", "effective_modes", "kl"}
    assert curves["reward"].values[-1] == last["answers/frac_valid"]
    mass = [v for k, v in last.items() if k.startswith("answers/") and k[8:].isdigit()]
    shares = [m / sum(mass) for m in mass]
    expected = exp(-sum(p * log(p) for p in shares))
    assert curves["effective_modes"].values[-1] == pytest.approx(expected)


def test_a_demo_that_never_answers_has_no_modes(demo):
    result = json.loads((demo / "result.json").read_text())
    for key in result["runs"]["plain"]["history"][0]:
        if key.startswith("answers/"):
            result["runs"]["plain"]["history"][0][key] = 0.0
    (demo / "result.json").write_text(json.dumps(result))
    (curve,) = (c for c in read_runs([str(demo)])[1].curves if c.quantity == "effective_modes")
    assert curve.values[0] == 0.0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 1}', "\x00"])
def test_a_broken_result_is_told(demo, text):
    (demo / "result.json").write_text(text)
    with pytest.raises(InputError, match="is not the result of `polymode demo`"):
        read_runs([str(demo)])


def test_a_result_of_another_version_is_told(demo):
    (demo / "result.json").write_text('{"schema_version": 9}')
    with pytest.raises(InputError, match="must have schema_version 1, got 9"):
        read_runs([str(demo)])


def test_models_of_an_evaluation_are_runs(tmp_path):
    home = evaluation(tmp_path / "e", row(), row(model="n", reward=0), row(prompt_id=2))
    first, second = read_runs([home])
    assert (first.name, second.name) == ("m", "n")
    assert len(first.outcome.keys) == 2
    assert first.outcome.modes == ("7", "7")


def test_models_in_directories_have_short_names(tmp_path):
    models = ("/a/b/one", "/c/b/one", "Qwen/Qwen3-0.6B", "out/mara/model/")
    home = evaluation(tmp_path / "e", *(row(model=model) for model in models))
    assert [run.name for run in read_runs([home])][1:] == [
        f"{tmp_path.name}/one (2)",
        "Qwen/Qwen3-0.6B",
        "model",
    ]


def test_prompts_are_told_apart_by_task_and_id(tmp_path):
    home = evaluation(tmp_path / "e", row(), row(task="u"), row(prompt_id=2), row())
    (run,) = read_runs([home])
    assert len(run.outcome.keys) == 3
    assert set(run.outcome.texts) == {"p"}


def test_log_ratios_need_both_models(tmp_path):
    home = evaluation(tmp_path / "e", row(), row(ref_log_prob=-4))
    (run,) = read_runs([home])
    assert run.outcome.log_ratios.tolist() == pytest.approx([float("nan"), 3.0], nan_ok=True)


def test_a_mode_key_wins_over_the_modes_of_the_file(tmp_path):
    home = evaluation(tmp_path / "e", row(mode="other"))
    (run,) = read_runs([home], ReadOptions(mode_key="last_number"))
    assert run.outcome.modes == ("7",)


def test_a_model_that_never_answers_has_no_modes(tmp_path):
    home = evaluation(tmp_path / "e", row(mode=None), row(mode=None, completion="x"))
    assert read_runs([home])[0].outcome.modes == (None, None)


def test_without_modes_whole_completions_count(tmp_path):
    rows = [row(), row(completion=" x ")]
    home = evaluation(tmp_path / "e", *({k: v for k, v in r.items() if k != "mode"} for r in rows))
    (run,) = read_runs([home])
    assert run.outcome.modes == ("I say 7", "x")
    assert "--mode-key" in run.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ('{"model": "m"}\n', "line 1 must have task, prompt_id"),
        (json.dumps(row()) + '\n{"model', "line 2 is not JSON"),
        ("[1]\n", "line 1 must have model"),
    ],
)
def test_broken_samples_are_told(tmp_path, text, message):
    (tmp_path / "samples.jsonl").write_text(text)
    with pytest.raises(InputError, match=message):
        read_runs([str(tmp_path)])


def test_samples_that_are_no_text_or_have_no_reward_are_told(tmp_path):
    (tmp_path / "samples.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="must be UTF-8"):
        read_runs([str(tmp_path)])
    home = evaluation(tmp_path / "e", row(reward=None))
    with pytest.raises(InputError, match="no sample of m with a reward"):
        read_runs([home])
    (tmp_path / "e" / "samples.jsonl").unlink()
    (tmp_path / "e" / "evaluation.json").write_text("{}")
    with pytest.raises(InputError, match=r"evaluation\.json alone has no samples"):
        read_runs([home])


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as error:
        read_runs([str(tmp_path / "nowhere"), str(tmp_path / "empty")])
    assert "nowhere is not there" in str(error.value)
    assert "empty is no run: it has neither completions" in str(error.value)


def test_runs_have_different_names(tmp_path):
    paths = [evaluation(tmp_path / home / "e", row()) for home in "ab"]
    names = [run.name for run in read_runs([*paths, f"mine={paths[0]}", paths[0]])]
    assert names == ["a/e", "b/e", "mine", "a/e (2)"]


def test_several_models_of_several_paths_keep_both_names(tmp_path):
    one = evaluation(tmp_path / "e", row(), row(model="n"))
    two = evaluation(tmp_path / "f", row())
    assert [run.name for run in read_runs([one, two])] == ["e/m", "e/n", "f"]
    assert [run.name for run in read_runs([f"x={one}"])] == ["x/m", "x/n"]


def test_wrong_options_are_told():
    with pytest.raises(ArgumentError, match="last must be an integer >= 1"):
        ReadOptions(last=0)
    with pytest.raises(ArgumentError, match="did you mean 'last_number'"):
        ReadOptions(mode_key="last-number")


def test_text_of_messages():
    assert text_of("a") == "a"
    assert text_of(None) == ""
    assert text_of([{"role": "user", "content": [{"text": "a"}, {"image": 1}]}]) == "a"
    assert text_of([{"role": "user", "content": None}, {"content": "b"}]) == "user: \n?: b"
    assert text_of({"a": 1}) == '{"a": 1}'


def test_names_of_modes():
    modes = (None, float("nan"), 3.0, 3, "3", True)
    assert [mode_name(mode) for mode in modes] == [None, None, "3", "3", "3", "True"]
