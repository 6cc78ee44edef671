r"""Quality and diversity of each prompt.

Notation: n samples of a prompt, of which c are good (reward at or above the threshold) and n_m have
mode m.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from polymode.core import checks
from polymode.core.groups import Groups
from polymode.diagnostics.rarefaction import rarefied_entropy
from polymode.diagnostics.records import Exact, Samples
from polymode.metrics.best_of import pass_at_k

__all__ = ["FIGURES", "Figure", "PromptFigures", "exact_figures", "n_answered", "prompt_figures"]


@dataclass(frozen=True)
class Figure:
    """What one figure is called and how it is read.

    Parameters
    ----------
    label : str
        Its name in tables.
    unit : str
        Its unit, empty for a pure number.
    high_is_good : bool or None
        Whether more of it is better; None where neither is.
    largest : float
        The largest value that it can have.
    """

    label: str
    unit: str
    high_is_good: bool | None
    largest: float = math.inf


FIGURES: Mapping[str, Figure] = {
    "reward": Figure("mean reward", "reward units", True),
    "pass_1": Figure("pass@1", "", True, 1.0),
    "pass_k": Figure("pass@k", "", True, 1.0),
    "effective_modes": Figure("effective modes", "modes per prompt", True),
    "effective_good_modes": Figure("good modes", "modes per prompt", True),
    "entropy": Figure("entropy over modes", "nats", True),
    "kl": Figure("kl(p, q)", "nats", None),
}
"""Every figure of a comparison: name -> how it is read."""


@dataclass(frozen=True, eq=False)
class PromptFigures:
    """Figures of each prompt.

    Parameters
    ----------
    keys : tuple of str
        The P prompts.
    n_samples : array of int, shape (P,)
        Samples of each; 0 where the figures are exact.
    values : array, shape (P, number of FIGURES)
        The figures, columns as in `FIGURES`; NaN where there is none.
    """

    keys: tuple[str, ...]
    n_samples: Integer[Any, " P"]
    values: Float[Any, "P F"]

    def column(self, name: str) -> Float[Any, " P"]:
        """Return one figure of each prompt.

        Parameters
        ----------
        name : str
            One of `FIGURES`.

        Returns
        -------
        array, shape (P,)
            Its values.
        """
        return self.values[:, list(FIGURES).index(name)]


def prompt_figures(
    samples: Samples, *, threshold: float, k: int, draws: Mapping[str, Any] | None = None
) -> PromptFigures:
    r"""Return quality and diversity of each prompt from its samples.

    .. math::

        \text{pass@}k = 1 - \binom{n - c}{k} \Big/ \binom{n}{k}, \qquad
        N_1 = \exp\Big(- \textstyle\sum_m \frac{n_m}{n} \log \frac{n_m}{n}\Big)

    Parameters
    ----------
    samples : Samples
        All samples of the prompts.
    threshold : float
        Rewards at or above it are good; in reward units.
    k : int
        Number of samples of which one has to be good.
    draws : mapping from "all" and "good" to array of int, shape (P,), or None
        Number of samples, with a mode and also good, on which diversity is expressed: its
        expectation over subsamples of this size. None takes all.

    Returns
    -------
    PromptFigures
        Of each prompt. Samples without a mode count for quality only; a prompt without any mode
        has 0 effective modes and no entropy. pass@k is NaN where a prompt has fewer than k
        samples, kl where a log-probability is missing.

    Raises
    ------
    ArgumentError
        If the threshold is not finite or `k` is not a whole number >= 1.

    Notes
    -----
    pass@k is unbiased. Entropy and effective modes are those of the empirical distribution, which
    are too small on average, the more so the fewer the samples: compare runs at equal `draws`.

    References
    ----------
    .. [1] Chen et al., "Evaluating Large Language Models Trained on Code", arXiv 2107.03374, eq. 1.
    .. [2] Chao et al., "Rarefaction and Extrapolation with Hill Numbers", Ecological Monographs 84,
       2014, eq. 3: subsamples.
    """
    checks.require(checks.finite(threshold=threshold), checks.whole(k=k))
    groups = Groups(samples.index, len(samples.keys))
    n = groups.count(np.ones(len(samples.rewards), dtype=bool))
    good = samples.rewards >= threshold
    found = {
        "reward": groups.sum(samples.rewards) / n,
        "pass_1": groups.count(good) / n,
        "pass_k": pass_at_k(groups.count(good), n, k=k),
        "kl": groups.sum(samples.log_ratios) / n,
    }
    has_mode = np.asarray([mode is not None for mode in samples.modes])
    keys = np.asarray([mode or "" for mode in samples.modes], dtype=object)
    sizes = draws or {"all": None, "good": None}
    for name, mask, size in (
        ("effective_modes", has_mode, sizes["all"]),
        ("effective_good_modes", has_mode & good, sizes["good"]),
    ):
        entropy = rarefied_entropy(groups, keys, mask, draws=size)
        found[name] = np.where(np.isnan(entropy), 0.0, np.exp(entropy))
        found.setdefault("entropy", entropy)
    return PromptFigures(samples.keys, n, np.stack([found[name] for name in FIGURES], axis=1))


def n_answered(samples: Samples, *, threshold: float) -> dict[str, Integer[Any, " P"]]:
    """Return how many samples of each prompt have a mode, and how many of those are good.

    Parameters
    ----------
    samples : Samples
        All samples of the prompts.
    threshold : float
        Rewards at or above it are good.

    Returns
    -------
    dict
        Under "all" and "good", an array with one number for each prompt.
    """
    groups = Groups(samples.index, len(samples.keys))
    has_mode = np.asarray([mode is not None for mode in samples.modes])
    good = has_mode & (samples.rewards >= threshold)
    return {"all": groups.count(has_mode), "good": groups.count(good)}


def exact_figures(exact: Exact, *, threshold: float, k: int) -> PromptFigures:
    r"""Return the figures of a known distribution over answers, each of which has reward 1.

    .. math:: \text{pass@}k = 1 - (1 - p)^k

    Parameters
    ----------
    exact : Exact
        The distribution.
    threshold : float
        Answers are good if 1 reaches it; everything is, if 0 does.
    k : int
        Number of samples of which one has to be good.

    Returns
    -------
    PromptFigures
        Of one prompt, from 0 samples.

    Raises
    ------
    ArgumentError
        If the threshold is not finite or `k` is not a whole number >= 1.
    """
    checks.require(checks.finite(threshold=threshold), checks.whole(k=k))
    p = np.asarray(exact.probabilities)
    valid = float(p.sum())
    share = p[p > 0] / valid if valid > 0 else np.full(1, np.nan)
    entropy = float(-(share * np.log(share)).sum())
    modes = math.exp(entropy) if valid > 0 else 0.0
    good = 1.0 if threshold <= 0 else valid if threshold <= 1 else 0.0
    found = {
        "reward": valid,
        "pass_1": good,
        "pass_k": 1 - (1 - min(good, 1.0)) ** k,
        "effective_modes": modes,
        "effective_good_modes": modes if threshold <= 1 else 0.0,
        "entropy": entropy,
        "kl": math.nan,
    }
    row = np.asarray([[found[name] for name in FIGURES]])
    return PromptFigures((exact.key,), np.zeros(1, dtype=int), row)
