"""Sharing prompts changes the cost, not the numbers."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import RLOOTrainer

from polymode.errors import UnsupportedOptionError
from polymode.language import MARAConfig, MARATrainer, SharedPrompts, score_completions
from polymode.language.shared_prompt import shared_generation
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


def shapes_seen(model):
    """Keep the shape of what enters the layers, and how many positions get logits."""
    tokens, logits = [], []
    model.model.register_forward_hook(
        lambda _module, _args, kwargs, _out: tokens.append(tuple(kwargs["input_ids"].shape)),
        with_kwargs=True,
    )
    model.lm_head.register_forward_hook(
        lambda _module, _args, out: logits.append(tuple(out.shape[:2]))
    )
    return tokens, logits


def test_each_beginning_is_computed_once(model, ids):
    tokens, logits = shapes_seen(model)
    prompt = ids[0][0]
    # A root, then a, ab, abc (behind which comes d or e), then b: five columns predict.
    texts = [[7, 8, 9, 10], [7, 8, 9, 11], [7, 8], [8, 7], [7, 8]]
    score_completions(model, [prompt] * 64, texts * 12 + texts[:4])
    assert tokens == [(1, len(prompt) - 1 + 5)]
    assert logits == [(1, 5)]


def test_a_tree_sees_its_branch_alone(model, ids):
    prompts = [ids[0][0]] * 4 + [ids[0][1]] * 2
    completions = [[7, 8, 9, 10], [7, 8, 10, 9], [7], [8, 8, 9], [7, 8], [9, 7, 8, 9, 10]]
    scores = score_completions(model, prompts, completions)
    for row, keep, expected in zip(
        scores.log_probs, scores.keep, one_by_one(model, prompts, completions), strict=True
    ):
        torch.testing.assert_close(row[keep], expected, rtol=1e-4, atol=1e-5)


def test_models_that_give_all_logits_are_scored_as_well(model, ids, monkeypatch):
    expected = score_completions(model, *ids)
    forward = model.forward
    # As models of hub code do: no option for fewer logits.
    monkeypatch.setattr(
        model,
        "forward",
        lambda input_ids, attention_mask, position_ids, use_cache: forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
        ),
    )
    found = score_completions(model, *ids)
    torch.testing.assert_close(found.log_probs, expected.log_probs)


def of_two_prompts(ids, n=3):
    """Rows of a short and a long prompt, padded on the left, `n` of each."""
    short, long = ids[0][0], ids[0][1]
    pad = len(long) - len(short)
    input_ids = torch.tensor([long] * n + [[0] * pad + short] * n)
    mask = torch.tensor([[1] * len(long)] * n + [[0] * pad + [1] * len(short)] * n)
    return {"input_ids": input_ids, "attention_mask": mask, "pad_token_id": 0, "eos_token_id": 1}


@pytest.mark.parametrize("own", [False, True])
def test_shared_generation_gives_the_same_greedy_samples(model, ids, own):
    rows = {**of_two_prompts(ids), "do_sample": False, "max_new_tokens": 6}
    if own:  # as accelerate leaves models
        model.forward = model.forward
    before = vars(model).get("forward")
    plain = model.generate(**rows)
    with shared_generation(model):
        shared = model.generate(**rows)
    assert torch.equal(plain, shared)
    assert vars(model).get("forward") is before  # the model is left as it was


@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.3, "top_k": 5}], ids=str)
def test_shared_generation_draws_the_same_samples(model, ids, options):
    """Same distribution for each row and the same random numbers: the same tokens."""
    rows = {**of_two_prompts(ids, n=20), "do_sample": True, "max_new_tokens": 8, **options}
    torch.manual_seed(5)
    plain = model.generate(**rows)
    torch.manual_seed(5)
    with shared_generation(model):
        shared = model.generate(**rows)
    assert torch.equal(plain, shared)
    assert len(torch.unique(plain, dim=0)) > 10


def test_a_step_computes_what_is_distinct(model, ids):
    tokens, _ = shapes_seen(model)
    rows = of_two_prompts(ids, n=20)
    torch.manual_seed(0)
    with shared_generation(model):
        out = model.generate(**rows, do_sample=True, max_new_tokens=4, min_new_tokens=4)
    width = rows["input_ids"].shape[1]
    expected = [(2, width)]
    expected += [(len(torch.unique(out[:, : width + i], dim=0)), 1) for i in (1, 2, 3)]
    assert tokens == expected
    assert expected[1][0] < 40


def test_adapters_generate_with_shared_rows(model, ids):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=2, init_lora_weights=False))
    rows = {**of_two_prompts(ids), "do_sample": False, "max_new_tokens": 6}
    plain = adapted.generate(**rows)
    tokens, _ = shapes_seen(adapted.get_base_model())
    with shared_generation(adapted):
        assert torch.equal(adapted.generate(**rows), plain)
    assert tokens[0][0] == 2


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
