"""Runs of `polymode train language`, read back: weights of rewards, modes, KL, and the promise."""

import json

import numpy as np
import pandas as pd
import pytest

from polymode.diagnostics import ReadOptions, read_runs
from polymode.errors import InputError

pytest.importorskip("trl")


def lower_case(completions, **_):
    return [sum(letter.islower() for letter in text) / 4 for text in completions]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run of two steps with two rewards, of which the second counts a quarter."""
    from polymode.language.recipe import check_recipe
    from polymode.language.training import train_language
    from tests.language.tiny import save_tiny_model

    place = tmp_path_factory.mktemp("train")
    recipe = {
        "model": {"name": str(save_tiny_model(place / "tiny")), "dtype": "float32"},
        "data": {"source": "one-or-two", "size": 8},
        "method": {"name": "anchored", "threshold": 0.5},
        "trainer": {
            "max_steps": 2,
            "num_generations": 4,
            "per_device_train_batch_size": 8,
            "max_completion_length": 8,
            "save_strategy": "no",
            "gradient_checkpointing": False,
            "disable_tqdm": True,
        },
    }
    train_language(check_recipe(recipe), place / "counted")
    two = [f"{__name__}:lower_case", {"source": "task:one-or-two", "weight": 0.25}]
    recipe = {**recipe, "rewards": two, "guard": {"where": "thread"}}
    train_language(check_recipe(recipe), place / "weighted")
    return place


def test_rewards_count_by_their_weights_and_without_what_was_added(home):
    (run,) = read_runs([str(home / "weighted")], ReadOptions(last=1))
    table = pd.read_parquet(home / "weighted" / "completions" / "completions_00002.parquet")
    wanted = table["lower_case"] + 0.25 * table["one-or-two"]
    assert run.outcome.rewards.mean() == pytest.approx(wanted.mean(), rel=1e-6)
    assert np.std(wanted) > 0
    (one,) = read_runs([str(home / "weighted")], ReadOptions(last=1, rewards=("one-or-two",)))
    assert one.outcome.rewards.mean() == pytest.approx(table["one-or-two"].mean())


def test_the_promise_of_a_counted_task_is_read(home):
    (run,) = read_runs([str(home / "counted")])
    task = json.loads((home / "counted" / "result.json").read_text())["task"]
    assert run.promise.answers == ("1", "2")
    assert run.promise.promised == tuple(task["promised"]["probabilities"].values())
    assert run.promise.total_variation == task["total_variation_to_promise"]
    (other,) = read_runs([str(home / "weighted")])
    assert other.promise is None  # with rewards of one's own there is no formula


def test_what_counts_as_the_same_answer_is_said(home, tmp_path):
    import shutil

    (run,) = read_runs([str(home / "counted")])
    assert "every completion is its own mode (--mode-key says otherwise)" in run.notes
    shutil.copytree(home / "counted", tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    settings["method"]["modes"] = "task"
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    (run,) = read_runs([str(tmp_path / "run")])
    assert "modes are those of the recipe, task (--mode-key says otherwise)" in run.notes
    (run,) = read_runs([str(tmp_path / "run")], ReadOptions(mode_key="exact"))
    assert not any("modes are" in note for note in run.notes)


def test_curves_and_kl_come_with_it(home):
    (run,) = read_runs([str(home / "counted")])
    curves = {curve.quantity: curve.steps for curve in run.curves}
    assert curves["reward"] == curves["effective_modes"] == (1, 2)


def test_a_broken_result_is_named(home, tmp_path):
    import shutil

    shutil.copytree(home / "counted", tmp_path / "run")
    (tmp_path / "run" / "result.json").write_text('{"task": 3}')
    with pytest.raises(InputError, match="is not the result of `polymode train`"):
        read_runs([str(tmp_path / "run")])
    (tmp_path / "run" / "result.json").unlink()  # not at its end yet
    (run,) = read_runs([str(tmp_path / "run")])
    assert run.promise is None
