"""The trainers as a whole: they run, they descend the promised gradient, they resume."""

import math

import pytest
import torch
from trl import RLOOConfig, RLOOTrainer

from polymode.language.trainers import _centred
from tests.language.runs import BETA, N_GENERATIONS, make_trainer, prescribe_samples


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_a_run_with_real_sampling_trains(kind, adapter, tiny_model, tmp_path):
    trainer = make_trainer(kind, tiny_model, tmp_path, adapter=adapter, max_steps=3)
    before = {n: p.clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.train()
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert len(rows) == 3
    assert all(math.isfinite(row["loss"]) for row in rows)
    moved = [
        not torch.equal(before[n], p) for n, p in trainer.model.named_parameters() if n in before
    ]
    assert any(moved)


def gradient(trainer):
    """Flat gradient of the first training step's loss, at a policy that has left its reference."""
    with torch.no_grad():
        torch.manual_seed(5)
        for weight in trainer.model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = next(iter(trainer.get_train_dataloader()))
    inputs = trainer._prepare_inputs(batch)
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, inputs).backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()])


@pytest.mark.parametrize("beta", [0.05, 2.0])
def test_grpo_descends_the_gradient_of_rloo(beta, tiny_model, tmp_path):
    """With dr_grpo the two differ by (G - 1) / G and by the constant number of tokens."""
    rloo, grpo = (
        gradient(prescribe_samples(make_trainer(kind, tiny_model, tmp_path / kind, beta=beta)))
        for kind in ("rloo", "grpo")
    )
    cosine = torch.nn.functional.cosine_similarity(rloo, grpo, dim=0).item()
    assert cosine == pytest.approx(1.0, abs=1e-4)
    max_length = 4
    expected = (N_GENERATIONS - 1) / N_GENERATIONS / max_length
    assert (grpo.norm() / rloo.norm()).item() == pytest.approx(expected, rel=1e-3)


def test_anchoring_changes_the_gradient(tiny_model, tmp_path):
    """The equality above would hold for a hook that does nothing, too: here it must differ."""
    ours = gradient(prescribe_samples(make_trainer("rloo", tiny_model, tmp_path / "a", beta=0.5)))
    plain = make_trainer(
        "rloo", tiny_model, tmp_path / "b", base=RLOOConfig, host=RLOOTrainer, beta=0.5
    )
    theirs = gradient(prescribe_samples(plain))
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0).item() < 0.999


def naive_rloo_gradient(trainer, inputs, rewards):
    """Oracle: mean over completions of -(A_i) grad log p(y_i), A_i leave-one-out of r' - beta K."""
    model, ref = trainer.model, trainer.ref_model
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    n_new = inputs["completion_ids"].shape[1]

    def log_prob(network):
        logits = network(input_ids=ids, attention_mask=attention).logits[:, -n_new - 1 : -1]
        tokens = logits.log_softmax(-1).gather(-1, ids[:, -n_new:, None])[..., 0]
        return (tokens * inputs["completion_mask"]).sum(1)

    log_p = log_prob(model)
    with torch.no_grad():
        total = rewards - BETA * (log_p - log_prob(ref))
    grouped = total.view(-1, N_GENERATIONS)
    baseline = (grouped.sum(1, keepdim=True) - grouped) / (N_GENERATIONS - 1)
    loss = -((grouped - baseline).flatten() * log_p).mean()
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_rloo_gradient_is_the_hand_written_one(tiny_model, tmp_path):
    trainer = prescribe_samples(make_trainer("rloo", tiny_model, tmp_path))
    with torch.no_grad():
        torch.manual_seed(5)
        for weight in trainer.model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    # TRL shuffles the batch after it was scored: keep the order, to pair rows with rewards.
    import trl.trainer.rloo_trainer as host

    shuffle, host.shuffle_sequence_dict = host.shuffle_sequence_dict, lambda batch: batch
    try:
        inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    finally:
        host.shuffle_sequence_dict = shuffle
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, inputs).backward()
    ours = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    expected = naive_rloo_gradient(trainer, inputs, trainer.last_batch.rewards)
    torch.testing.assert_close(ours, expected, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_a_resumed_run_ends_like_an_uninterrupted_one(kind, tiny_model, tmp_path):
    settings = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = make_trainer(kind, tiny_model, tmp_path / "a", **settings)
    whole.train()
    first = make_trainer(kind, tiny_model, tmp_path / "b", **settings)
    first.train()
    resumed = make_trainer(kind, tiny_model, tmp_path / "b", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "b" / "checkpoint-2"))
    for (name, a), b in zip(
        whole.model.named_parameters(), resumed.model.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_model_card_cites_the_paper(tiny_model, tmp_path):
    trainer = make_trainer("rloo", tiny_model, tmp_path)
    trainer.create_model_card(model_name="card")
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "2510.20817" in card
    assert "mara" in card


def test_kl_baseline_is_the_mean_over_siblings():
    kl = torch.tensor([1.0, 2.0, 6.0, 10.0, 20.0])
    groups = torch.tensor([0, 0, 0, 4, 4])
    everyone = torch.ones(5, dtype=torch.bool)
    # 1 - (2+6)/2, 2 - (1+6)/2, 6 - (1+2)/2, 10 - 20, 20 - 10
    expected = torch.tensor([-3.0, -1.5, 4.5, -10.0, 10.0])
    torch.testing.assert_close(_centred(kl, groups, everyone), expected)


def test_kl_without_siblings_is_compared_with_the_other_rows():
    kl = torch.tensor([1.0, 2.0, 6.0])
    groups = torch.tensor([0, 1, 2])
    everyone = torch.ones(3, dtype=torch.bool)
    expected = torch.tensor([1 - 4.0, 2 - 3.5, 6 - 1.5])
    torch.testing.assert_close(_centred(kl, groups, everyone), expected)
    alone = _centred(kl[:1], groups[:1], everyone[:1])
    torch.testing.assert_close(alone, kl[:1])  # a lone row keeps its penalty


def test_unscorable_rows_are_no_siblings():
    kl = torch.tensor([1.0, 100.0, 3.0])
    groups = torch.zeros(3, dtype=torch.long)
    scorable = torch.tensor([True, False, True])
    centred = _centred(kl, groups, scorable)
    torch.testing.assert_close(centred[[0, 2]], torch.tensor([-2.0, 2.0]))
    assert centred.isfinite().all()
