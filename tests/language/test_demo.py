"""The demo end to end: quickly on the real model, and killed and resumed on a tiny one."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from polymode.errors import ConfigError, InputError
from polymode.language.demo import run_demo
from polymode.language.demo_run import DemoSettings
from polymode.language.memory import last_complete_checkpoint

COMMAND = [sys.executable, "-c", "from polymode.cli import main; main()", "demo"]
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


class Silent:
    """A front end that keeps what it is told."""

    def __init__(self):
        self.stages, self.steps = [], []

    def stage(self, text):
        self.stages.append(text)

    def progress(self, method, step, steps, answers):
        self.steps.append((method, step))


def demo(*arguments):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )


@pytest.mark.slow
def test_quick_demo_on_the_real_model(tmp_path):
    out = tmp_path / "run"
    done = demo("--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    for text in ("what was promised", "frac valid", "probability of 6", "total variation"):
        assert text in done.stdout
    assert "Traceback" not in done.stderr
    result = json.loads((out / "result.json").read_text())
    base = result["base"]["exact"]
    assert 0.2 < base["frac_valid"] < 0.35
    assert base["probabilities"]["1"] > 10 * base["probabilities"]["5"]
    anchored = result["runs"]["anchored"]
    assert list(anchored["promised"]["probabilities"].values()) == pytest.approx(
        [anchored["promised"]["frac_valid"] / 6] * 6
    )
    assert [row["step"] for row in anchored["history"]] == [1, 2, 3]
    assert anchored["frac_of_step_in_hook"] < 1  # a share, and the hook was timed
    for run in result["runs"].values():
        # Sampled and exact measurements are independent: within 5 sigma of 64 samples.
        p = run["measured"]["exact"]["frac_valid"]
        sigma = math.sqrt(p * (1 - p) / result["settings"]["n_samples"])
        assert abs(run["measured"]["sampled"]["frac_valid"] - p) < 5 * sigma + 0.02
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "figure.svg").read_text()


def settings_for(tiny_model, **changes):
    return DemoSettings(
        **{"model": tiny_model, "steps": 6, "save_every": 2, "group_size": 8, **changes}
    )


@pytest.mark.slow
def test_a_killed_demo_resumes_to_the_same_numbers(tiny_model, tmp_path):
    whole = run_demo(settings_for(tiny_model, steps=30), tmp_path / "whole", Silent())
    out = tmp_path / "killed"
    out.mkdir()
    settings = json.loads((tmp_path / "whole" / "settings.json").read_text())
    (out / "settings.json").write_text(json.dumps(settings))
    with subprocess.Popen(
        [*COMMAND, "--resume", "--out", str(out)],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        checkpoint = out / "plain" / "checkpoint-10" / "trainer_state.json"
        deadline = time.monotonic() + 120
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert checkpoint.parent.parent.exists()
    assert not (out / "result.json").exists()
    done = demo("--resume", "--out", out)
    assert done.returncode == 0, done.stderr
    resumed = json.loads((out / "result.json").read_text())
    assert resumed["runs"]["plain"]["resumed_from"].startswith("checkpoint-")
    for name, run in whole["runs"].items():
        other = resumed["runs"][name]
        assert other["measured"] == run["measured"]
        assert [row["step"] for row in other["history"]] == list(range(1, 31))
        for a, b in zip(run["history"], other["history"], strict=True):
            assert {k: v for k, v in a.items() if "time" not in k and "seconds" not in k} == {
                k: v for k, v in b.items() if "time" not in k and "seconds" not in k
            }


def test_every_stage_and_step_is_reported(tiny_model, tmp_path):
    screen = Silent()
    result = run_demo(settings_for(tiny_model, task="colour"), tmp_path / "run", screen)
    assert [text.split(":")[0].split()[0] for text in screen.stages] == [
        "loading",
        "measuring",
        "training",
        "training",
    ]
    assert screen.steps == [(m, s) for m in ("plain", "anchored") for s in range(1, 7)]
    assert set(result["base"]["exact"]["probabilities"]) == {"red", "yellow", "blue"}
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert "trl" in result["environment"]


def test_strings_and_modes_promise_different_things(tiny_model, tmp_path):
    by_level = {
        level: run_demo(settings_for(tiny_model, steps=1, level=level), tmp_path / level, Silent())[
            "runs"
        ]["anchored"]
        for level in ("modes", "strings")
    }
    assert by_level["modes"]["promised"] != by_level["strings"]["promised"]


def test_a_run_is_not_overwritten(tiny_model, tmp_path):
    settings = settings_for(tiny_model, steps=1)
    run_demo(settings, tmp_path / "run", Silent())
    with pytest.raises(InputError, match="holds a run: --resume continues it"):
        run_demo(settings, tmp_path / "run", Silent())
    changed = settings_for(tiny_model, steps=2)
    with pytest.raises(InputError, match="started with other settings: steps was 1, now 2"):
        run_demo(changed, tmp_path / "run", Silent(), resume=True)
    with pytest.raises(InputError, match="nothing to resume in"):
        run_demo(settings, tmp_path / "new", Silent(), resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("…")
    with pytest.raises(InputError, match="is in use and holds no demo run"):
        run_demo(settings, tmp_path / "other", Silent())


def test_a_model_that_cannot_be_loaded_leaves_no_run_behind(tmp_path):
    (tmp_path / "empty").mkdir()
    settings = DemoSettings(model=str(tmp_path / "empty"))
    with pytest.raises(InputError, match="cannot be loaded"):
        run_demo(settings, tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_all_bad_settings_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        DemoSettings(task="dice", level="words", steps=0, seed=-1, beta=0.0)
    assert [p.split()[0] for p in error.value.problems] == [
        "task",
        "level",
        "steps",
        "seed",
        "beta",
    ]


def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    for step, state in {8: "{}", 10: "{}", 20: '{"epoch": 1, "glob'}.items():
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-30").mkdir()  # killed before the state was written
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert last_complete_checkpoint(tmp_path / "none") is None
