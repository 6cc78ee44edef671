"""What the reference answered is stored as it was said, with its own log-probabilities."""

import json
import math

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.errors import ArgumentError, InputError
from polymode.language import StoredResponses, store_responses
from polymode.language.keys import prompt_key

PROMPTS = ["roll: ", "pick one: ", "a ", "roll: "]  # the last is there twice: stored once


@pytest.fixture(scope="module")
def parts(tiny_model):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    return model, AutoTokenizer.from_pretrained(tiny_model)


def n_letters(completions, **_):
    return [float(sum(c.isalpha() for c in text)) for text in completions]


def store(parts, path, prompts=PROMPTS, reward=n_letters, **changes):
    settings = {"n": 4, "max_new_tokens": 5, "progress": False, **changes}
    return store_responses(
        *parts, Dataset.from_dict({"prompt": prompts}), reward, path=path, **settings
    )


def every_response(stored):
    return [r for prompt in stored.prompts.values() for r in prompt.responses]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_those_of_the_model(temperature, parts, tmp_path):
    stored = store(parts, tmp_path / "a.jsonl", temperature=temperature)
    model, tokenizer = parts
    assert len(stored.prompts) == 3
    assert stored.settings["temperature"] == temperature
    for response in every_response(stored):
        prompt, ids = response.completion
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *ids]])).logits[0] / temperature
        log_p = logits.log_softmax(-1)
        expected = [log_p[len(prompt) - 1 + i, token].item() for i, token in enumerate(ids)]
        assert response.ref_log_probs == pytest.approx(expected, abs=1e-4)
        assert response.text == tokenizer.decode(ids, skip_special_tokens=True)
        assert response.reward == n_letters([response.text])[0]
        assert 1 not in ids[:-1]  # nothing after the end
        assert len(ids) == 5 or ids[-1] == 1


def test_samples_are_plain_whatever_the_model_says(parts, tmp_path):
    """Top-k 1 in the model's own settings would make all samples of a prompt equal."""
    model, _ = parts
    model.generation_config.top_k, model.generation_config.repetition_penalty = 1, 5.0
    try:
        stored = store(parts, tmp_path / "a.jsonl", n=16)
    finally:
        model.generation_config.top_k, model.generation_config.repetition_penalty = None, None
    for prompt in stored.prompts.values():
        assert len({r.ids for r in prompt.responses}) > 4


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(parts, tmp_path):
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    store(parts, whole)
    lines = whole.read_text().splitlines(keepends=True)
    broken.write_text("".join(lines[:2]) + lines[2][:40])  # cut within a line
    asked = []

    def counting(prompts, completions, **_):
        asked.append(prompts[0])
        return n_letters(completions)

    state = torch.get_rng_state()
    store(parts, broken, reward=counting)
    assert broken.read_text() == whole.read_text()
    assert asked == PROMPTS[1:3]
    assert torch.equal(torch.get_rng_state(), state)  # the caller's own draws are undisturbed


def test_the_seed_matters(parts, tmp_path):
    one, two = (store(parts, tmp_path / f"{seed}.jsonl", seed=seed) for seed in (0, 1))
    assert [r.ids for r in every_response(one)] != [r.ids for r in every_response(two)]


def test_other_settings_are_not_mixed_in_one_file(parts, tmp_path):
    store(parts, tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"made with n 4 \(now 5\), temperature 1.0 \(now 0.5\)"):
        store(parts, tmp_path / "a.jsonl", n=5, temperature=0.5)


def test_chats_columns_and_unscorable_responses(parts, tmp_path):
    chat = [{"role": "user", "content": "roll"}]
    seen = {}

    def judge(prompts, completions, completion_ids, answer):
        seen.update(prompts=prompts, completions=completions, ids=completion_ids, answer=answer)
        return [None, 1.0]

    model, tokenizer = parts
    dataset = Dataset.from_dict({"prompt": [chat], "answer": ["x"]})
    path = tmp_path / "a.jsonl"
    stored = store_responses(
        model, tokenizer, dataset, judge, path=path, n=2, max_new_tokens=3, progress=False
    )
    assert seen["prompts"] == [chat, chat]
    assert seen["answer"] == ["x", "x"]
    first, second = stored.prompts[prompt_key(chat)].responses
    assert math.isnan(first.reward)
    assert second.reward == 1.0
    text = tokenizer.decode(first.completion.prompt_ids)
    assert text == tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert seen["completions"][0] == [{"role": "assistant", "content": first.text}]
    # A response without a reward is not a good one.
    (perfect, exploration) = stored.split(threshold=0.5)
    assert not perfect
    assert exploration[0].frac_solved(0.5) == 0.5


@pytest.mark.parametrize(("share", "n_perfect"), [(1.0, 1), (0.75, 2), (0.5, 2), (0.25, 3)])
def test_the_split_counts_solved_responses(share, n_perfect, parts, tmp_path):
    rewards = iter([[1, 1, 1, 1], [1, 1, 0, 1], [0, 0, 1, 0]])  # 4, 3 and 1 of 4
    stored = store(parts, tmp_path / "a.jsonl", reward=lambda **_: next(rewards))
    perfect, exploration = stored.split(threshold=1.0, share=share)
    assert [p.prompt for p in perfect] == PROMPTS[:n_perfect]
    assert [p.prompt for p in exploration] == PROMPTS[n_perfect:3]


def test_settings_without_meaning_are_refused_together(parts, tmp_path):
    with pytest.raises(ArgumentError) as error:
        store(parts, tmp_path / "a.jsonl", n=0, temperature=0.0, max_new_tokens=0.5)
    assert [problem.split()[0] for problem in error.value.problems] == [
        "temperature",
        "n",
        "max_new_tokens",
    ]
    assert not (tmp_path / "a.jsonl").exists()


def test_files_that_are_not_ours_are_refused(parts, tmp_path):
    path = tmp_path / "a.jsonl"
    with pytest.raises(InputError, match=r"that store_responses wrote, got .*FileNotFoundError"):
        StoredResponses.load(path)
    path.write_text('{"some": "json"}\n')
    with pytest.raises(InputError, match="is no file of store_responses"):
        StoredResponses.load(path)
    path.write_text("")
    with pytest.raises(InputError, match="is no file of store_responses"):
        StoredResponses.load(path)
    store(parts, tmp_path / "b.jsonl")
    header, line, *_ = (tmp_path / "b.jsonl").read_text().splitlines()
    fields = json.loads(line)
    fields["responses"][0]["ref_log_probs"].pop()
    for damage in ("{}", "nonsense", json.dumps(fields)):
        path.write_text(f"{header}\n{damage}\n")
        with pytest.raises(InputError, match=r"line 2 is damaged .*: delete it and run"):
            StoredResponses.load(path)
    path.write_text(header.replace('"schema_version": 1', '"schema_version": 9') + "\n")
    with pytest.raises(InputError, match="has schema_version 9, we read 1"):
        StoredResponses.load(path)
