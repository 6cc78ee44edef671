r"""What a policy gives, in numbers: one of each for every group.

Notation: ``p`` policy, ``q`` reference, ``t`` target (the optimum of the regularised objective),
``r`` reward, ``tau`` threshold of a good output. Any policy will do: a target, or one that was
measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, widen
from polymode.core.divergences import (
    FORWARD_KL,
    REVERSE_KL,
    Divergence,
    check_regulariser,
    divergence_terms,
)
from polymode.core.diversity import entropy_by, hill_number_of_groups, normalised
from polymode.core.groups import Groups
from polymode.core.targets import optimal_policy
from polymode.core.thresholds import reaches

__all__ = ["Cells", "PolicyStatistics", "policy_statistics", "target_statistics"]


@dataclass(frozen=True, eq=False, slots=True)
class PolicyStatistics:
    """Statistics of a policy, each an array with one number for every group.

    Effective numbers are Hill numbers: how many equally likely outputs (or modes) would be as
    diverse. What ends in ``_good`` is about the good outputs alone, their probabilities taken
    relative to their sum; it is NaN where no good output has mass.

    Parameters
    ----------
    mass_good : array, shape (..., g)
        Probability of the good outputs together.
    min_good, max_good : array, shape (..., g)
        Smallest and largest probability of a good output, or of a good mode: that of its good
        outputs together. NaN where there is none. These are not relative.
    expected_reward : array, shape (..., g)
        ``E_p[r]`` in reward units; NaN where an output with mass has no reward.
    reverse_kl : array, shape (..., g)
        ``kl(p, q)`` over outputs, in nats; infinite where the policy leaves the reference's
        support.
    forward_kl : array, shape (..., g)
        ``kl(q, p)`` over outputs, in nats; infinite where the policy does not cover that support.
    entropy, entropy_good : array, shape (..., g)
        Shannon entropy over outputs or modes, in nats.
    effective_number_0, effective_number_0_good : array, shape (..., g)
        How many outputs or modes have mass.
    effective_number_1, effective_number_1_good : array, shape (..., g)
        Exponential of the entropy.
    effective_number_2, effective_number_2_good : array, shape (..., g)
        One over the probability that two draws give the same.
    """

    mass_good: Float[Array, "*batch g"]
    min_good: Float[Array, "*batch g"]
    max_good: Float[Array, "*batch g"]
    expected_reward: Float[Array, "*batch g"]
    reverse_kl: Float[Array, "*batch g"]
    forward_kl: Float[Array, "*batch g"]
    entropy: Float[Array, "*batch g"]
    entropy_good: Float[Array, "*batch g"]
    effective_number_0: Float[Array, "*batch g"]
    effective_number_0_good: Float[Array, "*batch g"]
    effective_number_1: Float[Array, "*batch g"]
    effective_number_1_good: Float[Array, "*batch g"]
    effective_number_2: Float[Array, "*batch g"]
    effective_number_2_good: Float[Array, "*batch g"]


def policy_statistics(
    log_probs: Float[Array, "*batch n"],
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    threshold: Any,
    groups: Any = None,
    modes: Any = None,
) -> PolicyStatistics:
    r"""Return what a policy gives in each group: good mass, diversity, reward, KLs.

    .. math::

        p(\text{good}) = \textstyle\sum_{r_i \ge \tau} p_i, \qquad
        E_p[r] = \textstyle\sum_i p_i r_i, \qquad
        N_a = \left( \textstyle\sum_m p(m)^a \right)^{1 / (1 - a)}

    Parameters
    ----------
    log_probs : array, shape (..., n)
        ``log p`` of `n` distinct outputs, in nats; ``-inf`` is legal, NaN makes its group NaN. Need
        not be normalised: what is returned is about the policy among these outputs.
    rewards : array, shape (..., n)
        Their rewards, in reward units. NaN marks outputs without one: they are not good, and their
        group has no expected reward if they have mass. ``-inf`` is legal.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outputs, in nats; as `log_probs`, but NaN spoils the KLs only.
    threshold : float, array that broadcasts to `rewards`, or callable
        Outputs with ``r >= threshold`` that `p` or `q` can give are good; in reward units, as in
        `anchor`. Compared in the dtype of `rewards`.
    groups : array or sequence of int, shape (n,), or None
        Group (prompt) of each position on the last axis; None puts all into one group.
    modes : array or sequence of int or str, shape (n,), or None
        Mode of each position (final answer, canonical form, cluster), within a group. Entropies,
        effective numbers, `min_good` and `max_good` are then about modes: a mode has the
        probability of its outputs, and as a good one that of its good outputs. None makes every
        output its own mode.

    Returns
    -------
    PolicyStatistics
        Arrays of shape (...,) without `groups`, else (..., number of groups), groups in ascending
        order of their label; NaN where the policy has no mass. Floating dtype and device of the
        arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, there is no sample, `threshold` does not broadcast, or
        labels are not one for each sample.
    ArgumentError
        If the threshold is not finite, the arrays are not real or not of one library, or labels
        have the wrong type. Lists everything that is wrong.

    See Also
    --------
    target_statistics : The same of the optimum, for one strength or a sweep over many.

    Notes
    -----
    Exact when the `n` outputs of a group are all there are. For `n` *samples* drawn from the
    policy, pass zeros as `log_probs`, and modes that tell equal samples: the numbers are then those
    of the empirical distribution, whose effective numbers are too small on average.

    Effective numbers fall as their order rises. Order 0 counts whatever is not exactly ``-inf``, a
    log-probability of -1e12 too: it tells which outputs a policy has dropped, not which ones it
    still gives. `min_good` is 0 below 1e-308. Merging outputs into modes lowers every effective
    number; good mass, expected reward and KLs stay.

    Differentiable but for order 0, which has gradient 0. Cost O(n), and O(n log n) with labels.

    References
    ----------
    .. [1] Hill, "Diversity and Evenness: A Unifying Notation and Its Consequences", Ecology 54,
       1973, eq. 3.

    Examples
    --------
    Nearly all mass is good, and nearly all of that is on one of the two good outputs:

    >>> import numpy as np
    >>> log_q = np.log([0.68, 0.30, 0.02])
    >>> found = policy_statistics(np.log([0.01, 0.93, 0.06]), [0, 1, 1], log_q, threshold=1)
    >>> found.mass_good.round(2), found.effective_number_1_good.round(2)
    (np.float64(0.99), np.float64(1.26))
    """
    log_probs, rewards, ref_log_probs = map(as_array, (log_probs, rewards, ref_log_probs))
    checks.require(
        checks.columns(log_probs=log_probs, rewards=rewards, ref_log_probs=ref_log_probs),
        *_problems(rewards, threshold, groups, modes),
    )
    (log_p, r, log_q), narrow = widen(log_probs, rewards, ref_log_probs)
    cells = Cells.of(groups, modes, like=r)
    high = reaches(rewards, threshold, cells.groups)
    found = _statistics(log_p, r, log_q, high, cells)
    return _each(found, lambda x: narrow(x[..., 0] if groups is None else x))


def target_statistics(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    beta: Any,
    entropy: Any = 0.0,
    divergence: str | Divergence = "reverse_kl",
    threshold: Any,
    groups: Any = None,
    modes: Any = None,
) -> PolicyStatistics:
    r"""Return what the optimum of ``E_p[r] - beta * D_f(p, q)`` gives in each group.

    The statistics of `policy_statistics` at ``p = t``, the policy of `optimal_policy`:

    .. math:: t_i = q_i \, (f')^{-1}((r_i - L) / \beta), \qquad \textstyle\sum_i t_i = 1

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outputs, in reward units. ``-inf`` forbids an output; NaN makes its whole
        group NaN; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outputs, in nats; ``-inf`` is legal, normalisation not needed.
    beta : float, or array that broadcasts with the leading axes
        Strength of the regulariser, in reward units per nat (per unit of the divergence); finite
        and > 0. An array of shape (b,) sweeps one problem over b strengths; one of shape (b, 1)
        many problems.
    entropy : float, or array as `beta`
        Weight of an entropy bonus, in reward units per nat, >= 0; under reverse KL only.
    divergence : str or Divergence
        Which divergence regularises: an object, or one of `divergence_names`.
    threshold : float, array that broadcasts to `rewards`, or callable
        Outputs with ``r >= threshold`` that `q` can give are good; see `anchor`.
    groups : array or sequence of int, shape (n,), or None
        Group (prompt) of each position on the last axis; None puts all into one group.
    modes : array or sequence of int or str, shape (n,), or None
        Mode of each position, within a group; see `policy_statistics`.

    Returns
    -------
    PolicyStatistics
        Arrays of shape (...,) without `groups`, else (..., number of groups); the leading axes are
        those of `rewards` and `beta` together. NaN where no output has mass. Floating dtype and
        device of the arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, there is no sample, a strength or `threshold` does not
        broadcast, or labels are not one for each sample.
    ArgumentError
        If `beta` is not finite and > 0, `entropy` not finite and >= 0, or used without reverse KL,
        the threshold is not finite, the divergence is not known, the arrays are not real or not of
        one library, or labels have the wrong type. Lists everything that is wrong.

    See Also
    --------
    policy_statistics : What each number means; the same of any policy.
    effective_number_beta : The strength at which a sweep falls below a number of outputs.

    Notes
    -----
    ``E_t[r]`` never falls and the divergence from the reference never rises as `beta` falls; the
    good mass and the effective numbers may go up and down. Memory and time grow with the number of
    strengths: O(b n).

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, section 4.

    Examples
    --------
    Weaker regularisation buys good mass; the good outputs stay 15 : 1 at every strength:

    >>> import numpy as np
    >>> log_q = np.log([0.68, 0.30, 0.02])
    >>> sweep = target_statistics([0, 1, 1], log_q, beta=np.array([1.0, 0.1, 0.01]), threshold=1)
    >>> sweep.mass_good.round(3), sweep.effective_number_1_good.round(3)
    (array([0.561, 1.   , 1.   ]), array([1.263, 1.263, 1.263]))
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        check_regulariser(rewards, beta=beta, entropy=entropy, divergence=divergence),
        *_problems(rewards, threshold, groups, modes),
    )
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    log_t = optimal_policy(
        r, log_q, beta=beta, entropy=entropy, divergence=divergence, groups=groups
    )
    cells = Cells.of(groups, modes, like=r)
    high = reaches(rewards, threshold, cells.groups)
    _, r, log_q, high = array_namespace(r).broadcast_arrays(log_t, r, log_q, high)
    found = _statistics(log_t, r, log_q, high, cells)
    return _each(found, lambda x: narrow(x[..., 0] if groups is None else x))


