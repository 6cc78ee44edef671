"""`polymode train language` as a user types it."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("trl")

from tests.language.tiny import save_tiny_model


def polymode(*arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "300"}
    command = [sys.executable, "-m", "polymode", "train", "language", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )


def test_from_nothing_to_a_model(tmp_path):
    """The path of a new user: write a recipe, train, train on."""
    model = save_tiny_model(tmp_path / "tiny")
    written = polymode("--init", "my.yaml", cwd=tmp_path)
    assert written.returncode == 0
    assert "next: polymode train language my.yaml" in written.stdout
    small = [
        *("-s", f"model.name={model}", "-s", "model.dtype=float32", "-s", "trainer.max_steps=2"),
        *("-s", "trainer.num_generations=8", "-s", "trainer.per_device_train_batch_size=8"),
    ]
    done = polymode("my.yaml", *small, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "anchored, run in run" in done.stdout
    assert "measured" in done.stdout
    assert (tmp_path / "run" / "model" / "adapter_model.safetensors").exists()
    more = polymode("--resume", "--out", "run", "-s", "trainer.max_steps=3", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert "3 steps in" in more.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--init my.yaml` writes one"),
        (("none.yaml",), "recipe none.yaml cannot be read"),
        (("--resume",), "--resume needs --out"),
        (("bad.yaml",), "unknown key 'dta'; did you mean 'data'?"),
        (("--init", "bad.yaml"), "bad.yaml is there already"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, tmp_path):
    (tmp_path / "bad.yaml").write_text("dta: die\n")
    done = polymode(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
