"""README and docs: the code runs, tables come from kept results, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_tables_are_those_of_the_kept_results():
    command = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(page):
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_readme_shows_code_early_and_its_example_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    start = lines.index("```python")
    assert start < 25
    assert lines.index("```", start) - start <= 16


@pytest.mark.slow
def test_readme_example_trains(tmp_path, monkeypatch):
    """The block as printed, but for the model (tiny here) and the length and device of the run."""
    pytest.importorskip("trl")
    from tests.language.tiny import save_tiny_model

    (code,) = python_blocks(ROOT / "README.md")
    tiny = str(save_tiny_model(tmp_path / "tiny"))
    settings = (
        'output_dir="out", use_cpu=True, bf16=False, max_steps=2, max_completion_length=4, '
        'report_to="none"'
    )
    for printed, ours in {'"Qwen/Qwen3-0.6B"': repr(tiny), 'output_dir="out"': settings}.items():
        assert code.count(printed) == 1
        code = code.replace(printed, ours)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    trainer = names["trainer"]
    assert trainer.state.global_step == 2
    assert trainer.last_batch is not None
    assert set(trainer.last_batch.raw_rewards.tolist()) <= {0.0, 1.0}
