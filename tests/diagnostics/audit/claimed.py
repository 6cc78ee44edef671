"""The gradient that an `EffectiveObjective` claims, on a frozen batch, from its fields alone."""

import torch

from polymode.core.estimators import ESTIMATORS


def advantages(objective, batch):
    """Advantages, (B,): rewards, baseline and scale as claimed."""
    rewards, epsilon = batch.rewards.sum(1), objective.scale_epsilon
    if "each_standardised" in objective.reward_transformations:
        rewards = sum(grouped(r, batch.groups, standardised(epsilon)) for r in batch.rewards.T)
    if objective.reward_clip is not None:
        rewards = rewards.clamp(*objective.reward_clip)
    if objective.kl_placement == "reward":
        assert objective.kl_in_advantage
        assert objective.kl_level == "sequence"
        rewards = rewards - objective.beta * batch.log_ratios.sum(1)
    baseline = {"group_mean": lambda r: r - r.mean(), "leave_one_out": less_others}
    scale = {"group_std": standardised(epsilon), "none": baseline[objective.baseline]}
    found = grouped(rewards, batch.groups, scale.get(objective.scale, scale["none"]))
    if objective.scale == "batch_std":
        spread = found if objective.baseline == "leave_one_out" else rewards
        found = found / (spread.std(correction=objective.scale_ddof) + epsilon)
    return found


def grouped(x, groups, function):
    """Apply a function to each group."""
    out = torch.zeros_like(x)
    for group in groups.unique():
        out[groups == group] = function(x[groups == group])
    return out


def standardised(epsilon):
    return lambda r: (r - r.mean()) / (r.std() + epsilon)


def less_others(r):
    return r - (r.sum() - r) / (len(r) - 1)


def token_weights(aggregation, mask):
    """Weight of each token, (B, T), up to a factor for the whole batch."""
    length = mask.sum(1, keepdim=True)
    return mask * {"constant": 1.0, "per_sequence": 1 / length, "times_length": length}[aggregation]


def kl_weight(objective, d, mask):
    """What multiplies grad log p of each token in the KL of a loss, (B, T)."""
    estimator = ESTIMATORS[objective.kl_estimator]
    if objective.kl_ratio != "sequence":
        return ESTIMATORS[objective.estimator].weight(d)
    # The ratio of the sequence to the power 1/|y|: its gradient shares the value out over tokens.
    mean = (estimator.value(d) * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return estimator.weight(d) + mean


def claimed_gradient(objective, batch, model, rewarded=None):
    """Flat gradient that the objective claims, up to a positive factor.

    `rewarded` masks the tokens that get a reward gradient, where the objective drops some.
    """
    mask = batch.mask
    score = objective.reward_weight * advantages(objective, batch)[:, None]
    weight = score * token_weights(objective.aggregation, mask)
    weight = weight if rewarded is None else weight * rewarded
    if objective.kl_placement == "loss" and objective.beta:
        kl = kl_weight(objective, batch.log_ratios, mask)
        weight = weight - objective.beta * kl * token_weights(objective.kl_aggregation, mask)
    model.zero_grad()
    (weight * batch.log_probs(model)).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def cosine(one, other):
    return torch.nn.functional.cosine_similarity(one, other, dim=0).item()
