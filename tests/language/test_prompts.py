"""Tasks of an evaluation: files of prompts, modes, and rewards as TRL calls them."""

import json

import pytest

from polymode.errors import ConfigError, InputError
from polymode.language.countdown import CountdownTask
from polymode.language.prompts import EvaluationPrompt, EvaluationTask, from_task, read_prompts
from polymode.language.tasks import TASKS
from polymode.metrics import mode_function

CHAT = [{"role": "user", "content": "2 + 2?"}]


class Tokenizer:
    """Says how it was called."""

    def apply_chat_template(self, messages, *, tokenize, add_generation_prompt):
        assert not tokenize
        return f"<{messages[-1]['content']}>" + ("a:" if add_generation_prompt else "")

    def __call__(self, text, *, add_special_tokens):
        return {"input_ids": [text, add_special_tokens]}


def write(path, *rows):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return path


def read(path, mode="exact", reward=None):
    return read_prompts(path, mode=mode_function(mode), reward=reward)


def test_a_file_of_prompts(tmp_path):
    rows = [
        {"prompt": "1 + 1 ="},
        "",
        {"prompt": CHAT, "answers": ["4.0", 5], "id": "four", "x": 1},
    ]
    task = read(write(tmp_path / "sums.jsonl", *rows), mode="last_number")
    first, second = task.prompts
    assert (task.name, first.id, second.id) == ("sums", "1", "four")
    assert first.answers is None
    assert second.answers == ("4", "5")  # through the mode function
    assert second.columns == {"x": 1}
    # a chat template writes its special tokens itself, a plain text has none
    assert first.token_ids(Tokenizer()) == ["1 + 1 =", True]
    assert second.token_ids(Tokenizer()) == ["<2 + 2?>a:", False]


def test_answers_without_a_mode_are_taken_as_they_are(tmp_path):
    path = write(tmp_path / "p.jsonl", {"prompt": "?", "answers": [" B "]})
    assert read(path, mode="xml_tag:answer").prompts[0].answers == ("B",)


def test_known_answers_are_worth_1():
    prompt = EvaluationPrompt("p", "?", answers=("4",))
    task = EvaluationTask("t", [prompt], mode_function("last_number"))
    found = task.scored(prompt, ["It is 4.0", "5", "no"], [True, False, True])
    assert found == [(1.0, "4"), (0.0, "5"), (0.0, None)]
    unknown = EvaluationPrompt("p", "?")
    assert task.scored(unknown, ["4"], [True]) == [(None, "4")]


def test_picking_tasks_count_whole_answers_only():
    task = from_task(TASKS["die"], n=1, seed=0, mode=None, reward=None)
    (prompt,) = task.prompts
    assert prompt.answers == ("1", "2", "3", "4", "5", "6")
    assert task.scored(prompt, [" six.", " six.", " 7."], [True, False, True]) == [
        (1.0, "6"),
        (0.0, None),
        (0.0, None),
    ]
    # with a mode key of the user's, that decides, finished or not
    own = from_task(TASKS["die"], n=1, seed=0, mode=mode_function("last_number"), reward=None)
    assert own.scored(own.prompts[0], [" 6 or so"], [False]) == [(1.0, "6")]


def test_rewards_are_called_as_trl_does():
    calls = []

    def reward(**given):
        calls.append(given)
        return [0.5, None]

    prompt = EvaluationPrompt("p", CHAT, answers=("4",), columns={"level": 3})
    task = EvaluationTask("t", [prompt], mode_function("exact"), reward)
    assert task.scored(prompt, ["4", "5"], [True, True]) == [(0.5, "4"), (None, "5")]
    assert calls == [
        {
            "prompts": [CHAT, CHAT],
            "completions": [[{"role": "assistant", "content": text}] for text in "45"],
            "answers": [["4"], ["4"]],
            "level": [3, 3],
        }
    ]
    plain = EvaluationPrompt("p", "2 + 2 =")
    task.scored(plain, ["4", "5"], [True, True])
    assert calls[1] == {"prompts": ["2 + 2 ="] * 2, "completions": ["4", "5"]}
    task = from_task(TASKS["die"], n=1, seed=0, mode=None, reward=reward)
    task.scored(task.prompts[0], [" 1.", " 2."], [True, True])
    assert calls[2]["prompts"] == [TASKS["die"].question] * 2


def test_a_reward_that_fails_is_one_line():
    prompt = EvaluationPrompt("p7", "?")

    def scored(reward):
        return EvaluationTask("t", [prompt], str, reward).scored(prompt, ["a"], [True])

    with pytest.raises(InputError, match="failed on prompt 'p7' of t: ZeroDivisionError: division"):
        scored(lambda **_: 1 / 0)
    with pytest.raises(InputError, match="a number for each completion, got 2 for 1"):
        scored(lambda **_: [1, 2])


def test_all_bad_lines_at_once(tmp_path):
    rows = [
        "{",
        [1],
        {"prompt": ""},
        {"prompt": [{"role": "user"}]},
        {"prompt": "a", "answers": "b"},
    ]
    rows += [{"prompt": "a", "id": "x"}, {"prompt": "b", "id": "x"}]
    with pytest.raises(ConfigError) as caught:
        read(write(tmp_path / "bad.jsonl", *rows))
    for text in (
        "line 1: is no JSON",
        "line 2: must be an object with a key 'prompt'",
        "line 3: prompt must be a text, or a list of messages",
        "line 4: prompt must be",
        "line 5: answers must be a list of texts or numbers, got 'b'",
        "id 'x' is used twice",
    ):
        assert text in str(caught.value)


def test_a_file_without_prompts(tmp_path):
    with pytest.raises(InputError, match="has no prompt: one JSON object a line"):
        read(write(tmp_path / "empty.jsonl"))
    with pytest.raises(InputError, match="prompts cannot be read"):
        read(tmp_path / "missing.jsonl")


def test_countdown_brings_its_questions_its_reward_and_all_its_answers():
    task = from_task(CountdownTask(n_numbers=3), n=2, seed=5, mode=None, reward=None)
    assert [prompt.id for prompt in task.prompts] == ["0", "1"]
    rows = CountdownTask(n_numbers=3).rows(2, seed=5)
    prompt, row = task.prompts[0], rows[0]
    assert prompt.text(Tokenizer()).startswith("<Using the numbers")
    assert [message["role"] for message in prompt.content] == ["system", "user"]
    assert set(prompt.answers) == set(CountdownTask().answers(row["numbers"], row["target"]))
    right = prompt.answers[0]
    scores = task.scored(prompt, [right, "no idea", f"{row['target']}"], [True] * 3)
    assert scores[0] == (1.0, right)
    assert scores[1] == (0.0, None)
    assert scores[2][0] == float(row["target"] in row["numbers"])


def test_an_opening_stands_behind_the_chat_template():
    prompt = EvaluationPrompt("0", [{"role": "user", "content": "hi"}], opening="I say")
    assert prompt.text(Tokenizer()) == "<hi>a:I say"


def test_other_seeds_make_other_questions():
    def numbers(seed):
        made = from_task(CountdownTask(n_numbers=3), n=5, seed=seed, mode=None, reward=None)
        return [prompt.columns["numbers"] for prompt in made.prompts]

    assert numbers(0) == numbers(0) != numbers(1)
