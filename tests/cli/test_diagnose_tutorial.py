"""The tutorial's script and commands run, and print what it shows.

`python -m tests.cli.test_diagnose_tutorial` writes into the page what they print now.
"""

import re
import shlex
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("arviz_stats")
pytest.importorskip("jinja2")

from tests.cli.test_cli import polymode

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "from-samples-to-a-verdict.md"
STEP = re.compile(r"```bash\n(polymode [^\n]*)\n```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def printed(home):
    """What each command prints, in the directory where the script has run."""
    text = PAGE.read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(
        compile(script.replace('"samples.jsonl"', repr(str(home / "samples.jsonl"))), PAGE, "exec"),
        {},
    )
    for command, shown in STEP.findall(text):
        done = polymode(*shlex.split(command)[1:], cwd=home)
        assert done.returncode == 0, done.stderr
        yield command, shown, "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def test_commands_print_what_the_page_shows(tmp_path):
    steps = list(printed(tmp_path))
    assert len(steps) == 3
    for command, shown, now in steps:
        if shown:
            assert shown == now, f"{command}: run python -m {__spec__.name}"
    assert {"report.html", "report.json"} <= {path.name for path in tmp_path.iterdir()}
    assert steps[0][2].startswith("COLLAPSED BY REWARD GAPS")
    assert steps[1][2].startswith("HEALTHY")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        page = PAGE.read_text("utf-8")
        for command, _, now in printed(Path(home)):
            start = f"```bash\n{command}\n```\n\n```text\n"
            if start in page:
                end = page.index("```", page.index(start) + len(start))
                page = page[: page.index(start) + len(start)] + now + page[end:]
        PAGE.write_text(page, encoding="utf-8")
        sys.stdout.write(f"wrote {PAGE}\n")
