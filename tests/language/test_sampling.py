"""Sampling: from the policy itself, reproducible, with the log-probabilities of what was drawn."""

import hashlib
import math
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from polymode.errors import MissingExtraError
from polymode.language.sampling import TransformersEngine, batch_seed, load_engine

PROMPT = "u:Pick one.\na:"


def engine_for(path, **settings):
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    changed = settings.pop("generation_config", None)
    model.generation_config = changed or model.generation_config
    settings = {"max_new_tokens": 5, "temperature": 1.0, **settings}
    return TransformersEngine(model, tokenizer, **settings), model


def ids(engine):
    return engine.tokenizer(PROMPT)["input_ids"]


def test_seeds_depend_on_prompt_task_seed_and_batch_only():
    seeds = {
        batch_seed(seed, task=task, prompt_id=prompt, batch=batch)
        for seed in (0, 1)
        for task in ("a", "b")
        for prompt in ("1", "11")
        for batch in (0, 1)
    }
    assert len(seeds) == 16
    # must not change: kept runs are continued by it
    digest = hashlib.sha256(b"(0, 'die', 'die', 0)").hexdigest()
    assert batch_seed(0, task="die", prompt_id="die", batch=0) == int(digest[:8], 16)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probs_are_those_of_the_tokens_at_temperature_1(tiny_model, temperature):
    engine, model = engine_for(tiny_model, temperature=temperature)
    prompt, checked = ids(engine), 0
    for each in engine.sample(prompt, 12, seed=3):
        tokens = engine.tokenizer(each.text)["input_ids"]
        if engine.tokenizer.decode(tokens) != each.text or len(tokens) + each.finished != (
            each.n_tokens
        ):
            continue  # a special token was sampled in between: it is not in the text
        tokens += [engine.tokenizer.eos_token_id] * each.finished
        with torch.no_grad():
            log_p = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
        expected = sum(log_p[len(prompt) - 1 + i, t].item() for i, t in enumerate(tokens))
        assert each.log_prob == pytest.approx(expected, rel=1e-4)
        assert each.n_tokens <= 5
        assert each.finished or each.n_tokens == 5
        checked += 1
    assert checked >= 6


def test_a_seed_draws_the_same_and_leaves_the_global_generator_alone(tiny_model):
    engine, _ = engine_for(tiny_model)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = engine.sample(ids(engine), 6, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert engine.sample(ids(engine), 6, seed=1) == first
    assert engine.sample(ids(engine), 6, seed=2) != first
    assert engine.sample(ids(engine), 1, seed=1)[0].n_tokens <= 5


def test_first_tokens_have_the_frequencies_of_the_policy(tiny_model):
    """Whatever a checkpoint's own settings are: top-k 1 here would draw one token only."""
    greedy = GenerationConfig(do_sample=True, top_k=1, repetition_penalty=9.0, eos_token_id=1)
    n = 4000
    for temperature in (1.0, 0.5):
        engine, model = engine_for(
            tiny_model, max_new_tokens=1, temperature=temperature, generation_config=greedy
        )
        prompt = ids(engine)
        with torch.no_grad():
            p = (model(torch.tensor([prompt])).logits[0, -1] / temperature).softmax(-1)
        likely = p[3:].argmax().item() + 3  # no special token: its text is its own
        text = engine.tokenizer.decode([likely])
        share = sum(each.text == text for each in engine.sample(prompt, n, seed=0)) / n
        # 5 sigma: a false alarm in 6e-7 of seeds
        assert abs(share - p[likely]) < 5 * math.sqrt(p[likely] * (1 - p[likely]) / n)


def test_all_ends_of_turn_of_a_checkpoint_end_a_completion(tiny_model):
    letters = list(range(3, 30))
    config = GenerationConfig(eos_token_id=letters, pad_token_id=0)
    engine, _ = engine_for(tiny_model, max_new_tokens=40, generation_config=config)
    found = engine.sample(ids(engine), 8, seed=0)
    assert all(each.finished and each.n_tokens < 40 for each in found)


class StandIn(ModuleType):
    """As much of vLLM as we call."""

    def __init__(self):
        super().__init__("vllm")
        self.seen = []
        self.SamplingParams = lambda **given: given
        stand_in = self

        class LLM:
            def __init__(self, **given):
                stand_in.seen.append(given)

            def generate(self, prompts, params, **given):
                stand_in.seen.append((prompts, params, given))
                out = [
                    SimpleNamespace(
                        text="x", token_ids=(5, 1), cumulative_logprob=-1.5, finish_reason=reason
                    )
                    for reason in ("stop", "length")
                ]
                return [SimpleNamespace(outputs=out)]

        self.LLM = LLM


def test_vllm_is_called_by_its_api(tiny_model, monkeypatch):
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    engine = load_engine("vllm", tiny_model, max_new_tokens=9, temperature=0.7, seed=4)
    first, second = engine.sample([7, 8], 2, seed=11)
    assert (first.text, first.n_tokens, first.log_prob, first.finished) == ("x", 2, -1.5, True)
    assert not second.finished
    made, (prompts, params, given) = stand_in.seen
    assert made == {
        "model": tiny_model,
        "dtype": "auto",
        "seed": 4,
        "enable_lora": False,
        "logprobs_mode": "raw_logprobs",
    }
    assert prompts == [{"prompt_token_ids": [7, 8]}]
    assert given == {"lora_request": None, "use_tqdm": False}
    assert params == {
        "n": 2,
        "seed": 11,
        "max_tokens": 9,
        "temperature": 0.7,
        "logprobs": 0,
        "top_p": 1.0,
        "top_k": -1,
    }


def test_vllm_is_asked_for_where_it_is_missing(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match="needs vllm: `pip install vllm`"):
        load_engine("vllm", tiny_model, max_new_tokens=9, temperature=1.0)
