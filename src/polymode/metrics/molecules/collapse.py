"""Signs that a model writes the same molecules again and again, from columns of what it sampled."""

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Real

from polymode.core import checks
from polymode.core.arrays import as_array
from polymode.metrics.samples import effective_modes, n_modes

__all__ = ["CollapseFigures", "collapse_figures", "frac_repeats"]


@dataclass(frozen=True)
class CollapseFigures:
    """How narrow some samples are.

    Parameters
    ----------
    frac_repeats : float
        Share of the valid samples whose molecule had come before; NaN without a valid one.
    n_modes : int
        Distinct modes of the valid samples.
    top_mode_share : float
        Share of the valid samples in the most frequent mode, in (0, 1]: 1 is collapse. NaN without
        a valid one.
    effective_modes : float
        How many equally frequent modes would be as diverse, the exponential of the plug-in
        entropy; NaN without a valid sample.
    ref_log_prob_spread : float
        Largest minus smallest log-probability of the distinct good molecules under the reference,
        in nats: what anchoring levels out. NaN without a good one.
    """

    frac_repeats: float
    n_modes: int
    top_mode_share: float
    effective_modes: float
    ref_log_prob_spread: float


def collapse_figures(
    rewards: Real[Any, " n"],
    ref_log_probs: Real[Any, " n"],
    *,
    molecules: Sequence[str | None],
    modes: Sequence[Hashable | None],
    threshold: float,
    seen: Collection[str] = frozenset(),
) -> CollapseFigures:
    """Return how narrow some samples are: of a step, or of a window of steps.

    Parameters
    ----------
    rewards : array, shape (n,)
        Reward of each sample; NaN is not good.
    ref_log_probs : array, shape (n,)
        Log-probability under the reference, in nats.
    molecules : sequence of str or None, length n
        Canonical SMILES of each sample; None where it is not valid.
    modes : sequence of hashable or None, length n
        Mode of each sample, such as its scaffold; None where it is not valid.
    threshold : float
        Good molecules have a reward of at least this.
    seen : collection of str
        Canonical SMILES that came before these samples.

    Returns
    -------
    CollapseFigures
        The figures.

    Raises
    ------
    ArgumentError
        If the columns are not of one length, not real numbers, or empty.

    Examples
    --------
    >>> figures = collapse_figures(
    ...     [0.9, 0.9, 0.8, 0.0],
    ...     [-20.0, -20.0, -35.0, -30.0],
    ...     threshold=0.5,
    ...     molecules=["Cc1ccccc1", "Cc1ccccc1", "CCO", None],
    ...     modes=["c1ccccc1", "c1ccccc1", "", None],
    ... )
    >>> round(figures.top_mode_share, 3), figures.ref_log_prob_spread
    (0.667, 15.0)
    """
    rewards, ref_log_probs = as_array(rewards), as_array(ref_log_probs)
    checks.require(
        checks.columns(rewards=rewards, ref_log_probs=ref_log_probs),
        checks.finite(threshold=threshold),
        (
            f"{name} must be one for each of {rewards.size} samples, got {len(column)}"
            for name, column in {"molecules": molecules, "modes": modes}.items()
            if len(column) != rewards.size
        ),
    )
    counts = Counter(mode for mode in modes if mode is not None)
    good = {
        molecule: log_q
        for molecule, reward, log_q in zip(
            molecules, rewards.tolist(), ref_log_probs.tolist(), strict=True
        )
        if molecule is not None and reward >= threshold
    }
    return CollapseFigures(
        frac_repeats(molecules, seen=seen),
        int(n_modes(modes)),
        max(counts.values()) / counts.total() if counts else np.nan,
        float(effective_modes(modes)),
        max(good.values()) - min(good.values()) if good else np.nan,
    )


def frac_repeats(molecules: Sequence[str | None], *, seen: Collection[str] = frozenset()) -> float:
    """Return the share of valid samples whose molecule had come before.

    Parameters
    ----------
    molecules : sequence of str or None
        Canonical SMILES of each sample in order; None where it is not valid.
    seen : collection of str
        Canonical SMILES that came before these samples; a set is fastest.

    Returns
    -------
    float
        In [0, 1]; NaN without a valid sample.

    Examples
    --------
    >>> frac_repeats(["CCO", "CCO", "C", "CC", None], seen={"C"})
    0.5
    """
    valid = [each for each in molecules if each is not None]
    if not valid:
        return np.nan
    seen = seen if isinstance(seen, set | frozenset) else set(seen)
    return 1 - sum(each not in seen for each in set(valid)) / len(valid)
