"""Anchoring sample by sample, from its definition: the oracle, and what its tests share."""

import numpy as np

from polymode.core import optimal_policy


def naive(batch, beta, *, choice="most_likely", strength=1.0, max_bonus=np.inf, carried=None):
    """Both algorithms for one row and no leading axes.

    `carried` maps labels to (reward, log q of the mode) and is updated in place.
    """
    r, q = batch.rewards, batch.ref_log_probs
    n = range(len(r))
    good = [bool(r[i] >= batch.threshold and np.isfinite(q[i])) for i in n]
    augmented, replaced_r, replaced_q, anchors = r.copy(), r.copy(), q.copy(), [-1] * len(r)
    for label in set(batch.groups.tolist()):
        mine = [j for j in n if batch.groups[j] == label and good[j]]
        if not mine:
            continue
        log_mass = {}  # of each mode: over its distinct outputs
        for mode in {batch.modes[j] for j in mine}:
            outputs = {batch.outputs[j]: np.exp(q[j]) for j in mine if batch.modes[j] == mode}
            log_mass[mode] = np.log(sum(outputs.values()))

        def level(reward, mass):
            return mass if choice == "most_likely" else reward + beta * mass

        z = max(mine, key=lambda j: (level(r[j], log_mass[batch.modes[j]]), q[j], -j))
        best = (r[z], log_mass[batch.modes[z]])
        if carried is not None:
            if label in carried and level(*carried[label]) > level(*best):
                best, z = carried[label], -1
            carried[label] = best
        for i in n:
            anchors[i] = z if batch.groups[i] == label else anchors[i]
        for i in mine:
            gap = best[1] - log_mass[batch.modes[i]]
            bonus = min(beta * gap, max_bonus)
            augmented[i] = (1 - strength) * r[i] + strength * (best[0] + bonus)
            replaced_r[i] = (1 - strength) * r[i] + strength * best[0]
            replaced_q[i] = q[i] + strength * bonus / beta
    return augmented, replaced_r, replaced_q, good, anchors


def rows(batch):
    """The batch row by row, without leading axes."""
    n = batch.rewards.shape[-1]
    pairs = (batch.rewards.reshape(-1, n), batch.ref_log_probs.reshape(-1, n))
    for rewards, ref_log_probs in zip(*pairs, strict=True):
        yield batch._replace(rewards=rewards, ref_log_probs=ref_log_probs)


def blocks(labels, *others):
    """Masks of the samples that agree in all labels."""
    keys = list(zip(labels, *others, strict=True))
    return [np.array([key == each for each in keys]) for key in dict.fromkeys(keys)]


def first_copies(batch):
    """Mask of the first sample of each output of each mode of each group."""
    mask = np.zeros(len(batch.groups), dtype=bool)
    for block in blocks(batch.groups, batch.modes, batch.outputs):
        mask[np.argmax(block)] = True
    return mask


def policy(rewards, log_q, beta, groups):
    """The target over scored samples; unscored ones (NaN) count as forbidden."""
    rewards = np.where(np.isnan(rewards), -np.inf, rewards)
    return optimal_policy(rewards, log_q, beta=beta, groups=groups)
