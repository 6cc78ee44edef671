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
    entropies: torch.Tensor
    sum_pi_squared: torch.Tensor  # of the policy's whole distribution, at each token

    @property
    def lengths(self):
        return self.mask.sum(-1)

    @property
    def parts(self):
        """Two rewards of each completion, (b, 2), for estimators that take several."""
        return torch.stack([self.rewards, self.greedy + self.rewards**2], -1)


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
        entropies=normal(n, n_tokens).abs().requires_grad_(),
        sum_pi_squared=torch.rand(n, n_tokens, generator=rng, dtype=torch.float64),
    )


def claimed_weights(objective, batch, *, to_go=False, shifted=False, rewarded=None):
    """Return the weight of each ``grad log p(y_t)``, up to one positive factor.

    With `to_go`, a reward that is spread over tokens is credited from its own token on, and with
    `shifted` advantages lose their mean over the batch once more. Neither changes an expectation.
    `rewarded` masks the tokens that get the reward's gradient, where the objective drops some.
    """
    mask = batch.mask
    d = (batch.log_probs - batch.ref_log_probs).detach() * mask
    in_reward = objective.kl_placement == "reward"
    penalty = torch.zeros_like(d)
    if in_reward:
        penalty = objective.beta * _value(objective.kl_estimator, d) * mask
        if objective.kl_level == "sequence":
            penalty = _from_here_on(penalty) if to_go else penalty.sum(-1, keepdim=True)
    reward = batch.rewards[:, None]
    if "each_standardised" in objective.reward_transformations:
        reward = sum(_standardised(part, batch.groups) for part in batch.parts.T)[:, None]
    if objective.kl_in_advantage:
        advantage = _normalised(objective, reward - penalty, batch)
    else:
        advantage = _normalised(objective, reward, batch) - penalty
    if shifted:
        advantage = advantage - (advantage * mask).sum() / mask.sum()
    advantage = objective.reward_weight * _ratio(objective, batch) * advantage
    weights = _token_weights(objective.aggregation, mask) * advantage
    if rewarded is not None:
        weights = weights * rewarded
    if objective.kl_placement == "loss":
        pull = objective.beta * _weight(objective, d)
        weights = weights - _token_weights(objective.kl_aggregation, mask) * pull
    return weights * mask


def claimed_entropy_weights(objective, batch):
    """Return the weight of each token's entropy, in the units of `claimed_weights`."""
    how = objective.entropy_aggregation or objective.kl_aggregation
    return objective.entropy_coef * _token_weights(how, batch.mask)


def _value(kind, d):
    return d.abs() if kind == "abs" else ESTIMATORS[kind].value(d)


def _weight(objective, d):
    return d.sign() if objective.estimator == "abs" else ESTIMATORS[objective.estimator].weight(d)


def _standardised(reward, groups):
    found = torch.zeros_like(reward)
    for group in groups.unique():
        own = reward[groups == group]
        found[groups == group] = (own - own.mean()) / (own.std() + 1e-6)
    return found


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
    elif objective.baseline == "token_mean":
        x = x - _token_mean(same, x, batch)
    counted = {
        "leave_one_out": others,
        "group_mean": same,
        "length_mean": same * batch.lengths[None],
    }.get(objective.baseline)
    total = x[:, 0]  # a group's statistics are those of whole returns
    if "lead_of_best" in objective.reward_transformations:
        x = _lead_of_best(total, batch.groups)[:, None].expand_as(batch.mask)
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


def _lead_of_best(total, groups):
    lead = torch.zeros_like(total)
    for group in groups.unique():
        best, second = total[groups == group].topk(2).values
        lead[(groups == group) & (total == best)] = best - second
    return lead


def _token_mean(same, x, batch):
    """Mean over the group of what follows each place, weighted by the moves up to there.

    The square of the gradient of ``log p(y_t)`` in the logits is ``1 - 2 p(y_t) + sum p^2``. Where
    a completion is alone, because all others of its group have ended, nothing is subtracted.
    """
    move = 1 - 2 * batch.old_log_probs.exp() + batch.sum_pi_squared
    weight = (move * batch.mask).cumsum(-1) * batch.mask
    same = same.double()
    alone = same @ batch.mask == 1
    return torch.where(alone, 0.0, (same @ (weight * x)) / (same @ weight).clamp(min=1e-12))


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
