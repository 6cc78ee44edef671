"""`polymode compare` as a user meets it."""

import json

import pytest

from tests.cli.test_cli import one_line_error, polymode
from tests.cli.test_paper import without


@pytest.fixture
def home(tmp_path):
    """Two evaluated models on eight prompts: one of many modes, one that is better."""
    rows = [
        {
            "model": model,
            "task": "t",
            "prompt_id": prompt,
            "prompt": f"prompt {prompt}",
            "completion": f"<answer>{i % modes}</answer> number {i}",
            "reward": level if i < n_good else 0.0,
        }
        for model, modes, n_good, level in (("wide", 4, 2, 1.0), ("good", 2, 7, 1.0))
        for prompt in range(8)
        for i in range(8)
    ]
    (tmp_path / "e").mkdir()
    text = "\n".join(map(json.dumps, rows))
    (tmp_path / "e" / "samples.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def numbers(home, *options):
    done = polymode("compare", "e", "--json", "--rounds", "50", *options, cwd=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def figure(data, run, name):
    return data["runs"][run]["figures"][name]["value"]


def test_help_teaches():
    done = polymode("compare", "--help")
    for word in ("completions/*.parquet", "result.json", "samples.jsonl", "NAME=RUN", "--mode-key"):
        assert word in done.stdout
    for option in ("--html", "--json", "--markdown", "--latex", "--threshold", "--k", "--last"):
        assert option in done.stdout
    assert "compare" in polymode("--help").stdout


def test_the_page_of_the_terminal_fits_one_screen(home):
    done = polymode("compare", "e", "--mode-key", "xml_tag:answer", cwd=home)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert "good has the highest mean reward (0.875), wide the most effective modes" in done.stdout
    assert "wide against good: mean reward -0.625" in done.stdout


def test_json_has_all_numbers(home):
    data = numbers(home, "--mode-key", "xml_tag:answer")
    assert data["schema_version"] == 1
    assert [run["name"] for run in data["runs"]] == ["wide", "good"]
    assert figure(data, 0, "reward") == 2 / 8
    assert figure(data, 1, "effective_modes") == pytest.approx(2)


def test_every_option_of_numbers_matters(home):
    key = ("--mode-key", "xml_tag:answer")
    plain = numbers(home)
    assert figure(plain, 0, "effective_modes") == pytest.approx(8)  # whole completions
    assert figure(numbers(home, *key), 0, "effective_modes") == pytest.approx(4)
    assert figure(numbers(home, "--threshold", "1.5"), 0, "pass_1") == 0
    assert numbers(home, "--k", "2")["settings"]["k"] == 2
    assert figure(numbers(home, "--k", "2"), 0, "pass_k") == pytest.approx(1 - 15 / 28)
    axes = numbers(home, "--quality", "pass_k", "--diversity", "entropy")
    assert {pair["figure"] for pair in axes["pairs"]} == {"pass_k", "entropy"}
    assert numbers(home, "--level", "0.5")["settings"]["level"] == 0.5
    assert numbers(home, "--seed", "4")["settings"]["seed"] == 4


def test_markdown_and_latex(home):
    done = polymode("compare", "a_b=e", "--markdown", cwd=home)
    assert r"| a\_b/wide |" in done.stdout
    done = polymode("compare", "a_b=e", "--latex", cwd=home)
    assert r"a\_b/wide &" in done.stdout
    assert done.stdout.count(r"\begin{table}") == 2


def test_the_page_is_written_once(home):
    pytest.importorskip("jinja2")
    done = polymode("compare", "e", "--html", "out/page.html", cwd=home)
    assert "wrote out/page.html" in done.stdout
    written = (home / "out" / "page.html").read_text(encoding="utf-8")
    assert written.startswith("<!doctype html>")
    assert [path.name for path in (home / "out").iterdir()] == ["page.html"]
    again = ("compare", "e", "--html", "out/page.html", "--json")
    one_line_error(polymode(*again, cwd=home), "is there already: --overwrite replaces it")
    done = polymode(*again, "--overwrite", cwd=home)
    json.loads(done.stdout)  # what is printed besides goes to stderr
    assert "wrote" in done.stderr


def test_all_problems_in_one_line(home):
    done = polymode("compare", "e", "--json", "--latex", "--html", "e", cwd=home)
    one_line_error(done, "choose one of --json, --markdown and --latex", "must be a file")
    done = polymode("compare", "e", "--k", "0", "--level", "7", "--quality", "rewrad", cwd=home)
    one_line_error(done, "k must be", "level must be", "did you mean 'reward'")
    one_line_error(polymode("compare", "nowhere", "gone", cwd=home), "nowhere is", "gone is")
    one_line_error(
        polymode("compare", "e", "--mode-key", "regex:(", cwd=home), "regular expression"
    )
    one_line_error(polymode("compare", "e", "--last", "0", cwd=home), "last must be")


def test_a_missing_package_is_asked_for(home):
    done = without("jinja2", "compare", "e", "--html", "page.html", cwd=home)
    one_line_error(done, "needs jinja2: `pip install 'polymode[app]'`")
    assert not (home / "page.html").exists()
    (home / "run" / "completions").mkdir(parents=True)
    (home / "run" / "completions" / "completions_00001.parquet").write_bytes(b"PAR1")
    one_line_error(polymode("compare", "run", cwd=home), "cannot be read")
    done = without("pyarrow", "compare", "run", cwd=home)
    one_line_error(done, "needs pyarrow: `pip install 'polymode[app]'`")
