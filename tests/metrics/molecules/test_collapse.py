"""Signs of collapse: by hand, and against counting."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError
from polymode.metrics.molecules import collapse_figures, frac_repeats

MOLECULES = st.lists(st.sampled_from(["C", "CC", "CCC", None]), max_size=10)


@given(MOLECULES, MOLECULES)
def test_repeats_add_up_over_steps(first, second):
    """What is new in two steps together is what is new in the first, and then in the second."""

    def new(molecules, seen=frozenset()):
        n = sum(m is not None for m in molecules)
        return n * (1 - frac_repeats(molecules, seen=seen)) if n else 0

    seen = [m for m in first if m is not None]
    assert new(first) + new(second, seen) == pytest.approx(new(first + second))


def test_figures_by_hand():
    figures = collapse_figures(
        [0.9, 0.9, 0.8, 0.1, 0.0, math.nan],
        [-20.0, -20.0, -35.0, -90.0, -10.0, -11.0],
        molecules=["Cc1ccccc1", "Cc1ccccc1", "CCO", "C1CC1", None, "Clc1ccccc1"],
        modes=["c1ccccc1", "c1ccccc1", "", "C1CC1", None, "c1ccccc1"],
        threshold=0.8,
        seen={"C1CC1"},
    )
    assert figures.frac_repeats == pytest.approx(2 / 5)
    assert figures.n_modes == 3
    assert figures.top_mode_share == pytest.approx(3 / 5)
    # shares 3/5, 1/5, 1/5
    assert figures.effective_modes == pytest.approx((5 / 3) ** 0.6 * 5**0.4)
    assert figures.ref_log_prob_spread == pytest.approx(15.0)  # good: -20 and -35


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1), st.floats(-9, 0)), min_size=1))
def test_figures_count(rows):
    modes, rewards, log_q = map(list, zip(*rows, strict=True))
    figures = collapse_figures(rewards, log_q, molecules=modes, modes=modes, threshold=0.5)
    counts = Counter(modes)
    assert figures.n_modes == len(counts)
    assert figures.top_mode_share == max(counts.values()) / len(rows)
    assert 1 - 1e-9 <= figures.effective_modes <= len(counts) + 1e-9
    assert figures.frac_repeats == pytest.approx(1 - len(counts) / len(rows))


def test_nothing_valid_and_nothing_good():
    figures = collapse_figures([0.0], [-1.0], molecules=[None], modes=[None], threshold=0.5)
    assert figures.n_modes == 0
    assert all(
        math.isnan(value)
        for value in (
            figures.frac_repeats,
            figures.top_mode_share,
            figures.effective_modes,
            figures.ref_log_prob_spread,
        )
    )


def test_messages():
    with pytest.raises(ArgumentError, match=r"(?s)2 problems.*molecules must be one .* 1 samples"):
        collapse_figures([1.0], [-1.0], molecules=[], modes=["a", "b"], threshold=0.5)
    with pytest.raises(ArgumentError, match="threshold must be a finite number"):
        collapse_figures([1.0], [-1.0], molecules=["C"], modes=["C"], threshold=np.nan)
