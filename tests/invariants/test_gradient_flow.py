"""Exact policy-gradient ascent ends at the promised target: flat with anchoring, else collapsed.

No sampling: every outcome enters with its probability. The policy is tabular, its gradient
``E_p[w grad log p]`` with ``w = r - beta (log p - log q)``: the k1 estimate of the KL is subtracted
from the reward, as anchored trainers do by default.
"""

import numpy as np
import pytest

from polymode.core import anchor, augment, gradient_flow, optimal_policy
from polymode.metrics import effective_number, entropy, total_variation

REFERENCE = np.array([0.50, 0.25, 0.15, 0.06, 0.04])
REWARDS = np.array([0.2, 1.0, 0.9, 1.0, 0.0])
GOOD = REWARDS >= 0.8
BETA = 0.1


def gradient(logits, rewards, log_q):
    """``sum_y p_y w_y grad log p_y`` of a softmax policy; the gradient of log p is ``1_y - p``."""
    p = np.exp(logits - np.logaddexp.reduce(logits))
    weight = rewards - BETA * (np.log(p) - log_q)
    return p * (weight - np.sum(p * weight))


def ascend(rewards, log_q):
    """Log-probabilities of the policy after gradient ascent from the reference."""
    start = np.log(REFERENCE)
    trained = gradient_flow(rewards, log_q, beta=BETA, log_probs=start)
    np.testing.assert_allclose(gradient(trained, rewards, log_q), 0.0, atol=1e-9)  # it has ended
    return trained


def test_plain_rewards_end_at_the_collapsed_gibbs_target():
    log_q = np.log(REFERENCE)
    target = optimal_policy(REWARDS, log_q, beta=BETA)
    trained = ascend(REWARDS, log_q)
    assert total_variation(trained, target) < 1e-3
    # Of the good outcomes 1 and 3, with equal rewards, the likelier keeps its lead of .25 : .06;
    # outcome 2 loses e^(-0.1/0.1) beside.
    good = np.exp(trained[GOOD])
    np.testing.assert_allclose(good / good[0], [1, 0.6 / np.e, 0.24], rtol=1e-2)
    assert effective_number(trained) < 2.5


@pytest.mark.parametrize("algorithm", ["augment", "anchor"])
def test_anchored_rewards_end_flat(algorithm):
    log_q = np.log(REFERENCE)
    if algorithm == "augment":
        anchored = augment(REWARDS, log_q, beta=BETA, threshold=0.8)
    else:
        anchored = anchor(REWARDS, log_q, threshold=0.8)
    trained = ascend(anchored.rewards, anchored.ref_log_probs)
    # By hand: the anchor is outcome 1, so the good get .25 e^10 each; the others .5 e^2 and .04.
    weights = np.where(GOOD, 0.25 * np.exp(10), REFERENCE * np.exp(REWARDS / BETA))
    assert total_variation(trained, np.log(weights / weights.sum())) < 1e-3
    assert effective_number(trained) > 2.98  # of three good outcomes


def test_both_algorithms_have_the_same_gradient_everywhere():
    log_q = np.log(REFERENCE)
    one = augment(REWARDS, log_q, beta=BETA, threshold=0.8)
    two = anchor(REWARDS, log_q, threshold=0.8)
    rng = np.random.default_rng(0)
    for _ in range(20):
        logits = rng.normal(0, 3, REFERENCE.size)
        np.testing.assert_allclose(
            gradient(logits, one.rewards, one.ref_log_probs),
            gradient(logits, two.rewards, two.ref_log_probs),
            rtol=1e-9,
            atol=1e-12,
        )


def test_a_bonus_for_another_strength_does_not_end_flat():
    log_q = np.log(REFERENCE)
    for beta, favoured in [(0.5 * BETA, 1), (2 * BETA, 3)]:  # too little bonus, too much
        mismatched = augment(REWARDS, log_q, beta=beta, threshold=0.8)
        trained = ascend(mismatched.rewards, log_q)
        assert np.argmax(trained) == favoured
        assert effective_number(trained) < 2.9


# A sequence model of two tokens: four first tokens, and four second ones after each of them.

