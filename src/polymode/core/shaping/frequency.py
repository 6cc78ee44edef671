"""Shapers that count: how many samples of a group are correct, or share a mode.

Notation: ``p`` policy, ``q`` reference, ``t`` optimum under reverse KL of strength ``beta``. A
frequency in a group stands for the policy's own probability of the mode, so an implied optimum is
that of large groups. Shaped rewards are constants in the policy gradient.
"""

from collections.abc import Iterator
from typing import Any

from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, device, widen
from polymode.core.shaping.columns import Batch, read

__all__ = ["dra", "gapo", "inverse_probability", "pass_at_k", "uniqueness"]

_CREDITS = ("sample", "group")


def inverse_probability(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any,
    floor: float = 1e-6,
) -> Float[Array, "*batch n"]:
    r"""Return rewards divided by the frequency of the sample's mode in its group.

    .. math:: r'_i = \frac{r_i}{\max(\hat f_i, \varepsilon)}, \qquad
        \hat f_i = \frac{n(\text{mode}_i)}{N}

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards`, `groups`, and `modes`, which it needs.
    floor : float
        The smallest frequency that is divided by, without unit, > 0; acts only where it is larger
        than ``1/N``.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units; up to ``N`` times as large.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    Notes
    -----
    Implied optimum without a KL, for rewards >= 0: modes in proportion to their rewards,
    ``t(mode) ∝ r(mode)``. Wrong modes with a reward of 0 die out; with a negative reward they are
    punished the more, the rarer they are. Under reverse KL of strength `beta` the optimum solves
    ``r/t - beta log(t/q) = const``: it lies between that and `q`. Nothing tells the outputs of a
    mode apart.

    References
    ----------
    .. [1] Sinha, Elango and Liu, "Expected Return Causes Outcome-Level Mode Collapse in
       Reinforcement Learning and How to Fix It with Inverse Probability Scaling", 2026, arXiv
       2601.21669 (IPS-GRPO).

    Examples
    --------
    >>> inverse_probability([1, 1, 1, 0], [0.0] * 4, modes=["a", "a", "b", "c"])
    array([2., 2., 4., 0.])
    """
    batch = read(
        rewards,
        ref_log_probs,
        checks.positive(floor=floor),
        needs=("modes",),
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    where = array_namespace(batch.r).where
    frequency = _mode_sizes(batch) / _group_sizes(batch)
    return batch.narrow(batch.r / where(frequency < floor, floor, frequency))


def uniqueness(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any,
    exponent: float = 1.0,
) -> Float[Array, "*batch n"]:
    r"""Return rewards divided by a power of the size of the sample's cluster.

    .. math:: r'_i = \frac{r_i}{n(\text{mode}_i)^\alpha}

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards`, `groups`, and `modes`, the clusters,
        which it needs.
    exponent : float
        The power :math:`\alpha`, without unit, >= 0; 0 changes nothing.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    See Also
    --------
    inverse_probability : With an exponent of 1 the same but for a factor N.

    Notes
    -----
    The paper divides advantages, and has a judge cluster the samples by strategy. Implied optimum
    without a KL, for rewards >= 0 and an exponent > 0: ``t(mode) ∝ r(mode)^(1/alpha)``. As the
    sizes are counts, the same exponent weighs rewards against a KL less in larger groups.

    References
    ----------
    .. [1] Hu et al., "Rewarding the Rare: Uniqueness-Aware RL for Creative Problem Solving in
       LLMs", 2026, arXiv 2601.08763.

    Examples
    --------
    >>> uniqueness([1, 1, 1, 0], [0.0] * 4, modes=["a", "a", "b", "c"])
    array([0.5, 0.5, 1. , 0. ])
    """
    batch = read(
        rewards,
        ref_log_probs,
        checks.non_negative(exponent=exponent),
        needs=("modes",),
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    return batch.narrow(batch.r / _mode_sizes(batch) ** exponent)


def dra(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
    similarity: Any = None,
) -> Float[Array, "*batch n"]:
    r"""Return rewards divided by how much of the same is in the group.

    .. math:: r'_i = \frac{r_i}{1 + \sum_{j \ne i} s_{ij}}

    The sum runs over the other scored samples of the group.

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards`, `groups` and, without a `similarity`,
        `modes`.
    similarity : array, shape (..., n, n), or None
        How alike two samples are, in [0, 1], such as the cosine of their embeddings. Entries on
        the diagonal, and between groups, are not read. None takes 1 within a mode and 0 else.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units.

    Raises
    ------
    ShapeError
        As `shape` does, or if `similarity` does not have an entry for every two samples.
    ArgumentError
        As `shape` does, or if neither `similarity` nor `modes` is given.

    See Also
    --------
    uniqueness : The same where the similarity is that of modes, with an exponent of 1.

    Notes
    -----
    Similarities below 0 can turn the sign of a reward round: clip them. Implied optimum with modes
    and without a KL: that of `inverse_probability` in large groups; with a general similarity the
    stationary policies satisfy ``r_i = c (p s)_i`` on their support. Cost O(n^2) with a
    `similarity`, else O(n).

    References
    ----------
    .. [1] Chen et al., "DRA-GRPO: Your GRPO Needs to Know Diverse Reasoning Paths for Mathematical
       Reasoning", 2025, arXiv 2505.09655 (the adjusted reward, graph-cut mutual information).

    Examples
    --------
    >>> dra([1, 1, 1], [0.0] * 3, similarity=[[1, 1, 0.25], [1, 1, 0], [0.25, 0, 1]])
    array([0.44444444, 0.5       , 0.8       ])
    """
    batch = read(
        rewards,
        ref_log_probs,
        _similarity_problems(rewards, similarity, modes),
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    if similarity is None:
        return batch.narrow(batch.r / _mode_sizes(batch))
    return batch.narrow(batch.r / (1.0 + _similar_others(batch, as_array(similarity))))


def pass_at_k(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
    threshold: Any,
    k: int,
    credit: str = "sample",
    standardise: bool = True,
) -> Float[Array, "*batch n"]:
    r"""Return what each sample adds to the chance that one of `k` samples is correct.

    .. math::

        \bar R = 1 - \binom{N_-}{k} \Big/ \binom{N}{k}, \qquad
        A_{\text{right}} = \frac{1 - \bar R}{s}, \qquad
        A_{\text{wrong}} = \frac{1}{s}
        \left( 1 - \bar R - \binom{N_- - 1}{k - 1} \Big/ \binom{N - 1}{k - 1} \right)

    with :math:`N_-` wrong samples among the group's :math:`N`, and
    :math:`s = \sqrt{\bar R (1 - \bar R)}`. These are the average advantages over all subsets of
    size `k`.

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards` and `groups`.
    threshold : float, array that broadcasts to `rewards`, or callable
        Samples with ``r >= threshold`` are correct; in reward units, see `anchor`.
    k : int
        Number of attempts, >= 1.
    credit : {"sample", "group"}
        The advantages above, or :math:`\bar R` itself for every sample of the group.
    standardise : bool
        Whether to divide by `s`, as the paper does; for ``credit="sample"`` only.

    Returns
    -------
    array, shape (..., n)
        Advantages, which sum to 0 over each group, or probabilities in [0, 1]; without unit. NaN
        in groups with fewer than `k` scored samples. 0 where all samples of a group are correct,
        or all wrong, and advantages are asked for.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    Notes
    -----
    Exact averages. As the sample itself is in the baseline :math:`\bar R`, the mean over a group
    of ``A s grad log p`` is unbiased for ``(1/k - 1/N)`` times the gradient of pass@k: groups of
    `k` samples learn nothing. Beside a KL use ``standardise=False``: division by `s` makes the
    strength of the KL depend on the group. Then the implied optimum, with ``P`` the chance of a
    correct sample and ``Q`` that under the reference, keeps the reference's proportions among
    correct outputs, whatever `k`, and solves
    ``logit P = logit Q + (1 - k/N) (1 - P)^(k - 1) / beta``: pass@k training stops early, it does
    not spread. Cost O(n k).

    References
    ----------
    .. [1] "Pass@k Training for Adaptively Balancing Exploration and Exploitation of Large Reasoning
       Models", 2025, arXiv 2508.10751 (analytical derivation of the advantages).

    Examples
    --------
    >>> pass_at_k([1, 0, 0, 0], [0.0] * 4, threshold=1, k=2, standardise=False).round(4)
    array([ 0.5   , -0.1667, -0.1667, -0.1667])
    >>> pass_at_k([1, 0, 0, 0], [0.0] * 4, threshold=1, k=2, credit="group")
    array([0.5, 0.5, 0.5, 0.5])
    """
    batch = read(
        rewards,
        ref_log_probs,
        checks.whole(k=k),
        checks.known("credit", credit, _CREDITS),
        threshold=threshold,
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    passes, with_wrong = _pass_rates(batch, k)
    xp = array_namespace(batch.r)
    shaped = passes
    if credit == "sample":
        shaped = xp.where(batch.good, 1.0, with_wrong) - passes  # 0 where `passes` is 0 or 1
        if standardise:
            shaped = shaped / _one_where_zero(xp.sqrt(passes * (1.0 - passes)))
    return batch.narrow(xp.where(batch.scored, shaped, xp.nan))


def gapo(
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any,
    threshold: Any,
    n_options: int | None = None,
    invalid: float | None = None,
) -> Float[Array, "*batch n"]:
    r"""Return rewards of valid samples by how far their option is below its fair share.

    .. math:: r'_i = 1 - \left( \hat f_i - \frac{1}{L} \right) \qquad \text{where } r_i \ge \tau

    with :math:`\hat f_i` the frequency of the sample's option among the group's valid samples.

    Parameters
    ----------
    rewards, ref_log_probs, log_probs, groups, lengths, modes : arrays
        The columns of a batch, see `shape`. Reads `rewards`, `groups`, and `modes`, the options,
        which it needs.
    threshold : float, array that broadcasts to `rewards`, or callable
        Samples with ``r >= threshold`` are valid; in reward units, see `anchor`.
    n_options : int or None
        Number of valid options, `L`, >= 1. None counts those that occur in the group.
    invalid : float or None
        What the other samples get, in reward units, finite; the paper's is -1. None leaves them
        theirs.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units: between 1/L and 1 + 1/L for valid samples.

    Raises
    ------
    ShapeError, ArgumentError
        As `shape` does.

    Notes
    -----
    Implied optimum without a KL: the uniform policy over the options, where all of them get the
    same; it attracts. Under reverse KL of strength `beta` the shares ``g = t / P`` of the options,
    with ``P`` the chance of a valid sample, solve ``g + beta log(g/q) = const``. With Lambert's W
    that is ``g = beta W(q exp(c / beta) / beta)``, and `c` makes them sum to 1: between `q` and
    uniform, whatever becomes of the others. Those keep their optimum ``t ∝ q exp(r'/beta)``, and
    ``logit P = (1 + 1/L - c)/beta - log sum q exp(r'/beta)``, summed over them. An option that
    never occurs is not found, and nothing tells the outputs of an option apart.

    The formula also circulates with the absolute value of the difference. An option below its fair
    share then *loses* reward, and two options always get the same, so that nothing pushes between
    them: not what a reward for diversity can mean. The paper's text was not at hand.

    References
    ----------
    .. [1] Anschel et al., "Group-Aware Reinforcement Learning for Output Diversity in Large
       Language Models", EMNLP 2025, arXiv 2511.12596 (the frequency-aware reward).

    Examples
    --------
    >>> rewards, modes = [1, 1, 1, 1, 0], ["a", "a", "a", "b", "?"]
    >>> gapo(rewards, [0.0] * 5, modes=modes, threshold=1, n_options=4, invalid=-1)
    array([ 0.5,  0.5,  0.5,  1. , -1. ])
    """
    batch = read(
        rewards,
        ref_log_probs,
        () if n_options is None else checks.whole(n_options=n_options),
        () if invalid is None else checks.finite(invalid=invalid),
        needs=("modes",),
        threshold=threshold,
        log_probs=log_probs,
        groups=groups,
        lengths=lengths,
        modes=modes,
    )
    xp = array_namespace(batch.r)
    valid = batch._replace(scored=batch.good)
    size = _mode_sizes(valid)
    # Each valid option adds 1 in all: a share of 1/size from each of its valid samples.
    seen = batch.groups.expand(batch.groups.sum(xp.where(batch.good, 1.0 / size, 0.0)))
    options = _one_where_zero(xp.round(seen)) if n_options is None else n_options
    shaped = 1.0 - (size / _group_sizes(valid) - 1.0 / options)
    others = batch.r if invalid is None else xp.where(batch.scored, float(invalid), batch.r)
    return batch.narrow(xp.where(batch.good, shaped, others))


def _group_sizes(batch: Batch) -> Array:
    """Return the number of scored samples in each sample's group, at least 1."""
    return _one_where_zero(batch.groups.expand(_count(batch, batch.scored, batch.groups)))


def _mode_sizes(batch: Batch) -> Array:
    """Return the number of scored samples in each sample's mode, at least 1."""
    return _one_where_zero(batch.modes.expand(_count(batch, batch.scored, batch.modes)))


def _count(batch: Batch, mask: Array, groups: Any) -> Array:
    """Return the number of True entries in each group, as wide floats."""
    return array_namespace(mask).astype(groups.count(mask), batch.r.dtype)


def _one_where_zero(x: Array) -> Array:
    """Return a divisor with 1 in place of 0."""
    return array_namespace(x).where(x == 0.0, 1.0, x)


def _pass_rates(batch: Batch, k: int) -> tuple[Array, Array]:
    """Return pass@k of each sample's group, and of its subsets that hold a given wrong sample.

    Both are 1 minus a ratio of binomials, ``prod_j (N_- - j) / (N - j)``; the second is without
    its first factor, which is ``N_- / N``. Groups of fewer than k samples give NaN.
    """
    xp = array_namespace(batch.r)
    groups = batch.groups
    n = _count(batch, batch.scored, groups)
    n_wrong = n - _count(batch, batch.good, groups)
    rest = xp.ones_like(n)
    for j in range(1, k):
        left = xp.where(n_wrong > j, n_wrong - j, 0.0)
        rest = rest * left / xp.where(n > j, n - j, xp.nan)
    fails = rest * n_wrong / xp.where(n > 0.0, n, xp.nan)
    return groups.expand(1.0 - fails), groups.expand(1.0 - rest)


def _similarity_problems(rewards: Any, similarity: Any, modes: Any) -> Iterator[str]:
    """Check the similarity of `dra`, or that there are modes to take it from."""
    if similarity is None:
        if modes is None:
            yield "similarity or modes must be given, got None for both"
        return
    similarity, rewards = as_array(similarity), as_array(rewards)
    yield from checks.real_arrays(similarity=similarity)
    yield from checks.pairs_of(rewards, similarity=similarity)


def _similar_others(batch: Batch, similarity: Array) -> Array:
    """Return the sum of each sample's similarities to the other scored ones of its group."""
    xp = array_namespace(batch.r)
    (similarity,), _ = widen(similarity)
    index = batch.groups.index
    positions = xp.arange(index.shape[0], device=device(batch.r))
    pair = (index[:, None] == index) & (positions[:, None] != positions)
    pair = pair & batch.scored[..., None, :]
    return xp.sum(xp.where(pair, similarity, 0.0), axis=-1)
