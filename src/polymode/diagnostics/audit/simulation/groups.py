r"""Advantages of an output, in expectation over the rest of its group: exactly.

The others of a group of `G` are drawn independently, so how many of them fall into each class of
outputs is multinomial: all compositions are listed, each with its probability. Where the advantage
is linear in the group, and no clip asks for its sign, the expectation needs no list.

Batches are large: what is taken over a batch, its mean and its deviation, is an expectation.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int

from polymode.diagnostics.audit.objective import OWN_MEANS, EffectiveObjective
from polymode.diagnostics.audit.simulation.toy import Toy

__all__ = ["Advantages", "Draws", "Listing", "expected_advantages", "list_groups", "reads_groups"]

_BUDGET = 12_000
"""Entries of a list of compositions: what takes well below a millisecond."""

_OF_GROUP = (*OWN_MEANS, "leave_one_out")


@dataclass(frozen=True, eq=False)
class Draws:
    """What is known of the outputs of a batch before they are compared.

    Parameters
    ----------
    p : array, shape (n,)
        Probability of drawing each output.
    rewards : array, shape (n,)
        Rewards of outputs, clipped where the objective clips them.
    penalties : array, shape (n, t)
        ``beta * KL`` of a KL in the reward; alike for all tokens where it goes through the
        baseline.
    moves : array, shape (n, t)
        Squared length of the step of logits that each token asks for; read by "token_mean".
    """

    p: Float[np.ndarray, " n"]
    rewards: Float[np.ndarray, " n"]
    penalties: Float[np.ndarray, "n t"]
    moves: Float[np.ndarray, "n t"]


@dataclass(frozen=True, eq=False)
class Advantages:
    """What the tokens of an output get, in expectation over the rest of its group.

    Parameters
    ----------
    positive, negative : array, shape (n, t)
        ``E[max(A, 0)]`` and ``E[max(-A, 0)]``; where no clip acts, `positive` is all of ``E[A]``.
    kept : array, shape (n,)
        Probability that the group of an output counts.
    """

    positive: Float[np.ndarray, "n t"]
    negative: Float[np.ndarray, "n t"]
    kept: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Listing:
    """All compositions of the others of a group, by classes that no group can tell apart.

    Parameters
    ----------
    size : int
        Of the groups, one's own output included.
    own : array, shape (n,)
        Class of each output.
    first : array, shape (c,)
        An output of each class.
    counts : array, shape (m, c)
        Others of each class.
    log_ways : array, shape (m,)
        Log of the number of orders that a composition has.
    """

    size: int
    own: Int[np.ndarray, " n"]
    first: Int[np.ndarray, " c"]
    counts: Float[np.ndarray, "m c"]
    log_ways: Float[np.ndarray, " m"]


def reads_groups(objective: EffectiveObjective) -> bool:
    """Return whether advantages have to be listed group by group.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.

    Returns
    -------
    bool
        False where they depend on no group, or on its mean alone and no clip asks for their sign.
    """
    o = objective
    nonlinear = o.scale == "group_std" or "zero_variance" in o.drops
    nonlinear |= bool({"each_standardised", "lead_of_best"} & set(o.reward_transformations))
    nonlinear |= o.baseline in ("length_mean", "token_mean")
    return nonlinear or (o.baseline in _OF_GROUP and o.clipping)


def list_groups(
    objective: EffectiveObjective, toy: Toy, rewards: Float[np.ndarray, " n"]
) -> Listing | None:
    """Return all groups of the configured size, or of the largest that can be listed.

    Parameters
    ----------
    objective : EffectiveObjective
        Its group size must be known.
    toy : Toy
        The tree.
    rewards : array, shape (n,)
        Of outputs, anchored or not.

    Returns
    -------
    Listing or None
        None where advantages need no list.
    """
    if not reads_groups(objective):
        return None
    own, first = _partition(objective, toy, rewards)
    n, size = len(first), objective.group_size or 2
    while size > 2 and math.comb(size + n - 2, n - 1) * n > _BUDGET:
        size -= 1
    return Listing(size, own, first, *_compositions(size - 1, n))


def expected_advantages(
    objective: EffectiveObjective, toy: Toy, draws: Draws, listing: Listing | None
) -> Advantages:
    """Return what every output gets, in expectation over its group.

    Parameters
    ----------
    objective : EffectiveObjective
        What is optimised.
    toy : Toy
        The tree.
    draws : Draws
        Outputs with their rewards.
    listing : Listing or None
        From `list_groups`.

    Returns
    -------
    Advantages
        Without `reward_weight` and weights of tokens.
    """
    o, after = objective, np.zeros_like(draws.penalties)
    x = draws.rewards
    if o.kl_in_advantage:
        x = x - draws.penalties[:, 0]
    else:
        after = draws.penalties
    if listing is None:
        found = _linear(o, toy, draws, x) - after
        kept = np.ones_like(x)
        if not o.clipping:
            return Advantages(found, np.zeros_like(found), kept)
        return Advantages(np.maximum(found, 0.0), np.maximum(-found, 0.0), kept)
    groups = _Groups.of(o, listing, draws, x)
    found, counts_too = groups.advantages(toy, draws), groups.kept(toy)
    chance, own = groups.chance, listing.own
    found = np.where(counts_too[..., None], found, 0.0)
    frac = (chance @ counts_too)[own]
    mean = np.einsum("m,mct->ct", chance, found)[own] - frac[:, None] * after
    if not o.clipping:
        return Advantages(mean, np.zeros_like(mean), frac)
    every = np.where(counts_too[:, own, None], found[:, own] - after, 0.0)
    positive = np.einsum("m,mnt->nt", chance, np.maximum(every, 0.0))
    return Advantages(positive, positive - mean, frac)


def _linear(
    o: EffectiveObjective, toy: Toy, draws: Draws, x: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n t"]:
    """Return advantages that need no list of groups."""
    mean = float(draws.p @ x)
    centred = np.repeat((x - mean)[:, None], toy.mask.shape[1], axis=1)
    if o.baseline in _OF_GROUP:
        own = o.baseline == "group_mean"
        found = centred * (1 - 1 / o.group_size) if own and o.group_size else centred
        spread = math.sqrt(float(draws.p @ (x - mean) ** 2))
    else:
        found = x[:, None] - _free_baseline(o, toy, draws, x)
        spread = _token_std(toy, found, draws.p)
    return found / (spread + o.scale_epsilon) if o.scale == "batch_std" else found


def _free_baseline(
    o: EffectiveObjective, toy: Toy, draws: Draws, x: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n t"]:
    """Return what is subtracted by a baseline that depends on no group."""
    ones = np.ones(toy.mask.shape)
    if o.baseline == "value":
        return _values(toy, x, draws.p)
    if o.baseline == "greedy":
        return ones * draws.rewards[int(np.argmax(draws.p))]
    if o.baseline == "batch_mean":
        by_token = draws.p * toy.lengths
        return ones * float(by_token @ x / by_token.sum())
    return 0.0 * ones


def _values(
    toy: Toy, x: Float[np.ndarray, " n"], p: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n t"]:
    """Return the expectation of `x` given the prefix of each token."""
    mass = toy.to_table(np.where(toy.mask, p[:, None], 0.0)).sum(1, keepdims=True)
    total = toy.to_table(np.where(toy.mask, (p * x)[:, None], 0.0)).sum(1, keepdims=True)
    return toy.of_tokens(np.repeat(total / np.maximum(mass, 1e-300), toy.log_q.shape[1], 1))


def _token_std(toy: Toy, found: Float[np.ndarray, "n t"], p: Float[np.ndarray, " n"]) -> float:
    """Return the deviation of advantages over all tokens of a batch."""
    weight = p[:, None] * toy.mask
    weight[:, -1] += p * (toy.lengths - toy.mask.sum(1))  # the tail
    weight = weight / weight.sum()
    mean = float((weight * found).sum())
    return math.sqrt(float((weight * (found - mean) ** 2).sum()))


def _partition(
    o: EffectiveObjective, toy: Toy, rewards: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " c"]]:
    """Return the class of each output, and an output of each: what no group can tell apart."""
    own_kl = o.kl_placement == "reward" and o.kl_in_advantage
    columns = [rewards.round(12), toy.rewards]
    if o.baseline == "length_mean":
        columns.append(toy.lengths)
    if own_kl or o.baseline in ("token_mean", "value"):
        columns.append(np.arange(len(rewards)))
    _, first, own = np.unique(np.stack(columns, 1), axis=0, return_index=True, return_inverse=True)
    return own.reshape(-1), first


@cache
def _compositions(n: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all ways to put `n` outputs into classes, and the log of how many orders each has."""
    rows, left = np.zeros((1, 0), dtype=int), np.array([n])
    for _ in range(n_classes - 1):
        column = np.concatenate([np.arange(x + 1) for x in left])
        rows = np.column_stack([np.repeat(rows, left + 1, axis=0), column])
        left = n - rows.sum(1)
    counts = np.column_stack([rows, left])
    log_factorial = np.array([math.lgamma(i + 1) for i in range(n + 1)])
    return counts.astype(float), log_factorial[n] - log_factorial[counts].sum(1)


