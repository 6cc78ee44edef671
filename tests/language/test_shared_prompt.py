"""Sharing prompts changes the cost, not the numbers."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import RLOOTrainer

from polymode.errors import UnsupportedOptionError
from polymode.language import MARAConfig, MARATrainer, SharedPrompts, score_completions
from polymode.language.shared_prompt import prefilled_generation
from tests.language.runs import make_trainer, prescribe_samples

PROMPTS = ["roll: ", "pick one: ", "roll: ", "roll: ", "a"]
COMPLETIONS = ["x1", "yy2", "x1", "3", "a longer one"]


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model)


@pytest.fixture
def ids(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    return [tokenizer(texts)["input_ids"] for texts in (PROMPTS, COMPLETIONS)]


def one_by_one(model, prompts, completions, temperature=1.0):
    """Oracle: every row alone, no mask, no packing."""
    rows = []
    for prompt, completion in zip(prompts, completions, strict=True):
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
        log_p = (logits / temperature).log_softmax(-1)
        rows.append(log_p[torch.arange(len(completion)), torch.tensor(completion)])
    return rows


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_every_token_scores_as_in_a_row_of_its_own(model, ids, temperature):
    scores = score_completions(model, *ids, temperature=temperature)
    for row, keep, expected in zip(
        scores.log_probs, scores.keep, one_by_one(model, *ids, temperature), strict=True
    ):
        torch.testing.assert_close(row[keep], expected, rtol=1e-4, atol=1e-5)
        assert not row[~keep].any()


def test_gradient_is_that_of_separate_rows(model, ids):
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0])
    (score_completions(model, *ids).log_probs.sum(1) @ weights).backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    total = sum(w * row.sum() for w, row in zip(weights, one_by_one(model, *ids), strict=True))
    total.backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(packed[name], p.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_entropy_is_that_of_the_next_token_distribution(model, ids):
    prompt, completion = ids[0][0], ids[1][0]
    scores = score_completions(model, [prompt], [completion])
    logits = model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(scores.entropies[0], expected, rtol=1e-4, atol=1e-5)
    assert not scores.entropies.requires_grad


def test_only_distinct_tokens_are_computed(model, ids):
    widths = []
    model.register_forward_hook(
        lambda _module, _args, kwargs, _out: widths.append(kwargs["input_ids"].shape),
        with_kwargs=True,
    )
    prompts, completions = ids
    score_completions(model, prompts[:1] * 64, completions[:1] * 64)
    stem, branch = len(prompts[0]) - 1, len(completions[0])
    assert widths == [(1, stem + branch)]


def test_prefilled_generation_gives_the_same_greedy_samples(model, ids):
    short, long = ids[0][0], ids[0][1]
    pad = len(long) - len(short)
    input_ids = torch.tensor([long] * 3 + [[0] * pad + short] * 3)
    mask = torch.tensor([[1] * len(long)] * 3 + [[0] * pad + [1] * len(short)] * 3)
    options = {"do_sample": False, "max_new_tokens": 6, "pad_token_id": 0, "eos_token_id": 1}
    plain = model.generate(input_ids=input_ids, attention_mask=mask, **options)
    with prefilled_generation(model):
        shared = model.generate(input_ids=input_ids, attention_mask=mask, **options)
    assert torch.equal(plain, shared)
    assert "generate" not in vars(model)  # the model is left as it was


def test_prompts_are_prefilled_once(model, ids):
    rows = []
    model.register_forward_hook(
        lambda _module, _args, kwargs, _out: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    input_ids = torch.tensor([ids[0][0]] * 8)
    with prefilled_generation(model):
        model.generate(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            max_new_tokens=2,
            min_new_tokens=2,
            pad_token_id=0,
        )
    assert rows == [1, 8, 8]


class FastMARATrainer(MARATrainer, SharedPrompts, RLOOTrainer):
    """As the demo combines them."""


@pytest.mark.parametrize("masked", [False, True])
def test_a_trainer_computes_the_same_losses_with_shared_prompts(tiny_model, tmp_path, masked):
    logs = {}
    for name, host in {"plain": MARATrainer, "shared": FastMARATrainer}.items():
        trainer = make_trainer(
            "rloo",
            tiny_model,
            tmp_path / name,
            base=MARAConfig,
            host=host,
            max_steps=2,
            mask_truncated_completions=masked,
        )
        prescribe_samples(trainer).train()
        logs[name] = trainer.state.log_history
    for plain, shared in zip(logs["plain"], logs["shared"], strict=True):
        keys = [
            k for k in plain if "time" not in k and "seconds" not in k and "per_second" not in k
        ]
        for key in keys:
            assert shared[key] == pytest.approx(plain[key], rel=1e-3, abs=1e-5), key


def test_attention_that_would_overrule_the_mask_is_refused(model, ids):
    model.config.sliding_window = 4
    with pytest.raises(UnsupportedOptionError, match="every layer must have full attention"):
        score_completions(model, *ids)
    model.config.sliding_window = None
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(UnsupportedOptionError, match="attn_implementation must be 'sdpa' or"):
        score_completions(model, *ids)


def test_images_are_refused(tiny_model, tmp_path):
    trainer = make_trainer("rloo", tiny_model, tmp_path, base=MARAConfig, host=FastMARATrainer)
    tokens = torch.ones((2, 4), dtype=torch.long)
    with pytest.raises(UnsupportedOptionError, match="pixel_values: only text goes into"):
        trainer._get_per_token_logps_and_entropies(
            trainer.model, tokens, tokens, 2, pixel_values=torch.zeros(1), num_images=None
        )


def test_the_wrong_order_of_classes_fails_at_the_first_step(tiny_model, tmp_path):
    class Hidden(SharedPrompts, MARATrainer):
        """SharedPrompts answers first, so the hook never sees the reference."""

    trainer = make_trainer("rloo", tiny_model, tmp_path, base=MARAConfig, host=Hidden)
    with pytest.raises(UnsupportedOptionError, match="did not score the reference"):
        prescribe_samples(trainer).train()
