r"""Replay of stored responses: a divergence from the reference on prompts that it solves anyway.

DPH-RL: the loss is ``L_exp + eta L_pef``. `L_exp` is the policy gradient on the prompts that are
left to explore; `L_pef` is a divergence on stored responses to the *perfect* prompts, token by
token, with ``D = log p - log q`` and ``u = exp(D)``. Nothing has to be sampled for it, and no
reference has to be loaded.

References
----------
"The Choice of Divergence: A Neglected Key to Mitigating Diversity Collapse in Reinforcement
Learning with Verifiable Reward", arXiv 2509.07430, ICLR 2026.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from polymode.core.checks import known, positive, whole
from polymode.errors import ConfigError
from polymode.language.extra_loss import Extra, Place, TermLoss
from polymode.language.keys import prompt_key
from polymode.language.stored import StoredResponse, StoredResponses

DIVERGENCES = ("forward", "jensen_shannon", "alpha")
_MAX_LOG_RATIO = 20.0
_MAX_FORWARD = 10.0
_ALPHA = 0.2


class TokenDivergence(NamedTuple):
    """The divergence of each token, and where a bound held."""

    values: torch.Tensor
    """Nats for forward and Jensen-Shannon, dimensionless for alpha."""
    clipped: torch.Tensor
    """True where the bound leaves no gradient."""


def token_divergence(
    log_probs: torch.Tensor, ref_log_probs: torch.Tensor, *, divergence: str
) -> TokenDivergence:
    r"""Return a divergence of tokens that the reference drew: its mean estimates `D_f(p, q)`.

    .. math:: e^D - D - 1, \qquad u \log u - (u + 1) \log \frac{u + 1}{2}, \qquad
       \frac{u^{1 - a} - (1 - a) u - a}{a (a - 1)}

    for ``forward``, ``jensen_shannon`` and ``alpha`` (a = 0.2), with ``D = log p - log q`` and
    ``u = e^D``. Forward is KL(q, p), the reference first.

    Parameters
    ----------
    log_probs, ref_log_probs : tensor, any shape
        Log-probability of each token under policy and reference, in nats.
    divergence : str
        One of the three names.

    Returns
    -------
    TokenDivergence
        Values, and where they were cut off.

    Notes
    -----
    D is clamped at ±20 nats, and the values of ``forward`` at 10 like those of the original. A
    token that is cut off gets no gradient: under ``forward`` those that the policy likes 11 nats
    less than the reference does.

    References
    ----------
    .. [1] "The Choice of Divergence", arXiv 2509.07430.
    """
    log_ratio = log_probs - ref_log_probs
    bounded = log_ratio.clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    ratio = bounded.exp()
    clipped = log_ratio.abs() > _MAX_LOG_RATIO
    if divergence == "forward":
        values = ratio - bounded - 1
        clipped = clipped | (values > _MAX_FORWARD)
        return TokenDivergence(values.clamp(-_MAX_FORWARD, _MAX_FORWARD), clipped)
    if divergence == "jensen_shannon":
        return TokenDivergence(ratio * bounded - (ratio + 1) * ((ratio + 1) / 2).log(), clipped)
    a = _ALPHA
    power = ((1 - a) * bounded).exp()
    return TokenDivergence((power - (1 - a) * ratio - a) / (a * (a - 1)), clipped)


def rows_at(position: int, count: int, *, n: int, seed: int) -> list[int]:
    """Return `count` rows of an endless series of shuffles of `n` rows, from a position on."""
    rows: list[int] = []
    while len(rows) < count:
        epoch, place = divmod(position + len(rows), n)
        shuffled = np.random.default_rng([seed, epoch]).permutation(n)
        rows += shuffled[place : place + count - len(rows)].tolist()
    return rows


class ReplayedDivergence:
    """The term ``eta L_pef`` of a trainer's loss.

    Which responses come next follows from the seed, the step and the rank alone: a resumed run goes
    on where it stopped.

    Parameters
    ----------
    responses : sequence of StoredResponse
        Of the perfect prompts.
    args : ShapedConfig or MARAGRPOConfig
        Read are `dph_divergence`, `dph_eta`, `dph_batch` and `seed`.
    per_token : bool
        Whether the host's loss is a mean over tokens; else its unit is the completion, and the
        divergences of a completion's tokens are summed, so that `eta` means the same.
    """

    def __init__(self, responses: Sequence[StoredResponse], args: Any, *, per_token: bool) -> None:
        self._responses = responses
        self._args = args
        self._per_token = per_token

    def extra(self, place: Place) -> Extra:
        """Return the responses of a micro-batch: `dph_batch` on each rank."""
        count = self._args.dph_batch
        number = (place.step * place.n_micro + place.micro) * place.n_ranks + place.rank
        rows = rows_at(number * count, count, n=len(self._responses), seed=self._args.seed)
        chosen = [self._responses[row] for row in rows]

        def loss(log_probs: torch.Tensor, mask: torch.Tensor) -> TermLoss:
            return self._loss(log_probs, mask, chosen)

        return Extra([response.completion for response in chosen], loss)

    def _loss(
        self, log_probs: torch.Tensor, mask: torch.Tensor, chosen: Sequence[StoredResponse]
    ) -> TermLoss:
        """Return ``eta`` times the mean over responses."""
        reference = torch.zeros_like(log_probs)
        for row, response in enumerate(chosen):
            reference[row, : len(response.ids)] = reference.new_tensor(response.ref_log_probs)
        # Whatever a padded place holds, its two log-probabilities agree.
        policy = torch.where(mask, log_probs, reference)
        tokens = token_divergence(policy, reference, divergence=self._args.dph_divergence)
        lengths = mask.sum(1)
        totals = (tokens.values * mask).sum(1)
        per_response = totals / lengths if self._per_token else totals
        n_tokens = lengths.sum()
        return TermLoss(
            self._args.dph_eta * per_response.mean(),
            {
                "dph/divergence": totals.sum() / n_tokens,
                "dph/log_ratio": (policy - reference).sum() / n_tokens,
                "dph/frac_clipped": (tokens.clipped & mask).sum() / n_tokens,
            },
        )


def divide(stored: StoredResponses, dataset: Any, args: Any) -> tuple[list[StoredResponse], Any]:
    """Return the responses to replay, and the dataset without their prompts.

    Raises
    ------
    ConfigError
        If there is nothing to replay, or nothing to explore.
    """
    perfect, _ = stored.split(threshold=args.threshold, share=args.dph_perfect)
    if not perfect:
        raise ConfigError(
            args.stored_responses,
            f"no prompt is solved by {args.dph_perfect:g} of its responses at threshold "
            f"{args.threshold:g}: lower dph_perfect, or leave dph_divergence out",
        )
    solved = {prompt_key(stored.prompt) for stored in perfect}
    left = dataset.filter(lambda row: prompt_key(row["prompt"]) not in solved)
    if hasattr(left, "__len__") and not len(left):
        raise ConfigError(
            args.stored_responses,
            "every prompt of the dataset is solved: nothing is left to explore; raise dph_perfect "
            "or threshold, or train on harder prompts",
        )
    return [response for stored in perfect for response in stored.responses], left


def dph_problems(args: Any) -> Iterator[str]:
    """Yield what is wrong with the settings of DPH, one line each."""
    if args.dph_divergence is None:
        return
    yield from known("dph_divergence", args.dph_divergence, DIVERGENCES)
    yield from positive(dph_eta=args.dph_eta)
    yield from whole(dph_batch=args.dph_batch)
    if not 0 < args.dph_perfect <= 1:
        yield f"dph_perfect must lie in (0, 1], got {args.dph_perfect!r}"
    if args.threshold is None:
        yield "threshold must be set with dph_divergence: it says which stored responses are good"
