"""Update rules of OpenRLHF, SkyRL, NeMo-RL and slime, described by us from their sources.

These frameworks need GPUs to be installed, so their code is not executed. Each function here says
in a few lines what a step of theirs minimises, for one batch that is not split over devices:
OpenRLHF 0.11.2 (`experience_maker`, `models/loss`, `models/utils`, `ppo_actor`), SkyRL 0.3.0
(`ppo_utils`, `trainer`, `worker`), NeMo-RL 0.7.0 (`advantage_estimator`, `loss_functions`,
`utils`), slime 0.3.1 (`ppo_utils`, `loss`, `rollout`). They follow the order of operations there,
not the fields of an `EffectiveObjective`, and tests hold the two against each other.
"""

import torch


def estimate(kind, log_p, log_q):
    """k1, k2 or k3 of each token, without a clamp."""
    d = log_p - log_q
    return {"k1": d, "k2": d**2 / 2, "k3": torch.expm1(-d) + d}[kind]


def token_mean(x, mask):
    return (x * mask).sum() / mask.sum()


def sequence_mean(x, mask):
    return ((x * mask).sum(-1) / mask.sum(-1)).mean()


def ratio(batch):
    return (batch.log_probs - batch.old_log_probs).exp()


def per_group(batch, function):
    """Apply a function to the rewards of each group."""
    out = torch.zeros_like(batch.rewards)
    for group in batch.groups.unique():
        out[batch.groups == group] = function(batch.rewards[batch.groups == group])
    return out


def centre(r):
    return r - r.mean()


def less_others(r):
    return r - (r.sum() - r) / (len(r) - 1)


def whiten(x, mask):
    mean = token_mean(x, mask)
    return (x - mean) * token_mean((x - mean) ** 2, mask).clamp(min=1e-8).rsqrt()


def returns_to_go(rewards, penalty, batch):
    """Rewards at the last token, less penalties at each, summed from each token on."""
    last = torch.zeros_like(penalty)
    last[torch.arange(len(last)), batch.lengths.long() - 1] = rewards
    return ((last - penalty) * batch.mask).flip(-1).cumsum(-1).flip(-1)


def openrlhf(batch, *, estimator, beta, kind="k1", use_loss=False, unbiased=False, mode="token"):
    """Baselines act on the reward, the KL is subtracted from each token, returns are cumulated."""
    baselines = {
        "rloo": less_others,
        "reinforce_baseline": centre,
        "dr_grpo": centre,
        "group_norm": lambda r: centre(r) / (r.std() + 1e-9),
    }
    rewards = per_group(batch, baselines.get(estimator, lambda r: r))
    if estimator == "flash_reinforce":
        rewards = batch.rewards - batch.rewards.mean()
    k = estimate(kind, batch.log_probs, batch.ref_log_probs)
    penalty = torch.zeros_like(k) if use_loss else beta * k.detach()
    advantages = returns_to_go(rewards, penalty, batch)
    if estimator == "gae":  # gamma = lambda = 1
        advantages = advantages - batch.values
    if estimator in ("gae", "reinforce", "reinforce_baseline"):
        advantages = whiten(advantages, batch.mask)
    mean = token_mean if mode == "token" else sequence_mean
    loss = mean(-ratio(batch) * advantages, batch.mask)
    if not use_loss:
        return loss
    if unbiased:  # the value of k, the gradient of k2
        square = (batch.log_probs - batch.ref_log_probs) ** 2 / 2
        k = k.detach() + square - square.detach()
    return loss + beta * token_mean(k, batch.mask)


def skyrl(batch, *, estimator, beta, kind="k3", place="loss", std=True, reduction="token_mean"):
    """The KL beside the policy loss is averaged within each completion, whatever the reduction."""
    k = estimate(kind, batch.log_probs, batch.ref_log_probs)
    penalty = beta * k.detach() if place == "reward" else torch.zeros_like(k)
    to_go = returns_to_go(batch.rewards, penalty, batch)
    total = to_go[:, :1]
    grouped = {
        "rloo": less_others,
        "grpo": (lambda r: centre(r) / (r.std() + 1e-6)) if std else centre,
    }
    if estimator in grouped:
        scored = type(batch)(**{**vars(batch), "rewards": total[:, 0]})
        advantages = per_group(scored, grouped[estimator])[:, None]
    else:
        advantages = whiten(to_go - batch.values if estimator == "gae" else to_go, batch.mask)
    mean = {"token_mean": token_mean, "sequence_mean": sequence_mean}[reduction]
    loss = mean(-ratio(batch) * advantages, batch.mask)
    return loss + beta * sequence_mean(k, batch.mask) if place == "loss" else loss


def nemo_rl(
    batch, *, estimator="grpo", beta, kind="k3", in_reward=False, std=True, others=True,
    minus_baseline=True, with_ratio=True, token_level=True,
):  # fmt: skip
    """The ratio in front of the KL has the value 1 and a gradient; before 0.7.0 it had none."""
    k = estimate(kind, batch.log_probs, batch.ref_log_probs)

    def grpo(r):
        n = len(r)
        out = torch.zeros_like(r)
        for i in range(n):
            rest = r[torch.arange(n) != i] if others else r
            out[i] = r[i] - rest.mean()
            if std and rest.std() > 0:
                out[i] = out[i] / (rest.std() + 1e-6)
        return out

    if estimator == "grpo":
        advantages = per_group(batch, grpo)[:, None]
    else:  # reinforce_plus_plus: each token bears its own KL, then both are whitened
        scored = per_group(batch, centre) if minus_baseline else batch.rewards
        own = beta * k.detach() if in_reward else 0.0
        advantages = whiten(scored[:, None] - own + torch.zeros_like(k), batch.mask)
    mean = token_mean if token_level else sequence_mean
    loss = mean(-ratio(batch) * advantages, batch.mask)
    if in_reward:
        return loss
    one = (batch.log_probs - batch.log_probs.detach()).exp() if with_ratio else 1.0
    return loss + beta * mean(one * k, batch.mask)


def slime(
    batch, *, estimator="grpo", kl_coef=0.0, kl_loss_coef=0.0, kind="k1", unbiased=False,
    normalise=True, std=True, whitens=False, per_token=False,
):  # fmt: skip
    """With grpo, gspo and cispo the KL of the reward is computed and then left out."""
    grouped = estimator in ("grpo", "reinforce_plus_plus_baseline")
    divides = estimator == "grpo" and std
    rewards = batch.rewards
    if normalise and grouped:
        rewards = per_group(batch, lambda r: centre(r) / (r.std() + 1e-6) if divides else centre(r))
    k = estimate(kind, batch.log_probs, batch.ref_log_probs)
    penalty = kl_coef * k.detach()
    if estimator == "grpo":
        advantages = rewards[:, None] + torch.zeros_like(k)
    elif estimator == "reinforce_plus_plus_baseline":
        advantages = rewards[:, None] - penalty
    else:
        advantages = returns_to_go(rewards, penalty, batch)
        advantages = advantages - batch.values if estimator == "ppo" else advantages
    if whitens:
        advantages = whiten(advantages, batch.mask)
    mean = token_mean if per_token else sequence_mean
    loss = mean(-ratio(batch) * advantages, batch.mask)
    weight = ratio(batch) if unbiased else 1.0
    return loss + kl_loss_coef * mean(weight * k, batch.mask) if kl_loss_coef else loss