class Cells(NamedTuple):
    """What diversity counts: outputs, or the modes within each group.

    Parameters
    ----------
    of_outputs : Groups or None
        The mode of each position, as a finer group; None where every output is its own.
    within : Groups
        The group of each mode.
    groups : Groups
        The group of each position.
    """

    of_outputs: Groups | None
    within: Groups
    groups: Groups

    @classmethod
    def of(cls, groups: Any, modes: Any, *, like: Real[Array, "*batch n"]) -> "Cells":
        """Return the modes within groups.

        Parameters
        ----------
        groups, modes : array or sequence, shape (n,), or None
            The labels.
        like : array, shape (..., n)
            Gives the library, the device and the number of positions.

        Returns
        -------
        Cells
            On the device of `like`.
        """
        group = Groups.of(groups, like=like)
        if modes is None:
            return cls(None, group, group)
        cells = group.split(modes)
        return cls(cells, Groups(cells.max(group.index), group.n_groups), group)

    def log_mass(self, log_p: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """Return the log-probability of each mode.

        Parameters
        ----------
        log_p : array, shape (..., n)
            Log-probabilities of outputs.

        Returns
        -------
        array, shape (..., m)
            Of modes, -inf where none of its outputs has mass.
        """
        return log_p if self.of_outputs is None else self.of_outputs.logsumexp(log_p)


def _problems(rewards: Array, threshold: Any, groups: Any, modes: Any) -> tuple[Iterator[str], ...]:
    """Check the arguments that all statistics share."""
    return (
        checks.threshold_for(rewards, threshold),
        checks.integer_labels(rewards, groups=groups),
        checks.key_labels(rewards, modes=modes),
    )


def _each(found: PolicyStatistics, change: Any) -> PolicyStatistics:
    """Return the statistics with each array changed in the same way."""
    return PolicyStatistics(
        **{field.name: change(getattr(found, field.name)) for field in fields(found)}
    )


def _statistics(
    log_p: Array, r: Array, log_q: Array, high: Bool[Array, "*batch n"], cells: Cells
) -> PolicyStatistics:
    """Return the statistics of each group; `high` tells which rewards reach the threshold."""
    xp = array_namespace(log_p)
    log_p, log_q = normalised(log_p, cells.groups), normalised(log_q, cells.groups)
    good = high & ((log_p > -xp.inf) | (log_q > -xp.inf))
    spoilt = xp.isnan(log_p)
    log_good = cells.log_mass(xp.where(good | spoilt, log_p, -xp.inf))
    exists = cells.log_mass(xp.where(good | spoilt, xp.zeros_like(r), -xp.inf)) > -xp.inf
    empty = log_p == -xp.inf
    gains = xp.exp(log_p) * xp.where(empty, 0.0, r)
    return PolicyStatistics(
        mass_good=xp.exp(cells.within.logsumexp(log_good)),
        min_good=xp.exp(-_max_of(-log_good, exists, cells.within)),
        max_good=xp.exp(_max_of(log_good, exists, cells.within)),
        expected_reward=cells.groups.sum(gains),
        reverse_kl=cells.groups.sum(divergence_terms(REVERSE_KL, log_p, log_q)),
        forward_kl=cells.groups.sum(divergence_terms(FORWARD_KL, log_p, log_q)),
        **_diversity(cells.log_mass(log_p), cells.within, ""),
        **_diversity(normalised(log_good, cells.within), cells.within, "_good"),
    )


def _max_of(x: Array, mask: Array, groups: Groups) -> Array:
    """Return the maximum of each group over what `mask` keeps, NaN where it keeps nothing."""
    xp = array_namespace(x)
    largest = groups.max(xp.where(mask, x, -xp.inf))
    n_kept = groups.count(mask)
    return xp.where(n_kept > 0, largest, xp.nan)


def _diversity(log_p: Array, groups: Groups, suffix: str) -> dict[str, Array]:
    """Return entropy and effective numbers of each group, by the names of the fields."""
    return {f"entropy{suffix}": entropy_by(log_p, total=groups.sum)} | {
        f"effective_number_{order}{suffix}": hill_number_of_groups(log_p, order, groups)
        for order in (0, 1, 2)
    }
