"""How much a prompt's completions repeat each other, in words.

Completions are texts, which are split at white space, or sequences of tokens of your own. All
metrics are for the completions of one prompt together, so that answers which differ only from
prompt to prompt do not count as diverse.
"""

from collections.abc import Hashable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from polymode.core import checks
from polymode.errors import MissingExtraError
from polymode.metrics.members import check_groups, groups_of, per_group, positions

__all__ = ["distinct_n", "expectation_adjusted_distinct", "self_bleu"]

Completion = str | Sequence[Hashable]


def distinct_n(completions: Sequence[Completion], *, n: int, groups: Any = None) -> Any:
    r"""Return the share of distinct n-grams among all n-grams of each prompt's completions.

    .. math:: \text{distinct-}n = N / C

    Parameters
    ----------
    completions : sequence of str, or of sequences of tokens, length m
        The completions; texts are split at white space.
    n : int
        Length of an n-gram, >= 1.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each completion; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        ``N`` distinct n-grams over ``C`` n-grams, in (0, 1], prompts in ascending order of their
        label; NaN where no completion has `n` tokens. A number where `groups` is None.

    Raises
    ------
    ArgumentError
        If `n` is not an integer >= 1, or there is no completion.

    See Also
    --------
    expectation_adjusted_distinct : The same, comparable between lengths.

    Notes
    -----
    Falls as completions get longer or more, whatever the model: compare equal lengths only.

    References
    ----------
    .. [1] Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models",
       NAACL 2016, arXiv 1510.03055.

    Examples
    --------
    >>> float(distinct_n(["a b", "a c"], n=1))
    0.75
    """
    checks.require(checks.whole(n=n), check_groups(len(completions), groups))
    return per_group(
        (
            distinct / total if total else np.nan
            for ((distinct, total),) in _counted(completions, [n], groups)
        ),
        groups,
    )


def expectation_adjusted_distinct(
    completions: Sequence[Completion],
    *,
    vocabulary_size: int = 50257,
    orders: Sequence[int] = (1, 2, 3, 4, 5),
    groups: Any = None,
) -> Any:
    r"""Return the distinct n-grams over how many a random text would have, averaged over lengths.

    .. math::

        \text{EAD}_n = N \Big/ V \Big( 1 - \Big(\frac{V - 1}{V}\Big)^C \Big)

    Parameters
    ----------
    completions : sequence of str, or of sequences of tokens, length m
        The completions; texts are split at white space.
    vocabulary_size : int
        ``V``, >= 1. The default is GPT-2's, as in [2]_: what is compared must have the same.
    orders : sequence of int
        The lengths ``n`` of n-grams, each >= 1.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each completion; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Means over the orders, with ``N`` distinct n-grams among ``C``; > 0, near 1 where nothing
        repeats, at most ``C/V (1 - (1 - 1/V)^C)^-1``, which is a little more. Prompts in ascending
        order of their label; NaN without a token. A number where `groups` is None.

    Raises
    ------
    ArgumentError
        If `vocabulary_size` or an order is not an integer >= 1, there is no order, or no
        completion. Lists everything that is wrong.

    See Also
    --------
    distinct_n : Without the adjustment.

    Notes
    -----
    Orders of which no completion of a prompt has an n-gram are left out of its mean; the code of
    [2]_ counts them as 0, so short answers differ. The adjustment is exact for tokens drawn
    uniformly; real text still loses a little with length.

    References
    ----------
    .. [1] Liu et al., "Rethinking and Refining the Distinct Metric", ACL 2022, arXiv 2202.13587.
    .. [2] Kirk et al., "Understanding the Effects of RLHF on LLM Generalisation and Diversity",
       ICLR 2024, arXiv 2310.06452: per-input diversity, orders 1 to 5.

    Examples
    --------
    Three words, two of them distinct, of two: 2 / (2 (1 - (1/2)^3)) = 8/7.

    >>> float(expectation_adjusted_distinct(["a b a"], vocabulary_size=2, orders=[1]).round(3))
    1.143
    """
    checks.require(
        checks.whole(vocabulary_size=vocabulary_size),
        () if orders else ["orders must have at least one number, got none"],
        *(checks.whole(orders=n) for n in orders),
        check_groups(len(completions), groups),
    )
    counts = np.asarray(list(_counted(completions, orders, groups)), dtype=np.float64)
    distinct, total = counts[..., 0], counts[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):  # V = 1; no n-gram of an order
        log_missed = np.where(total > 0, total * np.log1p(-1.0 / vocabulary_size), 0.0)
        each = distinct / (vocabulary_size * -np.expm1(log_missed))
        there = total > 0
        means = np.sum(each, axis=-1, where=there) / np.sum(there, axis=-1)
    return per_group(means, groups)


def self_bleu(texts: Sequence[str], *, groups: Any = None) -> Any:
    """Return how well each completion is told by the others of its prompt: the mean BLEU.

    Parameters
    ----------
    texts : sequence of str, length m
        The completions.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each completion; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Means over a prompt's completions of the BLEU of one against all others as references, in
        [0, 1]: 1 where all are equal, near 0 where they share no words. Prompts in ascending order
        of their label; NaN for a single completion. A number where `groups` is None.

    Raises
    ------
    ArgumentError
        If a completion is no string, or there is none.
    MissingExtraError
        If sacrebleu is not installed.

    Notes
    -----
    Sentence BLEU-4 of sacrebleu: its tokenizer 13a, exponential smoothing, effective order, so that
    short texts are not 0. Cost grows with the square of the completions of a prompt.

    References
    ----------
    .. [1] Zhu et al., "Texygen: A Benchmarking Platform for Text Generation Models", SIGIR 2018,
       arXiv 1802.01886.
    .. [2] Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018, arXiv 1804.08771.

    Examples
    --------
    >>> float(self_bleu(["one of them", "one of them"]).round(3))
    1.0
    """
    checks.require(_text_problems(texts), check_groups(len(texts), groups))
    try:
        from sacrebleu.metrics import BLEU
    except ModuleNotFoundError as error:
        raise MissingExtraError("sacrebleu", "language") from error
    score = BLEU(effective_order=True).sentence_score

    def mean(own: list[Any]) -> float:
        if len(own) < 2:
            return np.nan
        each = (score(text, own[:i] + own[i + 1 :]).score for i, text in enumerate(own))
        return min(1.0, float(np.mean(list(each))) / 100)  # sacrebleu rounds up a little

    return per_group(
        (mean([texts[i] for i in own]) for own in positions(groups_of(len(texts), groups))), groups
    )


def _counted(
    completions: Sequence[Completion], orders: Sequence[int], groups: Any
) -> Iterator[list[tuple[int, int]]]:
    """Yield, for each prompt, the numbers of distinct n-grams and of n-grams of each order."""
    tokens = [text.split() if isinstance(text, str) else text for text in completions]
    for own in positions(groups_of(len(tokens), groups)):
        yield [_ngrams([tokens[i] for i in own], n) for n in orders]


def _ngrams(tokens: Sequence[Sequence[Hashable]], n: int) -> tuple[int, int]:
    """Return the numbers of distinct n-grams and of n-grams of several sequences."""
    found = chain.from_iterable(zip(*(t[i:] for i in range(n)), strict=False) for t in tokens)
    return len(set(found)), sum(max(0, len(t) - n + 1) for t in tokens)


def _text_problems(texts: Sequence[Any]) -> Iterator[str]:
    """Check that all are strings."""
    if wrong := [text for text in texts if not isinstance(text, str)]:
        yield f"texts must be strings, got {wrong[0]!r}"
