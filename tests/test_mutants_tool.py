"""The list of sabotages fits the sources, and the tool that runs them can fail."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEST = """
from number import half

def test_half():
    assert half(4) == 2
"""
ENTRY = """
[[mutant]]
file = "src/number.py"
breaks = "{breaks}"
find = "{find}"
replace = "{replace}"
tests = ["tests/test_number.py"]
"""


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "tools" / "mutants.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules["mutants"]


@pytest.fixture
def tree(tmp_path):
    """A checkout of one function, and a function that writes its list of mutants."""
    for folder in ("src", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "src" / "number.py").write_text("def half(x):\n    return x / 2\n")
    (tmp_path / "tests" / "test_number.py").write_text(TEST)

    def listing(**mutants):
        entries = [
            ENTRY.format(breaks=name, find=find, replace=replace)
            for name, (find, replace) in mutants.items()
        ]
        (tmp_path / "tests" / "mutants.toml").write_text("".join(entries))
        return ["--root", str(tmp_path)]

    return listing


def test_every_mutant_can_be_made_and_has_a_name_of_its_own(tool):
    mutants = tool.load(ROOT)
    assert not [problem for mutant in mutants for problem in tool.problems(mutant, ROOT)]
    assert len({mutant.label for mutant in mutants}) == len(mutants) >= 40


def test_killed_mutants_are_a_success(tool, tree, capsys):
    assert tool.main(tree(division=("x / 2", "x * 2"))) == 0
    assert "killed" in capsys.readouterr().out


def test_a_mutant_that_survives_or_only_breaks_is_a_failure(tool, tree, capsys):
    # 4 // 2 is 2, too; the module of the third one cannot be imported, which proves nothing.
    arguments = tree(
        division=("x / 2", "x * 2"),
        rounding=("x / 2", "x // 2"),
        name=("def half", "def hallf"),
    )
    assert tool.main(arguments) == 1
    out = capsys.readouterr().out
    for verdict in ("1 clean", "1 killed", "1 SURVIVED", "1 INVALID"):
        assert verdict in out
    assert tool.main([*arguments, "division"]) == 0  # only those that contain the word


def test_nothing_counts_where_the_tests_fail_anyway(tool, tree, tmp_path):
    arguments = tree(division=("x / 2", "x * 2"))
    (tmp_path / "tests" / "test_number.py").write_text(TEST.replace("== 2", "== 3"))
    assert tool.main(arguments) == 1


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("x / 3", "x", "must be found once, found 0 times: 'x / 3'"),
        ("x", "y", "must be found once, found 2 times: 'x'"),
        ("x / 2", "x /", "is not Python"),
    ],
)
def test_a_list_that_does_not_fit_is_an_error(tool, tree, capsys, find, replace, message):
    assert tool.main(tree(broken=(find, replace))) == 2
    assert message in capsys.readouterr().err


def test_a_word_that_nothing_contains_is_an_error(tool, tree):
    assert tool.main([*tree(division=("x / 2", "x * 2")), "no such mutant"]) == 2
