"""Figures of a training batch: how anchoring goes, how diverse it is, how far from its target.

Everything is computed from the columns that the hook has anyway; nothing costs a forward pass.
"""

import math
from typing import Any

import numpy as np
import torch

from polymode.core import optimal_policy
from polymode.core.groups import Groups
from polymode.language.methods import ANCHORED, Columns, Shaped
from polymode.language.regularisers import find_regulariser
from polymode.metrics import distinct_n, semantic_diversity


def batch_metrics(columns: Columns, shaped: Shaped, args: Any) -> dict[str, float]:
    """Return what is logged of a batch, by name.

    `docs/reference/trainers.md` says what each means and what a bad value tells. `target/*` needs
    log p of the samples, which the RLOO trainers have.
    """
    metrics = {"mara/reward_raw": _mean(columns.rewards), **_diversity(columns)}
    if args.method == ANCHORED:
        metrics |= _anchoring(columns, shaped)
    # Under another divergence the substituted reference of anchoring, which does not sum to 1,
    # would have to be summed first, and samples do not tell its sum.
    known = args.method != ANCHORED or args.regulariser == "reverse_kl"
    if columns.log_probs is not None:
        kl = columns.log_probs - columns.ref_log_probs
        metrics["mara/kl"] = _mean(kl[kl.isfinite()])
        metrics |= _target(columns, shaped, args) if known else {}
    return metrics


def _mean(values: torch.Tensor) -> float:
    """Return the mean of what is known."""
    return values.nanmean().item() if len(values) else math.nan


def _anchoring(columns: Columns, shaped: Shaped) -> dict[str, float]:
    """Return how much was anchored, and what it added."""
    bonus = (shaped.rewards - columns.rewards)[shaped.good]
    n_groups = int(columns.groups[-1]) + 1
    keys = columns.answers
    seen = {(int(columns.groups[i]), keys[i]) for i in shaped.good.nonzero()[:, 0].tolist()}
    per_group = torch.bincount(
        torch.tensor([g for g, _ in seen], dtype=torch.long), minlength=n_groups
    )
    return {
        "mara/frac_good": shaped.good.double().mean().item(),
        "mara/frac_groups_anchored": len(columns.groups[shaped.good].unique()) / n_groups,
        "mara/bonus_mean": bonus.mean().item() if len(bonus) else 0.0,
        "mara/bonus_max": bonus.max().item() if len(bonus) else 0.0,
        "mara/modes_per_group": len(seen) / n_groups,
        "mara/frac_several_modes": (per_group > 1).double().mean().item(),
    }


def _diversity(columns: Columns) -> dict[str, float]:
    """Return how spread the modes of a group are, as sampled, and how much its texts repeat."""
    groups = Groups.of(columns.groups, like=columns.ref_log_probs)
    entropy = _mode_entropy(torch.zeros_like(columns.ref_log_probs), columns, groups)
    return {
        "diversity/entropy": entropy.mean().item(),
        "diversity/effective_modes": entropy.exp().mean().item(),
        "diversity/distinct_2": float(np.nanmean(_distinct_2(columns))),
        "diversity/self_similarity": _self_similarity(columns),
    }


def _distinct_2(columns: Columns) -> np.ndarray:
    """Return the share of distinct pairs of tokens in each group; 1 where there is no pair."""
    share = distinct_n(list(columns.tokens), n=2, groups=columns.groups.numpy())
    return np.nan_to_num(np.asarray(share), nan=1.0)


_BUCKETS = 512  # of tokens, which they fall into by their number: pairs of texts collide seldom


def _self_similarity(columns: Columns) -> float:
    """Return the mean cosine between the token counts of two completions of a group."""
    counts = np.zeros((len(columns.tokens), _BUCKETS))
    for row, ids in zip(counts, columns.tokens, strict=True):
        np.add.at(row, np.asarray(ids, dtype=np.int64) % _BUCKETS, 1.0)
    distances = np.asarray(semantic_diversity(counts, groups=columns.groups.numpy()))
    known = distances[~np.isnan(distances)]  # a group of one has no pair
    return 1.0 - float(known.mean()) if known.size else math.nan


def _mode_entropy(log_weights: torch.Tensor, columns: Columns, groups: Groups) -> torch.Tensor:
    """Return the entropy over modes of weighted samples, per group; no mode is one, too."""
    total = groups.logsumexp(log_weights)
    modes = groups.split(list(columns.answers))
    log_mass = modes.expand(modes.logsumexp(log_weights)) - groups.expand(total)
    share = (log_weights - groups.expand(total)).exp()
    terms = torch.where(share > 0, -share * log_mass, 0.0)
    return groups.sum(terms)


def _target(columns: Columns, shaped: Shaped, args: Any) -> dict[str, float]:
    """Return the optimum as the samples show it, beside what they are.

    A sample stands for ``q / p`` of the reference, so that the optimum over the samples of a group,
    with those weights as its reference, is a self-normalised estimate of the optimum over all.
    """
    log_p = columns.log_probs
    scored = ~shaped.rewards.isnan() & (shaped.ref_log_probs > -torch.inf)
    if log_p is None or not scored.any():
        return {}
    rewards = torch.where(scored, shaped.rewards.double(), -torch.inf)
    log_w = torch.where(scored, shaped.ref_log_probs - log_p, -torch.inf)
    groups = Groups.of(columns.groups, like=log_w)
    alive = groups.expand(groups.sum(scored.double())) > 0
    divergence = find_regulariser(args.regulariser)
    log_t = optimal_policy(
        torch.where(alive, rewards, 0.0),
        torch.where(alive, log_w, 0.0),
        beta=args.beta,
        divergence=divergence,
        groups=columns.groups,
    )
    weights = torch.where(scored, log_t.exp(), 0.0)
    lives = groups.sum(scored.double()) > 0
    raw = torch.where(scored, columns.rewards.double(), 0.0)
    return {
        "target/reward_raw": groups.sum(weights * raw)[lives].mean().item(),
        "target/effective_modes": _mode_entropy(log_t, columns, groups).exp()[lives].mean().item(),
        "target/effective_samples": (1 / groups.sum(weights**2)[lives]).mean().item(),
    }
