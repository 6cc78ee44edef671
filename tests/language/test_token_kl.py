"""Token-local KLs descend what they name: gradients beside exact ones, on one letter and on two.

The exact side sums over all completions and shares nothing with TRL's loss. With two letters the
token-local objective is ``E_p[r] - beta sum_h w(h) D(p(.|h), q(.|h))``, where w(h) is how often the
policy visits the prefix h, and is held fixed.
"""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.core import anchored_rewards, gradient_flow
from polymode.errors import UnsupportedOptionError
from polymode.language import TokenKLConfig, TokenKLTrainer
from tests.language import enumerable, enumerable_pairs
from tests.language.enumerable import batch_gradient, flat_gradient
from tests.language.runs import options

BETA = 0.7
N, LENGTH = sum(enumerable.COUNTS), 4

KLS = ("reverse_kl", "forward_kl")


@pytest.fixture(scope="module")
def one_letter_dir(tiny_model, tmp_path_factory):
    return enumerable.save_reference(tiny_model, tmp_path_factory.mktemp("letters"))


@pytest.fixture(scope="module")
def pairs_dir(tiny_model, tmp_path_factory):
    return enumerable_pairs.save_reference(tiny_model, tmp_path_factory.mktemp("pairs"))


def config(out, **changes):
    return TokenKLConfig(
        output_dir=str(out),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        num_generations=N,
        per_device_train_batch_size=N,
        max_completion_length=LENGTH,
        **{"beta": BETA, **changes},
    )


def kl(log_p, log_q, name):
    """KL of the last axis, policy first if reverse."""
    a, b = (log_p, log_q) if name == "reverse_kl" else (log_q, log_p)
    return (a.exp() * (a - b)).sum(-1)


def objective(trainer, directory, name, *, level):
    """The exact objective of pairs as a tensor to differentiate, by tokens or by sequences."""
    tokenizer = trainer.processing_class
    first, second = enumerable_pairs.token_log_probs(trainer.model, tokenizer)
    with torch.no_grad():
        reference = AutoModelForCausalLM.from_pretrained(directory)
        ref_first, ref_second = enumerable_pairs.token_log_probs(reference, tokenizer)
    log_p, log_q = (
        (x[:, None] + y).flatten() for x, y in ((first, second), (ref_first, ref_second))
    )
    rewards = torch.tensor([*enumerable_pairs.REWARDS.values()], dtype=torch.float64)
    penalty = kl(log_p, log_q, name)
    if level == "token":
        visits = first.detach().exp()
        penalty = kl(first, ref_first, name) + (visits * kl(second, ref_second, name)).sum()
    return (log_p.exp() * rewards).sum() - BETA * penalty


def gradient_of(value, trainer):
    trainer.model.zero_grad()
    value.backward()
    return flat_gradient(trainer.model)


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


@pytest.mark.parametrize("name", KLS)
def test_the_gradient_of_two_letters_is_the_token_local_one(name, pairs_dir, tmp_path):
    args = config(tmp_path, token_regulariser=name)
    trainer = enumerable_pairs.prescribed_trainer(TokenKLTrainer, args, pairs_dir)
    ours = batch_gradient(trainer)
    exact = {
        (other, level): gradient_of(objective(trainer, pairs_dir, other, level=level), trainer)
        for other in KLS
        for level in ("token", "sequence")
    }
    assert cosine(ours, exact.pop((name, "token"))) > 0.9999
    # The other divergence, and the same one over whole completions, are other objectives.
    assert max(cosine(ours, gradient) for gradient in exact.values()) < 0.98


@pytest.mark.parametrize("name", KLS)
def test_its_size_is_that_of_the_objective_over_the_normaliser(name, pairs_dir, tmp_path):
    """dr_grpo divides by the longest completion; the batch's mean reward is the exact mean."""
    args = config(tmp_path, token_regulariser=name)
    trainer = enumerable_pairs.prescribed_trainer(TokenKLTrainer, args, pairs_dir)
    ours = batch_gradient(trainer)
    exact = gradient_of(objective(trainer, pairs_dir, name, level="token"), trainer)
    assert (ours.norm() / exact.norm()).item() == pytest.approx(1 / LENGTH, rel=1e-3)


@pytest.mark.parametrize("name", KLS)
def test_with_one_letter_the_gradient_is_that_of_whole_completions(name, one_letter_dir, tmp_path):
    args = config(tmp_path, token_regulariser=name)
    trainer = enumerable.prescribed_trainer(TokenKLTrainer, args, one_letter_dir)
    ours = batch_gradient(trainer)
    tokenizer = AutoTokenizer.from_pretrained(one_letter_dir)
    with torch.no_grad():
        reference = AutoModelForCausalLM.from_pretrained(one_letter_dir)
        log_q = enumerable.log_probs(reference, tokenizer)
    log_p = enumerable.log_probs(trainer.model, tokenizer)
    rewards = torch.tensor([*enumerable.REWARDS.values()], dtype=torch.float64)
    exact = gradient_of((log_p.exp() * rewards).sum() - BETA * kl(log_p, log_q, name), trainer)
    assert cosine(ours, exact) > 0.9999


