"""`polymode paper figures` as a user meets it."""

import json
import subprocess
import sys

import pytest

from tests.cli.test_cli import one_line_error, polymode

pytest.importorskip("matplotlib")


def without(module, *arguments, cwd):
    """Run the command line where a module is not installed."""
    code = (
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        f"sys.argv = ['polymode', *{list(arguments)!r}]\n"
        "from polymode.cli import main; main()"
    )
    command = (sys.executable, "-c", code)
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_explains_figures_and_options():
    assert "figures" in polymode("paper", "--help").stdout
    done = polymode("paper", "figures", "--help")
    assert done.returncode == 0
    for word in ("--figure", "--out", "--seed", "--steps", "--runs", "--overwrite", "torch"):
        assert word in done.stdout


def test_all_bad_options_in_one_line(tmp_path):
    done = polymode(
        "paper", "figures", "--figure", "7,2", "--seed", "-1", "--runs", "0", cwd=tmp_path
    )
    one_line_error(done, "figure must be one of 2, 3, 4, 5, 6, all, got '7'", "seed must", "runs")
    assert not list(tmp_path.iterdir())


def test_files_are_not_replaced_unasked(tmp_path):
    (tmp_path / "here").mkdir()
    svg = tmp_path / "here" / "figure-3.svg"
    svg.write_text("mine")
    again = ("paper", "figures", "--figure", "3,4", "--out", "here")
    one_line_error(polymode(*again, cwd=tmp_path), "already holds figure-3.svg", "--overwrite")
    assert svg.read_text() == "mine"
    done = polymode(*again, "--overwrite", cwd=tmp_path)
    assert done.returncode == 0
    names = [f"figure-{n}.{suffix}" for n in (3, 4) for suffix in ("json", "png", "svg")]
    assert sorted(path.name for path in svg.parent.iterdir()) == names
    assert all(name in done.stdout for name in names)
    assert svg.read_text() != "mine"


def test_without_out_every_call_has_a_directory_of_its_own(tmp_path):
    (tmp_path / "polymode-runs" / "paper-figures-1").mkdir(parents=True)
    assert polymode("paper", "figures", "--figure", "4", cwd=tmp_path).returncode == 0
    assert (tmp_path / "polymode-runs" / "paper-figures-2" / "figure-4.png").exists()
    assert not list((tmp_path / "polymode-runs" / "paper-figures-1").iterdir())


@pytest.mark.slow
def test_the_trained_figure_reports_its_distances(tmp_path):
    pytest.importorskip("torch")
    options = ("--figure", "5", "--steps", "4", "--steps", "2", "--runs", "2", "--out", "here")
    done = polymode("paper", "figures", *options, cwd=tmp_path)
    assert done.returncode == 0
    assert "training 4/4" in done.stdout
    assert "beta 0.01, reverse KL, anchored: total variation to the optimum" in done.stdout
    kept = json.loads((tmp_path / "here" / "figure-5.json").read_text())
    assert kept["settings"] == {"seed": 0, "steps": [2, 4], "runs": 2}


def test_a_figure_that_fails_takes_no_other_with_it(tmp_path):
    done = without("torch", "paper", "figures", "--figure", "3,5,6", "--out", "here", cwd=tmp_path)
    message = "figure 5: needs torch: `pip install 'polymode[language]'`"
    one_line_error(done, message)
    made = {path.stem for path in (tmp_path / "here").iterdir()}
    assert made == {"figure-3", "figure-6"}


def test_drawing_asks_for_its_extra(tmp_path):
    done = without("matplotlib", "paper", "figures", "--out", "here", cwd=tmp_path)
    one_line_error(done, "needs matplotlib: `pip install 'polymode[plots]'`")
    assert not list(tmp_path.iterdir())


def test_the_command_line_starts_without_torch_and_matplotlib():
    code = (
        "import sys, polymode.cli; print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
