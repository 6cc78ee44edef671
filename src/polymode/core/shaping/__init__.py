"""Group-wise reward shapers: every one takes the same columns and returns rewards to train on.

A shaper is a pure function of ``rewards, ref_log_probs`` and, by keyword, of ``log_probs, groups,
lengths, modes`` and its own parameters. The columns that it cannot do without are the keywords that
have no default, and so are its own parameters without one: `shape` reads both off the signature.
A new shaper is one function and one line in `SHAPERS`.

`probability` holds those that read how likely a sample is, `frequency` those that count, and
`selection` the one that keeps the best.
"""

from polymode.core.shaping.frequency import (
    dra,
    gapo,
    inverse_probability,
    pass_at_k,
    uniqueness,
)
from polymode.core.shaping.probability import (
    anchored,
    differential_smoothing,
    entropy_bonus,
    plain,
    uniform_correct,
    unlikeliness,
)
from polymode.core.shaping.registry import SHAPERS, shape
from polymode.core.shaping.selection import best_of_n

__all__ = [
    "SHAPERS",
    "anchored",
    "best_of_n",
    "differential_smoothing",
    "dra",
    "entropy_bonus",
    "gapo",
    "inverse_probability",
    "pass_at_k",
    "plain",
    "shape",
    "uniform_correct",
    "uniqueness",
    "unlikeliness",
]