def test_the_pairs_are_as_likely_as_they_should_be(pairs_dir):
    model, tokenizer = (
        kind.from_pretrained(pairs_dir) for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    first, second = enumerable_pairs.token_log_probs(model, tokenizer)
    joint = (first[:, None] + second).exp().flatten().tolist()
    assert joint == pytest.approx(enumerable_pairs.REFERENCE, rel=1e-3)


def refusal(tmp_path, **changes):
    settings = {k: v for k, v in options(tmp_path).items() if k != "threshold"}
    with pytest.raises(UnsupportedOptionError) as error:
        TokenKLTrainer("no/such-model", enumerable.reward, TokenKLConfig(**{**settings, **changes}))
    return error.value.problems


def test_anchoring_has_to_be_asked_for(tmp_path, one_letter_dir):
    (problem,) = refusal(tmp_path, method="anchored", threshold=0.9)
    assert problem == (
        "method must not be anchored under a token-local KL, whose anchored target is not flat: "
        "take MARAGRPOTrainer, or set allow_token_local_anchoring"
    )
    args = config(tmp_path, method="anchored", threshold=0.9, allow_token_local_anchoring=True)
    trainer = enumerable.prescribed_trainer(TokenKLTrainer, args, one_letter_dir)
    batch_gradient(trainer)
    assert trainer.last_batch.good.sum() == sum(
        count
        for count, r in zip(enumerable.COUNTS, enumerable.REWARDS.values(), strict=True)
        if r >= 0.9
    )


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    problems = refusal(
        tmp_path, token_regulariser="jensen_shannon", scale_rewards="group", beta=0.0
    )
    assert [p.split()[0] for p in problems] == ["beta", "scale_rewards", "token_regulariser"]
    assert "'reverse_kl' or 'forward_kl', got 'jensen_shannon'" in problems[2]


def test_the_switch_of_trl_follows_the_name_and_may_not_contradict_it(tmp_path):
    assert config(tmp_path).use_bias_correction_kl is True
    assert config(tmp_path, token_regulariser="forward_kl").use_bias_correction_kl is False
    (problem,) = refusal(tmp_path, token_regulariser="forward_kl", use_bias_correction_kl=True)
    assert problem == (
        "use_bias_correction_kl must be False or unset with token_regulariser='forward_kl', "
        "got True"
    )


def test_defaults_that_differ_from_trl(tmp_path):
    args = TokenKLConfig(str(tmp_path), use_cpu=True, bf16=False)
    assert (args.beta, args.scale_rewards, args.loss_type, args.method) == (
        0.05,
        "none",
        "dr_grpo",
        "plain",
    )
    own = set(TokenKLConfig.__annotations__)
    assert all(len(TokenKLConfig.__dataclass_fields__[n].metadata["help"]) > 35 for n in own)


# Where the gradients of above lead, exactly: what the docstring of the trainer says of its targets.


def rest(name, rewards, beta=BETA):
    """Policy of pairs at which the flow ends, and the reference, as tables (first, second)."""
    log_q = np.log(enumerable_pairs.REFERENCE).reshape(3, 3)
    kl_term = {"reverse_kl": "ratio_k3", "forward_kl": "k3", "sequence": "sequence_k1"}[name]
    flow = gradient_flow(
        rewards, log_q, beta=beta, kl=kl_term, n_tokens=2, n_steps=10_000, step=0.05
    )
    return np.exp(flow), np.exp(log_q)


def test_the_policy_rests_where_the_docstring_says():
    rewards = np.array([*enumerable_pairs.REWARDS.values()]).reshape(3, 3)
    for name in KLS:
        p, q = rest(name, rewards)
        first, second = p.sum(1), p / p.sum(1, keepdims=True)
        q_first, q_second = q.sum(1), q / q.sum(1, keepdims=True)
        worth = (second * rewards).sum(1)  # of the first letter: the policy's own mean
        choices = [(first, q_first, worth), *zip(second, q_second, rewards, strict=True)]
        for now, before, value in choices:
            if name == "reverse_kl":
                expected = before * np.exp(value / BETA)
                np.testing.assert_allclose(now, expected / expected.sum(), rtol=1e-6)
            else:  # L is what beta q / p + Q has to be for every letter
                level = BETA * before / now + value
                np.testing.assert_allclose(level, level[0], rtol=1e-6)


def test_anchoring_is_flat_under_the_kl_of_whole_completions_only():
    # One good pair behind each letter. For small beta p(xy) is q(x) exp(Q(x) / beta) up to a
    # constant, with Q(x) = 1 + beta log(q(z) / q(xy)): 1 / q(y|x), so that 1/.2 : 1/.1 : 1/.125.
    log_q, beta = np.log(enumerable_pairs.REFERENCE), 0.05
    anchored = anchored_rewards(np.eye(3).flatten(), log_q, beta=beta, threshold=0.9)
    expected = {
        "sequence": np.ones(3) / 3,
        "reverse_kl": np.array([5.0, 10.0, 8.0]) / 23,
    }
    for name, shares in expected.items():
        p, _ = rest(name, anchored.reshape(3, 3), beta)
        np.testing.assert_allclose(p.diagonal(), shares, rtol=1e-3)
    p, _ = rest("forward_kl", anchored.reshape(3, 3), beta)
    assert p.diagonal().max() / p.diagonal().min() > 1.2
