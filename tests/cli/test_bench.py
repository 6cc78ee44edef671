"""`polymode bench chemistry` as a user meets it."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("rdkit")

from polymode.chemistry.bench.figures import FIGURES
from tests.cli.test_cli import one_line_error, polymode


def records(path, method, hits):
    """Write records as runs leave them."""
    runs = path / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    for seed, n in enumerate(hits):
        figures = {**dict.fromkeys(FIGURES, 0.25), "diverse_hits": n, "ob100": None}
        kept = {
            "suite": "diverse-hits",
            "task": "jnk3",
            "method": method,
            "label": "",
            "seed": seed,
            "threshold": 0.5,
            "budget": 500,
            "seconds": 61.0,
            "figures": figures,
        }
        (runs / f"diverse-hits--jnk3--{method}--{seed}.json").write_text(json.dumps(kept))


def test_help_and_list_teach_without_torch():
    done = polymode("bench", "chemistry", "--help")
    for word in ("--suite", "--workers", "--seeds", "several processes may share"):
        assert word in " ".join(done.stdout.split())
    listed = polymode("bench", "chemistry", "--list")
    assert listed.returncode == 0
    for word in ("saturn-illustrative", "zaleplon_mpo", "mara-modes", "10 seeds, 10000 calls"):
        assert word in listed.stdout


def test_what_is_wrong_is_told():
    one_line_error(polymode("bench", "chemistry"), "name a --suite")
    done = polymode("bench", "chemistry", "--suite", "pmoo")
    one_line_error(done, "suite must be 'diverse-hits' or", "did you mean 'pmo'")
    done = polymode("bench", "chemistry", "--suite", "pmo", "--seeds", "many")
    one_line_error(done, "--seeds must be a number above 0 or a list")


def test_the_table_stands_beside_published_figures(tmp_path):
    records(tmp_path, "reinvent", [30, 40])
    records(tmp_path, "mara-modes", [200, 220])
    done = polymode(
        "bench", "chemistry", "--suite", "diverse-hits", "--summary", "--output", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "mara-modes 2 210 ± 14" in text
    assert "* Reinvent 35 ± 4" in text
    assert "mara-modes against reinvent +175, 95 %" in text
    assert "the forests are those of PMO" in text
    assert "runs with 500 calls are not of the protocol" in text


def test_no_runs_is_told(tmp_path):
    options = ("--suite", "pmo", "--summary", "--output", str(tmp_path))
    one_line_error(polymode("bench", "chemistry", *options), "no runs of pmo")


def test_a_run_from_the_command_line(tmp_path):
    pytest.importorskip("pyarrow")
    from polymode.chemistry import save_model
    from tests.chemistry.learner.tiny import tiny_prior

    prior, output = tmp_path / "tiny.safetensors", tmp_path / "out"
    save_model(tiny_prior(), prior)
    options = ("--suite", "qed-sa", "--methods", "mara-modes", "--seeds", "1", "--budget", "30")
    done = polymode("bench", "chemistry", *options, "--prior", str(prior), "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert "qed-sa--qed-sa--mara-modes--0" in done.stdout
    (record,) = (output / "runs").glob("*.json")
    assert json.loads(record.read_text())["figures"]["n_calls"] == 30
