"""The picking tasks: every phrasing belongs to one answer, and the rewards follow."""

import pytest
from transformers import AutoTokenizer

from polymode.errors import InputError
from polymode.language import TASKS, PickingTask
from polymode.language.tasks import find_task

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
    with pytest.raises(
        InputError, match="task must be one of die, one-or-two, season, colour, got"
    ):
        find_task("dice")