FIRST = np.array([0.55, 0.30, 0.10, 0.05])
SECOND = np.array(
    [
        [0.40, 0.30, 0.20, 0.10],
        [0.70, 0.10, 0.10, 0.10],
        [0.25, 0.25, 0.25, 0.25],
        [0.05, 0.05, 0.05, 0.85],
    ]
)
TREE_REWARDS = np.array([[1, 1, 1, 1], [0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=float)
TREE_LOG_Q = np.log(FIRST[:, None] * SECOND).reshape(-1)
TREE_BETA = 0.2


def train_tree(rewards, steps=1500):
    """Log-probabilities of all 16 sequences after training the two softmax tables with autograd."""
    torch = pytest.importorskip("torch")
    rewards, log_q = torch.as_tensor(rewards), torch.as_tensor(TREE_LOG_Q)
    first = torch.log(torch.as_tensor(FIRST)).requires_grad_()
    second = torch.log(torch.as_tensor(SECOND)).requires_grad_()
    optimizer = torch.optim.Adam([first, second], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        log_p = (first.log_softmax(0)[:, None] + second.log_softmax(1)).reshape(-1)
        reward = (rewards - TREE_BETA * (log_p - log_q)).detach()  # k1 in the reward
        baseline = torch.sum(log_p.exp().detach() * reward)
        loss = -torch.sum(log_p.exp().detach() * (reward - baseline) * log_p)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return log_p.detach().numpy()


def test_a_sequence_model_ends_at_the_plain_target():
    rewards = TREE_REWARDS.reshape(-1)
    trained = train_tree(rewards)
    target = optimal_policy(rewards, TREE_LOG_Q, beta=TREE_BETA)
    assert total_variation(trained, target) < 1e-3
    # .55 * .4 = .22 is the likeliest good sequence, .05 * .05 = .0025 the least: 88 to 1.
    good = trained[rewards == 1]
    assert np.exp(good.max() - good.min()) == pytest.approx(88, rel=1e-2)


def test_a_sequence_model_ends_flat_with_anchored_rewards():
    rewards = TREE_REWARDS.reshape(-1)
    anchored = augment(rewards, TREE_LOG_Q, beta=TREE_BETA, threshold=1.0)
    trained = train_tree(anchored.rewards)
    # By hand: eight good sequences at q(z) e^(1/beta) = .22 e^5 each, the others stay at their q.
    weights = np.where(rewards == 1, 0.22 * np.exp(5), np.exp(TREE_LOG_Q))
    assert total_variation(trained, np.log(weights / weights.sum())) < 1e-3
    assert (
        effective_number(trained[rewards == 1] - np.log(np.exp(trained[rewards == 1]).sum())) > 7.99
    )


def test_a_sequence_model_gives_equal_shares_to_modes():
    # The mode of a sequence is its first token: good ones number 4, 1, 2 and 1, and each first
    # token ends with a quarter of the good mass, split as the reference splits it.
    rewards = TREE_REWARDS.reshape(-1)
    modes = np.repeat([f"first token {i}" for i in range(4)], 4)
    anchored = augment(rewards, TREE_LOG_Q, beta=TREE_BETA, threshold=1.0, modes=modes)
    trained = np.exp(train_tree(anchored.rewards)).reshape(4, 4)
    good = np.where(TREE_REWARDS == 1, trained, 0.0)
    np.testing.assert_allclose(good.sum(1) / good.sum(), 0.25, rtol=5e-3)
    np.testing.assert_allclose(good[0] / good[0].sum(), SECOND[0], rtol=5e-3)


# Where the KL sits, and which estimator of it is differentiated, decides what the run ends at. The
# numbers are those of an independent script (softmax gradients over visits, 60,000 steps): total
# variation to the target over sequences, and entropy over the eight good ones, at most 2.079.

PLACEMENTS = {
    ("plain", "sequence_k1"): (0.000, 1.656),
    ("plain", "k2"): (0.255, 1.852),
    ("plain", "k3"): (0.163, 1.805),
    ("anchored", "sequence_k1"): (0.000, 2.079),
    ("anchored", "k2"): (0.524, 1.417),
    ("anchored", "k3"): (0.532, 1.337),
    ("anchored", "k1"): (0.875, 0.000),
}


def tree_rewards(kind):
    if kind == "plain":
        return TREE_REWARDS
    anchored = augment(TREE_REWARDS.reshape(-1), TREE_LOG_Q, beta=TREE_BETA, threshold=1.0)
    return anchored.rewards.reshape(4, 4)


def tree_flow(kind, kl):
    log_q = TREE_LOG_Q.reshape(4, 4)
    flow = gradient_flow(tree_rewards(kind), log_q, beta=TREE_BETA, kl=kl, n_tokens=2)
    return flow.reshape(-1)


def good_entropy(log_p):
    good = log_p[TREE_REWARDS.reshape(-1) == 1]
    return float(entropy(good - np.logaddexp.reduce(good)))


@pytest.mark.parametrize(("kind", "kl"), PLACEMENTS)
def test_the_placement_of_the_kl_decides_the_end(kind, kl):
    ended = tree_flow(kind, kl)
    target = optimal_policy(tree_rewards(kind).reshape(-1), TREE_LOG_Q, beta=TREE_BETA)
    distance, spread = PLACEMENTS[kind, kl]
    assert total_variation(ended, target) == pytest.approx(distance, abs=6e-4)
    assert good_entropy(ended) == pytest.approx(spread, abs=6e-4)


def test_k1_in_the_loss_does_not_regularise():
    assert np.exp(tree_flow("plain", "k1"))[TREE_REWARDS.reshape(-1) == 1].sum() > 1 - 1e-9
    # Anchored, all mass goes to the rarest good sequence, which has the largest bonus.
    assert np.argmax(tree_flow("anchored", "k1")) == 12


@pytest.mark.parametrize("kind", ["plain", "anchored"])
@pytest.mark.parametrize("kl", ["ratio_k1", "ratio_k3", "k3_plus"])
def test_estimators_of_one_gradient_end_alike(kind, kl):
    np.testing.assert_allclose(tree_flow(kind, kl), tree_flow(kind, "k2"), rtol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "anchored"])
def test_the_flow_ends_where_an_optimiser_of_the_plain_gradient_ends(kind):
    trained = train_tree(tree_rewards(kind).reshape(-1))
    assert total_variation(trained, tree_flow(kind, "sequence_k1")) < 1e-3
