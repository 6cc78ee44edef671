r"""At which strength of the regulariser the optimum changes character: roots on the sweep.

Notation: ``t`` target (the optimum), ``q`` reference, ``r`` reward, ``beta`` strength. A sweep goes
from strong to weak regularisation, from the reference to the best reward. Only ``r / beta`` counts
for the optimum, so every group can be swept at strengths of its own: its rewards are divided by
them, and the regulariser stays at 1.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, detached, device, widen
from polymode.core.divergences import REVERSE_KL, Divergence, check_divergence, get_divergence
from polymode.core.diversity import check_order, hill_number_of_groups, normalised
from polymode.core.groups import Groups
from polymode.core.statistics import Cells
from polymode.core.targets import optimal_policy
from polymode.core.thresholds import reaches

__all__ = ["effective_number_beta", "swap_beta"]

_REACH = 1e6  # how far a scan goes beyond the gaps between rewards, on either side
_MARGIN = 10.0  # the same for swaps, whose equation bounds where they can be
_LITTLE = 1e-6  # the least that each of a pair keeps at a swap, relative to its smaller reference
_FAR = 1e100  # nor are swaps searched this far from the gap of the rewards
_PER_DECADE = 20  # strengths of a scan to each factor of ten: neighbours differ by 12%
_N_HALVINGS = 48  # of the 12%: relative error of the order of 1e-15


def swap_beta(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    pair: tuple[Any, Any],
    divergence: str | Divergence = "reverse_kl",
    groups: Any = None,
) -> Float[Array, "..."]:
    r"""Return the strength at which the optimum makes two outcomes equally likely.

    .. math:: t_1 = t_2, \qquad f'(t_1 / q_1) - f'(t_1 / q_2) = (r_1 - r_2) / \beta

    Above it the outcome that the reference likes better is the likelier one, below it the one with
    the better reward. By default the divergence is the reverse KL, policy first:

    .. math:: \beta = \frac{r_1 - r_2}{\log q_2 - \log q_1}

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outcomes, in reward units. ``-inf`` forbids an outcome; ``+inf`` is not
        allowed. Under reverse KL only the rewards of the pair count.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outcomes, in nats; ``-inf`` is legal, normalisation not needed.
    pair : tuple of two ints, or of two sequences of int, shape (m,)
        Positions of the two outcomes on the last axis, in either order; sequences for `m` pairs.
    divergence : str or Divergence
        Which divergence regularises: an object, or one of `divergence_names`.
    groups : array or sequence of int, shape (n,), or None
        Group of each position on the last axis; None puts all into one group. The two outcomes of
        a pair must share one.

    Returns
    -------
    array, shape (...,) for a pair, else (..., m)
        Strengths > 0, in reward units per nat (per unit of the divergence). NaN where the two never
        swap, or where one has no mass or no finite reward; except under reverse KL, also where
        another outcome of the group has no reward. Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, or there is no sample.
    ArgumentError
        If the pair is not two positions of one group, the divergence is not known, the arrays are
        not real or not of one library, or the labels are not integers. Lists everything that is
        wrong.

    See Also
    --------
    log_ratios : By how much one outcome is likelier, under reverse KL.
    effective_number_beta : Where the whole policy, not a pair, gets narrow.

    Notes
    -----
    As ``f'`` rises, the first equation has a solution only if the outcome with the *lower* ``q``
    has the *higher* reward: equal rewards never swap, at any strength, under any divergence. Under
    reverse KL that is enough. Elsewhere a third outcome with a better reward may take all mass
    before the pair has swapped: under the forward KL, ``t_1 / t_2`` tends to
    ``q_1 (r_3 - r_2) / (q_2 (r_3 - r_1))``, which may still favour the first.

    There is at most one such strength wherever ``g(s) (s - c)`` rises with ``s`` for every slope
    ``c``, with ``g`` the derivative of ``log (f')^-1``: for then the log-ratio of the two falls all
    the way. The alpha family (both KLs, both chi-squared, Hellinger) and Jensen–Shannon are such;
    for a divergence of one's own that is not, the largest strength is returned. Total variation
    moves mass in jumps: the two pass one another without being equal. An additional bonus for the
    policy's entropy changes nothing under reverse KL.

    Closed form and differentiable in both arrays under reverse KL. Else not differentiable, and
    halved out of a scan in steps of 12%; agrees with 50 digits to 1e-12. The first equation tells
    how far to scan: to where the two share all mass, and to where they keep 1e-6 of the smaller
    ``q``; a swap at less mass than that may count as none, as do strengths beyond 1e-100 of the
    gap of the two rewards. Cost O(n) for reverse KL, else some hundred optima for each pair.

    References
    ----------
    .. [1] GX-Chen et al., "KL-Regularized Reinforcement Learning is Designed to Mode Collapse",
       ICLR 2026, arXiv 2510.20817, Remark 4.4 and figure 2. Other divergences are ours.

    Examples
    --------
    The better answer is 7 times less likely under the reference:

    >>> float(swap_beta([0.75, 1.0], [-4.05, -5.95], pair=(0, 1)).round(3))
    0.132
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        _check_pair(rewards, pair, groups),
        check_divergence(divergence),
        checks.integer_labels(rewards, groups=groups),
    )
    (r, log_q), narrow = widen(rewards, ref_log_probs)
    chosen = get_divergence(divergence)
    ends = _Pair(*(_mask_of(each, like=r) for each in pair))
    found = _gibbs_swap(r, log_q, ends)
    if chosen is not REVERSE_KL:
        gibbs = detached(found)
        found = _swap(detached(r), detached(log_q), ends, gibbs, divergence=chosen, groups=groups)
    return narrow(found[..., 0] if np.ndim(pair[0]) == 0 else found)


