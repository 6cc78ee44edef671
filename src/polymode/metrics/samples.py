r"""How many answers a policy has, told from samples: entropy, effective number, coverage.

Modes are the keys of `mode_function`: any hashable values, equal for the same answer; None marks a
sample without an answer, which is left out. Notation: ``n`` samples of a prompt that have an
answer, ``n_m`` of them of mode ``m``, ``f_1`` modes that came exactly once.
"""

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from polymode.core import checks
from polymode.metrics.members import check_groups, groups_of, per_group

__all__ = [
    "answer_coverage",
    "effective_modes",
    "mode_entropy",
    "n_modes",
    "sample_coverage",
]

_CORRECTIONS = ("none", "chao_shen")


def mode_entropy(
    modes: Sequence[Hashable | None], *, correction: str = "none", groups: Any = None
) -> Any:
    r"""Return the entropy of the distribution over modes that samples come from, in nats.

    .. math::

        H = - \sum_m \hat p_m \log \hat p_m, \qquad
        H_\text{CS} = - \sum_m \frac{C \hat p_m \log C \hat p_m}{1 - (1 - C \hat p_m)^n}, \qquad
        \hat p_m = n_m / n, \quad C = 1 - f_1 / n

    Parameters
    ----------
    modes : sequence of hashable or None, length m
        Mode of each sample; None where it has no answer.
    correction : {"none", "chao_shen"}
        ``none`` takes the frequencies for the probabilities. ``chao_shen`` makes up for modes that
        no sample has shown.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each sample; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Entropies in nats, prompts in ascending order of their label; NaN where no sample has an
        answer, and with `correction` where only one has. A number where `groups` is None.

    Raises
    ------
    ArgumentError
        If `correction` is not known, there is no sample, or labels are not one for each.

    See Also
    --------
    effective_modes : The same as a number of modes.
    sample_coverage : How much of the distribution the samples have shown.

    Notes
    -----
    Plug-in entropies are too small, by about ``(M - 1) / 2n`` nats for ``M`` modes: compare equal
    numbers of samples only. Chao–Shen removes most of that, at the price of more variance. Where
    every sample is a mode of its own, ``f_1`` counts as ``n - 1``, as in the R package entropy.

    References
    ----------
    .. [1] Chao and Shen, "Nonparametric Estimation of Shannon's Index of Diversity When There Are
       Unseen Species in Sample", Environmental and Ecological Statistics 10, 2003.

    Examples
    --------
    >>> modes = ["a", "a", "a", "b", None]
    >>> [float(mode_entropy(modes, correction=c).round(3)) for c in ("none", "chao_shen")]
    [0.562, 0.892]
    """
    checks.require(
        checks.known("correction", correction, _CORRECTIONS), check_groups(len(modes), groups)
    )
    found = _Counts.of(modes, groups)
    n = found.samples[found.prompt]
    p = found.counts / n
    if correction == "none":
        terms, enough = -p * np.log(p), found.samples > 0
    else:
        once = np.minimum(found.once, found.samples - 1)  # a coverage of 0 would leave nothing
        p = p * (1 - once / np.maximum(found.samples, 1))[found.prompt]
        with np.errstate(divide="ignore", invalid="ignore"):  # prompts with one answer
            terms, enough = -p * np.log(p) / -np.expm1(n * np.log1p(-p)), found.samples > 1
            terms = np.where(p == 1, 0.0, terms)
    total = np.bincount(found.prompt, weights=terms, minlength=found.samples.size)
    return per_group(np.where(enough, total, np.nan), groups)


def effective_modes(
    modes: Sequence[Hashable | None], *, correction: str = "none", groups: Any = None
) -> Any:
    r"""Return how many equally likely modes would be as diverse: the exponential of the entropy.

    Parameters
    ----------
    modes : sequence of hashable or None, length m
        Mode of each sample; None where it has no answer.
    correction : {"none", "chao_shen"}
        See `mode_entropy`.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each sample; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Numbers >= 1, prompts in ascending order of their label; NaN where `mode_entropy` is. A
        number where `groups` is None.

    Raises
    ------
    ArgumentError
        As `mode_entropy`.

    See Also
    --------
    effective_number : The same of a known distribution, and of other orders.

    References
    ----------
    .. [1] Hill, "Diversity and Evenness: A Unifying Notation and Its Consequences", Ecology 54,
       1973, eq. 3.

    Examples
    --------
    >>> float(effective_modes(["a", "a", "b", "b"]))
    2.0
    """
    return np.exp(mode_entropy(modes, correction=correction, groups=groups))


def n_modes(modes: Sequence[Hashable | None], *, groups: Any = None) -> Any:
    """Return how many distinct modes the samples of each prompt have.

    Parameters
    ----------
    modes : sequence of hashable or None, length m
        Mode of each sample; None where it has no answer.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each sample; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Numbers between 0 and the number of samples, prompts in ascending order of their label. A
        number where `groups` is None.

    Raises
    ------
    ArgumentError
        If there is no sample, or labels are not one for each.

    Examples
    --------
    >>> float(n_modes(["a", None, "a", "b"]))
    2.0
    """
    checks.require(check_groups(len(modes), groups))
    found = _Counts.of(modes, groups)
    return per_group(np.bincount(found.prompt, minlength=found.samples.size), groups)


