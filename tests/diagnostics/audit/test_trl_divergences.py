"""Which divergence TRL's losses descend: their gradient on all completions beside the exact one.

The batch holds every completion as often as its probability says, so its gradient is the expected
one; the exact side is autograd through ``E_p[r] - beta * D``, summed over completions.
"""

import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")

# ruff: noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.diagnostics.audit import audit_config
from tests.diagnostics.audit.claimed import cosine
from tests.language.enumerable import (
    COUNTS,
    REWARDS,
    batch_gradient,
    flat_gradient,
    log_probs,
    prescribed_trainer,
    save_reference,
)

BETA, N = 0.5, sum(COUNTS)
SHARED = {
    **{"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none"},
    **{"per_device_train_batch_size": N, "num_generations": N, "max_completion_length": 4},
}
PLAIN = {"scale_rewards": "none", "loss_type": "dr_grpo"}
CASES = {
    "grpo": (trl.GRPOTrainer, trl.GRPOConfig, {**PLAIN, "beta": BETA}),
    "grpo-k3": (
        *(trl.GRPOTrainer, trl.GRPOConfig),
        {**PLAIN, "beta": BETA, "use_bias_correction_kl": False},
    ),
    "grpo-none": (trl.GRPOTrainer, trl.GRPOConfig, {**PLAIN, "beta": 0.0}),
    "rloo": (trl.RLOOTrainer, trl.RLOOConfig, {"beta": BETA}),
}


@pytest.fixture(scope="module")
def reference(tiny_model, tmp_path_factory):
    return save_reference(tiny_model, tmp_path_factory.mktemp("enumerable"))


def exact_gradients(trainer, reference):
    """Gradients of ``E_p[r] - beta * D`` for each divergence, over all completions."""
    tokenizer = AutoTokenizer.from_pretrained(reference)
    with torch.no_grad():
        log_q = log_probs(AutoModelForCausalLM.from_pretrained(reference), tokenizer)
    rewards = torch.tensor([*REWARDS.values()], dtype=torch.float64)
    found = {}
    for name in ("none", "reverse_kl", "forward_kl"):
        trainer.model.zero_grad()
        log_p = log_probs(trainer.model, tokenizer)
        p, q = log_p.exp(), log_q.exp()
        divergence = {
            "none": 0.0 * p.sum(),
            "reverse_kl": (p * (log_p - log_q)).sum(),
            "forward_kl": (q * (log_q - log_p)).sum(),
        }[name]
        ((p * rewards).sum() - BETA * divergence).backward()
        found[name] = flat_gradient(trainer.model)
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_loss_descends_the_divergence_that_the_audit_names(name, reference, tmp_path):
    trainer_class, config_class, changes = CASES[name]
    config = config_class(output_dir=str(tmp_path), **SHARED, **changes)
    trainer = prescribed_trainer(trainer_class, config, reference)
    real = batch_gradient(trainer)
    claimed = audit_config(config).objective.divergence
    for divergence, exact in exact_gradients(trainer, reference).items():
        agrees = cosine(real, exact)
        assert agrees >= 0.9999 if divergence == claimed else agrees < 0.999, (divergence, agrees)
