"""Regularisers of whole completions: what each adds to the reward of a sample.

The policy gradient of ``E_p[r] - beta * D_f(p, q)`` is that of the rewards ``r - beta f'(p / q)``:
the score function sees the slope of the generator at the sample's own ratio. Reverse KL is the case
``f' = 1 + log(p / q)``, which TRL's RLOO trainer computes itself.
"""

from typing import Any, NamedTuple

import torch

from polymode.core.divergences import (
    Divergence,
    alpha_divergence,
    check_divergence,
    divergence_names,
    get_divergence,
)
from polymode.errors import ArgumentError


class Penalty(NamedTuple):
    """The regulariser's part of the reward of each sample."""

    values: torch.Tensor
    """``f'(p / q)``, dimensionless; multiply by `beta`."""
    clipped: torch.Tensor
    """True where the log-ratio was clipped."""


def sequence_penalty(
    log_probs: torch.Tensor, ref_log_probs: torch.Tensor, *, divergence: Divergence, clip: float
) -> Penalty:
    r"""Return ``f'(p / q)`` of whole completions.

    .. math:: f'\left( e^{\min(\max(\log p - \log q, -c), c)} \right)

    Parameters
    ----------
    log_probs, ref_log_probs : tensor, shape (n,)
        ``log p`` and ``log q`` in nats, summed over tokens. Where ``log q`` is ``-inf``, because it
        was not scored, the ratio counts as 1.
    divergence : Divergence
        Relative to the policy: forward KL is KL(q, p), with a slope of ``-q / p``.
    clip : float
        Bound of ``|log p - log q|``, in nats. Without one a completion that the policy has all but
        given up, were it sampled, would get a weight of ``q / p``, which has no bound. What is cut
        off biases the gradient: it pulls less strongly towards completions that are more than
        ``e^clip`` times as likely under the reference.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, Remark 3.4: ``r + beta q / p`` for the forward KL.
    """
    log_ratio = _log_ratio(log_probs, ref_log_probs)
    bounded = log_ratio.clamp(-clip, clip)
    return Penalty(divergence.slope(bounded.exp()), log_ratio.abs() > clip)


def _log_ratio(log_probs: torch.Tensor, ref_log_probs: torch.Tensor) -> torch.Tensor:
    """Return ``log p - log q``, 0 where the reference was not scored."""
    return torch.where(ref_log_probs > -torch.inf, log_probs - ref_log_probs, 0.0)


def regularised_rewards(
    rewards: torch.Tensor, log_probs: torch.Tensor, ref_log_probs: torch.Tensor, args: Any
) -> torch.Tensor:
    """Return what the policy gradient of a trainer sees: ``r' - beta f'(p / q)``.

    Parameters
    ----------
    rewards, log_probs, ref_log_probs : tensor, shape (n,)
        As shaped; log-probabilities in nats, summed over tokens.
    args : ShapedConfig
        Read are `beta`, `regulariser`, `forward_kl_samples` and `log_ratio_clip`.
    """
    if args.forward_kl_samples == "reference":
        return rewards  # the regulariser is a term of its own
    if args.regulariser == "reverse_kl":  # the slope but for its constant 1, as TRL has it
        return rewards - args.beta * _log_ratio(log_probs, ref_log_probs)
    divergence = find_regulariser(args.regulariser)
    penalty = sequence_penalty(
        log_probs, ref_log_probs, divergence=divergence, clip=args.log_ratio_clip
    )
    return rewards - args.beta * penalty.values


def find_regulariser(name: str) -> Divergence:
    """Return the divergence of a name, ``alpha:0.3`` and the like included.

    Raises
    ------
    ArgumentError
        If there is none of that name.
    """
    kind, _, number = name.partition(":")
    if kind != "alpha":
        if problems := list(check_divergence(name)):
            raise ArgumentError(problems)
        return get_divergence(name)
    try:
        return alpha_divergence(float(number))
    except ValueError:
        raise ArgumentError(
            f"regulariser must be alpha:NUMBER or one of {', '.join(divergence_names())}, "
            f"got {name!r}"
        ) from None


def regulariser_problems(args: Any) -> list[str]:
    """Return what is wrong with the regulariser of the settings, one line each."""
    problems: list[str] = []
    try:
        find_regulariser(args.regulariser)
    except ArgumentError as error:
        problems += [text.replace("divergence", "regulariser", 1) for text in error.problems]
    if not args.log_ratio_clip > 0:
        problems.append(f"log_ratio_clip must be > 0 nats, got {args.log_ratio_clip!r}")
    return problems
