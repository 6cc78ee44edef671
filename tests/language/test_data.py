"""Prompts from tasks, files and the hub: shaped, checked row by row, some of them held out."""

import gzip
import json

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from polymode.errors import ConfigError, InputError
from polymode.language import DataSettings, load_prompts

ROWS = [{"prompt": f"question {i}", "answer": i} for i in range(5)]


def load(source, tokenizer=None, **settings):
    return load_prompts(DataSettings(source=str(source), **settings), tokenizer=tokenizer)


def text_prompts(source, **settings):
    return load(source, form="text", **settings).train["prompt"][:]


def write(path, rows):
    """Write rows as the name of the file says."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.name.endswith(".parquet"):
        Dataset.from_list(rows).to_parquet(path)
    elif ".csv" in path.name:
        names = list(rows[0])
        lines = "".join(",".join(str(row[n]) for n in names) + "\n" for row in rows)
        lines = ",".join(names) + "\n" + lines
    elif ".jsonl" not in path.name.lower():
        lines = json.dumps(rows)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines.encode()))
    elif not path.name.endswith(".parquet"):
        path.write_text(lines)
    return path


@pytest.fixture
def jsonl(tmp_path):
    return lambda rows: write(tmp_path / "d.jsonl", rows)


KINDS = (
    "d.jsonl",
    "d.json",
    "d.csv",
    "d.parquet",
    "d.jsonl.gz",
    "d.json.gz",
    "d.csv.gz",
    "d.v2.JSONL",
)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_its_rows(name, tmp_path):
    prompts = load(write(tmp_path / name, ROWS))
    expected = [[{"role": "user", "content": row["prompt"]}] for row in ROWS]
    assert prompts.train["prompt"][:] == expected
    assert [int(answer) for answer in prompts.train["answer"]] == [0, 1, 2, 3, 4]
    assert prompts.held_out is None
    assert prompts.task is None
    assert prompts.bad_rows == ()


def test_a_byte_order_mark_and_blank_lines_are_no_rows(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('\ufeff{"prompt": "é"}\n\n{"prompt": "b"}\n\n', encoding="utf-8")
    assert text_prompts(path) == ["é", "b"]


def test_columns_are_those_of_all_rows(jsonl):
    data = load(jsonl([{"prompt": "a"}, {"prompt": "b", "answer": 2}])).train
    assert data["answer"][:] == [None, 2]


def test_shape_of_a_prompt(jsonl):
    path = jsonl([{"question": "Why?", "n": 3}])
    assert text_prompts(path, prompt_column="question") == ["Why?"]
    template = "{question} In {n} words. {{}}"
    assert text_prompts(path, prompt_template=template) == ["Why? In 3 words. {}"]
    assert text_prompts(path, prompt_column="question", opening=" Because") == ["Why? Because"]
    chat = load(path, prompt_column="question", system="Be kind.").train["prompt"][0]
    assert chat == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Why?"},
    ]


def test_conversations_stay_and_keep_their_own_system_message(jsonl):
    own = [{"role": "system", "content": "mine"}, {"role": "user", "content": "a"}]
    bare = [{"role": "user", "content": "b"}]
    data = load(jsonl([{"prompt": own}, {"prompt": bare}]), system="ours").train["prompt"][:]
    assert data == [own, [{"role": "system", "content": "ours"}, *bare]]


def test_an_opening_stands_behind_the_chat_template(tiny_model, jsonl):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    path = jsonl([{"prompt": "Why?"}])
    data = load(path, tokenizer, system="s", opening="Because")
    assert data.train["prompt"][:] == ["s:s\nu:Why?\na:Because"]
    with pytest.raises(InputError, match="an opening needs a tokenizer with a chat template"):
        load(path, opening="Because")


def test_tasks_bring_system_message_opening_and_columns(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    die = load("die", tokenizer, size=3)
    assert die.train["prompt"][:] == [die.task.prompt(tokenizer)] * 3
    plain = load("die", tokenizer, size=1, opening="", system="").train["prompt"][0]
    assert plain == [{"role": "user", "content": die.task.question}]
    numbers = load("countdown", size=4, seed=3, config={"n_numbers": 2, "min_answers": 1})
    assert {len(row) for row in numbers.train["numbers"]} == {2}
    rows = numbers.task.rows(4, seed=3)
    assert numbers.train["target"][:] == [row["target"] for row in rows]
    assert numbers.train["prompt"][0][0]["content"] == numbers.task.system


def test_reasoning_gym_data_fit_their_reward():
    pytest.importorskip("reasoning_gym")
    data = load("reasoning_gym:chain_sum", size=3, config={"max_terms": 2}, seed=5)
    (places, answers) = (data.train[name][:] for name in ("reasoning_gym", "answer"))
    completions = [f"<answer>{answer}</answer>" for answer in answers]
    assert data.task.reward(completions, reasoning_gym=places) == [1.0] * 3
    assert {json.loads(text)["num_terms"] for text in data.train["metadata"]} == {2}


def test_max_samples_takes_the_beginning(jsonl):
    assert text_prompts(jsonl(ROWS), max_samples=2) == ["question 0", "question 1"]


@given(
    names=st.lists(st.integers(0, 9), min_size=2, max_size=30).filter(lambda x: len(set(x)) > 1),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_what_is_held_out_is_not_trained_on(names, seed, data, tmp_path_factory):
    n = data.draw(st.integers(1, len(set(names)) - 1))
    rows = [{"prompt": f"p{name}", "row": i} for i, name in enumerate(names)]
    path = write(tmp_path_factory.getbasetemp() / "split.jsonl", rows)
    parts = load(path, form="text", n_held_out=n, seed=seed)
    train, held_out = parts.train.to_list(), parts.held_out.to_list()
    assert sorted(train + held_out, key=lambda row: row["row"]) == rows
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in held_out}
    assert len({row["prompt"] for row in held_out}) == n
    for part in (train, held_out):
        assert part == sorted(part, key=lambda row: row["row"])
    again = load(path, form="text", n_held_out=n, seed=seed)
    assert again.held_out.to_list() == held_out


def test_the_seed_chooses_what_is_held_out(jsonl):
    path = jsonl([{"prompt": f"p{i}"} for i in range(100)])
    chosen = [load(path, form="text", n_held_out=10, seed=s).held_out["prompt"][:] for s in (0, 1)]
    assert chosen[0] != chosen[1]


def test_too_few_prompts_to_hold_out_are_told(jsonl):
    expected = r"n_held_out must be below the number of distinct prompts \(1\), got 1"
    with pytest.raises(InputError, match=expected):
        load(jsonl([{"prompt": "same"}] * 9), n_held_out=1)


BAD_ROWS = (
    ("{", "row 2 is not JSON: Expecting property name"),
    ("3", "row 2 must be an object, got int"),
    ('{"text": "a"}', r"row 2 has no 'prompt' \(columns: 'text'\)"),
    ('{"prompt": null}', "row 2 has no 'prompt'"),
    ('{"prompt": " "}', "row 2 has an empty 'prompt'"),
    ('{"prompt": 3}', "row 2 has a 'prompt' that is no text: int"),
    ('{"prompt": []}', "row 2 has a 'prompt' that is no text: list"),
    ('{"prompt": [{"role": "user"}]}', "row 2 has a 'prompt' with a message without role or text"),
    ('{"prompt": ["a"]}', "row 2 has a 'prompt' with a message without role or text"),
    (
        '{"prompt": [{"role": "assistant", "content": "a"}]}',
        "row 2 has a 'prompt' that ends with a reply",
    ),
    (r'{"prompt": "\ud800"}', "row 2 has a prompt with half a surrogate pair"),
)


@pytest.mark.parametrize(("line", "expected"), BAD_ROWS, ids=[line for line, _ in BAD_ROWS])
def test_bad_rows_are_named_and_refused_or_dropped(line, expected, tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(f'{{"prompt": "a"}}\n{line}\n{{"prompt": "b"}}\n')
    with pytest.raises(InputError, match=rf"1 of 3 rows are bad \({expected}.*drop_bad_rows$"):
        load(path)
    kept = load(path, drop_bad_rows=True)
    assert [prompt[0]["content"] for prompt in kept.train["prompt"]] == ["a", "b"]
    assert len(kept.bad_rows) == 1
    assert kept.bad_rows[0].startswith("row 2 ")


def test_the_first_three_bad_rows_are_shown(jsonl):
    with pytest.raises(
        InputError, match=r"4 of 5 rows are bad \(row 2 .*; row 3 .*; row 4 .*; …\)"
    ):
        load(jsonl([{"prompt": "a"}, {}, {}, {}, {}]))


def test_templates_and_forms_that_do_not_fit_a_row(jsonl):
    path = jsonl([{"prompt": "a"}])
    with pytest.raises(InputError, match="row 1 does not fit prompt_template: has no column 'q'"):
        load(path, prompt_template="{q}")
    talk = jsonl([{"prompt": [{"role": "user", "content": "a"}]}])
    with pytest.raises(InputError, match="row 1 is a conversation, and form is 'text'"):
        load(talk, form="text")


def test_a_csv_row_with_too_many_fields_is_bad(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("prompt,answer\na,1\nb,2,3\n")
    with pytest.raises(InputError, match="row 2 has 1 more fields than the header"):
        load(path)


def test_sources_that_cannot_be_read_are_told_in_one_line(tmp_path, jsonl):
    with pytest.raises(InputError, match=r"data file 'no\.jsonl' is not there"):
        load("no.jsonl")
    for name in ("a.json", "a.parquet", "a.csv.gz"):
        (tmp_path / name).write_text("{ no such format")
        with pytest.raises(InputError, match=f"data file '.*{name}' cannot be read: .+") as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(InputError, match="must hold a list of objects, got dict"):
        load(tmp_path / "b.json")
    with pytest.raises(InputError, match="have no row with a prompt"):
        load(jsonl([]))
    with pytest.raises(InputError, match="have a column of mixed types"):
        load(jsonl([{"prompt": "a", "x": 1}, {"prompt": "b", "x": "1"}]))
    with pytest.raises(InputError, match="have columns that TRL names itself: completions"):
        load(jsonl([{"prompt": "a", "completions": 1}]))


def test_the_hub_without_a_network_is_told_in_one_line():
    expected = r"'no/such' are no task and no file .*, and cannot be had from the hub: .+"
    with pytest.raises(InputError, match=expected) as caught:
        load("no/such")
    assert "\n" not in str(caught.value)


def test_the_hub_is_asked_for_split_and_subset(monkeypatch):
    import datasets

    asked = []

    def load_dataset(*args, **kwargs):
        asked.append((args, kwargs))
        return Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert text_prompts("some/data", split="test", subset="main")[0] == "question 0"
    assert asked == [(("some/data", "main"), {"split": "test"})]


def test_settings_that_cannot_be_are_refused_together():
    with pytest.raises(ConfigError) as caught:
        DataSettings(
            source="d.csv",
            form="poem",
            size=0,
            max_samples=0,
            n_held_out=-1,
            seed=-1,
            config={"a": 1},
            prompt_template="{",
        )
    names = ("form", "size", "max_samples", "n_held_out", "seed", "config", "prompt_template")
    for name in names:
        assert sum(line.startswith(name) for line in caught.value.problems) == 1
    with pytest.raises(ConfigError, match="system needs form='chat'"):
        DataSettings(source="d.csv", form="text", system="s")


def test_settings_of_a_task_are_checked():
    with pytest.raises(
        InputError, match="countdown has no setting 'n_number'; did you mean 'n_num"
    ):
        load("countdown", config={"n_number": 3})
    with pytest.raises(InputError, match=r"task 'die' has no settings, got \{'sides': 20\}"):
        load("die", config={"sides": 20})