def sample_coverage(modes: Sequence[Hashable | None], *, groups: Any = None) -> Any:
    r"""Return the estimated probability that the next sample shows a mode seen before.

    .. math:: C = 1 - f_1 / n

    Parameters
    ----------
    modes : sequence of hashable or None, length m
        Mode of each sample; None where it has no answer.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each sample; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Coverages in [0, 1], prompts in ascending order of their label; NaN where no sample has an
        answer. A number where `groups` is None. Low values say: draw more samples before you trust
        any number of modes.

    Raises
    ------
    ArgumentError
        If there is no sample, or labels are not one for each.

    Notes
    -----
    The estimator of Good and Turing. Its bias is at most ``1/n``.

    References
    ----------
    .. [1] Good, "The Population Frequencies of Species and the Estimation of Population
       Parameters", Biometrika 40, 1953.

    Examples
    --------
    >>> float(sample_coverage(["a", "a", "a", "b"]))
    0.75
    """
    checks.require(check_groups(len(modes), groups))
    found = _Counts.of(modes, groups)
    with np.errstate(invalid="ignore"):
        return per_group(1 - found.once / found.samples, groups)


def answer_coverage(modes: Sequence[Hashable | None], *, answers: Any, groups: Any = None) -> Any:
    """Return the share of the known good answers that the samples of each prompt have shown.

    Parameters
    ----------
    modes : sequence of hashable or None, length m
        Mode of each sample; None where it has no answer.
    answers : collection of hashable, or mapping from label to one
        All good answers. With `groups`, those of each prompt by its label.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each sample; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Shares in [0, 1], prompts in ascending order of their label; NaN where no answer is known. A
        number where `groups` is None.

    Raises
    ------
    ArgumentError
        If there is no sample, labels are not one for each, or with `groups` the answers are not a
        mapping that has every label.

    Examples
    --------
    >>> answer_coverage(["1", "6", "1", "seven"], answers=["1", "2", "3", "4", "5", "6"]).round(3)
    np.float64(0.333)
    """
    checks.require(check_groups(len(modes), groups), _answer_problems(answers, groups))
    labels = np.zeros(len(modes), dtype=int) if groups is None else np.asarray(groups)
    seen: dict[int, set[Hashable]] = {label: set() for label in np.unique(labels).tolist()}
    for label, mode in zip(labels.tolist(), modes, strict=True):
        seen[label].add(mode)
    known = {0: set(answers)} if groups is None else {key: set(answers[key]) for key in seen}
    return per_group(
        (
            len(own & known[label]) / len(known[label]) if known[label] else np.nan
            for label, own in seen.items()
        ),
        groups,
    )


class _Counts(NamedTuple):
    """How often each mode of each prompt came."""

    counts: Integer[np.ndarray, " cells"]
    """Of each mode within a prompt."""
    prompt: Integer[np.ndarray, " cells"]
    """The prompt of each of them."""
    samples: Integer[np.ndarray, " g"]
    """How many samples of each prompt have an answer."""
    once: Float[np.ndarray, " g"]
    """How many modes of each prompt came exactly once."""

    @classmethod
    def of(cls, modes: Sequence[Hashable | None], groups: Any) -> "_Counts":
        """Count the modes of each prompt."""
        own = groups_of(len(modes), groups)
        keep = np.asarray([mode is not None for mode in modes], dtype=bool)
        numbers: dict[Hashable, int] = {}
        mode = np.asarray([numbers.setdefault(m, len(numbers)) for m in modes if m is not None])
        prompt = np.asarray(own.index)[keep]
        n_numbers = max(1, len(numbers))
        cell, counts = np.unique(
            prompt.astype(np.int64) * n_numbers + mode.astype(np.int64), return_counts=True
        )
        prompt = cell // n_numbers
        samples = np.bincount(prompt, weights=counts, minlength=own.n_groups).astype(np.int64)
        once = np.bincount(prompt, weights=counts == 1, minlength=own.n_groups)
        return cls(counts, prompt, samples, once)


def _answer_problems(answers: Any, groups: Any) -> Iterator[str]:
    """Check that there are answers for each prompt."""
    if groups is None:
        if isinstance(answers, str | Mapping) or not isinstance(answers, Collection):
            yield f"answers must be a collection of modes, got {answers!r}"
    elif not isinstance(answers, Mapping):
        yield f"answers must be a mapping from label to answers, got {answers!r}"
    elif missing := [key for key in np.unique(np.asarray(groups)).tolist() if key not in answers]:
        yield f"answers must have every label of groups, {missing[0]!r} is missing"
