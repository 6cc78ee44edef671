"""The gradient that an `EffectiveObjective` claims, on a frozen batch: what tests compare with.

Along the gradient each ``log p(y_t)`` counts with ``w_A A_t - beta w_KL(D_t)``: the weights here,
by the fields of the objective alone, and independent of any framework's code.
"""

from dataclasses import dataclass, replace

import torch

from polymode.core.estimators import ESTIMATORS


@dataclass(frozen=True)
class Batch:
    """Completions of several prompts, with random log-probabilities: (b, t), or (b,)."""

    log_probs: torch.Tensor
    old_log_probs: torch.Tensor
    ref_log_probs: torch.Tensor
    mask: torch.Tensor
    rewards: torch.Tensor
    groups: torch.Tensor
    values: torch.Tensor
    greedy: torch.Tensor  # reward of the greedy completion of the prompt

    @property
    def lengths(self):
        return self.mask.sum(-1)


def make_batch(*, seed=0, n_groups=3, group_size=4, n_tokens=6, off_policy=0.0, far=0.7):
    """Completions of different lengths; `far` is how far the policy is from its reference."""
    rng = torch.Generator().manual_seed(seed)
    n = n_groups * group_size

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    lengths = torch.randint(2, n_tokens + 1, (n,), generator=rng)
    mask = (torch.arange(n_tokens)[None] < lengths[:, None]).double()
    log_probs = -(normal(n, n_tokens).abs() + 0.2)
    rewards = torch.randint(0, 2, (n,), generator=rng).double() + 0.1 * normal(n)
    groups = torch.arange(n) // group_size
    return Batch(
        log_probs=log_probs.requires_grad_(),
        old_log_probs=(log_probs + off_policy * normal(n, n_tokens)).detach(),
        ref_log_probs=(log_probs + far * normal(n, n_tokens)).detach(),
        mask=mask,
        rewards=rewards,
        groups=groups,
        values=normal(n, n_tokens),
        greedy=normal(n_groups)[groups],
    )


def claimed_weights(objective, batch, *, to_go=False, shifted=False):
    """Return the weight of each ``grad log p(y_t)``, up to one positive factor.

    With `to_go`, a reward that is spread over tokens is credited from its own token on, and with
    `shifted` advantages lose their mean over the batch once more. Neither changes an expectation.
    """
    mask = batch.mask
    d = (batch.log_probs - batch.ref_log_probs).detach() * mask
    in_reward = objective.kl_placement == "reward"
    penalty = torch.zeros_like(d)
    if in_reward:
        penalty = objective.beta * ESTIMATORS[objective.kl_estimator].value(d) * mask
        if objective.kl_level == "sequence":
            penalty = _from_here_on(penalty) if to_go else penalty.sum(-1, keepdim=True)
    reward = objective.reward_weight * batch.rewards[:, None]
    if objective.kl_in_advantage:
        advantage = _normalised(objective, reward - penalty, batch)
    else:
        advantage = _normalised(objective, reward, batch) - penalty
    if shifted:
        advantage = advantage - (advantage * mask).sum() / mask.sum()
    advantage = _ratio(objective, batch) * advantage
    weights = _token_weights(objective.aggregation, mask) * advantage
    if objective.kl_placement == "loss":
        pull = objective.beta * ESTIMATORS[objective.estimator].weight(d)
        weights = weights - _token_weights(objective.kl_aggregation, mask) * pull
    return weights * mask


def _from_here_on(x):
    return x.flip(-1).cumsum(-1).flip(-1)


def _normalised(objective, x, batch):
    """Return rewards, one or one for each token, minus the baseline, over the scale."""
    x = x.expand_as(batch.mask)
    same = batch.groups[:, None] == batch.groups[None]
    others = same & ~torch.eye(len(same), dtype=torch.bool)
    if objective.baseline == "value":
        x = x - batch.values
    elif objective.baseline == "greedy":
        x = x - batch.greedy[:, None]
    counted = {"leave_one_out": others, "group_mean": same}.get(objective.baseline)
    total = x[:, 0]  # a group's statistics are those of whole returns
    if counted is not None:
        x = x - _mean(counted, total)[:, None]
    if objective.scale == "group_std":
        around = others if objective.scale_of_others else same
        n = around.sum(-1)
        centred = (total[None] - _mean(around, total)[:, None]) ** 2 * around
        deviation = (centred.sum(-1) / (n - objective.scale_ddof)).sqrt() + objective.scale_epsilon
        x = x / deviation[:, None]
    if objective.scale == "batch_std" or objective.baseline == "batch_mean":
        m = batch.mask
        x = x - (x * m).sum() / m.sum()
        if objective.scale == "batch_std":
            x = x / ((x**2 * m).sum() / m.sum()).sqrt()
    return x


def _mean(counted, x):
    return (counted * x[None]).sum(-1) / counted.sum(-1)


def _ratio(objective, batch):
    """Return the importance ratio, 0 where it is clipped away; 1 on-policy."""
    log_ratio = (batch.log_probs - batch.old_log_probs).detach() * batch.mask
    if objective.ratio_level == "sequence":
        log_ratio = (log_ratio.sum(-1) / batch.lengths)[:, None].expand_as(log_ratio)
    return log_ratio.exp()


def _token_weights(aggregation, mask):
    n = mask.sum(-1, keepdim=True)
    shapes = {"constant": torch.ones_like(n), "per_sequence": 1 / n, "times_length": n}
    weights = shapes[aggregation] * mask
    return weights / weights.sum()


def cosine(a, b):
    a, b = a.flatten().double(), b.flatten().double()
    return float(a @ b / (a.norm() * b.norm()))


def descent(loss, batch):
    """Return the direction in which a loss moves each log-probability."""
    return -torch.autograd.grad(loss, batch.log_probs, retain_graph=True)[0]


def with_claim(objective, **changes):
    """Return an objective with other claims, to be told apart from it."""
    return replace(objective, **changes)
