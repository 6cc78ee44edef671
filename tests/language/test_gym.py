"""Tasks of reasoning-gym: the same items again, its verifiers, answers taken out of completions."""

import json

import pytest

pytest.importorskip("reasoning_gym")

import reasoning_gym

from polymode.errors import ArgumentError, InputError
from polymode.language.gym import ReasoningGymTask
from polymode.language.tasks import find_task

# Verifiers that compare texts, numbers, grids and formulas; the metadata of rearc do not survive
# JSON.
DATASETS = ("chain_sum", "countdown", "mini_sudoku", "rearc", "spell_backward")


def tagged(answer):
    return f"So: <answer>{answer}</answer>"


@pytest.mark.parametrize("name", DATASETS)
def test_the_own_answers_are_right_and_others_are_not(name):
    task = ReasoningGymTask(dataset=name)
    rows = task.rows(2, seed=1)
    items = reasoning_gym.create_dataset(name, size=2, seed=1)
    assert [row["prompt"] for row in rows] == [item["question"] for item in items]
    assert [row["answer"] for row in rows] == [str(item["answer"]) for item in items]
    places = [row["reasoning_gym"] for row in rows]
    right = task.reward([tagged(row["answer"]) for row in rows], reasoning_gym=places)
    assert right == [1.0, 1.0]
    wrong = task.reward([tagged("1 x"), "no tag"], reasoning_gym=places)
    assert max(wrong) < 1.0
    assert wrong[1] == 0.0


def test_partial_credit_is_the_verifiers():
    task = ReasoningGymTask(dataset="chain_sum", answer_key="exact")
    (row,) = task.rows(1, seed=1)
    item = reasoning_gym.create_dataset("chain_sum", size=1, seed=1)
    answer = f"{row['answer']} or so"
    expected = item.score_answer(answer, item[0])
    assert 0 < expected < 1
    assert task.reward([answer], reasoning_gym=[row["reasoning_gym"]]) == [expected]


def test_rows_follow_seed_and_config():
    task = ReasoningGymTask(dataset="chain_sum", config={"min_terms": 5, "max_terms": 5})
    (row,) = task.rows(1, seed=4)
    assert json.loads(row["metadata"])["num_terms"] == 5
    assert task.rows(1, seed=4) == [row]
    assert task.rows(1, seed=5) != [row]
    # The reward makes the item again from the row alone, config included.
    place = row["reasoning_gym"]
    assert ReasoningGymTask(dataset="x").reward([tagged(row["answer"])], reasoning_gym=[place]) == [
        1.0
    ]


def test_an_answer_that_the_verifier_cannot_read_is_wrong():
    task = ReasoningGymTask(dataset="prime_factorization")
    (row,) = task.rows(1, seed=0)
    dataset = reasoning_gym.create_dataset("prime_factorization", size=1, seed=0)
    with pytest.raises(ValueError, match="banana"):
        dataset.score_answer("banana", dataset[0])
    assert task.reward([tagged("banana")], reasoning_gym=[row["reasoning_gym"]]) == [0.0]


def test_answer_key_says_where_the_answer_stands():
    task = find_task("reasoning_gym:chain_sum:last_number")
    assert task == ReasoningGymTask(dataset="chain_sum", answer_key="last_number")
    (row,) = task.rows(1, seed=1)
    text = f"I add it all up and get {row['answer']}."
    assert task.reward([text], reasoning_gym=[row["reasoning_gym"]]) == [1.0]
    assert task.mode_key("", text) == row["answer"]
    assert find_task("reasoning_gym:chain_sum").mode_key("", text) is None


def test_mistakes_are_told_in_one_line():
    with pytest.raises(InputError, match="no data set 'chain_sun'; did you mean 'chain_sum'"):
        ReasoningGymTask(dataset="chain_sun").rows(1, seed=0)
    with pytest.raises(InputError, match=r"'chain_sum' does not take \{'terms': 3\}: .*terms"):
        ReasoningGymTask(dataset="chain_sum", config={"terms": 3}).rows(1, seed=0)
    with pytest.raises(ArgumentError, match="mode key"):
        ReasoningGymTask(dataset="chain_sum", answer_key="nothing").mode_key("", "1")
