"""`polymode score` as a user meets it."""

import json

import pytest

pytest.importorskip("trl")

from tests.cli.test_cli import one_line_error, polymode
from tests.language.tiny import save_tiny_model


def test_scores_a_file_and_says_what_was_written(tmp_path):
    save_tiny_model(tmp_path / "model")
    (tmp_path / "s.jsonl").write_text('{"question": "p", "output": "x"}\nno json\n')
    done = polymode(
        *("score", "s.jsonl", "--model", "./model", "--columns", "prompt=question"),
        *("--dtype", "float32"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "1 rows without a score: is not a JSON object" in done.stdout
    assert done.stdout.endswith("wrote s.scored.jsonl: 2 rows, scored in float32\n")
    first = (tmp_path / "s.scored.jsonl").read_text().splitlines()[0]
    assert list(json.loads(first)) == ["question", "output", "ref_log_prob", "n_tokens"]


def test_errors_are_one_line(tmp_path):
    done = polymode("score", "s.jsonl", "--model", "m", "--columns", "prompt", cwd=tmp_path)
    one_line_error(done, "columns must be OURS=THEIRS, got 'prompt'")
    done = polymode("score", "s.jsonl", "--model", "m", cwd=tmp_path)
    one_line_error(done, "s.jsonl is not there: name a file of samples, or a run of TRL")


def test_help_teaches():
    done = polymode("score", "--help")
    for text in ("ref_log_prob", "goes on where it stopped", "--reference-of-adapter", "finished"):
        assert text in done.stdout
