"""A run that is killed at any point and resumed ends as one that was not, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from polymode.errors import InputError
from polymode.language.memory import (
    find_checkpoint,
    last_complete_checkpoint,
    load_memory,
    progress,
    save_memory,
)
from tests.language.resume_worker import SETTINGS, STEPS
from tests.language.runs import make_trainer

WORKER = Path(__file__).with_name("resume_worker.py")
# The step of a kill within a step is drawn; its checkpoint is the last even one before.
STEP = random.Random(20).randrange(2, STEPS)
# Killed at, resumed from.
KILLS = {
    f"rloo:in-step:{STEP}": f"checkpoint-{STEP - STEP % 2}",
    "rloo:in-step:1": None,  # before the first checkpoint: the run starts anew
    "rloo:before-weights:6": "checkpoint-4",
    "rloo:before-optimiser:4": "checkpoint-2",
    "rloo:before-state:6": "checkpoint-4",
    "rloo:in-state:4": "checkpoint-2",
    f"grpo-lora:in-step:{STEP}": f"checkpoint-{STEP - STEP % 2}",
    "grpo-lora:before-state:6": "checkpoint-4",
    "iterations:in-step:5": "checkpoint-4",
    "steps-per-generation:in-step:5": "checkpoint-4",
    "between:in-step:4": "checkpoint-3",
}
CLOCKS = ("hook_seconds", "step_time", "runtime", "per_second")


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    """What is left of all runs, by name."""
    out = tmp_path_factory.mktemp("resume")
    names = [*SETTINGS, *KILLS]
    command = [sys.executable, str(WORKER), tiny_model, str(out), *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    left = {}
    for name in names:
        folder = out / name.replace(":", "-")
        codes = json.loads((folder / "codes.json").read_text())
        assert codes == ([-signal.SIGKILL, 0] if ":" in name else [0]), (name, done.stderr[-3000:])
        left[name] = torch.load(folder / "kept.pt", weights_only=True)
    return left


def without_clocks(log):
    """Return the rows of all steps; the last one sums up what ran since the resumption."""
    return [
        {key: value for key, value in row.items() if not key.endswith(CLOCKS)}
        for row in log
        if "train_loss" not in row
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KILLS if not name.startswith("between")])
def test_a_killed_run_ends_like_one_that_was_not(name, runs):
    killed, whole = runs[name], runs[name.partition(":")[0]]
    assert killed["resumed_from"] == KILLS[name]
    assert killed["warnings"] == []
    for parameter, weight in whole["weights"].items():
        assert torch.equal(killed["weights"][parameter], weight), parameter
    assert killed["memory"] == whole["memory"]
    assert without_clocks(killed["log"]) == without_clocks(whole["log"])


@pytest.mark.slow
def test_runs_have_something_to_lose(runs):
    for name in ("rloo", "grpo-lora"):
        assert len(runs[name]["memory"]["carried"]["groups"]) == 3  # all prompts have an anchor
        rows = without_clocks(runs[name]["log"])
        assert sum(row.get("loss") is not None for row in rows) == STEPS
        assert len({row["reward"] for row in rows if "loss" in row}) > 2
    assert sum("eval_reward" in row for row in runs["rloo"]["log"]) >= 3
    assert not torch.equal(
        *(next(iter(runs[name]["weights"].values())) for name in ("rloo", "steps-per-generation"))
    )


@pytest.mark.slow
def test_completions_that_serve_several_steps_are_not_kept(runs):
    killed, whole = runs["between:in-step:4"], runs["between"]
    assert killed["resumed_from"] == "checkpoint-3"
    (message,) = killed["warnings"]
    assert "checkpoint-3 lies between two steps on the same completions" in message
    assert message.endswith("Let save_steps be a multiple of 2")
    assert without_clocks(killed["log"])[:3] == without_clocks(whole["log"])[:3]
    assert any(
        not torch.equal(killed["weights"][name], weight)
        for name, weight in whole["weights"].items()
    )


def write_checkpoint(run, step, state='{"epoch": 2.75, "global_step": 11}'):
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if state is not None:
        (folder / "trainer_state.json").write_text(state)
    return folder


def test_the_last_complete_checkpoint_is_found(tmp_path):
    assert last_complete_checkpoint(tmp_path) is None
    assert last_complete_checkpoint(tmp_path / "nowhere") is None
    write_checkpoint(tmp_path, 9)
    ten = write_checkpoint(tmp_path, 10)  # by number: as texts, 9 comes after 10
    write_checkpoint(tmp_path, 11, None)
    write_checkpoint(tmp_path, 12, '{"epoch": 2.7')
    write_checkpoint(tmp_path, 13, "")
    write_checkpoint(tmp_path, "best")  # a folder of the user's
    assert last_complete_checkpoint(tmp_path) == ten == find_checkpoint(True, str(tmp_path))
    assert progress(ten) == (2, 11)


def test_a_checkpoint_that_was_cut_off_is_refused(tiny_model, tmp_path):
    cut = write_checkpoint(tmp_path, 4, "{")
    with pytest.raises(InputError, match=r"checkpoint-4 is not a complete checkpoint: .*=True"):
        find_checkpoint(str(cut), str(tmp_path))
    trainer = make_trainer("rloo", tiny_model, tmp_path)
    with pytest.raises(InputError, match="holds no complete checkpoint: train without"):
        trainer.train(resume_from_checkpoint=True)


def test_memory_is_kept_whole_or_not_at_all(tmp_path):
    assert load_memory(tmp_path / "checkpoint-2") == {}
    save_memory({"carried": [1]}, str(tmp_path), 2)
    assert load_memory(tmp_path / "checkpoint-2")["carried"] == [1]
    (tmp_path / "checkpoint-2" / "polymode_memory.json").write_text("{")
    with pytest.raises(InputError, match=r"memory\.json is damaged \(.*resume from another"):
        load_memory(tmp_path / "checkpoint-2")
