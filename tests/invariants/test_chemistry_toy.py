"""Trained to the end in a language that can be enumerated, policies are what was promised."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("rdkit")

import torch

from polymode.chemistry.learner.config import check_config
from polymode.chemistry.learner.learner import Learner
from polymode.core import augment, optimal_policy
from polymode.metrics.molecules import canonical_smiles
from tests.chemistry.learner.toy import STRINGS, TabularModel, reward_of, toy_oracle

SIGMA, THRESHOLD = 8.0, 0.8


def the_prior():
    return TabularModel(seed=1, spread=0.5)


def trained(n_steps, *, objective, learning_rate, batch_size=64, **sections):
    torch.set_num_threads(1)
    content = {
        "oracle": {"components": [{"type": "qed"}]},  # replaced by the toy's
        "run": {"steps": n_steps, "seed": 1},
        "learner": {
            "objective": objective,
            "sigma": SIGMA,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
        },
        "modes": {"kind": "none"},
        "replay": {"kind": "none"},
        **sections,
    }
    prior = the_prior()
    learner = Learner(check_config(content), the_prior(), prior, toy_oracle())
    for step in range(n_steps):
        for group in learner._optimiser.param_groups:  # to zero: what is left is the optimum
            group["lr"] = learning_rate * (1 - step / n_steps)
        learner.step()
    learner.close()
    return learner, prior


def targets(prior, *, modes=None, anchored=True):
    """The optimum over all 120 strings, from the core."""
    rewards = np.array([reward_of(canonical_smiles(one)) for one in STRINGS])
    log_q = np.log(prior.distribution())
    if anchored:
        beta = 1 / SIGMA
        rewards = augment(rewards, log_q, beta=beta, threshold=THRESHOLD, modes=modes).rewards
    return np.exp(optimal_policy(rewards, log_q, beta=1 / SIGMA))


def distance(p, t):
    return 0.5 * np.abs(p - t).sum()


def test_there_are_hits_of_different_likelihood_and_strings_that_are_one_molecule():
    rewards = np.array([reward_of(canonical_smiles(one)) for one in STRINGS])
    q = the_prior().distribution()
    assert q.sum() == pytest.approx(1, abs=1e-6)
    assert 5 < (rewards >= THRESHOLD).sum() < 40
    assert q[rewards >= THRESHOLD].max() > 10 * q[rewards >= THRESHOLD].min()
    assert len({canonical_smiles(one) for one in STRINGS}) < len(STRINGS)


@pytest.mark.parametrize(
    # Without a baseline the log Z of the target is noise, which a larger batch has to average out.
    ("objective", "rate", "batch_size"),
    [("reinvent", 0.05, 512), ("policy_gradient", 0.15, 64)],
)
def test_plain_rewards_meet_the_plain_target(objective, rate, batch_size):
    learner, prior = trained(
        300,
        objective=objective,
        learning_rate=rate,
        batch_size=batch_size,
        target={"name": "plain", "threshold": 0.8},
    )
    target = targets(prior, anchored=False)
    assert distance(prior.distribution(), target) > 0.4
    assert distance(learner.policy.distribution(), target) <= 0.05


def test_strings_become_flat():
    learner, prior = trained(
        300,
        objective="log_variance",
        learning_rate=0.15,
        target={"name": "anchored", "threshold": THRESHOLD},
    )
    p, target = learner.policy.distribution(), targets(prior)
    assert distance(targets(prior, anchored=False), target) > 0.2
    assert distance(p, target) <= 0.05


@pytest.mark.parametrize("pressure", ["none", "mass", "visits"])
def test_modes_become_flat_whatever_the_pressure(pressure):
    learner, prior = trained(
        300,
        objective="log_variance",
        learning_rate=0.08,  # at .15 one seed in three leaves the rarest mode before it is found
        target={
            "name": "anchored_modes",
            "threshold": THRESHOLD,
            "level": 0.85,
            "floor": 0.0,
            "pressure": {"kind": pressure, "visits": 1e5, "strength": 1.0},
        },
        modes={"kind": "canonical"},
        replay={"kind": "modes", "n": 16},
    )
    names = [canonical_smiles(one) for one in STRINGS]
    good = np.array([reward_of(name) >= THRESHOLD for name in names])
    hits = sorted({name for name, hit in zip(names, good, strict=True) if hit})
    p, q = learner.policy.distribution(), prior.distribution()
    masses = [p[[n == name for n in names]].sum() for name in hits]
    shares = np.array(masses) / sum(masses)
    assert distance(shares, np.full(len(hits), 1 / len(hits))) <= 0.05
    if pressure == "none":
        # log t = log q + sigma level + max_n log q(n) - log q(m) for a hit of mode m
        pooled = {name: q[[n == name for n in names]].sum() for name in hits}
        rewards = np.array([reward_of(name) for name in names])
        for i in np.flatnonzero(good):
            rewards[i] = 0.85 + np.log(max(pooled.values()) / pooled[names[i]]) / SIGMA
        target = np.exp(optimal_policy(rewards, np.log(q), beta=1 / SIGMA))
        assert distance(p, target) <= 0.05
