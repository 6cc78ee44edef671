"""`polymode evaluate` as a user meets it."""

import json

import pytest

from tests.cli.test_cli import one_line_error, polymode
from tests.cli.test_paper import without

pytest.importorskip("trl")

from tests.language.tiny import save_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("tiny")))


def test_help_explains_every_option():
    done = polymode("evaluate", "--help")
    assert done.returncode == 0
    for word in ("--tasks", "--prompts", "--samples", "--mode-key", "--rewards", "--resume"):
        assert word in done.stdout
    for word in ("--batch-size", "--max-new-tokens", "--temperature", "--embedder", "--engine"):
        assert word in done.stdout


@pytest.mark.slow
def test_models_side_by_side_with_a_reward_of_the_users(tiny, tmp_path):
    other = str(save_tiny_model(tmp_path / "other", seed=1))
    (tmp_path / "lengths.py").write_text(
        "def reward(prompts, completions, **_):\n    return [len(c) / 4 for c in completions]\n"
    )
    options = ("--tasks", "die,season", "--samples", "6", "--max-new-tokens", "4", "--seed", "3")
    options += ("--rewards", "lengths:reward", "--threshold", "0.5", "--embedder", "none")
    done = polymode("evaluate", tiny, other, *options, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in ("Task die: 1 prompts, 6 samples each", "Task season", "over samples", "±"):
        assert text in done.stdout
    assert "left out: semantic_diversity, vendi_score, distinct_clusters: no embedder" in (
        " ".join(done.stdout.split())
    )
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert found["settings"]["seed"] == 3
    assert [(each["model"], each["task"]) for each in found["results"]] == [
        (model, task) for model in (tiny, other) for task in ("die", "season")
    ]
    rows = [json.loads(x) for x in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert all(row["reward"] == len(row["completion"]) / 4 for row in rows)
    again = polymode("evaluate", tiny, other, *options, "--out", "run", "--resume", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "loading" not in again.stdout
    done = polymode("evaluate", tiny, other, *options, "--out", "run", cwd=tmp_path)
    one_line_error(done, "run holds a run", "--resume")


def test_all_bad_options_in_one_line(tmp_path):
    options = ("--tasks", "dice", "--samples", "0", "--mode-key", "exakt", "--prompts", "x.jsonl")
    done = polymode("evaluate", "m", *options, cwd=tmp_path)
    one_line_error(done, "evaluate has 3 problems", "did you mean 'die'?", "samples", "'exact'?")
    assert not list(tmp_path.iterdir())


def test_bad_prompts_are_told_before_anything_is_loaded(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": 1}\n')
    done = polymode("evaluate", "m", "--prompts", "p.jsonl", cwd=tmp_path)
    one_line_error(done, "p.jsonl: line 1: prompt must be a text")
    done = polymode("evaluate", "m", "--prompts", "missing.jsonl", cwd=tmp_path)
    one_line_error(done, "prompts must be a file of JSON Lines, got 'missing.jsonl'")


def test_a_missing_model_and_a_missing_run_are_one_line(tmp_path):
    done = polymode("evaluate", "./no-such-model", "--tasks", "die", cwd=tmp_path)
    one_line_error(done, "model must be a directory", "./no-such-model")
    done = polymode("evaluate", "m", "--resume", "--out", "nowhere", cwd=tmp_path)
    one_line_error(done, "nothing to resume in nowhere")
    (tmp_path / "empty").mkdir()
    done = polymode("evaluate", "m", "--resume", cwd=tmp_path / "empty")
    one_line_error(done, "nothing to resume under polymode-runs/")


def test_missing_packages_are_asked_for(tmp_path):
    done = without("torch", "evaluate", "m", "--tasks", "die", "--out", "x", cwd=tmp_path)
    one_line_error(done, "needs torch: `pip install 'polymode[language]'`")
    done = without("vllm", "evaluate", "m", "--engine", "vllm", "--tasks", "die", cwd=tmp_path)
    one_line_error(done, "needs vllm: `pip install vllm`")
