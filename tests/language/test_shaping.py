"""What the settings of shaping change: each has a test in which it matters."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.core import anchored_rewards, optimal_policy, percentile_threshold, shape
from polymode.errors import InputError, UnsupportedOptionError
from polymode.language import ShapedConfig, ShapedTrainer
from tests.language.runs import (
    ANSWERS,
    BETA,
    N_GENERATIONS,
    PROMPTS,
    make_trainer,
    options,
    prescribe_samples,
    reward,
)

N = N_GENERATIONS * len(PROMPTS)
GROUPS = torch.arange(N) // N_GENERATIONS
GRADED = dict(zip(ANSWERS, (0.2, 0.9, 0.2, 0.0, 0.5, 0.7), strict=True))


def graded(completions, **_):
    """Six different rewards, as a reward model gives them."""
    return [GRADED[text] for text in completions]


def graded_by_prompt(prompts, completions, **_):
    """The same, shifted by prompt, so that a group's percentile is not the batch's."""
    shift = {prompt: number / 2 for number, prompt in enumerate(PROMPTS)}
    pairs = zip(prompts, completions, strict=True)
    return [GRADED[text] + shift[prompt] for prompt, text in pairs]


def run(tmp_path, model, *, rewards=reward, **changes):
    trainer = ShapedTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        reward_funcs=rewards,
        args=ShapedConfig(**options(tmp_path, **changes)),
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS) * 4}),
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    prescribe_samples(trainer).train()
    return trainer


def expected_anchoring(batch, **settings):
    """The core's rewards on the columns of a batch, which the hook must hand on."""
    settings = {"beta": BETA, "threshold": 0.5, "groups": GROUPS, **settings}
    return anchored_rewards(batch.raw_rewards, batch.ref_log_probs, **settings).float()


def test_a_percentile_of_the_batch_or_of_the_group(tiny_model, tmp_path):
    settings = {"method": "anchored", "threshold": None, "threshold_percentile": 60.0}
    for over in ("batch", "group"):
        trainer = run(
            tmp_path / over, tiny_model, rewards=graded_by_prompt, threshold_over=over, **settings
        )
        batch = trainer.last_batch
        wanted = expected_anchoring(batch, threshold=percentile_threshold(60, over=over))
        torch.testing.assert_close(batch.rewards, wanted)
        assert batch.good.any()
        assert not batch.good.all()


@pytest.mark.parametrize(
    "setting",
    [{"max_bonus": 0.05}, {"anchor_strength": 0.5}, {"anchor_choice": "best_level"}],
    ids=str,
)
def test_anchoring_takes_the_options_of_the_core(setting, tiny_model, tmp_path):
    # With beta 0.05 the reward gaps decide the best level: 0.9 for the likeliest or not.
    trainer = run(tmp_path, tiny_model, rewards=graded, method="anchored", threshold=0.1, **setting)
    names = {"anchor_strength": "strength", "anchor_choice": "choice"}
    wanted = {names.get(name, name): value for name, value in setting.items()}
    batch = trainer.last_batch
    torch.testing.assert_close(batch.rewards, expected_anchoring(batch, threshold=0.1, **wanted))
    default = expected_anchoring(batch, threshold=0.1)
    assert (batch.rewards - default).abs().max() > 1e-3


def test_length_per_token_divides_the_bonus_by_the_length(tiny_model, tmp_path):
    trainer = run(tmp_path, tiny_model, method="anchored", length="per_token")
    batch = trainer.last_batch
    lengths = torch.tensor([len(text) + 1 for text in ANSWERS]).repeat(len(PROMPTS))
    lengths[N_GENERATIONS - 1 :: N_GENERATIONS] -= 1  # the last of each group has no end
    assert torch.equal(batch.columns.lengths, lengths)
    wanted = anchored_rewards(
        batch.raw_rewards, batch.ref_log_probs / lengths, beta=BETA, threshold=0.5, groups=GROUPS
    )
    torch.testing.assert_close(batch.rewards, wanted.float())


def test_carried_anchors_level_later_batches(tiny_model, tmp_path):
    """An anchor that a prompt once had still anchors it when it is not sampled again."""
    trainer = run(tmp_path, tiny_model, method="anchored", carry_anchors=True, learning_rate=0.0)
    first = trainer.last_batch
    assert len(trainer.carried.groups) == len(PROMPTS)
    best = [first.ref_log_probs[g == GROUPS][first.good[g == GROUPS]].max() for g in range(3)]
    np.testing.assert_allclose(np.sort(trainer.carried.ref_log_probs), np.sort(best), rtol=1e-6)
    # Now the anchors of every group stay away: only answers without a digit, but for one.
    trainer.reward_funcs[0] = lambda completions, **_: [
        float(text == "yy2") for text in completions
    ]
    trainer.args.max_steps = 2
    trainer.train()
    batch = trainer.last_batch
    only = [i for i in range(N) if i % N_GENERATIONS == 1]
    bonus = batch.rewards[only] - 1.0
    wanted = torch.stack(best) - batch.ref_log_probs[only]
    torch.testing.assert_close(bonus.double(), BETA * wanted, rtol=1e-4, atol=1e-6)
    assert (batch.anchor[only] == -1).all() or (bonus == 0).any()  # nobody in the batch is it


