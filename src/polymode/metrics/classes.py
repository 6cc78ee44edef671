"""How many different answers there are, where a relation tells which ones are the same."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer

from polymode.core import checks
from polymode.metrics.members import check_groups, groups_of, per_group, positions

__all__ = ["cosine_at_least", "equivalence_classes", "n_classes"]


def equivalence_classes(
    items: Sequence[Any], *, equivalent: Callable[[Any, Any], bool], groups: Any = None
) -> Integer[np.ndarray, " m"]:
    """Return the class of each generation: the first earlier class that it is equivalent to.

    Parameters
    ----------
    items : sequence, length m
        Texts, rows of embeddings, or whatever `equivalent` compares, in the order of generation.
    equivalent : callable
        From two items to whether they are the same answer to a user. `cosine_at_least` makes one
        for embeddings.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each item; None puts all into one. Items of two prompts are never compared.

    Returns
    -------
    array of int, shape (m,)
        Numbers from 0 within each prompt, in the order in which the classes appear.

    Raises
    ------
    ArgumentError
        If there is no item, or labels are not one for each.

    Notes
    -----
    The greedy partition of NoveltyBench: an item is compared with the first member of each class
    and joins the first that fits. There, a fine-tuned classifier of pairs decides; here it is what
    you pass, so numbers compare with those of the benchmark only if you pass its classifier. A
    relation that is not transitive, such as a threshold, makes the classes depend on the order.

    References
    ----------
    .. [1] Zhang et al., "NoveltyBench: Evaluating Language Models for Humanlike Diversity", 2025,
       arXiv 2504.05228.

    Examples
    --------
    >>> equivalence_classes(["Ann", "ann", "Bob"], equivalent=lambda a, b: a.lower() == b.lower())
    array([0, 0, 1])
    """
    checks.require(check_groups(len(items), groups))
    classes = np.empty(len(items), dtype=np.int64)
    for own in positions(groups_of(len(items), groups)):
        firsts: list[Any] = []
        for i in own.tolist():
            found = (c for c, first in enumerate(firsts) if equivalent(first, items[i]))
            classes[i] = next(found, len(firsts))
            if classes[i] == len(firsts):
                firsts.append(items[i])
    return classes


def n_classes(
    items: Sequence[Any], *, equivalent: Callable[[Any, Any], bool], groups: Any = None
) -> Any:
    """Return how many different answers each prompt got: "distinct" in NoveltyBench.

    Parameters
    ----------
    items : sequence, length m
        Generations in their order, as in `equivalence_classes`.
    equivalent : callable
        From two items to whether they are the same answer.
    groups : array or sequence of int, shape (m,), or None
        Prompt of each item; None puts all into one.

    Returns
    -------
    array, shape (g,), or float
        Numbers between 1 and the number of items, prompts in ascending order of their label. A
        number where `groups` is None.

    Raises
    ------
    ArgumentError
        If there is no item, or labels are not one for each.

    See Also
    --------
    equivalence_classes : Which ones they are, and how they are found.

    References
    ----------
    .. [1] Zhang et al., "NoveltyBench: Evaluating Language Models for Humanlike Diversity", 2025,
       arXiv 2504.05228.

    Examples
    --------
    >>> float(n_classes([1, 5, 2, 9], equivalent=lambda a, b: abs(a - b) < 3))
    3.0
    """
    classes = equivalence_classes(items, equivalent=equivalent, groups=groups)
    return per_group(groups_of(len(items), groups).max(classes) + 1, groups)


def cosine_at_least(threshold: float) -> Callable[[Any, Any], bool]:
    """Return an equivalence of embeddings: their cosine is at least a threshold.

    Parameters
    ----------
    threshold : float
        In [-1, 1].

    Returns
    -------
    callable
        From two vectors to a bool; False where one of them is 0.

    Raises
    ------
    ArgumentError
        If the threshold is not in [-1, 1].

    Examples
    --------
    >>> alike = cosine_at_least(0.7)
    >>> alike([1, 0], [1, 0.9]), alike([1, 0], [1, 1.1])
    (True, False)
    """
    checks.require(checks.within(-1, 1, threshold=threshold))

    def equivalent(a: Any, b: Any) -> bool:
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        return lengths > 0 and bool(np.dot(a, b) >= (threshold - 1e-12) * lengths)

    return equivalent
