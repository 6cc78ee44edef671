"""The hook hands TRL the rewards that the core computes, and costs no forward pass."""

import math

import pytest
import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from polymode.core import anchored_rewards
from tests.language.runs import (
    ANSWERS,
    BETA,
    N_GENERATIONS,
    PROMPTS,
    last_letter,
    make_trainer,
    prescribe_samples,
    reward,
)

HOSTS = {"rloo": (RLOOTrainer, RLOOConfig), "grpo": (GRPOTrainer, GRPOConfig)}
N = N_GENERATIONS * len(PROMPTS)
GROUPS = torch.arange(N) // N_GENERATIONS


def run(kind, model, out, **changes):
    trainer = prescribe_samples(make_trainer(kind, model, out, **changes))
    trainer.train()
    return trainer


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_rewards_are_those_of_the_core(kind, adapter, tiny_model, tmp_path):
    batch = run(kind, tiny_model, tmp_path, adapter=adapter).last_batch
    raw = torch.tensor(reward(ANSWERS)).repeat(len(PROMPTS))
    assert torch.equal(batch.raw_rewards, raw)
    finished = torch.arange(N) % N_GENERATIONS != N_GENERATIONS - 1
    assert torch.equal(batch.ref_log_probs.isfinite(), finished)  # cut-off ones are not eligible
    expected = anchored_rewards(
        raw, batch.ref_log_probs, beta=BETA, threshold=0.5, groups=GROUPS, modes=None
    )
    torch.testing.assert_close(batch.rewards, expected.float())
    assert torch.equal(batch.good, (raw > 0.5) & finished)
    assert (batch.rewards > raw).any()  # the case is not trivial


def test_reference_log_probs_are_sums_over_the_completion(tiny_model, tmp_path):
    trainer = run("rloo", tiny_model, tmp_path, learning_rate=0.0)
    tokenizer, model = trainer.processing_class, trainer.model
    prompt = tokenizer(PROMPTS[1])["input_ids"]
    completion = [*tokenizer(ANSWERS[1])["input_ids"], 1]
    with torch.no_grad():
        log_p = model(torch.tensor([[*prompt, *completion]])).logits[0].log_softmax(-1)
    expected = sum(log_p[len(prompt) - 1 + i, token].item() for i, token in enumerate(completion))
    measured = trainer.last_batch.ref_log_probs[N_GENERATIONS + 1].item()
    assert measured == pytest.approx(expected, rel=1e-4)


def count_forward_passes(trainer):
    """Number of forward passes of policy and reference in one training step."""
    count = []
    models = [trainer.accelerator.unwrap_model(trainer.model)]
    models += [trainer.ref_model] if trainer.ref_model is not None else []
    for model in models:
        model.register_forward_hook(lambda *_: count.append(1))
    prescribe_samples(trainer).train()
    return len(count)


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_no_forward_pass_is_added(kind, adapter, tiny_model, tmp_path):
    host, config = HOSTS[kind]
    theirs = make_trainer(kind, tiny_model, tmp_path / "a", adapter=adapter, base=config, host=host)
    ours = make_trainer(kind, tiny_model, tmp_path / "b", adapter=adapter)
    n_theirs = count_forward_passes(theirs)
    assert count_forward_passes(ours) == n_theirs
    assert n_theirs == {"rloo": 3, "grpo": 2}[kind]  # policy and reference (and RLOO's old policy)


def test_the_adapter_of_a_pretrained_policy_is_its_reference(tiny_model, tmp_path):
    from datasets import Dataset
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from polymode.language import MARAConfig, MARATrainer
    from tests.language.runs import lora, options

    policy = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), lora())
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)  # an adapter that was trained before
    trainer = MARATrainer(
        model=policy,
        reward_funcs=reward,
        args=MARAConfig(**options(tmp_path, learning_rate=0.0)),
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS)}),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )
    prescribe_samples(trainer).train()
    plain = run("rloo", tiny_model, tmp_path / "plain", learning_rate=0.0).last_batch
    kl = trainer.state.log_history[0]["kl"]
    assert kl == pytest.approx(0.0, abs=1e-6)  # the reference is the trained adapter itself …
    finite = plain.ref_log_probs.isfinite()
    gap = trainer.last_batch.ref_log_probs[finite] - plain.ref_log_probs[finite]
    assert gap.abs().max() > 0.1  # … not the base model below it


