"""Forward KL on samples of the reference: the gradient beside the exact one, and what it refuses.

The stored file holds every completion of the enumerable model as often as the reference says, so
that its mean is the expectation.
"""

import json

import pytest
import torch

from polymode.core import anchor
from polymode.errors import ConfigError
from polymode.language import ShapedConfig, ShapedTrainer
from polymode.language.extra_loss import Completion
from polymode.language.stored import StoredPrompt, StoredResponse, line_of
from tests.language.enumerable import (
    COUNTS,
    EOS,
    LETTERS,
    PROMPT,
    REFERENCE,
    REWARDS,
    batch_gradient,
    flat_gradient,
    log_probs,
    prescribed_trainer,
    save_reference,
)
from tests.language.test_gradients import cosine, reference_of
from tests.language.test_refusals import refusal

BETA = 1.0
N = sum(COUNTS)
N_STORED = 100


@pytest.fixture(scope="module")
def reference_dir(tiny_model, tmp_path_factory):
    return save_reference(tiny_model, tmp_path_factory.mktemp("enumerable"))


@pytest.fixture(scope="module")
def stored_path(reference_dir, tmp_path_factory):
    return write_stored(reference_dir, tmp_path_factory.mktemp("stored") / "exact.jsonl")


def write_stored(reference_dir, path, prompt=PROMPT):
    """Write each completion 100 q times: 3, 5, 12, 25, 25 and 30."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(reference_dir)
    _, log_q = reference_of(reference_dir)
    prompt_ids = tuple(tokenizer(PROMPT)["input_ids"])
    responses = [
        StoredResponse(
            Completion(prompt_ids, (letter, EOS)), (log_q[i].item(), 0.0), REWARDS[text], text
        )
        for i, (letter, text) in enumerate(
            zip(tokenizer(LETTERS)["input_ids"], LETTERS, strict=True)
        )
        for _ in range(round(N_STORED * REFERENCE[i]))
    ]
    assert len(responses) == N_STORED
    header = {"kind": "polymode stored responses", "schema_version": 1, "temperature": 1.0}
    line = line_of(StoredPrompt(prompt, tuple(responses)))
    path.write_text(json.dumps(header) + "\n" + line)
    return str(path)


def config(out, stored_path, **changes):
    settings = {
        "beta": BETA,
        "num_generations": N,
        "per_device_train_batch_size": N,
        "max_completion_length": 4,
        "log_ratio_clip": 50.0,
        "regulariser": "forward_kl",
        "forward_kl_samples": "reference",
        "threshold": 0.9,
        **changes,
    }
    return ShapedConfig(
        output_dir=str(out),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        stored_responses=stored_path,
        **settings,
    )


def exact_parts(trainer, rewards, log_q):
    """Gradients of ``E_p[r']`` and of ``-beta KL(q', p)`` by autograd, summed over completions."""
    parts = []
    for objective in (
        lambda log_p: (log_p.exp() * rewards).sum(),
        lambda log_p: -BETA * (log_q.exp() * (log_q - log_p)).sum(),
    ):
        trainer.model.zero_grad()
        objective(log_probs(trainer.model, trainer.processing_class)).backward()
        parts.append(flat_gradient(trainer.model))
    return parts


def targets(reference_dir, method):
    rewards, log_q = reference_of(reference_dir)
    if method == "plain":
        return rewards, log_q
    anchored = anchor(rewards, log_q, threshold=0.9)
    return anchored.rewards, anchored.ref_log_probs


@pytest.mark.parametrize("method", ["plain", "anchored"])
def test_the_gradient_is_that_of_forward_kl(method, reference_dir, stored_path, tmp_path):
    args = config(tmp_path, stored_path, method=method)
    trainer = prescribed_trainer(ShapedTrainer, args, reference_dir)
    ours = batch_gradient(trainer)
    of_rewards, of_regulariser = exact_parts(trainer, *targets(reference_dir, method))
    # Leaving a sample out of its baseline stretches the policy gradient alone, by n / (n - 1).
    exact = of_rewards * N / (N - 1) + of_regulariser
    assert cosine(ours, exact) > 0.99999
    assert (ours.norm() / exact.norm()).item() == pytest.approx(1.0, rel=1e-3)
    assert cosine(ours, of_rewards + of_regulariser) > 0.9999
    # The case is one in which the term matters, and in which methods differ.
    assert cosine(ours, of_rewards) < 0.9
    other = exact_parts(
        trainer, *targets(reference_dir, {"plain": "anchored"}.get(method, "plain"))
    )
    assert cosine(ours, other[0] * N / (N - 1) + other[1]) < 0.99


def test_what_is_logged(reference_dir, stored_path, tmp_path):
    args = config(tmp_path, stored_path, method="anchored")
    trainer = prescribed_trainer(ShapedTrainer, args, reference_dir)
    batch_gradient(trainer)
    logged = trainer._metrics["train"]
    _, log_q = reference_of(reference_dir)
    _, log_substituted = targets(reference_dir, "anchored")
    weights = (log_substituted - log_q).exp()
    # f anchors: a is lifted from 0.03 to 0.30, tenfold.
    assert logged["regulariser/weight_max"] == [pytest.approx(10.0, rel=1e-3)]
    mean = (log_q.exp() * weights).sum().item()
    assert logged["regulariser/weight_mean"] == [pytest.approx(mean, rel=1e-3)]
    log_p = torch.tensor(COUNTS).div(N).log().double()
    cross_entropy = -(log_substituted.exp() * log_p).sum().item()
    assert logged["regulariser/cross_entropy"] == [pytest.approx(cross_entropy, rel=1e-3)]
    assert logged["regulariser/frac_clipped"] == [0.0]


def test_the_clip_bounds_the_weights(reference_dir, stored_path, tmp_path):
    args = config(tmp_path, stored_path, method="anchored", log_ratio_clip=1.0)
    trainer = prescribed_trainer(ShapedTrainer, args, reference_dir)
    batch_gradient(trainer)
    logged = trainer._metrics["train"]
    assert logged["regulariser/weight_max"] == [pytest.approx(torch.tensor(1.0).exp().item())]
    assert logged["regulariser/frac_clipped"] == [
        pytest.approx(0.03, abs=1e-9)
    ]  # only a: ln 10 > 1


def test_anchors_are_found_among_stored_responses(reference_dir, stored_path, tmp_path):
    """The batch's own best anchor may be missing: here only `a` and `b` are sampled."""
    args = config(tmp_path, stored_path, method="anchored")
    trainer = prescribed_trainer(ShapedTrainer, args, reference_dir)
    letters = trainer.processing_class("ab")["input_ids"]
    trainer._generate_single_turn = lambda *_: [[x, EOS] for x in letters for _ in range(N // 2)]
    batch_gradient(trainer)
    batch = trainer.last_batch
    # r' = r(f) = 1 and q' = q(f) = 0.30 for `a`, whose own q is 0.03; no sample is the anchor.
    expected = torch.tensor([0.30, 0.05]).double().log().repeat_interleave(N // 2)
    torch.testing.assert_close(batch.shaped.ref_log_probs, expected, atol=1e-3, rtol=0)
    assert set(batch.anchor.tolist()) == {-1}


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_accumulation_steps": 4, "per_device_train_batch_size": N // 4},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": N // 2},
    ],
)
def test_micro_batches_add_up(changes, reference_dir, stored_path, tmp_path):
    whole = prescribed_trainer(ShapedTrainer, config(tmp_path, stored_path), reference_dir)
    expected = batch_gradient(whole)
    args = config(tmp_path, stored_path, **changes)
    trainer = prescribed_trainer(ShapedTrainer, args, reference_dir)
    trainer.model.train()
    n_micro = trainer.current_gradient_accumulation_steps = args.gradient_accumulation_steps
    trainer.model.zero_grad()
    batch = next(iter(trainer.get_train_dataloader()))
    for micro in range(n_micro):
        trainer._step = micro
        loss = trainer._compute_loss(trainer.model, trainer._prepare_inputs(batch))
        (loss / n_micro).backward()  # as transformers does
    torch.testing.assert_close(-flat_gradient(trainer.model), expected, rtol=1e-3, atol=1e-6)


def test_a_micro_batch_without_responses_adds_nothing(reference_dir, stored_path, tmp_path):
    """A rank, or a micro-batch, may be dealt none: it takes part with a weight of 0."""
    trainer = prescribed_trainer(ShapedTrainer, config(tmp_path, stored_path), reference_dir)
    batch_gradient(trainer)
    trainer.model.zero_grad()
    nobody = {"polymode_position": torch.tensor([10**6])}
    trainer.extra_loss(trainer.model, nobody).backward()
    assert flat_gradient(trainer.model).abs().max() == 0


def test_every_prompt_needs_responses(reference_dir, tmp_path):
    path = write_stored(reference_dir, tmp_path / "other.jsonl", prompt="another prompt")
    with pytest.raises(ConfigError, match="4 of 4 prompts of the dataset have no stored responses"):
        prescribed_trainer(ShapedTrainer, config(tmp_path, path), reference_dir)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("rloo", {"forward_kl_samples": "both"}, "must be 'policy' or 'reference', got 'both'"),
        ("rloo", {"regulariser": "reverse_kl"}, "regulariser must be 'forward_kl' with"),
        ("rloo", {"method": "unlikeliness"}, "method must be plain or anchored with forward_kl"),
        (
            "rloo",
            {"threshold": None, "threshold_percentile": 90.0},
            "threshold must be a number with forward_kl_samples",
        ),
        ("grpo", {"regulariser": "reverse_kl"}, "forward_kl_samples must be 'policy' with GRPO"),
    ],
)
def test_settings_without_meaning_are_refused(kind, changes, message, tmp_path):
    settings = {
        "regulariser": "forward_kl",
        "forward_kl_samples": "reference",
        "stored_responses": "x.jsonl",
        **changes,
    }
    if changes.get("forward_kl_samples") == "both":
        settings["dph_divergence"] = "forward"  # which reads the file
    (problem,) = refusal(tmp_path, kind, **settings)
    assert message in problem


def test_the_file_has_to_be_named(tmp_path):
    (problem,) = refusal(tmp_path, regulariser="forward_kl", forward_kl_samples="reference")
    assert problem.startswith("stored_responses must name a file of store_responses")
