"""Settings of a step, one at a time: each does what it says, beside a step without it."""

import numpy as np
import pytest
import torch

from polymode.chemistry import GRUModel, check_config, log_likelihood
from polymode.chemistry.learner.learner import Learner
from polymode.chemistry.oracles import build_oracle
from tests.chemistry.learner.tiny import tiny_prior

BASE = {
    "oracle": {"components": [{"type": "qed"}], "budget": 5000},
    "learner": {"objective": "reinvent", "batch_size": 64, "sample_dtype": "float32"},
    "target": {"name": "plain", "threshold": 0.5},
    "modes": {"kind": "none"},
    "replay": {"kind": "none"},
}


def learner_of(**sections):
    content = {key: {**BASE.get(key, {}), **sections.get(key, {})} for key in {*BASE, *sections}}
    config = check_config(content)
    return Learner(config, tiny_prior(), tiny_prior(), build_oracle(config.oracle))


def stepped(n=1, **sections):
    """A learner after some steps, and the last of them."""
    learner = learner_of(**sections)
    step = [learner.step() for _ in range(n)][-1]
    learner.close()
    return learner, step


def weights(learner):
    return torch.cat([each.detach().flatten() for each in learner.policy.parameters()])


def test_loss_is_that_of_reinvent():
    learner, step = stepped()
    batch = step.batch
    expected = (batch.ref_log_probs + 60 * batch.scores.rewards - batch.log_probs) ** 2
    assert step.loss == pytest.approx(expected.mean(), rel=1e-5)
    np.testing.assert_allclose(batch.log_probs, batch.ref_log_probs, atol=1e-4)
    with torch.no_grad():
        after = log_likelihood(learner.policy, batch.sample.smiles).numpy()
    assert np.abs(after - batch.log_probs).max() > 0.1


def test_repeats_count_once_if_asked():
    # Low-entropy draws: enough steps at a large rate that the batch repeats itself.
    many, step = stepped(8, learner={"learning_rate": 0.01})
    smiles = step.batch.sample.smiles
    assert len(set(smiles)) < len(smiles)
    unique = learner_of(learner={"unique": True, "learning_rate": 0.01})
    for _ in range(7):
        unique.step()
    last = unique.step()
    unique.close()
    first = {one: i for i, one in reversed(list(enumerate(last.batch.sample.smiles)))}
    rows = sorted(first.values())
    batch = last.batch
    distances = (batch.ref_log_probs + 60 * batch.scores.rewards - batch.log_probs) ** 2
    assert len(rows) < len(distances)
    assert last.loss == pytest.approx(distances[rows].mean(), rel=1e-4)
    assert not torch.equal(weights(many), weights(unique))


def test_one_pass_of_the_policy_does_for_drawing_and_learning(monkeypatch):
    replaying = {"replay": {"kind": "top", "n": 8}, "learner": {"learning_rate": 1e-3}}
    once, step = stepped(3, **replaying)
    taken = []
    monkeypatch.setattr(GRUModel, "trace", lambda self: taken.append(self))
    twice, other = stepped(3, **replaying)
    assert len(taken) == 3
    assert step.batch.sample.smiles == other.batch.sample.smiles
    assert step.loss == pytest.approx(other.loss, rel=1e-4)
    torch.testing.assert_close(weights(once), weights(twice), rtol=1e-4, atol=1e-5)
    rounded = {"likelihood_dtype": "bfloat16", "learning_rate": 1e-3}
    stepped(1, learner=rounded)  # draws and likelihoods are of two kinds: nothing can be shared
    assert len(taken) == 3


def test_penalty_on_likely_strings_is_added():
    (_, plain), (_, penalised) = (
        stepped(learner={"likelihood_penalty": weight}) for weight in (0.0, 100.0)
    )
    extra = -100 * (1 / penalised.batch.log_probs).mean()
    assert penalised.loss == pytest.approx(plain.loss + extra, rel=1e-5)


def test_gradients_are_cut():
    free, step = stepped()
    cut, other = stepped(learner={"max_gradient_norm": step.gradient_norm / 1e6})
    assert other.gradient_norm == pytest.approx(step.gradient_norm)
    # Adam's first step does not know the scale, but for its epsilon of 1e-8.
    assert not torch.equal(weights(free), weights(cut))


def test_replayed_molecules_enter_the_loss():
    replay = {"kind": "top", "n": 8}
    (_, alone), (learner, with_them) = stepped(2), stepped(2, replay=replay)
    assert learner.replay is not None
    assert len(learner.replay)
    assert with_them.loss != alone.loss
    assert with_them.batch.sample.smiles == alone.batch.sample.smiles  # the same first step


def test_augmentation_learns_from_other_strings():
    memory = {"kind": "top", "n": 0}
    learners = [stepped(replay={**memory, "augmentation_rounds": n})[0] for n in (0, 1, 2)]
    first, second, third = map(weights, learners)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize("purge", [True, False])
def test_penalised_scaffolds_leave_the_memory(purge):
    learner, _ = stepped(
        replay={"kind": "top", "n": 0, "augmentation_rounds": 1, "purge": purge},
        filter={"kind": "murcko", "bucket_size": 1, "min_score": 0.0},
    )
    assert learner.replay is not None
    rows = learner.replay.everything()
    scaffolds = [] if rows is None else [learner.filter.label(name) for name in rows.canonical]
    full = {name for name, count in learner.filter._buckets.items() if count > 1}
    assert full
    assert bool(full & set(scaffolds)) is not purge


def test_likelihoods_in_bfloat16_are_near():
    (_, exact), (_, rounded) = (
        stepped(learner={"likelihood_dtype": dtype}) for dtype in ("float32", "bfloat16")
    )
    off = rounded.batch.log_probs - exact.batch.log_probs
    assert 0 < np.abs(off).max() < 1


def test_draws_follow_the_seed_only():
    batches = [stepped(run={"seed": seed})[1].batch.sample.smiles for seed in (0, 0, 1)]
    assert batches[0] == batches[1] != batches[2]


def test_a_loss_that_is_not_finite_changes_no_weights():
    learner = learner_of()
    before = weights(learner)
    with torch.no_grad():
        learner.prior.head.bias.fill_(torch.inf)
    step = learner.step()
    learner.close()
    assert not np.isfinite(step.gradient_norm)
    assert torch.equal(weights(learner), before)