def test_modes_share_one_level(tiny_model, tmp_path):
    trainer = run("rloo", tiny_model, tmp_path, trainer_kwargs={"mode_fn": last_letter})
    batch = trainer.last_batch
    # Group 0: odd = x1 (twice) and 3, even = yy2; z4 is cut off. log q(odd) counts x1 once.
    log_q = batch.ref_log_probs[:N_GENERATIONS]
    odd = torch.logaddexp(log_q[0], log_q[4])
    level = max(odd.item(), log_q[1].item())
    assert batch.rewards[0].item() == pytest.approx(1 + BETA * (level - odd.item()), rel=1e-5)
    assert batch.rewards[4].item() == pytest.approx(1 + BETA * (level - odd.item()), rel=1e-5)
    assert batch.rewards[1].item() == pytest.approx(1 + BETA * (level - log_q[1].item()), rel=1e-5)
    assert trainer.state.log_history[0]["mara/modes_per_group"] == 2.0


def test_a_completion_without_mode_keeps_its_reward(tiny_model, tmp_path):
    def not_two(_prompt, completion):
        return None if completion.endswith("2") else completion

    trainer = run("rloo", tiny_model, tmp_path, trainer_kwargs={"mode_fn": not_two})
    batch = trainer.last_batch
    assert not batch.good[1]
    assert batch.rewards[1] == batch.raw_rewards[1] == 1.0


def test_truncated_completions_are_anchored_on_request_only(tiny_model, tmp_path):
    last = N_GENERATIONS - 1
    assert not run("rloo", tiny_model, tmp_path / "a").last_batch.good[last]
    assert run("rloo", tiny_model, tmp_path / "b", anchor_truncated=True).last_batch.good[last]


@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_unscorable_completions_stay_unscorable(kind, tiny_model, tmp_path):
    def partly(completions, **_):
        return [
            None if text == "3" else value
            for text, value in zip(completions, reward(completions), strict=True)
        ]

    trainer = make_trainer(kind, tiny_model, tmp_path)
    trainer.reward_funcs[0] = partly
    prescribe_samples(trainer).train()
    batch = trainer.last_batch
    unscorable = torch.arange(N) % N_GENERATIONS == 4
    assert torch.equal(batch.rewards.isnan(), unscorable)
    assert not batch.good[unscorable].any()
    logs = trainer.state.log_history[0]
    assert math.isfinite(logs["loss"])
    assert math.isfinite(logs["mara/reward_raw"])


def test_several_weighted_reward_functions_are_summed_as_trl_does(tiny_model, tmp_path):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from polymode.language import MARAConfig, MARATrainer
    from tests.language.runs import options

    def length(completions, **_):
        return [float(len(text)) for text in completions]

    trainer = MARATrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        reward_funcs=[reward, length],
        args=MARAConfig(**options(tmp_path, reward_weights=[1.0, 0.25])),
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS)}),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )
    prescribe_samples(trainer).train()
    expected = torch.tensor(reward(ANSWERS)) + 0.25 * torch.tensor(length(ANSWERS))
    torch.testing.assert_close(trainer.last_batch.raw_rewards[:N_GENERATIONS], expected)
    logs = trainer.state.log_history[0]
    assert logs["reward"] == pytest.approx(trainer.last_batch.rewards.mean().item(), rel=1e-4)


def test_metrics_describe_the_batch(tiny_model, tmp_path):
    trainer = run("grpo", tiny_model, tmp_path)
    logs, batch = trainer.state.log_history[0], trainer.last_batch
    bonus = (batch.rewards - batch.raw_rewards)[batch.good]
    assert logs["mara/reward_raw"] == pytest.approx(batch.raw_rewards.mean().item())
    assert logs["mara/frac_good"] == pytest.approx(4 / 6)
    assert logs["mara/frac_groups_anchored"] == 1.0
    assert logs["mara/bonus_mean"] == pytest.approx(bonus.mean().item(), rel=1e-5)
    assert logs["mara/bonus_max"] == pytest.approx(bonus.max().item(), rel=1e-5)
    assert logs["mara/modes_per_group"] == 3.0  # x1, yy2, 3: the second x1 is the same completion
    assert logs["rewards/mara/mean"] == pytest.approx((bonus.sum() / N).item(), rel=1e-4)
    assert 0 <= logs["mara/hook_seconds"] < logs["step_time"]


def test_evaluation_uses_its_own_group_size(tiny_model, tmp_path):
    from datasets import Dataset

    trainer = make_trainer(
        "rloo",
        tiny_model,
        tmp_path,
        num_generations_eval=3,
        per_device_eval_batch_size=N,
    )
    trainer.eval_dataset = Dataset.from_dict({"prompt": list(PROMPTS) * 2})
    metrics = prescribe_samples(trainer).evaluate()
    assert torch.equal(trainer.last_batch.groups, torch.arange(N) // 3)
    assert metrics["eval_mara/frac_good"] == pytest.approx(4 / 6)
