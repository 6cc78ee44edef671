"""`polymode train chemistry` as a user types it."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("rdkit")


@pytest.fixture(scope="module")
def prior_file(tmp_path_factory):
    from polymode.chemistry import save_model
    from tests.chemistry.learner.tiny import tiny_prior

    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    save_model(tiny_prior(), path)
    return path


def polymode(*arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"}
    command = [sys.executable, "-m", "polymode", "train", "chemistry", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )


def test_from_nothing_to_molecules(prior_file, tmp_path):
    """The path of a new user: write a config, train, train on."""
    written = polymode("--init", "my.toml", cwd=tmp_path)
    assert written.returncode == 0
    assert "next: polymode train chemistry my.toml" in written.stdout
    small = [
        *("-s", f"prior.model={prior_file}", "-s", "target.threshold=0.5", "-s", "run.steps=2"),
        *("-s", "learner.batch_size=16"),
    ]
    done = polymode("my.toml", *small, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "anchored_modes, run in run" in done.stdout
    assert "2 steps in" in done.stdout
    assert "hits in" in done.stdout
    assert (tmp_path / "run" / "model.safetensors").exists()
    page = tmp_path / "run" / "report.html"
    assert "page with all of it: run/report.html" in done.stdout
    assert "All steps are taken, after 2 steps." in page.read_text("utf-8")
    more = polymode("--resume", "--out", "run", "-s", "run.steps=3", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert "3 steps in" in more.stdout
    assert "All steps are taken, after 3 steps." in page.read_text("utf-8")
    assert done.stderr == more.stderr == ""


def test_page_of_a_run_that_was_killed(tmp_path, monkeypatch, capsys):
    from polymode.cli import main
    from tests.report.made_run import made_run

    run = made_run(tmp_path / "run", kept=3, result=False)
    monkeypatch.setattr(
        sys, "argv", ["polymode", "train", "chemistry", "--report", "--out", str(run)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"wrote {run / 'report.html'}" in capsys.readouterr().out.replace("\n", "")
    assert "The run has not ended" in (run / "report.html").read_text("utf-8")
    assert not list(run.glob("*.part"))


def test_preset_needs_no_file_of_its_own(prior_file, tmp_path):
    small = ["-s", f"prior.model={prior_file}", "-s", "oracle.budget=20"]
    done = polymode("--preset", "qed-sa", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "run in polymode-runs/train-qed-sa-1" in done.stdout
    assert "the budget is spent" in done.stdout
    assert (tmp_path / "polymode-runs" / "train-qed-sa-1" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--preset qed-sa` runs as it is"),
        (("none.toml",), "config none.toml cannot be read"),
        (("--report",), "--report needs --out"),
        (("--report", "--out", "none"), "none holds no run"),
        (("--report", "--out", "none", "--preset", "qed-sa"), "--report trains nothing"),
        (("--resume",), "--resume needs --out"),
        (("--resume", "--out", "none"), "config none/config.toml cannot be read"),
        (("bad.toml",), "unknown key 'oracles'; did you mean 'oracle'?"),
        (("--init", "bad.toml"), "bad.toml is there already"),
        (("--preset", "qed"), "did you mean 'qed-sa'?"),
        (("bad.toml", "--preset", "qed-sa"), "not both"),
        (("--preset", "qed-sa", "-s", "prior.model=none"), "prior must be a file or one of"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    from polymode.cli import main

    (tmp_path / "bad.toml").write_text("[oracles]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["polymode", "train", "chemistry", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.strip().splitlines()) == 1
