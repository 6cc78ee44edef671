"""Countdown: questions that can be answered, an exact verifier, modes that are the answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ConfigError
from polymode.language.countdown import CountdownTask
from polymode.language.tasks import find_task

TASK = CountdownTask(n_numbers=3)


def test_questions_are_those_of_the_seed():
    assert TASK.rows(5, seed=1) == TASK.rows(5, seed=1)
    assert TASK.rows(5, seed=1) != TASK.rows(5, seed=2)
    assert TASK.rows(9, seed=1)[:5] == TASK.rows(5, seed=1)


@given(seed=st.integers(0, 10**6))
def test_every_listed_answer_is_right_and_a_mode_of_its_own(seed):
    (row,) = TASK.rows(1, seed=seed)
    answers = TASK.answers(row["numbers"], row["target"])
    assert len(answers) == row["n_answers"] >= 2
    columns = {name: [row[name]] * len(answers) for name in ("numbers", "target")}
    assert TASK.reward(list(answers), **columns) == [1.0] * len(answers)
    assert tuple(TASK.mode_key("", answer) for answer in answers) == answers


def score(completion, numbers=(3, 5, 8, 8), target=24):
    return TASK.reward([completion], numbers=[list(numbers)], target=[target])[0]


def test_right_and_wrong_answers():
    assert score("3*8") == score(" (8 - 5) \u00d7 8 ") == 1.0
    assert score("8+8+5+3") == 1.0
    assert score("3*8+1") == 0.0  # no 1 is given
    assert score("3*8*(8-7)") == 0.0
    assert score("8*8-5*8") == 0.0  # equals 24, with three 8 where there are two
    assert score("3*5") == 0.0
    assert score("twenty-four") == score("") == 0.0
    assert score("8/(3-8/3)", numbers=(3, 3, 8, 8)) == 1.0  # needs fractions


def test_the_answer_is_what_is_in_the_last_tag_or_all_of_it():
    assert score("I try <answer>3+5</answer>, no: <answer>3*8</answer>") == 1.0
    assert score("3*8 = 24") == score("3*8=") == 1.0
    assert score("3*8 = 24, I think") == 0.0
    assert score("The answer is 3*8") == 0.0
    assert score([{"role": "assistant", "content": "3*8"}]) == 1.0


def test_mode_is_the_expression_up_to_order():
    keys = [TASK.mode_key("", text) for text in ("8*3", "3*8", "(8-5)*8", "8*(8-5)", "hm")]
    assert keys == ["3*8", "3*8", "(8-5)*8", "(8-5)*8", None]


def test_settings_shape_the_questions():
    rows = CountdownTask(n_numbers=2, max_number=3, max_target=4, min_answers=1).rows(40, seed=0)
    assert {len(row["numbers"]) for row in rows} == {2}
    assert {n for row in rows for n in row["numbers"]} == {1, 2, 3}
    assert {row["target"] for row in rows} == {1, 2, 3, 4}
    assert min(row["n_answers"] for row in rows) == 1
    many = CountdownTask(n_numbers=3, min_answers=6).rows(5, seed=0)
    assert min(row["n_answers"] for row in many) >= 6


def test_question_names_numbers_and_target():
    (row,) = TASK.rows(1, seed=3)
    a, b, c = row["numbers"]
    assert f"numbers {a}, {b} and {c}," in row["prompt"]
    assert f"equals {row['target']}." in row["prompt"]


def test_settings_that_have_no_questions_are_refused_together():
    with pytest.raises(ConfigError) as caught:
        CountdownTask(n_numbers=6, max_number=0)
    assert str(caught.value) == (
        "CountdownTask has 2 problems:\n  - n_numbers must be a number in [2, 5], got 6\n"
        "  - max_number must be an integer >= 1, got 0"
    )
    with pytest.raises(ConfigError, match="min_answers must be reachable, got 99: lower it"):
        CountdownTask(n_numbers=2, min_answers=99).rows(1, seed=0)


def test_task_is_found_by_name():
    assert find_task("countdown") == find_task("task:countdown") == CountdownTask()