def effective_number_beta(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    k: float,
    order: float = 1,
    threshold: Any = None,
    divergence: str | Divergence = "reverse_kl",
    groups: Any = None,
    modes: Any = None,
) -> Float[Array, "..."]:
    r"""Return the strength below which the optimum has fewer than ``k`` effective outputs.

    .. math::

        \beta^* = \sup \{ \beta : N_a(t_\beta) < k \}, \qquad
        N_a(p) = \left( \textstyle\sum_m p(m)^a \right)^{1 / (1 - a)}

    Coming from strong regularisation, the first strength at which the target gets so narrow; all
    larger strengths keep `k` or more.

    Parameters
    ----------
    rewards : array, shape (..., n)
        Rewards of `n` outputs, in reward units. ``-inf`` forbids an output; NaN makes its whole
        group NaN; ``+inf`` is not allowed.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the same outputs, in nats; ``-inf`` is legal, normalisation not needed.
    k : float
        The effective number to keep; finite and > 0. No number is below 1.
    order : float
        Order of the effective number, >= 0, ``inf`` allowed; see `effective_number`.
    threshold : float, array that broadcasts to `rewards`, callable, or None
        None counts all outputs; else only those with ``r >= threshold`` that `q` can give, their
        probabilities taken relative to their sum; see `anchor`.
    divergence : str or Divergence
        Which divergence regularises: an object, or one of `divergence_names`.
    groups : array or sequence of int, shape (n,), or None
        Group (prompt) of each position on the last axis; None puts all into one group.
    modes : array or sequence of int or str, shape (n,), or None
        Mode of each position, within a group: modes are counted instead of outputs. None makes
        every output its own mode.

    Returns
    -------
    array, shape (...,) without `groups`, else (..., number of groups)
        Strengths in reward units per nat (per unit of the divergence), groups in ascending order of
        their label. 0 where the number is never below `k`: every strength will do. ``inf`` where it
        is below `k` from the strongest regulariser on, as where the reference itself is: no
        strength will do. NaN where no output (with a threshold, no good one) has mass. Floating
        dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the arrays differ in shape, there is no sample, `threshold` does not broadcast, or
        labels are not one for each sample.
    ArgumentError
        If `k` is not a finite number > 0, `order` not a number >= 0, the threshold is not finite,
        the divergence is not known, the arrays are not real or not of one library, or labels have
        the wrong type. Lists everything that is wrong.

    See Also
    --------
    target_statistics : The effective numbers themselves, at any strengths.
    anchor : A target that keeps all good modes at every strength.

    Notes
    -----
    An effective number need not fall all the way: a good output that the reference finds unlikely
    broadens the policy before it narrows it. So the sweep is scanned from its strong end, at 20
    strengths to each factor of ten, from 1e6 times the spread of the rewards down to 1e-6 of the
    gap between the two best ones. A dip below `k` that is narrower than a step of 12% may be
    missed: orders below 1 make such dips under divergences that drop outputs. The step is then
    halved, to a relative error of 1e-12. Where the number jumps (order 0, total variation), the
    strength is that of the jump. Not differentiable. Cost: about 300 optima of all groups together,
    more where best and worst gap differ much.

    Examples
    --------
    Two equally likely good outputs whose rewards differ by 0.1. Odds of 3 : 1 leave 1.6 effective
    outputs, of order 2, and ``exp(0.1 / beta)`` is 3 at 0.091:

    >>> import numpy as np
    >>> log_q = np.log([0.2, 0.4, 0.4])
    >>> beta = effective_number_beta([0.0, 0.9, 1.0], log_q, k=1.6, order=2, threshold=0.5)
    >>> float(beta.round(3))
    0.091
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        checks.positive(k=k),
        check_order(order),
        () if threshold is None else checks.threshold_for(rewards, threshold),
        check_divergence(divergence),
        checks.integer_labels(rewards, groups=groups),
        checks.key_labels(rewards, modes=modes),
    )
    (r, log_q), narrow = widen(detached(rewards), detached(ref_log_probs))
    xp = array_namespace(r)
    cells = Cells.of(groups, modes, like=r)
    gaps, low, high = _gaps(r, log_q, cells.groups)
    counts = (log_q > -xp.inf) | xp.isnan(gaps)
    if threshold is not None:
        counts = counts & (reaches(detached(rewards), threshold, cells.groups) | xp.isnan(gaps))

    def number(log_beta: Array) -> Array:
        scaled = gaps / cells.groups.expand(xp.exp(log_beta))
        q = xp.broadcast_to(log_q, scaled.shape)
        log_t = optimal_policy(scaled, q, beta=1.0, divergence=divergence, groups=groups)
        log_mass = normalised(cells.log_mass(xp.where(counts, log_t, -xp.inf)), cells.within)
        return hill_number_of_groups(log_mass, order, cells.within)

    low, high = xp.log(low), xp.log(high)
    found = xp.exp(_largest_crossing(lambda log_beta: number(log_beta) < k, low, high))
    found = narrow(xp.where(xp.isnan(number(high)), xp.nan, found))
    return found[..., 0] if groups is None else found


def _check_pair(rewards: Array, pair: Any, groups: Any) -> Iterator[str]:
    """Check that a pair is two positions, or two columns of them, each in one group."""
    ends = [np.asarray(each) for each in pair] if isinstance(pair, tuple | list) else []
    shapes = {each.shape if each.dtype.kind in "iu" else None for each in ends}
    if len(ends) != 2 or len(shapes) != 1 or None in shapes or ends[0].ndim > 1 or not ends[0].size:
        yield f"pair must be two integers, or two equally long sequences of them, got {pair!r}"
        return
    n = rewards.shape[-1] if rewards.ndim else 0
    if any(np.any((each < -n) | (each >= n)) for each in ends):
        yield f"pair must hold positions below {n}, the number of outcomes, got {pair!r}"
    elif groups is not None and not any(checks.integer_labels(rewards, groups=groups)):
        first, second = (as_array(groups)[each] for each in ends)
        if bool(array_namespace(first).any(first != second)):
            yield f"pair must lie in one group, got {pair!r}"


class _Pair(NamedTuple):
    """Where the two outcomes of each pair lie, as masks of shape (m, n)."""

    first: Array
    second: Array

    def of(self, x: Array) -> tuple[Array, Array]:
        """Return the values of the two: from (..., 1, n) or (..., m, n) to (..., m)."""
        xp = array_namespace(x)
        first, second = (xp.sum(xp.where(at, x, 0.0), axis=-1) for at in self)
        return first, second


def _mask_of(positions: Any, *, like: Array) -> Array:
    """Return where each position lies on the last axis, as a mask of shape (m, n)."""
    n = like.shape[-1]
    mask = np.atleast_1d(np.asarray(positions))[:, None] % n == np.arange(n)
    return array_namespace(like).asarray(mask, device=device(like))


def _gibbs_swap(r: Array, log_q: Array, pair: _Pair) -> Array:
    """Return the swap under reverse KL; NaN exactly where no divergence can have one."""
    xp = array_namespace(r)
    (r_1, r_2), (log_q_1, log_q_2) = pair.of(r[..., None, :]), pair.of(log_q[..., None, :])
    finite = xp.isfinite(r_1) & xp.isfinite(r_2) & xp.isfinite(log_q_1) & xp.isfinite(log_q_2)
    gap = xp.where(finite, r_1, 0.0) - xp.where(finite, r_2, 0.0)
    bias = xp.where(finite, log_q_2, 0.0) - xp.where(finite, log_q_1, 0.0)
    swaps = ((gap > 0) & (bias > 0)) | ((gap < 0) & (bias < 0))
    return xp.where(swaps, gap / xp.where(swaps, bias, 1.0), xp.nan)


def _swap(
    r: Array, log_q: Array, pair: _Pair, gibbs: Array, *, divergence: Divergence, groups: Any
) -> Array:
    """Return the swap by a scan; `gibbs` is that of reverse KL, NaN where there is none."""
    xp = array_namespace(r)
    group = Groups.of(groups, like=r)
    gaps, _, high = _gaps(r, log_q, group)
    (spread, _), gaps = pair.of(group.expand(high / _REACH)[..., None, :]), gaps[..., None, :]
    swaps = gibbs > 0
    masses = pair.of(normalised(log_q, group)[..., None, :])
    log_q_1, log_q_2 = (xp.where(swaps, each, 0.0) for each in masses)
    gap = xp.abs(gibbs * (log_q_1 - log_q_2))
    bounds = [gibbs, gap, spread, *_swaps_of_given_mass(divergence, gap, log_q_1, log_q_2)]
    bounds = xp.stack([xp.where(swaps, each, 1.0) for each in bounds])
    low, high = xp.min(bounds, axis=0) / _MARGIN, xp.max(bounds, axis=0) * _MARGIN

    def has_swapped(log_beta: Array) -> Array:
        scaled = gaps / xp.exp(log_beta)[..., None]
        q = xp.broadcast_to(log_q[..., None, :], scaled.shape)
        log_t = optimal_policy(scaled, q, beta=1.0, divergence=divergence, groups=groups)
        log_t_1, log_t_2 = pair.of(log_t)
        # Of two that are both dropped, the one with the worse reward went first.
        return xp.where(log_q_1 > log_q_2, log_t_1 <= log_t_2, log_t_2 <= log_t_1)

    found = _largest_crossing(has_swapped, xp.log(low), xp.log(high))
    return xp.where(swaps & xp.isfinite(found), xp.exp(found), xp.nan)


def _swaps_of_given_mass(
    divergence: Divergence, gap: Array, log_q_1: Array, log_q_2: Array
) -> Iterator[Array]:
    """Yield the strengths of swaps at which each of the two has as much mass as it can, or little.

    The equation of a swap gives one for every common probability, if the slopes are finite.
    """
    xp = array_namespace(gap)
    for log_t in (math.log(0.5), xp.minimum(log_q_1, log_q_2) + math.log(_LITTLE)):
        with np.errstate(all="ignore"):
            slopes = (divergence.slope(xp.exp(log_t - each)) for each in (log_q_1, log_q_2))
            strength = gap / xp.abs(next(slopes) - next(slopes))
        yield xp.where((strength > gap / _FAR) & (strength < gap * _FAR), strength, gap)


def _gaps(r: Array, log_q: Array, groups: Groups) -> tuple[Array, Array, Array]:
    """Return rewards relative to the best of the group, and the ends of a scan for each group.

    Above the spread of the rewards the regulariser rules; below the gap between the two best ones
    nothing changes any more. Without any gap the ends are around 1.
    """
    xp = array_namespace(r)
    live = (log_q > -xp.inf) & (r > -xp.inf)
    best = groups.max(xp.where(live | xp.isnan(r), r, -xp.inf))
    gaps = r - groups.expand(xp.where(best == -xp.inf, 0.0, best))
    behind = live & (gaps < 0)
    narrowest = -groups.max(xp.where(behind, gaps, -xp.inf))
    widest = groups.max(xp.where(behind, -gaps, -xp.inf))
    unequal = widest > 0
    low, high = xp.where(unequal, narrowest, 1.0), xp.where(unequal, widest, 1.0)
    return gaps, low / _REACH, high * _REACH


def _largest_crossing(is_below: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return the largest point between two others at which a condition begins to hold.

    Going down from `high`; inf where it holds there, -inf where it nowhere does. The condition
    takes any leading axes and is asked for all points at once.
    """
    xp = array_namespace(low)
    width = float(xp.max(high - low)) if math.prod(low.shape) else 0.0
    n_decades = max(1, math.ceil(width / math.log(10)))
    step = (high - low) / (n_decades * _PER_DECADE)
    number = xp.arange(_PER_DECADE, dtype=low.dtype, device=device(low)) + 1.0
    number = xp.reshape(number, (_PER_DECADE,) + (1,) * low.ndim)
    n_before = xp.where(is_below(high), -xp.inf, xp.full_like(low, xp.inf))  # steps before it holds
    for decade in range(n_decades):
        if bool(xp.all(n_before < xp.inf)):
            break
        tried = number + float(decade * _PER_DECADE)
        first = xp.min(xp.where(is_below(high - step * tried), tried, xp.inf), axis=0)
        n_before = xp.where(n_before < xp.inf, n_before, first - 1.0)
    found = xp.isfinite(n_before)
    above = high - step * xp.where(found, n_before, 0.0)
    return xp.where(found, _halved(is_below, above - step, above), -n_before)


def _halved(is_below: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return where a condition begins to hold that holds at one point, and not above at another."""
    xp = array_namespace(low)
    for _ in range(_N_HALVINGS):
        middle = low + (high - low) / 2
        below = is_below(middle)
        low, high = xp.where(below, middle, low), xp.where(below, high, middle)
    return low
