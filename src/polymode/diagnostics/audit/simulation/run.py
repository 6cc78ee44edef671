"""Where an objective ends on the toy, and the way there, step after step from the reference."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from polymode.core import augment, optimal_policy
from polymode.diagnostics.audit.objective import OWN_MEANS, EffectiveObjective
from polymode.diagnostics.audit.simulation.groups import Listing, list_groups, reads_groups
from polymode.diagnostics.audit.simulation.sampling import cuts
from polymode.diagnostics.audit.simulation.toy import TOY, Toy, log_softmax
from polymode.diagnostics.audit.simulation.update import (
    draw,
    expected_gradient,
    natural_step,
    scored_table,
)
from polymode.errors import UnsupportedOptionError
from polymode.metrics.distributions import effective_number, total_variation

__all__ = ["STEP", "Ending", "Way", "simulate"]

State = Literal["rests", "circles", "moves"]

STEP = 0.1
"""Length of an update, in nats for each unit of advantage."""

_FLOOR = -40.0  # log p of a token: below it is gone
_LONGEST = 0.5  # nats that a fast step may move a token
_SHARE = 0.2  # of the way to rest that a fast step may go
_STUCK = 1e-7  # nats: steps that short, where the gradient jumps, go nowhere
_MOST_STEPS = 12_000
_SHOWN = 200  # points of the way
_ROUND = 200  # batches over which a policy that goes round is averaged
_ROUND_APART = 5e-4  # total variation between two such means
_UNKNOWN_UPDATES = 4


@dataclass(frozen=True, eq=False)
class Way:
    """How a run went.

    Parameters
    ----------
    updates : array, shape (s,)
        Updates of length `STEP` so far, from 0.
    success_rate : array, shape (s,)
        Probability of a good output.
    effective_good : array, shape (s,)
        Effective number of good outputs.
    distance : array, shape (s,)
        Total variation to the believed target.
    """

    updates: Float[np.ndarray, " s"]
    success_rate: Float[np.ndarray, " s"]
    effective_good: Float[np.ndarray, " s"]
    distance: Float[np.ndarray, " s"]


@dataclass(frozen=True, eq=False)
class Ending:
    """Where a run ends, and where its author believes that it does.

    Parameters
    ----------
    anchored : bool
        Whether rewards were anchored.
    believed : array, shape (n,)
        ``log t`` of the target that beta names: ``q exp(r/beta)`` over whole outputs.
    ended : array, shape (n,)
        ``log p`` at the end, at temperature 1.
    beta_eff : float
        Strength at the end, reward units per nat.
    way : Way
        From the reference to there.
    state : {"rests", "circles", "moves"}
        At the end: whether nothing moves any more; or the policy goes round where its gradient
        jumps, and `ended` is its mean there; or it was stopped on its way.
    notes : tuple of str
        What the toy did that the configuration does not say.
    left_out : tuple of str
        What the configuration has and the toy does not show.
    toy : Toy
        The tree.
    """

    anchored: bool
    believed: Float[np.ndarray, " n"]
    ended: Float[np.ndarray, " n"]
    beta_eff: float
    way: Way
    state: State
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    toy: Toy = TOY

    @property
    def distance(self) -> float:
        """Total variation between the two, in [0, 1]."""
        return float(self.way.distance[-1])

    @property
    def success_rate(self) -> float:
        """Probability of a good output at the end."""
        return float(self.way.success_rate[-1])

    @property
    def effective_good(self) -> float:
        """Effective number of good outputs at the end, of eight."""
        return float(self.way.effective_good[-1])


def simulate(
    objective: EffectiveObjective, *, anchored: bool = False, toy: Toy = TOY, step: float = STEP
) -> Ending:
    """Run the expected update of an objective on the toy, from the reference until it rests.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised; rewards of the toy are 0 and 1.
    anchored : bool
        Whether rewards are anchored at the configured beta first.
    toy : Toy
        The tree.
    step : float
        Length of an update, in nats for each unit of advantage. Only where a batch gets several
        updates with a clip does the end depend on it; elsewhere longer steps are taken where they
        are safe, and counted as so many updates.

    Returns
    -------
    Ending
        Beside the believed target.

    Raises
    ------
    UnsupportedOptionError
        If what an update is cannot be told: the group size counts and is not known, or the weight
        of rewards depends on the batch, or rewards are anchored at a beta of 0.

    Notes
    -----
    Exact up to the length of steps: outputs and groups are enumerated, nothing is drawn. Groups are
    as large as can be enumerated, at most the configured size, which a note then says. A token
    whose probability falls below ``e^-40`` counts as gone. At most 12,000 steps are computed;
    `Ending.state` says whether they were enough.

    Examples
    --------
    >>> from polymode.diagnostics.audit import audit_config
    >>> config = {"beta": 0.2, "loss_type": "dapo", "num_generations": 8}
    >>> ending = simulate(audit_config(config, version="1.16.0").objective)
    >>> ending.state, round(ending.distance, 2)
    ('rests', 0.28)
    """
    problems = list(_unknown(objective, anchored=anchored))
    if problems:
        raise UnsupportedOptionError("simulate", problems)
    rewards, log_q = toy.rewards, toy.log_q_outputs
    if anchored:
        rewards = augment(rewards, log_q, beta=objective.beta, threshold=1.0).rewards
    believed = _limit(toy) if objective.beta == 0 else _target(rewards, log_q, objective.beta)
    run = _Run(objective, toy, rewards, list_groups(objective, toy, rewards), step)
    state = run.go()
    way = run.way(believed)
    return Ending(
        anchored,
        believed,
        run.passed[-1][1],
        objective.beta_eff(float(np.clip(way.success_rate[-1], 1e-9, 1 - 1e-9))),
        way,
        state,
        tuple(_notes(run)),
        tuple(_left_out(objective)),
        toy,
    )


def _unknown(o: EffectiveObjective, *, anchored: bool) -> Iterator[str]:
    """Yield why an update cannot be told."""
    if math.isnan(o.reward_weight):
        yield "how much rewards weigh depends on the batch"
    if anchored and o.beta == 0:
        yield "anchoring needs a beta > 0"
    if (reads_groups(o) or o.baseline in OWN_MEANS) and (o.group_size or 0) < 2:
        yield "the group size must be known and at least 2, where groups are compared"


def _target(
    rewards: Float[np.ndarray, " n"], log_q: Float[np.ndarray, " n"], beta: float
) -> Float[np.ndarray, " n"]:
    """Return the target that beta names."""
    return np.asarray(optimal_policy(rewards, log_q, beta=beta))


def _limit(toy: Toy) -> Float[np.ndarray, " n"]:
    """Return the reference restricted to good outputs: the target as beta goes to 0."""
    kept = np.where(toy.good, toy.log_q_outputs, -np.inf)
    return kept - np.logaddexp.reduce(kept)


@dataclass(eq=False)
class _Run:
    """A policy on its way."""

    objective: EffectiveObjective
    toy: Toy
    rewards: Float[np.ndarray, " n"]
    listing: Listing | None
    step: float
    n_steps: int = 0
    updates: float = 0.0
    clipped: float = 0.0  # sum over steps of the share of the reward's gradient
    passed: list[tuple[float, Float[np.ndarray, " n"]]] = field(
        default_factory=list[tuple[float, Float[np.ndarray, " n"]]]
    )

    def __post_init__(self) -> None:
        self.logits = self.reference = log_softmax(self.toy.log_q)
        self.pace, self.last = self.step, np.zeros_like(self.logits)
        self.passed.append((0.0, self.log_p))

    @property
    def log_p(self) -> Float[np.ndarray, " n"]:
        """Log-probabilities of outputs."""
        return self.toy.of_tokens(self.logits).sum(1)

    @property
    def jumps(self) -> bool:
        """Whether the gradient jumps, where another token is cut off."""
        return bool(cuts(self.objective, self.logits.shape[1]))

    @property
    def n_inner(self) -> int:
        """Updates for each batch that have to be taken one by one."""
        many = self.objective.n_updates
        many = _UNKNOWN_UPDATES if many is None else max(round(many), 1)
        return many if self.objective.clipping else 1

    def go(self) -> State:
        """Run until nothing moves, or all goes round."""
        o = self.objective
        moving = o.reference == "moving" and o.beta > 0 and o.kl_placement != "none"
        every = float(o.reference_every or 1) if moving else math.inf
        due, renewed_at = every, self.log_p
        while self.n_steps < _MOST_STEPS:
            speed = self._batch(due - self.updates)
            rests = speed < self._tolerance or self.pace < _STUCK
            if moving and (rests or self.updates > due - _STUCK):
                self.updates = max(due, self.updates)
                due = self.updates + every
                rests = rests and _apart(self.log_p, renewed_at) < 1e-7
                renewed_at, self.pace = self.log_p, self.step
                mixed = o.reference_mix * self.logits + (1 - o.reference_mix) * self.reference
                self.reference = log_softmax(mixed)
            self.passed.append((self.updates, self.log_p))
            if rests:
                return "rests"
            if self._circles():
                self.passed.append((self.updates, np.log(self._mean(0))))
                return "circles"
        return "moves"

    def _circles(self) -> bool:
        """Return whether the policy, on average over many batches, stays where it is."""
        rounds, rest = divmod(len(self.passed) - 1, _ROUND)
        if not self.jumps or rest or rounds < 2:
            return False
        return _apart(np.log(self._mean(0)), np.log(self._mean(1))) < _ROUND_APART

    def _mean(self, ago: int) -> Float[np.ndarray, " n"]:
        """Return the mean policy of a round."""
        stop = len(self.passed) - ago * _ROUND
        return np.exp([log_p for _, log_p in self.passed[stop - _ROUND : stop]]).mean(0)

    def _batch(self, room: float) -> float:
        """Take the updates of one batch, and return how fast the policy moved."""
        o, start, length = self.objective, self.log_p, 0.0
        batch = draw(o, self.toy, self.logits, self.reference, self.rewards, self.listing)
        for _ in range(self.n_inner):
            table = scored_table(self.logits, o)
            gradient, clipped = expected_gradient(o, self.toy, batch, table)
            length += self._move(natural_step(self.toy, gradient, table), room * self.step)
            self.clipped += clipped
        return _apart(self.log_p, start) / length

    def _move(self, direction: Float[np.ndarray, "h v"], room: float) -> float:
        """Take one step, and return its length: the longest that is safe, but for a clip."""
        gone = (self.logits <= _FLOOR + 1e-9) & (direction < 0)
        direction = np.where(gone, 0.0, direction)
        if self.n_inner == 1 and not self.jumps:  # else steps have a meaning of their own
            turned = float((direction * self.last).sum()) < 0
            longest = _LONGEST / max(float(np.abs(direction).max()), 1e-300)
            longest = min(longest, _SHARE / max(self.objective.beta, 1e-300))
            self.pace = min(self.pace * (0.5 if turned else 1.2), longest)
            self.last = direction
        length = min(self.pace, room)
        moved = log_softmax(self.logits + length * self.objective.loss_temperature * direction)
        self.logits = log_softmax(np.maximum(moved, _FLOOR))
        self.n_steps += 1
        self.updates += length / self.step
        return length

    @property
    def _tolerance(self) -> float:
        """Speed below which nothing moves: what is left to go is this over beta."""
        return 1e-5 * min(self.objective.beta or 1e-2, 1.0)

    def way(self, believed: Float[np.ndarray, " n"]) -> Way:
        """Return what was passed, thinned out."""
        times = np.array([time for time, _ in self.passed])
        even = np.geomspace(1.0, max(times[-1], 1.0) + 1.0, _SHOWN) - 1.0
        shown = np.unique(np.append(np.searchsorted(times, even), [0, len(times) - 1]))
        shown = shown[shown < len(times)]
        log_p = np.array([self.passed[i][1] for i in shown])
        good = log_p[:, self.toy.good]
        log_rate = np.logaddexp.reduce(good, axis=1)
        return Way(
            times[shown],
            np.exp(log_rate),
            np.asarray(effective_number(good - log_rate[:, None])),
            np.asarray(total_variation(np.broadcast_to(believed, log_p.shape), log_p)),
        )


def _apart(log_p: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> float:
    """Return the total variation between two policies."""
    return float(np.abs(np.exp(log_p) - np.exp(other)).sum()) / 2


def _notes(run: _Run) -> Iterator[str]:
    """Yield what the toy did that the configuration does not say."""
    o = run.objective
    if run.listing is not None and run.listing.size != o.group_size:
        yield f"groups of {run.listing.size}, the largest that can be listed"
    if o.clipping and run.n_inner > 1:
        many = "an assumed " if o.n_updates is None else ""
        share = run.clipped / max(run.n_steps, 1)
        yield (
            f"with {many}{run.n_inner} updates of {run.step:g} nats for each batch, the clip acts "
            f"on {share:.1%} of the reward's gradient"
        )


def _left_out(o: EffectiveObjective) -> Iterator[str]:
    """Yield what a configuration has and the toy does not show."""
    told = {"zero_variance"}
    engine = bool(o.sampler_engine) and o.sampler_correction != "none"
    parts = {
        "a controller moves beta": o.beta_adaptive,
        "a controller moves the entropy bonus": o.entropy_adaptive,
        "values are learned, and the toy has the true ones": o.baseline == "value",
        "samples may be stale": o.asynchronous,
        f"{o.sampler_engine}'s own numerics": engine,
        f"weights of the ratio ({o.ratio_weight})": o.off_policy and o.ratio_weight != "",
        "weight decay": o.weight_decay != 0,
        "penalties for overlong outputs": "overlong_penalty" in o.reward_transformations,
        "rewards are whitened first": "whitened" in o.reward_transformations,
    }
    yield from (text for text, holds in parts.items() if holds)
    acting = cuts(o, TOY.log_q.shape[1])
    for name, value in o.truncated_sampling.items():
        if name not in acting:
            yield f"{name} = {value:g}" + " (the toy has 4 tokens)" * (name == "top_k")
    yield from (f"drops by {name.replace('_', ' ')}" for name in o.drops if name not in told)
    yield from (name.replace("_", " ") for name in o.extra_terms)
