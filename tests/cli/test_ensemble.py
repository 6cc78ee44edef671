"""`polymode ensemble` as a user meets it."""

import pytest

pytest.importorskip("trl")

from tests.cli.test_cli import one_line_error, polymode
from tests.language.tiny import save_tiny_model


def test_writes_a_model_and_says_so(tmp_path):
    from safetensors.torch import load_file

    for seed, name in enumerate(("base", "trained")):
        save_tiny_model(tmp_path / name, seed=seed)
    done = polymode("ensemble", "base", "trained", "--out", "mixed", "--weight", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote mixed: weights, ")
    assert done.stdout.endswith(" tensors, weight 1\n")
    mixed, trained = (load_file(tmp_path / n / "model.safetensors") for n in ("mixed", "trained"))
    assert all((mixed[name] == trained[name]).all() for name in trained)


def test_errors_are_one_line(tmp_path):
    done = polymode("ensemble", "base", "trained", "--out", "mixed", "--weight", "2", cwd=tmp_path)
    one_line_error(done, "weight must be a number in [0, 1], got 2.0")
    done = polymode("ensemble", "base", "trained", "--out", "mixed", cwd=tmp_path)
    one_line_error(done, "base is no directory", "hf download")
    assert not list(tmp_path.iterdir())
