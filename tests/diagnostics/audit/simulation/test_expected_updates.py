"""The expected update of the toy is the mean of claimed gradients, over all groups one by one.

The claims are those that our tests compare with the frameworks' own losses; here all groups of two
or three outputs are written out, each with its probability.
"""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

# ruff: noqa: E402
from polymode.core import augment
from polymode.diagnostics.audit import EffectiveObjective
from polymode.diagnostics.audit.simulation import TOY, Toy
from polymode.diagnostics.audit.simulation.groups import list_groups
from polymode.diagnostics.audit.simulation.toy import log_softmax
from polymode.diagnostics.audit.simulation.update import draw, expected_gradient
from tests.diagnostics.audit.claimed import advantages
from tests.diagnostics.audit.host_claims import Batch, claimed_entropy_weights, claimed_weights

SMALL = Toy(
    np.log([[0.5, 0.2, 0.3], [0.3, 0.5, 0.2]]),
    np.array(
        [
            [[0, 0], [1, 0]],
            [[0, 0], [1, 1]],
            [[0, 0], [1, 2]],
            *[[[0, i], [-1, -1]] for i in (1, 2)],
        ]
    ),
    np.array([1.0, 0.0, 1.0, 1.0, 0.0]),
    np.array([2.0, 4.0, 2.0, 1.0, 3.0]),
    ("aa", "ab", "ac", "b", "c"),
)
POLICY = log_softmax(SMALL.log_q + np.array([[0.3, -0.2, 0.1], [-0.5, 0.2, 0.4]]))
MOVED = log_softmax(POLICY + np.array([[0.1, 0.2, -0.3], [0.3, -0.3, 0.0]]))
N_TOKENS = 4
LOSS = {"kl_placement": "loss", "kl_estimator": "k3"}
REWARD = {"kl_placement": "reward", "kl_estimator": "k1", "kl_level": "sequence"}
THROUGH = REWARD | {"kl_in_advantage": True}
STD = {"scale": "group_std", "scale_epsilon": 1e-4}


def objective(**facts):
    named = {"framework": "any", "version": "0", "trainer": "any", "reference": "fixed"}
    return EffectiveObjective(**named, **{"beta": 0.3, "group_size": 3, **facts})


def columns(table):
    """Log-probabilities of tokens, (n, N_TOKENS); those of tails are 0."""
    tokens = SMALL.of_tokens(table)
    return torch.tensor(np.pad(tokens, ((0, 0), (0, N_TOKENS - tokens.shape[1]))))


def all_groups(size, *, now=POLICY):
    """Every group of a size, one after the other, and the probability of each by its size."""
    index = torch.tensor([*product(range(len(SMALL.labels)), repeat=size)])
    p = torch.tensor(np.exp(SMALL.of_tokens(POLICY).sum(1)))
    flat = index.flatten()
    mask = (torch.arange(N_TOKENS)[None] < torch.tensor(SMALL.lengths)[:, None]).double()
    squares = np.pad(
        SMALL.of_tokens((np.exp(POLICY) ** 2).sum(1, keepdims=True) + 0 * POLICY), ((0, 0), (0, 2))
    )
    squares[squares == 0] = 1.0  # tails are certain
    rewards = torch.tensor(SMALL.rewards)
    greedy = rewards[p.argmax()]
    batch = Batch(
        log_probs=columns(now)[flat],
        old_log_probs=columns(POLICY)[flat],
        ref_log_probs=columns(SMALL.log_q)[flat],
        mask=mask[flat],
        rewards=rewards[flat],
        groups=torch.arange(len(index)).repeat_interleave(size),
        values=torch.zeros(len(flat), N_TOKENS, dtype=torch.float64),
        greedy=greedy.expand(len(flat)),
        entropies=torch.zeros(len(flat), N_TOKENS),
        sum_pi_squared=torch.tensor(squares)[flat],
    )
    return batch, flat.numpy(), p[index].prod(1).repeat_interleave(size) / size


def to_table(weights, flat):
    """Sum weights of tokens over all groups into the table."""
    per_output = np.zeros((len(SMALL.labels), N_TOKENS))
    np.add.at(per_output, flat, weights.numpy())
    return SMALL.to_table(per_output[:, :2])


def mean_claim(o, size, *, now=POLICY):
    """The mean of what is claimed, with weights of tokens that are 1 on average."""
    batch, flat, chance = all_groups(size, now=now)
    lengths = batch.lengths

    def weighed(claim, how):
        """Undo the claim's normaliser, which is that of this one batch of all groups."""
        shape = {"constant": 1 + 0 * lengths, "per_sequence": 1 / lengths}.get(how, lengths)
        average = (chance @ lengths) / (chance @ (lengths * shape))
        return claim * (lengths * shape).sum() * average * chance[:, None]

    reward = claimed_weights(replace(o, kl_placement="none"), batch)
    if o.kl_placement == "reward":
        reward = claimed_weights(o, batch)
    found = weighed(reward, o.aggregation)
    if o.kl_placement == "loss":
        both = claimed_weights(o, batch)
        found = found + weighed(both - reward, o.kl_aggregation)
    return to_table(found, flat)


