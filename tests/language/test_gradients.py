"""Every regulariser descends the objective it names: batch gradients beside exact ones.

The exact side is autograd through ``E_p[r'] - beta * D_f(p, q')``, summed over all completions; it
shares nothing with the trainers but the anchored rewards and reference, whose tests are the core's.
"""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.core import anchor, f_divergence
from polymode.language import ShapedConfig, ShapedTrainer
from polymode.language.regularisers import find_regulariser
from tests.language.enumerable import (
    COUNTS,
    REWARDS,
    batch_gradient,
    flat_gradient,
    log_probs,
    prescribed_trainer,
    save_reference,
)

BETA = 1.0
N = sum(COUNTS)
DIVERGENCES = ("reverse_kl", "forward_kl", "jensen_shannon", "alpha:0.3", "alpha:2", "alpha:-1")


@pytest.fixture(scope="module")
def reference_dir(tiny_model, tmp_path_factory):
    return save_reference(tiny_model, tmp_path_factory.mktemp("enumerable"))


def config(out, **changes):
    return ShapedConfig(
        output_dir=str(out),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        beta=BETA,
        num_generations=N,
        per_device_train_batch_size=N,
        max_completion_length=4,
        log_ratio_clip=50.0,
        **changes,
    )


def reference_of(directory):
    """Rewards and log q of every completion."""
    model = AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        log_q = log_probs(model, AutoTokenizer.from_pretrained(directory))
    return torch.tensor([*REWARDS.values()], dtype=torch.float64), log_q


def exact_gradient(trainer, rewards, log_q, divergence):
    """Autograd through the objective itself."""
    log_p = log_probs(trainer.model, trainer.processing_class)
    p, q = log_p.exp(), log_q.exp()
    penalty = (q * find_regulariser(divergence).generator(p / q)).sum()
    trainer.model.zero_grad()
    ((p * rewards).sum() - BETA * penalty).backward()
    return flat_gradient(trainer.model)


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


@pytest.mark.parametrize("method", ["plain", "anchored"])
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_batch_gradient_is_that_of_the_objective(method, divergence, reference_dir, tmp_path):
    args = config(tmp_path, method=method, regulariser=divergence, threshold=0.9)
    trainer = prescribed_trainer(ShapedTrainer, args, reference_dir)
    ours = batch_gradient(trainer)
    rewards, log_q = reference_of(reference_dir)
    if method == "anchored":
        anchored = anchor(rewards, log_q, threshold=0.9)
        rewards, log_q = anchored.rewards, anchored.ref_log_probs
    exact = exact_gradient(trainer, rewards, log_q, divergence)
    assert cosine(ours, exact) > 0.99999
    # Leaving a sample out of its baseline stretches the gradient by n / (n - 1).
    assert (ours.norm() / exact.norm()).item() == pytest.approx(N / (N - 1), rel=1e-3)


@pytest.mark.parametrize(
    ("ours", "other"), [("forward_kl", "reverse_kl"), ("alpha:2", "alpha:0.3")]
)
def test_divergences_can_be_told_apart(ours, other, reference_dir, tmp_path):
    """The equality above would hold for a regulariser without effect, too: here it must not."""
    trainer = prescribed_trainer(ShapedTrainer, config(tmp_path, regulariser=ours), reference_dir)
    gradient = batch_gradient(trainer)
    assert cosine(gradient, exact_gradient(trainer, *reference_of(reference_dir), other)) < 0.995


def test_algorithm_1_is_not_the_objective_of_forward_kl(reference_dir, tmp_path):
    """Under forward KL anchoring substitutes the reference; augmented rewards would differ."""
    from polymode.core import augment

    args = config(tmp_path, method="anchored", regulariser="forward_kl", threshold=0.9)
    trainer = prescribed_trainer(ShapedTrainer, args, reference_dir)
    gradient = batch_gradient(trainer)
    rewards, log_q = reference_of(reference_dir)
    augmented = augment(rewards, log_q, beta=BETA, threshold=0.9).rewards
    assert cosine(gradient, exact_gradient(trainer, augmented, log_q, "forward_kl")) < 0.995


def test_a_clip_bounds_the_weights_and_is_counted(reference_dir, tmp_path):
    args = config(tmp_path, regulariser="forward_kl")
    args.log_ratio_clip = 1.0
    trainer = prescribed_trainer(ShapedTrainer, args, reference_dir)
    batch_gradient(trainer)
    _, log_q = reference_of(reference_dir)
    log_p = torch.tensor(COUNTS).div(N).log().double()
    beyond = (log_p - log_q).abs() > 1.0
    share = (beyond * torch.tensor(COUNTS)).sum().item() / N
    assert 0 < share < 1
    assert trainer._metrics["train"]["regulariser/frac_clipped"] == [pytest.approx(share)]
    column = trainer._logs["rewards"]["regulariser"]
    assert max(column) == pytest.approx(BETA * torch.tensor(1.0).exp().item(), rel=1e-5)


def test_the_divergence_itself_agrees_with_the_core(reference_dir):
    """`exact_gradient` writes the divergence out; for normalised q it is the core's."""
    _, log_q = reference_of(reference_dir)
    log_p = torch.tensor(COUNTS).div(N).log().double()
    for name in DIVERGENCES:
        divergence = find_regulariser(name)
        written = (log_q.exp() * divergence.generator((log_p - log_q).exp())).sum()
        assert written.item() == pytest.approx(
            f_divergence(log_p, log_q, divergence=divergence).item(), rel=1e-6
        )
