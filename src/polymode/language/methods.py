"""What a method makes of the rewards of a batch, and of the reference behind them.

A batch goes in as columns over all ranks, `Columns`; `Shaped` comes out: rewards, the reference
that the regulariser is to see, and what was anchored to what. The formulas live in `polymode.core`:
here a trainer's settings choose among them.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from polymode.core import CarriedAnchors, anchor, augment, percentile_threshold, shape
from polymode.core.checks import known
from polymode.core.shaping import SHAPERS
from polymode.errors import ArgumentError

ANCHORED = "anchored"


@dataclass(frozen=True)
class Columns:
    """A batch before it is shaped: all ranks, TRL's global order, each of length n."""

    rewards: torch.Tensor
    """Weighted sum of the user's reward functions; NaN where none of them could score."""
    ref_log_probs: torch.Tensor
    """`log q(completion)` in nats, float64, summed over tokens; `-inf` where it was not scored."""
    log_probs: torch.Tensor | None
    """`log p(completion)` under the policy that drew it, likewise; None where the host has not
    computed it."""
    lengths: torch.Tensor
    """Tokens of each completion, its end included."""
    eligible: torch.Tensor
    """True where a completion may be anchored: it has a mode, and it came to its end."""
    groups: torch.Tensor
    """Number of the group of completions of one prompt, ascending."""
    prompts: torch.Tensor
    """A key of the prompt's text, the same in every batch: int64."""
    outputs: tuple[str, ...]
    """A key of each completion's tokens."""
    modes: tuple[str, ...] | None
    """Key of each completion's mode, "" where it has none; None if every output is its own."""
    tokens: tuple[tuple[int, ...], ...] = ()
    """Token ids of each completion, its end included; only metrics read them."""

    @property
    def answers(self) -> tuple[str, ...]:
        """What counts as the same answer: the mode of each completion, or else its output."""
        return self.outputs if self.modes is None else self.modes

    @property
    def prompt_of_group(self) -> list[int]:
        """The key of each group's prompt."""
        first = torch.cat([torch.tensor([True]), self.groups.diff() != 0])
        return self.prompts[first].tolist()


@dataclass(frozen=True)
class Shaped:
    """A batch as its method leaves it."""

    rewards: torch.Tensor
    """Rewards to train on, NaN where not scored."""
    ref_log_probs: torch.Tensor
    """`log q` as the regulariser is to see it: substituted where the method does that."""
    good: torch.Tensor
    """True where a completion was anchored."""
    anchor: torch.Tensor
    """Position of the anchor of each completion's group, -1 where it has none in this batch."""
    carried: CarriedAnchors | None
    """The anchors to carry over to the next batch; None where none are."""


def shape_batch(columns: Columns, args: Any, carried: CarriedAnchors | None) -> Shaped:
    """Return the batch as the method of the settings shapes it.

    Parameters
    ----------
    columns : Columns
        The batch.
    args : ShapedConfig or MARAGRPOConfig
        The settings; read are the fields of `ShapingFields` and `beta`.
    carried : CarriedAnchors or None
        Anchors of earlier batches, if the settings carry them over.
    """
    if args.method == ANCHORED:
        return _anchored(columns, args, carried)
    own = inspect.signature(SHAPERS[args.method]).parameters
    given = {"threshold": threshold_of(args), "beta": args.beta}
    options = {name: given[name] for name in given if name in own and given[name] is not None}
    rewards = shape(
        args.method,
        columns.rewards,
        columns.ref_log_probs,
        log_probs=columns.log_probs,
        groups=columns.groups,
        lengths=columns.lengths,
        modes=list(columns.answers),
        **{**options, **(args.method_options or {})},
    )
    nowhere = torch.full((len(rewards),), -1)
    return Shaped(rewards, columns.ref_log_probs, nowhere >= 0, nowhere, None)


def _anchored(columns: Columns, args: Any, carried: CarriedAnchors | None) -> Shaped:
    """Algorithm 1 under reverse KL, Algorithm 2 under every other divergence."""
    log_q = columns.ref_log_probs.masked_fill(~columns.eligible, -torch.inf)
    if args.length == "per_token":
        log_q = log_q / columns.lengths.clamp(min=1)
    options: dict[str, Any] = {
        "beta": args.beta,
        "threshold": threshold_of(args),
        "groups": columns.prompts if carried is not None else columns.groups,
        "modes": None if columns.modes is None else list(columns.modes),
        "outputs": list(columns.outputs),
        "choice": args.anchor_choice,
        "strength": args.anchor_strength,
        "max_bonus": args.max_bonus,
        "carried": carried,
    }
    if args.regulariser == "reverse_kl":
        result = augment(columns.rewards, log_q, **options)
        reference = columns.ref_log_probs
    else:
        result = anchor(columns.rewards, log_q, **options)
        moved = torch.where(result.good, result.ref_log_probs - log_q, 0.0)
        reference = columns.ref_log_probs + moved
    return Shaped(result.rewards, reference, result.good, result.anchor, result.carried)


def threshold_of(args: Any) -> Any:
    """Return the threshold of the settings: a number, or a percentile of the batch at hand."""
    if args.threshold_percentile is None:
        return args.threshold
    return percentile_threshold(args.threshold_percentile, over=args.threshold_over)


def method_problems(args: Any, *, has_log_probs: bool) -> Iterator[str]:
    """Yield what is wrong with the method of the settings: a batch without meaning is shaped.

    Parameters
    ----------
    args : ShapedConfig or MARAGRPOConfig
        The settings.
    has_log_probs : bool
        Whether the trainer scores the policy before the rewards.
    """
    if unknown := list(known("method", args.method, SHAPERS)):
        yield from unknown
        return
    own = inspect.signature(SHAPERS[args.method]).parameters
    if not has_log_probs and own["log_probs"].default is inspect.Parameter.empty:
        yield (
            f"method must not be {args.method!r} here: it reads log p of the completions, which "
            "GRPO has not computed when rewards are due; take ShapedTrainer"
        )
    if args.method == ANCHORED and args.method_options:
        yield (
            "method_options must be unset with the method 'anchored', which has settings of its "
            f"own (anchor_choice, anchor_strength, max_bonus …), got {args.method_options!r}"
        )
    n = args.num_generations or 2
    values = torch.linspace(-2.0, -1.0, n, dtype=torch.float64)
    places, names = torch.arange(n), tuple(map(str, range(n)))
    trial = Columns(
        rewards=values,
        ref_log_probs=values,
        log_probs=values,
        lengths=places + 1,
        eligible=places >= 0,
        groups=0 * places,
        prompts=0 * places,
        outputs=names,
        modes=names,
    )
    try:
        shape_batch(trial, args, CarriedAnchors() if args.carry_anchors else None)
    except ArgumentError as error:
        yield from (_in_settings(problem, args.method) for problem in error.problems)


def _in_settings(problem: str, method: str) -> str:
    """Return a problem with a parameter as one with the setting that it comes from."""
    name = problem.split()[0]
    if method == ANCHORED:
        return f"anchor_{problem}" if name in ("choice", "strength") else problem
    return problem if name in ("threshold", "beta") else f"method_options: {problem}"