def simulated(o, size, *, now=POLICY):
    o = replace(o, group_size=size)
    listing = list_groups(o, SMALL, SMALL.rewards)
    assert listing is None or listing.size == size
    batch = draw(o, SMALL, POLICY, SMALL.log_q, SMALL.rewards, listing)
    return expected_gradient(o, SMALL, batch, now)[0]


CASES = {
    "plain": {"baseline": "leave_one_out"},
    "own-mean": {"baseline": "group_mean", **LOSS},
    "std": {"baseline": "group_mean", **STD, **LOSS},
    "std-population": {"baseline": "group_mean", **STD, "scale_ddof": 0, **LOSS},
    "std-leave-one-out": {"baseline": "leave_one_out", **STD, **LOSS},
    "std-through": {"baseline": "group_mean", **STD, **THROUGH},
    "std-then-kl": {"baseline": "group_mean", **STD, **REWARD},
    "token-kl-in-reward": {"baseline": "group_mean", **REWARD, "kl_level": "token"},
    "k2-in-reward": {"baseline": "leave_one_out", **THROUGH, "kl_estimator": "k2"},
    "k3-in-reward": {"baseline": "leave_one_out", **THROUGH, "kl_estimator": "k3"},
    "length-mean": {"baseline": "length_mean", **THROUGH},
    "token-mean": {"baseline": "token_mean", **THROUGH},
    "greedy": {"baseline": "greedy", **THROUGH},
    "none": {"baseline": "none", **LOSS},
    "lead": {"baseline": "none", "reward_transformations": ("lead_of_best",), **STD, **LOSS},
    "lead-plain": {"baseline": "none", "reward_transformations": ("lead_of_best",), **LOSS},
    "weight": {"baseline": "group_mean", "reward_weight": 0.2, **LOSS},
    "per-sequence": {"baseline": "group_mean", "aggregation": "per_sequence", **LOSS},
    "kl-per-sequence": {"baseline": "group_mean", "kl_aggregation": "per_sequence", **LOSS},
    "times-length": {
        **{"baseline": "group_mean", "aggregation": "times_length", **STD, **LOSS},
        "kl_aggregation": "times_length",
    },
    **{
        f"loss-{kind}-{ratio}": {
            "baseline": "group_mean",
            **LOSS,
            "kl_estimator": kind,
            "kl_ratio": ratio,
        }
        for kind, ratio in product(("k1", "k2", "k3"), ("none", "token"))
    },
    "k3-plus": {"baseline": "group_mean", **LOSS, "kl_estimator": "k3_plus"},
    "abs": {"baseline": "group_mean", **LOSS, "kl_estimator": "abs"},
}
ROUNDED = {"abs": 1e-5}  # the kink of |D| is rounded


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [2, 3])
def test_the_expected_update_is_the_mean_claim_over_all_groups(name, size):
    o = objective(**CASES[name])
    atol = ROUNDED.get(name, 1e-12)
    np.testing.assert_allclose(simulated(o, size), mean_claim(o, size), rtol=1e-9, atol=atol)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_off_policy_without_a_clip_it_is_the_claim_with_its_ratio(level):
    o = objective(baseline="group_mean", **STD, ratio_level=level)
    expected = mean_claim(o, 3, now=MOVED)
    np.testing.assert_allclose(simulated(o, 3, now=MOVED), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("baseline", ["group_mean", "leave_one_out"])
def test_rewards_that_are_standardised_one_by_one(baseline):
    """As TRL's are, before the batch divides them once more."""
    o = objective(
        **{"baseline": baseline, "reward_transformations": ("each_standardised",), "beta": 0.0}
    )
    batch, flat, chance = all_groups(3)
    claim = advantages(o, SimpleNamespace(rewards=batch.rewards[:, None], groups=batch.groups))
    expected = to_table((claim * chance)[:, None] * batch.mask, flat)
    np.testing.assert_allclose(simulated(o, 3), expected, rtol=1e-9)
    over = float((chance * claim**2).sum()) ** 0.5 + o.scale_epsilon
    divided = simulated(replace(o, scale="batch_std"), 3)
    np.testing.assert_allclose(divided, expected / over, rtol=1e-9)


def test_the_deviation_of_the_others():
    """By hand: divided where the others differ, else by nothing."""
    o = objective(baseline="leave_one_out", **STD, scale_of_others=True, beta=0.0)
    batch, flat, chance = all_groups(3)
    others = torch.stack(
        [batch.rewards.reshape(-1, 3)[:, [j, k]] for j, k in ((1, 2), (0, 2), (0, 1))], 1
    )
    deviation = others.std(-1).flatten() + o.scale_epsilon
    deviation = torch.where(deviation > 2 * o.scale_epsilon, deviation, 1.0)
    claim = (batch.rewards - others.mean(-1).flatten()) / deviation
    expected = to_table((claim * chance)[:, None] * batch.mask, flat)
    np.testing.assert_allclose(simulated(o, 3), expected, rtol=1e-9)


def test_groups_of_equal_rewards_leave_with_their_kl():
    o = objective(baseline="group_mean", **STD, **LOSS, drops=("zero_variance",))
    batch, flat, chance = all_groups(3)
    mixed = batch.rewards.reshape(-1, 3).std(1).repeat_interleave(3) > 0
    weights = claimed_weights(replace(o, drops=()), batch) * batch.mask.sum()
    weights = weights * (chance * mixed)[:, None]
    np.testing.assert_allclose(simulated(o, 3), to_table(weights, flat), rtol=1e-9)


@pytest.mark.parametrize("own", [None, "times_length"])
@pytest.mark.parametrize("kl_aggregation", ["constant", "per_sequence"])
def test_the_entropy_bonus(kl_aggregation, own):
    """Beside autograd through the claimed weights of each token's entropy."""
    o = objective(baseline="leave_one_out", entropy_coef=0.4, kl_aggregation=kl_aggregation)
    o = replace(o, entropy_aggregation=own)
    logits = torch.tensor(POLICY, requires_grad=True)
    log_p = logits.log_softmax(1)
    entropy = -(log_p.exp() * log_p).sum(1)
    batch, flat, _ = all_groups(2)
    weights = claimed_entropy_weights(o, batch).sum(1) / batch.lengths  # of each token
    p = torch.tensor(np.exp(SMALL.of_tokens(POLICY).sum(1)))
    each = torch.stack([weights[flat == i].mean() for i in range(len(p))])
    each = each / (p @ (each * torch.tensor(SMALL.lengths))) * (p @ torch.tensor(SMALL.lengths))
    rows = torch.tensor(SMALL.places[..., 0])
    bonus = sum(
        p[i] * each[i] * entropy[row] for i, path in enumerate(rows) for row in path if row >= 0
    )
    (o.entropy_coef * bonus).backward()
    with_bonus, without = (simulated(replace(o, entropy_coef=c), 2) for c in (0.4, 0.0))
    extra = with_bonus - without
    push = extra - np.exp(POLICY) * extra.sum(1, keepdims=True)
    np.testing.assert_allclose(push, logits.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("holds", [False, True])
@pytest.mark.parametrize("baseline", ["group_mean", "leave_one_out"])
@pytest.mark.parametrize("level", ["token", "sequence", "product"])
def test_the_clip_beside_autograd_through_the_surrogate(holds, baseline, level):
    """All groups of two, the surrogate of each, at a policy that has moved."""
    o = objective(
        **{"baseline": baseline, **STD, "ratio_level": level, "clip_holds": holds, "beta": 0.0},
        **{"n_updates": 2.0, "clip_low": 0.1, "clip_high": 0.15, "group_size": 2},
    )
    logits = torch.tensor(MOVED, requires_grad=True)
    log_p = logits.log_softmax(1)
    rows, cols = torch.tensor(SMALL.places).unbind(-1)
    now = torch.where(rows >= 0, log_p[rows.clamp(0), cols.clamp(0)], 0.0)
    moved = now - torch.tensor(SMALL.of_tokens(POLICY))
    lengths = torch.tensor(SMALL.lengths)[:, None]
    if level != "token":
        moved = moved.sum(1, keepdim=True) / (lengths if level == "sequence" else 1.0)
    ratio = moved.exp()
    p, total, n_clipped = torch.tensor(np.exp(SMALL.of_tokens(POLICY).sum(1))), 0.0, 0
    for group in product(range(len(p)), repeat=2):
        r = torch.tensor(SMALL.rewards)[list(group)]
        baselines = r.mean() if baseline == "group_mean" else r.flip(0)
        for i, a in zip(group, (r - baselines) / (r.std() + o.scale_epsilon), strict=True):
            bounded = ratio[i].clamp(1 - o.clip_low, 1 + o.clip_high)
            n_clipped += int((bounded != ratio[i]).sum())
            if holds:
                gain = bounded.detach() * a * now[i]
            else:
                gain = torch.minimum(ratio[i] * a, bounded * a)
            spread = {"token": 1.0, "sequence": lengths[i], "product": 1.0}[level]
            each = rows[i] >= 0
            gain = (gain * each).sum() if holds or level == "token" else (gain * spread).sum()
            total = total + p[list(group)].prod() * gain / 2
    total.backward()
    assert n_clipped > 0
    found = simulated(o, 2, now=MOVED)
    push = found - np.exp(MOVED) * found.sum(1, keepdims=True)
    np.testing.assert_allclose(push, logits.grad.numpy(), atol=1e-10)


def test_anchored_groups_that_are_too_large_are_made_smaller():
    """The toy's seven levels in groups of 64 are listed in groups that can be."""
    anchored = augment(TOY.rewards, TOY.log_q_outputs, beta=0.2, threshold=1.0).rewards
    o = objective(baseline="group_mean", **STD, **LOSS, group_size=64)
    assert list_groups(o, TOY, TOY.rewards).size == 64
    small = list_groups(o, TOY, anchored)
    assert 4 <= small.size < 64
    assert small.counts.sum(1).max() == small.counts.sum(1).min() == small.size - 1
    assert len(np.unique(small.counts, axis=0)) == len(small.counts)