@dataclass(frozen=True, eq=False)
class _Groups:
    """All groups that an output can meet: (m, c) by composition of the others and own class."""

    objective: EffectiveObjective
    listing: Listing
    chance: Float[np.ndarray, " m"]
    mass: Float[np.ndarray, " c"]
    x: Float[np.ndarray, " c"]  # reward, less a KL that goes through the baseline
    centre: float  # subtracted from x already, against cancellation in the deviation

    @classmethod
    def of(
        cls, o: EffectiveObjective, listing: Listing, draws: Draws, x: Float[np.ndarray, " n"]
    ) -> "_Groups":
        """Return the groups with their chances."""
        mass = np.bincount(listing.own, draws.p, len(listing.first))
        log_mass = np.log(np.maximum(mass, 1e-300))
        chance = np.exp(listing.log_ways + listing.counts @ log_mass)
        centre = float(draws.p @ x)
        return cls(o, listing, chance, mass, x[listing.first] - centre, centre)

    @property
    def size(self) -> int:
        """Outputs of a group."""
        return self.listing.size

    @property
    def first(self) -> Int[np.ndarray, " c"]:
        """An output of each class."""
        return self.listing.first

    @property
    def counts(self) -> Float[np.ndarray, "m c"]:
        """Others of each class."""
        return self.listing.counts

    def kept(self, toy: Toy) -> Bool[np.ndarray, "m c"]:
        """Return which groups count."""
        if "zero_variance" not in self.objective.drops:
            return np.ones((len(self.counts), len(self.first)), dtype=bool)
        raw = toy.rewards[self.first]
        return self.counts @ (raw[:, None] == raw[None]) < self.size - 1

    def advantages(self, toy: Toy, draws: Draws) -> Float[np.ndarray, "m c t"]:
        """Return baseline and scale at work."""
        o = self.objective
        if "each_standardised" in o.reward_transformations:
            found = self._standardised(draws.rewards[self.first])
        elif "lead_of_best" in o.reward_transformations:
            found = self._lead()[..., None]
        else:
            found = self.x[:, None] - self._baseline(toy, draws)
        if o.scale == "group_std":
            return found / self._deviation()[..., None]
        if o.scale == "batch_std":
            return found / (self._batch_deviation(found) + o.scale_epsilon)
        return found

    def _baseline(self, toy: Toy, draws: Draws) -> Float[np.ndarray, "m c t"]:
        """Return what is subtracted."""
        o, x, counts = self.objective, self.x, self.counts
        if o.baseline == "leave_one_out":
            others = counts @ x / (self.size - 1)
            return np.repeat(others[:, None], len(x), axis=1)[..., None]
        if o.baseline == "group_mean":
            return self._mean(x)[..., None]
        if o.baseline == "length_mean":
            lengths = toy.lengths[self.first]
            return (self._total(lengths * x) / self._total(lengths))[..., None]
        if o.baseline == "token_mean":
            return self._token_mean(toy, draws)
        free = _free_baseline(o, toy, draws, draws.rewards)[self.first]
        if o.kl_in_advantage:
            free = _free_baseline(o, toy, draws, draws.rewards - draws.penalties[:, 0])[self.first]
        return np.repeat(free[None] - self.centre, len(counts), axis=0)

    def _token_mean(self, toy: Toy, draws: Draws) -> Float[np.ndarray, "m c t"]:
        """Return the mean over outputs that have the token, weighed by their moves up to there."""
        places = np.arange(toy.mask.shape[1])
        mask = (places < toy.lengths[self.first, None]).astype(float)  # tails, too
        weight = np.cumsum(draws.moves[self.first], axis=1) * mask

        def total(y: np.ndarray) -> np.ndarray:
            return np.stack([self._total(column) for column in y.T], axis=-1)

        mean = total(weight * self.x[:, None]) / np.maximum(total(weight), 1e-12)
        return np.where(total(mask) == 1, -self.centre, mean)

    def _standardised(self, rewards: Float[np.ndarray, " c"]) -> Float[np.ndarray, "m c t"]:
        """Return standardised rewards, less the mean of the KL where that goes along."""
        o = self.objective
        rewards = rewards - float(self.mass @ rewards)
        found = (rewards - self._mean(rewards)) / (self._std(rewards, 1) + o.scale_epsilon)
        kl = rewards - self.x
        found = found - kl + self._mean(kl)
        stretch = self.size / (self.size - 1) if o.baseline == "leave_one_out" else 1.0
        return (found * stretch)[..., None]

    def _lead(self) -> Float[np.ndarray, "m c"]:
        """Return the lead of the best of a group over its second, and 0 for all others."""
        order = np.argsort(-self.x)
        present = self.counts[:, None, order] + np.eye(len(order))[None][:, :, order]
        reached = present.cumsum(-1)
        best, second = (self.x[order][(reached >= k).argmax(-1)] for k in (1, 2))
        return np.where(self.x[None] == best, best - second, 0.0)

    def _deviation(self) -> Float[np.ndarray, "m c"]:
        """Return the deviation of a group that its advantages are divided by."""
        o, x, counts = self.objective, self.x, self.counts
        if not o.scale_of_others:
            return self._std(x, o.scale_ddof) + o.scale_epsilon
        n = self.size - 1
        squares = np.maximum(counts @ x**2 - (counts @ x) ** 2 / n, 0.0)
        mixed = (squares > 1e-24) & (n > o.scale_ddof)
        found = np.sqrt(squares / max(n - o.scale_ddof, 1)) + o.scale_epsilon
        return np.repeat(np.where(mixed, found, 1.0)[:, None], len(x), axis=1)

    def _batch_deviation(self, found: Float[np.ndarray, "m c t"]) -> float:
        """Return the deviation of a batch: of its rewards, or of what stands in their place."""
        if self.objective.reward_transformations:
            second = np.einsum("m,c,mct->", self.chance, self.mass, found**2)
            return math.sqrt(float(second) / found.shape[-1])
        return math.sqrt(float(self.mass @ self.x**2))

    def _total(self, x: Float[np.ndarray, " c"]) -> Float[np.ndarray, "m c"]:
        """Return the sum over a group with its own output in it."""
        return (self.counts @ x)[:, None] + x[None]

    def _mean(self, x: Float[np.ndarray, " c"]) -> Float[np.ndarray, "m c"]:
        """Return the mean over a group with its own output in it."""
        return self._total(x) / self.size

    def _std(self, x: Float[np.ndarray, " c"], ddof: int) -> Float[np.ndarray, "m c"]:
        """Return the deviation of a group with its own output in it."""
        squares = self._total(x**2) - self.size * self._mean(x) ** 2
        return np.sqrt(np.maximum(squares, 0.0) / (self.size - ddof))