def test_carried_anchors_are_kept_by_prompt(tiny_model, tmp_path):
    """Not by the number of a group, which is another prompt's in the next batch."""
    trainer = run(tmp_path, tiny_model, method="anchored", carry_anchors=True, learning_rate=0.0)
    kept = dict(
        zip(trainer.carried.groups.tolist(), trainer.carried.ref_log_probs.tolist(), strict=True)
    )
    columns = trainer.last_batch.columns
    good = trainer.last_batch.good
    for key in columns.prompts.unique().tolist():
        own = columns.ref_log_probs[good & (columns.prompts == key)]
        assert kept[key] == pytest.approx(own.max().item())


def test_evaluation_leaves_carried_anchors_alone(tiny_model, tmp_path):
    trainer = run(tmp_path, tiny_model, method="anchored", carry_anchors=True)
    before = trainer.carried
    trainer.eval_dataset = Dataset.from_dict({"prompt": ["never seen: "] * 6})
    trainer.args.per_device_eval_batch_size = 6
    trainer.evaluate()
    assert trainer.carried is before


def test_memory_comes_back_from_a_checkpoint(tiny_model, tmp_path):
    settings = {
        "method": "anchored",
        "carry_anchors": True,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    first = run(tmp_path, tiny_model, **settings)
    other = make_trainer(
        "rloo", tiny_model, tmp_path, base=ShapedConfig, host=ShapedTrainer, **settings
    )
    other.train(resume_from_checkpoint=True)  # nothing is left to train
    for name in ("groups", "rewards", "ref_log_probs"):
        kept, original = getattr(other.carried, name), getattr(first.carried, name)
        np.testing.assert_array_equal(np.asarray(kept), np.asarray(original))


def test_a_damaged_memory_is_an_error_not_a_fresh_start(tiny_model, tmp_path):
    settings = {
        "method": "anchored",
        "carry_anchors": True,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    run(tmp_path, tiny_model, **settings)
    (tmp_path / "checkpoint-1" / "polymode_memory.json").write_text('{"carried": {"gro')
    other = make_trainer(
        "rloo", tiny_model, tmp_path, base=ShapedConfig, host=ShapedTrainer, **settings
    )
    with pytest.raises(InputError, match=r"polymode_memory.json is damaged .* another checkpoint"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_completions_are_kept_with_what_is_known_of_them(tiny_model, tmp_path):
    trainer = run(
        tmp_path, tiny_model, method="anchored", log_completions=True, num_completions_to_print=0
    )
    table = pd.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    assert list(table["completion"]) == list(ANSWERS) * len(PROMPTS)
    batch = trainer.last_batch
    np.testing.assert_allclose(table["ref_log_prob"], batch.columns.ref_log_probs, rtol=1e-6)
    np.testing.assert_allclose(table["log_prob"], batch.columns.log_probs, rtol=1e-6)
    np.testing.assert_allclose(table["reward"] + table["mara"], batch.rewards, rtol=1e-6)
    np.testing.assert_allclose(table["raw_reward"], batch.raw_rewards, rtol=1e-6)
    assert table["mode"].nunique() == 5  # x1 stands twice


@pytest.mark.parametrize("regulariser", ["reverse_kl", "forward_kl"])
def test_the_target_on_the_batch_is_the_self_normalised_optimum(regulariser, tiny_model, tmp_path):
    trainer = run(tmp_path, tiny_model, rewards=graded, regulariser=regulariser, max_steps=2)
    columns = trainer.last_batch.columns
    log_w = (columns.ref_log_probs - columns.log_probs).numpy()
    raw = columns.rewards.double().numpy()
    log_t = optimal_policy(raw, log_w, beta=BETA, divergence=regulariser, groups=GROUPS.numpy())
    logs = [row for row in trainer.state.log_history if "target/reward_raw" in row][-1]
    assert logs["target/reward_raw"] == pytest.approx(np.sum(np.exp(log_t) * raw) / 3, rel=1e-5)
    t = np.exp(log_t).reshape(3, N_GENERATIONS)
    assert logs["target/effective_samples"] == pytest.approx(np.mean(1 / (t**2).sum(1)), rel=1e-5)
    t[:, 0] += t[:, 2]  # the same completion twice is one mode
    distinct = np.delete(t, 2, axis=1)
    entropies = -(distinct * np.log(distinct)).sum(1)
    assert logs["target/effective_modes"] == pytest.approx(np.exp(entropies).mean(), rel=1e-5)


def test_a_group_without_a_reward_has_no_part_in_the_target(tiny_model, tmp_path):
    def partly(prompts, completions, **_):
        pairs = zip(prompts, graded(completions), strict=True)
        return [None if prompt == PROMPTS[1] else value for prompt, value in pairs]

    trainer = run(tmp_path, tiny_model, rewards=partly)
    columns = trainer.last_batch.columns
    known = GROUPS != 1
    log_w = (columns.ref_log_probs - columns.log_probs).numpy()[known]
    raw = columns.rewards.double().numpy()[known]
    log_t = optimal_policy(raw, log_w, beta=BETA, groups=GROUPS.numpy()[known])
    logs = trainer.state.log_history[0]
    assert logs["target/reward_raw"] == pytest.approx(np.sum(np.exp(log_t) * raw) / 2, rel=1e-5)
    t = np.exp(log_t).reshape(2, N_GENERATIONS)
    assert logs["target/effective_samples"] == pytest.approx(np.mean(1 / (t**2).sum(1)), rel=1e-5)


def test_no_target_where_the_reference_is_substituted(tiny_model, tmp_path):
    trainer = run(tmp_path, tiny_model, method="anchored", regulariser="forward_kl")
    assert not any(name.startswith("target/") for name in trainer.state.log_history[0])


def test_diversity_counts_the_modes_of_a_group(tiny_model, tmp_path):
    logs = run(tmp_path, tiny_model).state.log_history[0]
    # Of six samples one stands twice: entropy -(2/6 log 2/6 + 4 * 1/6 log 1/6).
    entropy = -(2 / 6 * math.log(2 / 6) + 4 / 6 * math.log(1 / 6))
    assert logs["diversity/entropy"] == pytest.approx(entropy, rel=1e-6)
    assert logs["diversity/effective_modes"] == pytest.approx(math.exp(entropy), rel=1e-6)


def test_the_kl_of_whole_completions_is_logged(tiny_model, tmp_path):
    trainer = run(tmp_path, tiny_model, regulariser="forward_kl", max_steps=2)
    columns = trainer.last_batch.columns
    logs = [row for row in trainer.state.log_history if "mara/kl" in row][-1]
    difference = (columns.log_probs - columns.ref_log_probs).mean().item()
    assert logs["mara/kl"] == pytest.approx(difference, rel=1e-5)
    assert difference != 0.0


def test_repetition_is_counted_on_the_tokens_of_a_group(tiny_model, tmp_path):
    trainer = run(tmp_path, tiny_model)
    logs = trainer.state.log_history[0]
    tokens = trainer.last_batch.columns.tokens[:N_GENERATIONS]  # every group has the same ones
    pairs = [pair for ids in tokens for pair in itertools.pairwise(ids)]
    assert logs["diversity/distinct_2"] == pytest.approx(len(set(pairs)) / len(pairs))
    counts = [Counter(ids) for ids in tokens]

    def cosine(a, b):
        norm = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
        return sum(a[key] * b[key] for key in a) / norm

    mean = np.mean([cosine(a, b) for a, b in itertools.combinations(counts, 2)])
    assert logs["diversity/self_similarity"] == pytest.approx(mean, rel=1e-5)
    assert 0 < mean < 1


def test_another_method_reads_the_columns_that_it_needs(tiny_model, tmp_path):
    trainer = run(
        tmp_path, tiny_model, method="unlikeliness", method_options={"strength": 0.5}, threshold=0.5
    )
    columns = trainer.last_batch.columns
    wanted = shape(
        "unlikeliness",
        columns.rewards,
        columns.ref_log_probs,
        log_probs=columns.log_probs,
        groups=columns.groups,
        threshold=0.5,
        strength=0.5,
    )
    torch.testing.assert_close(trainer.last_batch.rewards, wanted.float())
    assert "rewards/shaping/mean" in trainer.state.log_history[0]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"method": "anchord"}, "method must be .*; did you mean 'anchored'"),
        ({"method": "unlikeliness", "threshold": None}, "threshold must be given"),
        ({"method": "pass_at_k", "method_options": {"q": 1}}, "unknown parameter 'q'"),
        ({"method": "anchored", "anchor_strength": 2.0}, "anchor_strength must be a number in"),
        ({"method": "anchored", "anchor_choice": "best"}, "anchor_choice must be 'most_likely' or"),
        ({"threshold_percentile": 120.0, "threshold": None}, r"threshold_percentile must lie in"),
        ({"threshold_percentile": 90.0}, "must not be given together"),
        ({"length": "tokens"}, "length must be 'sum' or 'per_token'"),
        ({"regulariser": "backward_kl"}, "regulariser must be .*; did you mean 'forward_kl'"),
        ({"regulariser": "alpha:x"}, "regulariser must be alpha:NUMBER"),
        ({"log_ratio_clip": 0.0}, "log_ratio_clip must be > 0"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_before_loading(changes, problem, tmp_path):
    settings = {"method": "plain", "threshold": 0.5, **changes}
    with pytest.raises(UnsupportedOptionError, match=problem):
        ShapedTrainer("no/such-model", reward, ShapedConfig(**options(tmp_path, **settings)))


def test_memory_files_are_plain_json(tiny_model, tmp_path):
    run(
        tmp_path,
        tiny_model,
        method="anchored",
        carry_anchors=True,
        save_strategy="steps",
        save_steps=1,
    )
    memory = json.loads((tmp_path / "checkpoint-1" / "polymode_memory.json").read_text())
    assert memory["schema_version"] == 1
    assert len(memory["carried"]["groups"]) == len(PROMPTS)
