"""Every metric of an evaluation, for each prompt of a task, with how sure it is."""

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from polymode.errors import TooFewSamplesWarning
from polymode.language.evaluation_settings import EvaluationSettings
from polymode.metrics import (
    Estimate,
    answer_coverage,
    bootstrap_mean,
    cosine_at_least,
    distinct_n,
    effective_modes,
    expectation_adjusted_distinct,
    jackknife,
    max_at_k,
    mode_entropy,
    n_classes,
    n_modes,
    pass_at_k,
    sample_coverage,
    self_bleu,
    semantic_diversity,
    vendi_score,
)

Resampled = Literal["prompts", "samples"]
RANGES: Mapping[str, tuple[float, float]] = {
    "reward": (-np.inf, np.inf),
    "pass_at": (0, 1),
    "max_at": (-np.inf, np.inf),
    "frac_finished": (0, 1),
    "n_tokens": (0, np.inf),
    "log_prob": (-np.inf, 0),
    "frac_with_mode": (0, 1),
    "n_modes": (0, np.inf),
    "mode_entropy": (0, np.inf),
    "mode_entropy_chao_shen": (0, np.inf),
    "effective_modes": (1, np.inf),
    "sample_coverage": (0, 1),
    "answer_coverage": (0, 1),
    "distinct_1": (0, 1),
    "distinct_2": (0, 1),
    "ead": (0, np.inf),
    "self_bleu": (0, 1),
    "semantic_diversity": (0, 2),
    "vendi_score": (1, np.inf),
    "distinct_clusters": (1, np.inf),
}
"""Every metric, or family of them, with the range that it cannot leave."""

SEMANTIC = ("semantic_diversity", "vendi_score", "distinct_clusters")
REWARDED = ("reward", "pass_at_k", "max_at_k")


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of one model on one task, as columns."""

    prompt: np.ndarray
    """Number of the prompt of each sample, from 0."""
    rewards: np.ndarray
    """NaN where there is none."""
    modes: Sequence[Hashable | None]
    texts: Sequence[str]
    n_tokens: np.ndarray
    log_probs: np.ndarray
    finished: np.ndarray
    answers: Mapping[int, Sequence[Hashable]] | None
    """Known good answers of each prompt, None where those of one are not known."""
    embeddings: np.ndarray | None

    def kept(self, positions: np.ndarray) -> "Samples":
        """Return some of the samples."""
        return replace(
            self,
            modes=[self.modes[i] for i in positions],
            texts=[self.texts[i] for i in positions],
            embeddings=None if self.embeddings is None else self.embeddings[positions],
            **{
                name: getattr(self, name)[positions]
                for name in ("prompt", "rewards", "n_tokens", "log_probs", "finished")
            },
        )


def prompt_values(samples: Samples, settings: EvaluationSettings) -> dict[str, np.ndarray]:
    """Return every metric as an array with one number for each prompt.

    Parameters
    ----------
    samples : Samples
        What was drawn.
    settings : EvaluationSettings
        Thresholds, the vocabulary and the number of samples, which sets the sizes ``k``.

    Returns
    -------
    dict from str to array, shape (g,)
        NaN where a prompt has no such number. What the samples have no columns for is not there.
    """
    own: dict[str, Any] = {"groups": samples.prompt}
    n = np.bincount(samples.prompt)
    has_mode = np.asarray([mode is not None for mode in samples.modes], dtype=float)

    def mean(column: np.ndarray) -> np.ndarray:
        return np.bincount(samples.prompt, weights=column) / n

    found = {
        "frac_finished": mean(samples.finished.astype(float)),
        "n_tokens": mean(samples.n_tokens.astype(float)),
        "log_prob": mean(samples.log_probs),
        "frac_with_mode": mean(has_mode),
        "n_modes": n_modes(samples.modes, **own),
        "mode_entropy": mode_entropy(samples.modes, **own),
        "mode_entropy_chao_shen": mode_entropy(samples.modes, correction="chao_shen", **own),
        "effective_modes": effective_modes(samples.modes, **own),
        "sample_coverage": sample_coverage(samples.modes, **own),
        "distinct_1": distinct_n(samples.texts, n=1, **own),
        "distinct_2": distinct_n(samples.texts, n=2, **own),
        "ead": expectation_adjusted_distinct(
            samples.texts, vocabulary_size=settings.vocabulary_size, **own
        ),
        "self_bleu": self_bleu(samples.texts, **own),
    }
    if samples.answers is not None:
        found["answer_coverage"] = answer_coverage(samples.modes, answers=samples.answers, **own)
    if not np.all(np.isnan(samples.rewards)):
        found = {"reward": mean(samples.rewards), **found, **_best_of(samples, settings)}
    if samples.embeddings is not None:
        alike = cosine_at_least(settings.cluster_cosine)
        found["semantic_diversity"] = semantic_diversity(samples.embeddings, **own)
        found["vendi_score"] = vendi_score(samples.embeddings, **own)
        found["distinct_clusters"] = n_classes(samples.embeddings, equivalent=alike, **own)
    return found


def estimate(
    samples: Samples, settings: EvaluationSettings
) -> tuple[dict[str, np.ndarray], dict[str, Estimate], Resampled]:
    """Return every metric for each prompt, its mean with an interval, and what was resampled.

    Over prompts by a bootstrap; where there is one prompt only, over its samples by a jackknife,
    whose symmetric intervals are cut off where the metric cannot go.
    """
    values = prompt_values(samples, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TooFewSamplesWarning)  # NaN in the result says it
        if len(values["n_tokens"]) > 1:
            rng = np.random.default_rng(settings.seed)
            means = {name: bootstrap_mean(each, rng=rng) for name, each in values.items()}
            return values, means, "prompts"

        def of(kept: np.ndarray) -> list[float]:
            found = prompt_values(samples.kept(kept), settings)
            return [found[name][0] if name in found else np.nan for name in values]

        both = jackknife(of, len(samples.texts))
    columns = [getattr(both, field.name) for field in fields(Estimate)]
    rows = zip(values, zip(*columns, strict=True), strict=True)
    return values, {name: _within_range(name, Estimate(*row)) for name, row in rows}, "samples"


def _within_range(name: str, found: Estimate) -> Estimate:
    """Cut an interval off where the metric cannot go."""
    family = name.rsplit("_", 1)[0] if name.startswith(("pass_at_", "max_at_")) else name
    low, high = RANGES[family]
    return replace(found, low=np.clip(found.low, low, high), high=np.clip(found.high, low, high))


def _best_of(samples: Samples, settings: EvaluationSettings) -> dict[str, np.ndarray]:
    """Return pass@k and max@k for k = 1, 2, 4, … and the number of samples."""
    k = [2**i for i in range(settings.samples.bit_length()) if 2**i <= settings.samples]
    k = np.asarray(sorted({*k, settings.samples}))
    n = np.bincount(samples.prompt)
    scored = np.bincount(samples.prompt, weights=~np.isnan(samples.rewards)) == n
    correct = np.bincount(samples.prompt, weights=samples.rewards >= settings.threshold)
    passed = pass_at_k(correct.astype(int)[:, None], n[:, None], k=k)
    passed = np.where(scored[:, None], passed, np.nan)
    best = max_at_k(samples.rewards, k=k, groups=samples.prompt)
    return {
        **{f"pass_at_{size}": passed[:, i] for i, size in enumerate(k.tolist())},
        **{f"max_at_{size}": best[:, i] for i, size in enumerate(k.tolist())},
    }
