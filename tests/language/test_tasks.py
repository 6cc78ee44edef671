"""The picking tasks: every phrasing belongs to one answer, and the rewards follow."""

import pytest
from transformers import AutoTokenizer

from polymode.errors import InputError
from polymode.language import TASKS, PickingTask
from polymode.language.tasks import find_task, is_task

CHOICE = PickingTask(
    name="choice",
    question="Yes or no?",
    opening="I say",
    answers={"yes": [" yes", " yes!"], "no": [" no"]},
)


def test_the_four_tasks_of_the_demo_are_there():
    assert {name: len(task.answers) for name, task in TASKS.items()} == {
        "die": 6,
        "one-or-two": 2,
        "season": 4,
        "colour": 3,
    }


def test_a_die_shows_its_face_as_digit_and_as_word():
    assert TASKS["die"].answers["6"] == (" 6.", " a 6.", " six.", " a six.")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_phrasing_is_recognised_as_its_answer(task):
    for answer, phrasings in task.answers.items():
        assert phrasings
        for text in phrasings:
            assert task.answer_of(text) == answer
            assert task.answer_of(text + "?") is None


def test_reward_and_mode_follow_from_the_phrasings():
    completions = [" yes", " yes!", " no", " perhaps", "yes"]
    assert CHOICE.reward(completions) == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert [CHOICE.mode_key("any prompt", c) for c in completions] == [
        "yes",
        "yes",
        "no",
        None,
        None,
    ]


def test_conversational_completions_count_by_their_text():
    message = [{"role": "assistant", "content": " no"}]
    assert CHOICE.reward([message]) == [1.0]
    assert CHOICE.mode_key([{"role": "user", "content": "?"}], message) == "no"


def test_a_phrasing_of_two_answers_is_refused():
    twice = PickingTask(name="t", question="?", opening="", answers={"a": [" x"], "b": [" x"]})
    with pytest.raises(ValueError, match="task 't': a phrasing must belong to one answer only"):
        twice.answer_of(" x")


def test_prompt_ends_with_the_opening(tiny_model):
    prompt = CHOICE.prompt(AutoTokenizer.from_pretrained(tiny_model))
    assert prompt == "s:You answer briefly.\nu:Yes or no?\na:I say"


def test_unknown_task_is_named_beside_the_known_ones():
    known = "die, one-or-two, season, colour, countdown, reasoning_gym:NAME"
    with pytest.raises(InputError, match=f"one of {known}, got 'dice'; did you mean 'die'"):
        find_task("dice")


@pytest.mark.parametrize("name", [*TASKS, "countdown", "reasoning_gym:chain_sum"])
def test_every_task_has_what_training_needs(name):
    if name.startswith("reasoning_gym"):
        pytest.importorskip("reasoning_gym")
    task = find_task(f"task:{name}")
    assert task.name == name
    assert is_task(name)
    rows = task.rows(2, seed=0)
    columns = {key: [row[key] for row in rows] for key in rows[0] if key != "prompt"}
    assert task.reward(["?", [{"role": "assistant", "content": "?"}]], **columns) == [0.0, 0.0]
    assert task.mode_key(rows[0]["prompt"], "?") is None
    assert all(row["prompt"] for row in rows)
    assert isinstance(task.system + task.opening, str)


def test_rows_of_a_picking_task_are_its_question():
    assert CHOICE.rows(2, seed=5) == [{"prompt": CHOICE.question}] * 2
