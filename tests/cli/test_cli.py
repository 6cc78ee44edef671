"""The command line as a user meets it: help that teaches, errors in one line, exit code 2."""

import json
import os
import subprocess
import sys

import pytest


def polymode(*arguments, cwd=None, columns="100"):
    command = [sys.executable, "-c", "from polymode.cli import main; main()", *arguments]
    environment = {**os.environ, "COLUMNS": columns, "NO_COLOR": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def test_help_names_the_verbs_and_where_to_start():
    done = polymode("--help")
    assert done.returncode == 0
    assert "keeps every good answer" in done.stdout
    assert "polymode demo" in done.stdout


def test_help_of_the_demo_explains_every_option():
    done = polymode("demo", "--help")
    for option in ("--task", "--steps", "--seed", "--beta", "--level", "--model", "--out"):
        assert option in done.stdout
    assert "--quick" in done.stdout
    assert "--resume" in done.stdout


def test_no_arguments_show_the_help():
    assert "Commands" in polymode().stdout


def test_version():
    from importlib.metadata import version

    assert polymode("--version").stdout == f"polymode {version('polymode')}\n"


def one_line_error(done, *texts):
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    for text in texts:
        assert text in done.stderr


def test_all_bad_options_in_one_line(tmp_path):
    done = polymode("demo", "--task", "dice", "--steps", "0", "--beta", "-1", cwd=tmp_path)
    one_line_error(done, "task must be one of die", "steps must be >= 1", "beta must be")
    assert not list(tmp_path.iterdir())


def test_nothing_to_resume(tmp_path):
    one_line_error(polymode("demo", "--resume", cwd=tmp_path), "nothing to resume", "--out")
    done = polymode("demo", "--resume", "--out", "no-such-run", cwd=tmp_path)
    one_line_error(done, "nothing to resume in no-such-run")


def test_a_run_with_other_settings_is_not_resumed(tmp_path):
    from dataclasses import asdict

    from polymode.language.demo_run import DemoSettings

    run = tmp_path / "run"
    run.mkdir()
    (run / "settings.json").write_text(json.dumps(asdict(DemoSettings(steps=5))))
    done = polymode("demo", "--resume", "--out", "run", "--steps", "7", cwd=tmp_path)
    one_line_error(done, "started with other settings: steps was 5, now 7")


@pytest.mark.parametrize("content", ["", "[]", '{"steps": "many"}', "\x00"])
def test_damaged_settings_are_reported(content, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "settings.json").write_text(content)
    done = polymode("demo", "--resume", "--out", "run", cwd=tmp_path)
    one_line_error(done, "settings.json")


def test_a_missing_model_is_one_line(tmp_path):
    pytest.importorskip("trl")
    done = polymode("demo", "--model", "./no-such-model", cwd=tmp_path)
    one_line_error(done, "model must be a directory", "./no-such-model")


def test_unknown_verbs_get_a_suggestion():
    done = polymode("dmo")
    assert done.returncode == 2
    assert "Did you mean 'demo'?" in done.stderr
