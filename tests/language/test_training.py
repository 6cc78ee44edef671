"""Runs from recipes, on the tiny model: what they leave behind, and how they go on."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from polymode.core import optimal_policy
from polymode.errors import InputError, RewardError, UnsupportedOptionError
from polymode.language.loading import load_model
from polymode.language.recipe import check_recipe
from polymode.language.training import check_run, train_language

STEPS = 3


def recipe(model, *, method=None, trainer=None, shared_prompts=False, **sections):
    return check_recipe(
        {
            "model": {
                "name": model,
                "dtype": "float32",
                "lora_rank": 2,
                "shared_prompts": shared_prompts,
            },
            "data": {"source": "one-or-two", "size": 8},
            "method": {"name": "anchored", "threshold": 1.0, "beta": 0.2, "modes": "task"}
            if method is None
            else method,
            "trainer": {
                "max_steps": STEPS,
                "num_generations": 4,
                "per_device_train_batch_size": 8,
                "max_completion_length": 8,
                "learning_rate": 1e-2,
                "save_steps": 1,
                "save_total_limit": 9,
                "gradient_checkpointing": False,
                "disable_tqdm": True,
                "seed": 1,
                **(trainer or {}),
            },
            **sections,
        }
    )


def weights(run):
    return load_file(run / "model" / "adapter_model.safetensors")


def test_a_run_leaves_everything_that_it_takes_to_compare(tiny_model, tmp_path):
    out, seen = tmp_path / "run", []
    result = train_language(
        recipe(tiny_model), out, watch=lambda step, steps, logs: seen.append((step, steps, logs))
    )
    assert json.loads((out / "result.json").read_text()) == result
    assert result["steps"] == STEPS
    tables = sorted((out / "completions").glob("*.parquet"))
    assert len(tables) == STEPS
    table = pd.read_parquet(tables[-1])
    assert {"prompt", "completion", "one-or-two", "mara", "log_prob", "ref_log_prob"} <= {*table}
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    assert sum("diversity/entropy" in row for row in history) == STEPS
    assert [(step, steps) for step, steps, logs in seen if "loss" in logs] == [
        (step, STEPS) for step in range(1, STEPS + 1)
    ]
    task = result["task"]
    assert set(task["measured"]["probabilities"]) == {"1", "2"}
    # Two modes under anchoring with beta .2: the promise is flat.
    assert task["promised"]["frac_of_max_entropy"] == pytest.approx(1.0, abs=1e-6)
    assert (out / "recipe.yaml").exists()
    assert json.loads((out / "environment.json").read_text())["trl"]


def test_a_run_that_was_stopped_ends_like_one_that_was_not(tiny_model, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_language(recipe(tiny_model), whole)
    train_language(recipe(tiny_model, trainer={"max_steps": 1}), parts)
    result = train_language(recipe(tiny_model), parts, resume=True)
    assert result["resumed_from"] == "checkpoint-1"
    first, second = weights(whole), weights(parts)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_directory_is_never_overwritten(tiny_model, tmp_path):
    out = tmp_path / "run"
    train_language(recipe(tiny_model, trainer={"max_steps": 1}), out)
    with pytest.raises(InputError, match="--resume continues it"):
        train_language(recipe(tiny_model), out)
    other = recipe(tiny_model, method="plain")
    with pytest.raises(InputError, match="started with other settings: method was"):
        train_language(other, out, resume=True)
    with pytest.raises(InputError, match="nothing to resume"):
        train_language(recipe(tiny_model), tmp_path / "nowhere", resume=True)


def test_only_the_first_of_several_processes_looks_at_the_directory(
    tiny_model, tmp_path, monkeypatch
):
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(InputError, match="holds a run"):
        check_run(recipe(tiny_model), tmp_path, resume=False)
    monkeypatch.setenv("RANK", "1")
    check_run(recipe(tiny_model), tmp_path, resume=False)


@pytest.mark.parametrize(
    ("method", "trainer_class"),
    [
        ({"name": "plain", "beta": 0.2}, "ShapedTrainer"),
        ({"name": "plain", "beta": 0.2, "algorithm": "grpo"}, "GRPOTrainer"),
        ({"name": "anchored", "threshold": 1.0, "algorithm": "grpo"}, "MARAGRPOTrainer"),
        ({"name": "unlikeliness", "threshold": 1.0}, "ShapedTrainer"),
        ({"name": "anchored", "threshold": 1.0, "regulariser": "forward_kl"}, "ShapedTrainer"),
        (
            {"algorithm": "token_kl", "name": "plain", "token_regulariser": "forward_kl"},
            "TokenKLTrainer",
        ),
    ],
    ids=str,
)
def test_methods_train_with_their_trainers(
    method, trainer_class, tiny_model, tmp_path, monkeypatch
):
    built = []
    from polymode.language import training

    original = training.make_trainer

    def keep(*args):
        built.append(original(*args))
        return built[-1]

    monkeypatch.setattr(training, "make_trainer", keep)
    result = train_language(
        recipe(tiny_model, method=method, trainer={"max_steps": 1}), tmp_path / "run"
    )
    assert type(built[0]).__name__ == trainer_class
    assert result["steps"] == 1
    assert (tmp_path / "run" / "completions" / "completions_00001.parquet").exists()


def test_an_ensemble_lies_between_base_and_trained(tiny_model, tmp_path):
    """The adapter of the ensemble is the trained one, scaled: weights lie in between."""
    out = tmp_path / "run"
    content = recipe(
        tiny_model,
        method={"name": "weight_ensembling", "ensemble_weight": 0.25},
        rewards=f"{__name__}:lower_case",
        guard={"where": "thread"},
    )
    result = train_language(content, out)
    base, trained, between = (
        load_model(str(path), dtype=torch.float32)
        for path in (tiny_model, out / "model", out / "ensemble")
    )
    ids = torch.tensor([[5, 6, 7]])

    def weight(model):
        merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
        return merged.model.layers[0].mlp.up_proj.weight.detach()

    assert not torch.equal(base(ids).logits, trained(ids).logits)
    first, second, third = map(weight, (base, trained, between))
    torch.testing.assert_close(third, 0.75 * first + 0.25 * second, rtol=1e-5, atol=1e-6)
    assert result["task"]["promised"] is None


@pytest.mark.parametrize("method", ["plain", {"name": "plain", "algorithm": "grpo", "beta": 0.1}])
def test_shared_prompts_give_the_same_weights(method, tiny_model, tmp_path):
    for name, shared in (("rows", False), ("shared", True)):
        content = recipe(
            tiny_model,
            method=method,
            shared_prompts=shared,
            rewards=f"{__name__}:lower_case",
            guard={"where": "thread"},
            trainer={"max_steps": 2, "learning_rate": 1e-3},
        )
        train_language(content, tmp_path / name)
    first, second = weights(tmp_path / "rows"), weights(tmp_path / "shared")
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "jensen_shannon"])
def test_the_promise_is_the_optimum_of_the_recipe(divergence, tiny_model, tmp_path):
    method = {"name": "plain", "beta": 0.3, "regulariser": divergence}
    out = tmp_path / "run"
    task = train_language(recipe(tiny_model, method=method, trainer={"max_steps": 1}), out)["task"]
    log_q = torch.tensor(json.loads((out / "base.json").read_text()), dtype=torch.float64)
    log_q = torch.cat([log_q, (1 - log_q.exp().sum()).log()[None]])
    rewards = torch.ones_like(log_q)
    rewards[-1] = 0.0
    optimum = optimal_policy(rewards, log_q, beta=0.3, divergence=divergence)
    valid = optimum[:-1].exp().sum().item()
    assert task["promised"]["frac_valid"] == pytest.approx(valid, rel=1e-9)


@pytest.mark.parametrize(
    ("method", "trainer"),
    [
        ({"modes": "last_number"}, {}),  # " one." has no number, hence no mode
        ({"modes": "exact"}, {}),
        ({}, {"temperature": 2.0}),
        ({}, {"max_completion_length": 2}),  # some phrasing cannot come to its end
        ({"threshold": 0.0}, {}),  # wrong answers are anchored, too
        ({"anchor_strength": 0.5}, {}),
        ({"regulariser": "jensen_shannon"}, {}),
        # How the mass of wrong answers is divided matters, and is not known.
        ({"name": "entropy_bonus", "method_options": {"strength": 0.1}}, {}),
    ],
    ids=str,
)
def test_no_promise_for_another_problem_than_the_counted_one(method, trainer, tiny_model, tmp_path):
    content = recipe(
        tiny_model,
        method={"name": "anchored", "threshold": 1.0, "beta": 0.2, **method},
        trainer={"max_steps": 1, **trainer},
    )
    assert train_language(content, tmp_path / "run")["task"]["promised"] is None


def test_no_figures_for_prompts_that_are_not_the_task_s_own(tiny_model, tmp_path):
    data = {"source": "one-or-two", "size": 8, "opening": "Arr"}
    content = recipe(tiny_model, data=data, trainer={"max_steps": 1})
    assert train_language(content, tmp_path / "run")["task"] is None


def test_an_adapter_is_no_model_to_start_from(tiny_model, tmp_path):
    train_language(recipe(tiny_model, trainer={"max_steps": 1}), tmp_path / "run")
    with pytest.raises(InputError, match="is a LoRA adapter: merge it"):
        train_language(recipe(str(tmp_path / "run" / "model")), tmp_path / "next")


def test_an_ensemble_can_be_trained_further(tiny_model, tmp_path):
    for steps, resume in ((1, False), (2, True)):
        content = recipe(tiny_model, method="weight_ensembling", trainer={"max_steps": steps})
        result = train_language(content, tmp_path / "run", resume=resume)
    assert result["steps"] == 2
    assert (tmp_path / "run" / "ensemble" / "adapter_model.safetensors").exists()


def test_completions_of_evaluations_are_not_kept_as_training(tiny_model, tmp_path):
    content = recipe(
        tiny_model,
        data={"source": "countdown", "size": 8, "n_held_out": 2, "config": {"n_numbers": 2}},
        method={"name": "plain", "beta": 0.1},
        trainer={
            "max_steps": 2,
            "eval_strategy": "steps",
            "eval_steps": 1,
            "logging_steps": 2,
            "per_device_eval_batch_size": 8,
        },
    )
    train_language(content, tmp_path / "run")
    tables = list((tmp_path / "run" / "completions").glob("*.parquet"))
    assert [table.name for table in tables] == ["completions_00002.parquet"]


def test_no_promise_where_there_is_no_formula(tiny_model, tmp_path):
    method = {"name": "unlikeliness", "threshold": 1.0}
    task = train_language(
        recipe(tiny_model, method=method, trainer={"max_steps": 1}), tmp_path / "run"
    )["task"]
    assert task["promised"] is None
    assert task["total_variation_to_promise"] is None


def test_wrong_settings_are_refused(tiny_model, tmp_path):
    with pytest.raises(UnsupportedOptionError, match="threshold must be a finite number"):
        train_language(recipe(tiny_model, method={"name": "anchored"}), tmp_path / "run")
    no_reward = tmp_path / "p.jsonl"
    no_reward.write_text('{"prompt": "hello"}\n')
    with pytest.raises(InputError, match="rewards must be given"):
        train_language(
            recipe(tiny_model, data={"source": str(no_reward)}, method="plain"), tmp_path / "run"
        )


def lower_case(completions, **_):
    return [sum(letter.islower() for letter in text) / 4 for text in completions]


def failing(completions, **_):
    raise RuntimeError("the server is down")


def test_failing_rewards_stop_the_run_with_a_checkpoint(tiny_model, tmp_path):
    out = tmp_path / "run"
    content = recipe(
        tiny_model,
        rewards=f"{__name__}:failing",
        guard={"min_samples": 8, "where": "thread"},
        trainer={"save_steps": 100},
    )
    with pytest.raises(RewardError, match="training stopped after step 1, with a checkpoint"):
        train_language(content, out)
    assert (out / "checkpoint-1" / "trainer_state.json").exists()
