"""`polymode diagnose` as a user meets it."""

import gzip
import json
import math
import random
import sys

import pytest

pytest.importorskip("arviz_stats")

from typer.testing import CliRunner

from polymode.cli import app
from tests.cli.test_cli import one_line_error, polymode
from tests.cli.test_paper import without
from tests.report.hostile import HOSTILE

COLOURS = {"red": 0.55, "blue": 0.3, "green": 0.05, "dog": 0.1}
SETTINGS = ("--beta", "0.02", "--threshold", "0.5", "--bootstrap", "20")


def rows(n_prompts=8, n=32, **extra):
    """Draws of three good colours, one of which earns a little less, and one that is wrong."""
    rng = random.Random(0)
    drawn = rng.choices(list(COLOURS), list(COLOURS.values()), k=n_prompts * n)
    return [
        {
            "prompt": f"Name a colour, number {i // n}.",
            "output": f"It is {colour}.",
            "reward": {"red": 1.0, "blue": 0.9, "green": 1.0, "dog": 0.0}[colour],
            "ref_log_prob": math.log(COLOURS[colour]),
            **extra,
        }
        for i, colour in enumerate(drawn)
    ]


def write(path, lines):
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write(folder / "samples.jsonl", rows())
    return folder


@pytest.fixture
def numbers(monkeypatch):
    """All numbers of a diagnosis, in this process: another one takes two seconds to start."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which the verb adds a place

    def run(home, *options, name="samples.jsonl"):
        monkeypatch.chdir(home)
        call = ["diagnose", name, *SETTINGS, "--json", "-", *options]
        done = CliRunner().invoke(app, call, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


def test_help_teaches():
    done = polymode("diagnose", "--help")
    for word in ("ref_log_prob", "polymode score", "samples.jsonl", "REINVENT", "stdin"):
        assert word in done.stdout
    for option in ("--beta", "--threshold", "--divergence", "--mode-key", "--columns", "--html"):
        assert option in done.stdout
    assert "diagnose" in polymode("--help").stdout


def test_the_page_of_the_terminal_fits_one_screen_and_says_the_verdict_first(home):
    done = polymode("diagnose", "samples.jsonl", *SETTINGS, cwd=home)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "COLLAPSED BY REWARD GAPS"
    assert 24 <= len(lines) <= 40
    assert max(map(len, lines)) <= 100
    for words in ("reference bias", "reward gaps", "anchored", "forward_kl", "are reliable"):
        assert words in done.stdout


def test_narrow_screens_lose_no_label(home):
    """80 columns are what a terminal has that says nothing else."""
    for columns in ("80", "200"):
        done = polymode("diagnose", "samples.jsonl", *SETTINGS, cwd=home, columns=columns)
        lines = done.stdout.splitlines()
        assert max(map(len, lines)) <= min(int(columns), 100)
        for label in ("expected reward", "as it is", "anchored outputs", "forward_kl"):
            assert any(line.startswith(label) for line in lines), (columns, label)
        steps = [line for line in lines if line.startswith(("reference bias", "reward gaps"))]
        assert all(line[-1].isdigit() for line in steps)  # factors are whole
        (changed,) = (line for line in lines if line.startswith("anchored outputs"))
        assert changed.endswith("100 %")


def test_files_are_written_once(home):
    pytest.importorskip("jinja2")
    files = ("--html", "out/report.html", "--json", "out/report.json")
    done = polymode("diagnose", "samples.jsonl", *SETTINGS, *files, cwd=home)
    assert "wrote out/report.html" in done.stdout
    assert "wrote out/report.json" in done.stdout
    page = (home / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Collapsed by reward gaps</h1>" in page
    kept = json.loads((home / "out" / "report.json").read_text(encoding="utf-8"))
    assert kept["schema_version"] == 1
    assert kept["verdict"]["kind"] == "collapsed_by_reward_gaps"
    assert sorted(path.name for path in (home / "out").iterdir()) == ["report.html", "report.json"]
    done = polymode("diagnose", "gone.jsonl", *SETTINGS, *files, cwd=home)
    one_line_error(done, "out/report.html is there already", "out/report.json is there already")
    done = polymode("diagnose", "samples.jsonl", *SETTINGS, *files, "--overwrite", cwd=home)
    assert done.returncode == 0


def test_every_option_of_numbers_matters(home, numbers):
    plain = numbers(home)
    assert plain["verdict"]["kind"] == "collapsed_by_reward_gaps"
    mild = numbers(home, "--beta", "5", "--threshold", "0.95", "--divergence", "forward_kl")
    assert [mild["settings"][key] for key in ("beta", "threshold", "divergence")] == [
        5,
        0.95,
        "forward_kl",
    ]
    assert mild["verdict"]["kind"] != plain["verdict"]["kind"]
    assert mild["samples"]["drawn_from"] == "reference"
    one = numbers(home, "--mode-key", "regex:(is)", "--level", "0.5", "--seed", "3")
    assert one["samples"]["n_modes"] == 8  # every output of a prompt says "is"
    assert [one["settings"][key] for key in ("level", "seed")] == [0.5, 3]


def test_columns_rows_and_who_drew(tmp_path, numbers):
    renamed = [
        {
            "question": r["prompt"],
            "text": r["output"],
            "score": r["reward"],
            "nll": -r["ref_log_prob"],
        }
        for r in rows()
    ]
    write(tmp_path / "renamed.jsonl", [*renamed, "{", {**renamed[0], "score": "much"}])
    columns = "prompt=question,output=text,reward=score,ref_log_prob=-nll"
    call = ("diagnose", "renamed.jsonl", *SETTINGS, "--columns", columns, "--json", "-")
    done = polymode(*call, cwd=tmp_path)
    one_line_error(done, "2 of 258 rows cannot be used", "--bad-rows drop")
    options = ("--columns", columns, "--bad-rows", "drop")
    found = numbers(tmp_path, *options, name="renamed.jsonl")["samples"]
    assert (found["n_rows"], found["n_samples"]) == (258, 256)
    assert sum(bad["n"] for bad in found["bad_rows"]) == 2
    drawn = rows(log_prob=-1.0)
    write(tmp_path / "drawn.jsonl", drawn)
    by_policy = numbers(tmp_path, name="drawn.jsonl")
    assert by_policy["samples"]["drawn_from"] == "policy"
    assert "policy" in by_policy["overall"]
    said = numbers(tmp_path, "--drawn-from", "reference", name="drawn.jsonl")
    assert said["samples"]["drawn_from"] == "reference"


def test_all_problems_in_one_line(home):
    done = polymode("diagnose", "samples.jsonl", "--beta", "-1", "--threshold", "nan", cwd=home)
    one_line_error(done, "beta must be a finite number > 0", "threshold must be")
    done = polymode("diagnose", "nowhere.jsonl", *SETTINGS, cwd=home)
    one_line_error(done, "nowhere.jsonl is not there")
    done = polymode("diagnose", "samples.jsonl", *SETTINGS, "--divergence", "revers_kl", cwd=home)
    one_line_error(done, "did you mean 'reverse_kl'")
    done = polymode("diagnose", "samples.jsonl", *SETTINGS, "--columns", "rewrd=x", cwd=home)
    one_line_error(done, "rewrd")
    done = polymode(
        "diagnose", "samples.jsonl", *SETTINGS, "--html", ".", "--json", "samples.jsonl", cwd=home
    )
    one_line_error(done, "--html must be a file", "samples.jsonl is there already")


def test_hostile_files_end_in_one_line_or_a_page(tmp_path):
    texts = [{**row, "output": text} for row, text in zip(rows(), HOSTILE, strict=False)]
    write(tmp_path / "hostile.jsonl", texts * 4)
    call = ("diagnose", "hostile.jsonl", *SETTINGS, "--bad-rows", "drop", "--html", "page.html")
    done = polymode(*call, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "</script><script>window" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    whole = gzip.compress((tmp_path / "hostile.jsonl").read_bytes())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    done = polymode("diagnose", "cut.jsonl.gz", *SETTINGS, cwd=tmp_path)
    one_line_error(done, "cut.jsonl.gz")


def test_a_missing_package_is_asked_for(home):
    done = without("jinja2", "diagnose", "samples.jsonl", *SETTINGS, "--html", "x.html", cwd=home)
    one_line_error(done, "needs jinja2: `pip install 'polymode[app]'`")
    assert not (home / "x.html").exists()
