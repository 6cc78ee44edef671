"""Rewards by short texts: functions, classifiers and tasks, with names, weights and guards."""

import re
import sys
from pathlib import Path

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


def test_the_how_to_trains(tmp_path, tiny_model, monkeypatch):
    """The block as printed, but for the model (tiny here) and the length and device of the run."""
    page = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "rewards-and-data.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    settings = 'output_dir="out", use_cpu=True, bf16=False, max_steps=1, max_completion_length=4'
    assert code.count('output_dir="out"') == 1
    code = code.replace('output_dir="out"', f'{settings}, report_to="none"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    lines = "".join(f'{{"question": "{i} + 1?", "answer": "{i + 1}"}}\n' for i in range(120))
    Path("problems.jsonl").write_text(lines)
    Path("my_rewards.py").write_text(
        "def correct(completions, answer, **_):\n"
        "    texts = [c[0]['content'] for c in completions]\n"
        "    return [float(text == right) for text, right in zip(texts, answer)]\n\n"
        "def short(completions, **_):\n"
        "    return [-len(c[0]['content']) / 100 for c in completions]\n"
    )
    names = {"model": tiny_model}
    exec(compile(code, page.name, "exec"), names)
    trainer = names["trainer"]
    assert trainer.state.global_step == 1
    assert trainer.reward_func_names[:2] == ["correct", "short"]
    assert trainer.state.log_history[0]["rewards/short/frac_unscorable"] == 0.0
    assert len(names["data"].held_out) == 100
    assert (
        len(names["rewards"].functions) == 2
    )  # the trainer appends a column of its own to its list
    for reward in names["rewards"].functions:
        reward.close()
