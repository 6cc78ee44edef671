"""Rewards by short texts: functions, classifiers and tasks, with names, weights and guards."""

import sys

import pytest

from polymode.errors import ArgumentError
from polymode.language.rewards.guard import Guard
from polymode.language.rewards.sources import load_rewards
from tests.language.rewards import bad
from tests.language.rewards.test_model import save_classifier

BAD = "tests.language.rewards.bad"


def names(rewards):
    return [function.__name__ for function in rewards.functions]


def test_one_source_or_several():
    rewards = load_rewards("die")
    assert names(rewards) == ["die"]
    assert rewards.weights == [1.0]
    assert rewards.functions[0](["p"] * 2, [" 3.", " nine."]) == [1.0, 0.0]
    rewards = load_rewards([bad.length, "task:season"], weights=[0.5, 2])
    assert names(rewards) == ["length", "season"]
    assert rewards.weights == [0.5, 2.0]


def test_countdown_reads_its_columns():
    (reward,) = load_rewards("countdown").functions
    assert reward(["p"] * 2, ["1+2", "1"], numbers=[[1, 2], [1, 2]], target=[3, 3]) == [1.0, 0.0]


def test_reasoning_gym_is_named_after_its_data_set():
    pytest.importorskip("reasoning_gym")
    from polymode.language.tasks import find_task

    (row,) = find_task("reasoning_gym:chain_sum").rows(1, seed=0)
    (reward,) = load_rewards("reasoning_gym:chain_sum:exact").functions
    assert reward.__name__ == "chain_sum"
    assert reward(["p"], [row["answer"]], reasoning_gym=[row["reasoning_gym"]]) == [1.0]


def test_a_path_is_found_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "my_rewards_here.py").write_text(
        "def ones(completions, **_):\n    return [1.0] * len(completions)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for where in ("thread", "process"):
        (reward,) = load_rewards("my_rewards_here:ones", guard=Guard(where=where)).functions
        assert reward(["p"], ["c"]) == [1.0]
        reward.close()
    del sys.modules["my_rewards_here"]


def test_a_classifier_by_its_directory(tmp_path):
    path = save_classifier(tmp_path / "judge", num_labels=2)
    (reward,) = load_rewards(f"model:{path}#LABEL_1", guard=Guard(where="process")).functions
    assert reward.__name__ == "judge#LABEL_1"
    (score,) = reward(["a"], ["b"])
    assert isinstance(score, float)


def test_equal_names_are_numbered():
    rewards = load_rewards([bad.length, bad.length, f"{BAD}:length"], guard=Guard(where="thread"))
    assert names(rewards) == ["length", "length_2", "length_3"]


def test_the_guard_is_that_of_all():
    guard = Guard(time_limit=3, where="thread")
    rewards = load_rewards([bad.length, "die"], guard=guard)
    assert [function.guard for function in rewards.functions] == [guard, guard]


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ArgumentError) as caught:
        load_rewards(
            ["nowhere:f", "reasoning_gym", "task:dice", f"{BAD}:no_such"], weights=[1, float("nan")]
        )
    starts = (
        "weights must be one for each reward (4), got 2",
        "weights[1] must be a finite number, got nan",
        "reward must be importable, got 'nowhere:f': ModuleNotFoundError",
        "task must be one of die, one-or-two, season, colour, countdown, reasoning_gym:NAME, got",
        "task must be one of",
        f"reward must be a function of module {BAD}, got",
    )
    for problem, start in zip(caught.value.problems, starts, strict=True):
        assert problem.startswith(start)
    with pytest.raises(ArgumentError, match="at least one source, got none"):
        load_rewards([])
