"""What the audit claims of TRL is what TRL's own losses do, on a frozen batch of a tiny model."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")

# ruff: noqa: E402
from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.frameworks.trl import TESTED
from tests.diagnostics.audit.claimed import claimed_gradient, cosine
from tests.diagnostics.audit.frozen import length_reward, make_trainer, real_gradient, reward

EQUAL, OTHER = 0.9999, 0.999

# Every pair of options meets somewhere in here.
GRPO = {
    "default": {},
    "no-kl": {"beta": 0.0, "scale_rewards": "none", "loss_type": "dr_grpo"},
    "k3": {"use_bias_correction_kl": False},
    "k3-grpo": {"use_bias_correction_kl": False, "loss_type": "grpo", "scale_rewards": "none"},
    "k3-sequence": {"use_bias_correction_kl": False, "importance_sampling_level": "sequence"},
    "grpo": {"loss_type": "grpo"},
    "gspo": {"loss_type": "grpo", "importance_sampling_level": "sequence"},
    "bnpo": {"loss_type": "bnpo", "scale_rewards": "batch"},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "dr_grpo-sequence": {"loss_type": "dr_grpo", "importance_sampling_level": "sequence"},
    "cispo": {"loss_type": "cispo"},
    "cispo-5": {"loss_type": "cispo", "epsilon_high": 5.0, "scale_rewards": "batch"},
    "sapo": {"loss_type": "sapo", "scale_rewards": "none"},
    "luspo": {"loss_type": "luspo", "scale_rewards": "batch"},
    "luspo-sequence": {"loss_type": "luspo", "importance_sampling_level": "sequence"},
    "vespo": {"loss_type": "vespo", "use_bias_correction_kl": False, "scale_rewards": "none"},
    "cold": {"temperature": 0.7, "use_bias_correction_kl": False},
}
RLOO = {
    "default": {},
    "no-kl": {"beta": 0.0},
    "whitened": {"normalize_advantages": True},
    "clipped": {"reward_clip_range": (0.5, 1.5)},
}
CASES = [*(("grpo", name) for name in GRPO), *(("rloo", name) for name in RLOO)]


def run(kind, model, out, *, rewards=(reward,), **changes):
    """The real gradient, with the batch, the trainer, and what the audit says of its config."""
    trainer = make_trainer(kind, model, out, rewards=rewards, **{"beta": 0.3, **changes})
    gradient, batch = real_gradient(trainer)
    return gradient, batch, trainer, audit_config(trainer.args).objective


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_gradient_is_the_claimed_one_and_no_other(kind, name, tiny_model, tmp_path):
    changes = {"grpo": GRPO, "rloo": RLOO}[kind][name]
    gradient, batch, trainer, objective = run(kind, tiny_model, tmp_path, **changes)
    assert cosine(gradient, claimed_gradient(objective, batch, trainer.model)) >= EQUAL
    for field, value in others(objective).items():
        other = replace(objective, **value)
        assert cosine(gradient, claimed_gradient(other, batch, trainer.model)) < OTHER, field


def others(objective):
    """Objectives that the audit tells from this one: each has another gradient on this batch."""
    own = {
        "aggregation": {"aggregation": "per_sequence", "kl_aggregation": "per_sequence"},
        "scale": {"scale": "group_std" if objective.scale == "none" else "none"},
    }
    if objective.aggregation == "per_sequence":
        own["aggregation"] = {"aggregation": "constant", "kl_aggregation": "constant"}
    if objective.kl_placement == "loss":
        own["beta"] = {"beta": 2 * objective.beta}
        own["none"] = {"kl_placement": "none"}
        own["k1"] = {"kl_estimator": "k1", "kl_ratio": "none"}
        own["divergence"] = {"kl_ratio": "none" if objective.kl_ratio != "none" else "token"}
        own["sequence"] = {
            "kl_placement": "reward",
            "kl_in_advantage": True,
            "kl_level": "sequence",
        }
        if objective.kl_ratio != "none":
            level = "token" if objective.kl_ratio == "sequence" else "sequence"
            own["ratio"] = {"kl_ratio": level}
    if objective.kl_placement == "reward":
        own["token"] = {"kl_placement": "loss", "kl_estimator": "k2"}
        own["none"] = {"kl_placement": "none"}
    if objective.reward_weight != 1:
        own["weight"] = {"reward_weight": 1.0}
    if objective.reward_clip is not None:
        own["clip"] = {"reward_clip": None}
    if objective.kl_in_advantage and objective.scale == "batch_std":
        own.pop("scale")  # a factor for the whole batch
    if objective.beta == 0 and objective.scale == "batch_std":
        own.pop("scale")
    return own


def test_rewards_that_are_standardised_one_by_one(tiny_model, tmp_path):
    changes = {"multi_objective_aggregation": "normalize_then_sum"}
    two = (reward, length_reward)
    gradient, batch, trainer, objective = run("grpo", tiny_model, tmp_path, rewards=two, **changes)
    assert objective.reward_transformations == ("each_standardised",)
    assert cosine(gradient, claimed_gradient(objective, batch, trainer.model)) >= EQUAL
    summed = replace(objective, reward_transformations=())
    assert cosine(gradient, claimed_gradient(summed, batch, trainer.model)) < OTHER


def test_tokens_of_low_entropy_feel_the_kl_alone(tiny_model, tmp_path):
    changes = {"top_entropy_quantile": 0.3}
    gradient, batch, trainer, objective = run("grpo", tiny_model, tmp_path, **changes)
    assert "low_entropy" in objective.drops
    with torch.no_grad():
        ids = torch.cat([batch.prompt_ids, batch.completion_ids], 1)
        seen = torch.cat([batch.prompt_mask, batch.mask.long()], 1)
        n = batch.completion_ids.shape[1]
        _, entropies, *_ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, seen, n, compute_entropy=True
        )
    rewarded = trainer.get_high_entropy_mask(entropies, batch.mask, 1 - 0.3).float()
    assert 0 < rewarded.sum() < batch.mask.sum()
    claimed = claimed_gradient(objective, batch, trainer.model, rewarded)
    assert cosine(gradient, claimed) >= EQUAL
    assert cosine(gradient, claimed_gradient(objective, batch, trainer.model)) < OTHER


def test_an_entropy_bonus_adds_the_gradient_of_the_entropy(tiny_model, tmp_path):
    plain, batch, trainer, without = run("grpo", tiny_model, tmp_path)
    bonus, _, _, objective = run("grpo", tiny_model, tmp_path, entropy_coef=0.2)
    assert (without.entropy_coef, objective.entropy_coef) == (0.0, 0.2)
    trainer.model.zero_grad()
    ids = torch.cat([batch.prompt_ids, batch.completion_ids], 1)
    seen = torch.cat([batch.prompt_mask, batch.mask.long()], 1)
    n = batch.completion_ids.shape[1]
    log_p = trainer.model(input_ids=ids, attention_mask=seen).logits[:, -n - 1 : -1].log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    ((entropy * batch.mask).sum() / batch.mask.sum()).backward()
    expected = 0.2 * torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    assert cosine(bonus - plain, expected) >= EQUAL
    assert (bonus - plain).norm().item() == pytest.approx(expected.norm().item(), rel=1e-3)


def test_claims_of_the_installed_release_are_called_executed_where_this_file_runs_them():
    release = trl.__version__
    objective = audit_config({"beta": 0.1, "loss_type": "dapo"}).objective
    assert (objective.evidence == "executed") == (release == TESTED)
    old = audit_config({"beta": 0.1, "loss_type": "dapo"}, version="1.9.2").objective
    assert old.evidence == "read"
