"""The tutorial's scripts run, and differ in no more lines than it says."""

import difflib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "from-your-trl-script.md"
SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
HUB_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_at_most_ten_lines_change():
    theirs, ours = (script.splitlines() for script in SCRIPTS)
    changes = list(difflib.ndiff(theirs, ours))
    removed = [line for line in changes if line.startswith("- ")]
    added = [line for line in changes if line.startswith("+ ") and line.strip("+ ")]
    assert 3 <= len(removed) <= 10
    assert len(added) <= 10


@pytest.mark.parametrize("script", SCRIPTS, ids=["theirs", "ours"])
def test_the_scripts_run(script, tiny_model, tmp_path, monkeypatch):
    """As they stand, but for the model, its size, and where it computes."""
    assert HUB_MODEL in script
    monkeypatch.chdir(tmp_path)
    small = "max_steps=1, max_completion_length=4, use_cpu=True, bf16=False, report_to='none'"
    changed = script.replace(HUB_MODEL, tiny_model).replace("max_steps=20", small)
    changed = changed.replace("num_generations=16", "num_generations=4").replace(
        'output_dir="', 'gradient_checkpointing=False, per_device_train_batch_size=4, output_dir="'
    )
    names: dict = {}
    exec(compile(changed, str(PAGE), "exec"), names)
    assert names["trainer"].state.global_step == 1
