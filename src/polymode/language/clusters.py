"""Modes by meaning: completions of a prompt whose embeddings lie close together are one mode."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from polymode.core import checks
from polymode.language.embedder import DEFAULT_EMBEDDER, Embedder
from polymode.language.rewards.texts import text_of
from polymode.metrics.classes import cosine_at_least, equivalence_classes


class ClusterModes:
    """A mode function for trainers that looks at a whole batch, as clusters need it.

    Within a prompt, completions come in the order of the batch; each joins the first earlier
    cluster whose first member has at least this cosine with it, or opens a new one (the greedy
    partition of NoveltyBench). The clusters of one batch know nothing of those of another.

    Parameters
    ----------
    cosine : float
        Least cosine of two completions with the same meaning, in [-1, 1]. 0.7 is the default of
        `polymode evaluate`; it is a choice, not a calibrated number.
    embed : callable or None
        From texts to unit vectors, shape (n, d); None loads all-MiniLM-L6-v2, see `Embedder`.

    Raises
    ------
    ArgumentError
        If `cosine` is not in [-1, 1].
    InputError
        If the embedder cannot be had.

    References
    ----------
    .. [1] Zhang et al., "NoveltyBench", 2025: the greedy partition, there by a trained classifier.
    """

    def __init__(
        self, cosine: float = 0.7, *, embed: Callable[[Sequence[str]], np.ndarray] | None = None
    ) -> None:
        checks.require(checks.within(-1, 1, cosine=cosine))
        self._same = cosine_at_least(cosine)
        self._embed = Embedder(DEFAULT_EMBEDDER).embed if embed is None else embed

    def __call__(self, prompt: Any, completion: Any) -> Hashable:
        """Refuse: one completion alone is in no cluster."""
        raise NotImplementedError("clusters need a whole batch: call of_batch")

    def of_batch(self, prompts: Sequence[Hashable], completions: Sequence[Any]) -> list[str]:
        """Return the cluster of each completion of a batch, named within its prompt.

        Parameters
        ----------
        prompts : sequence of n keys
            Which completions belong to one prompt.
        completions : sequence of n
            Texts, or lists of messages.
        """
        number = {key: i for i, key in enumerate(dict.fromkeys(prompts))}
        groups = np.asarray([number[key] for key in prompts])
        vectors = self._embed([text_of(each) for each in completions])
        classes = equivalence_classes(vectors, equivalent=self._same, groups=groups)
        return [f"cluster {each}" for each in np.asarray(classes).tolist()]
