"""Guesses about modes whose texts are hidden: the classical estimators at their edges."""

import numpy as np
import pytest
from scipy.special import digamma, exp1

from polymode.diagnostics.diagnosis.rare_modes import RareModes, pooled_shape
from polymode.diagnostics.diagnosis.segments import Segments


def guesses(n_drawn, *, hidden=1.0, shown=0.5, effective=None, reach=0.1, prompts=None):
    n_drawn = np.asarray(n_drawn, dtype=float)
    prompts = np.zeros(len(n_drawn), dtype=int) if prompts is None else np.asarray(prompts)
    full = np.ones_like(n_drawn)
    effective = n_drawn if effective is None else effective * full
    return RareModes.of(
        n_drawn,
        shown * full,
        hidden * full,
        effective,
        Segments.of(prompts),
        pooled=pooled_shape(n_drawn),
        reach=reach,
    )


def test_repeated_modes_have_zhangs_logarithm():
    """log k - psi(k), which is 1 / (2 k) for large k."""
    found = guesses([2, 3, 50])
    k = np.array([2.0, 3.0, 50.0])
    np.testing.assert_allclose(found.excess.value, np.log(k) - digamma(k))
    assert found.excess.value[2] == pytest.approx(1 / 100, rel=1e-2)
    assert (found.excess.unsure == 0).all()


def test_single_modes_lie_between_two_guesses():
    """Many singles, as many doubles as Zipf's law has: a = 2 f2 / f1 = 1.

    The law says -psi(1), that all unseen modes are alike adds e E1(1): the larger one is both.
    """
    found = guesses([1] * 4000 + [2] * 2000)
    alike = -digamma(1) + np.e * exp1(1)
    assert found.excess.value[0] == pytest.approx(alike, rel=1e-2)
    assert found.stands_for.unsure[1][0] == 0.5
    assert found.stands_for.unsure[1][-1] == 0.0


def test_heavy_tails_are_unsure():
    """With few doubles the law goes on to rarer modes than those that are alike would be."""
    light, heavy = guesses([1] * 400 + [2] * 200), guesses([1] * 400 + [2] * 20)
    assert heavy.excess.value[0] > light.excess.value[0]
    assert heavy.excess.unsure[0][0] > light.excess.unsure[0][0] + 0.5
    assert abs(heavy.stands_for.unsure[0][0]) > abs(light.stands_for.unsure[0][0])


def test_what_texts_say_counts_where_nothing_is_hidden():
    found = guesses([1, 2, 3], hidden=0.0, shown=0.25, effective=1e12)
    np.testing.assert_allclose(found.stands_for.value, 4.0)
    np.testing.assert_allclose(found.excess.value, 0.0, atol=1e-11)
    assert (found.within_reach == 1).all()
    beyond = guesses([1, 2, 3], hidden=0.0, shown=0.05, effective=1e12)
    assert (beyond.stands_for.value == 0).all()
    assert (beyond.within_reach == 0).all()


def test_reach_cuts_the_rarest():
    far, near = guesses([1] * 40 + [2] * 20, reach=0.001), guesses([1] * 40 + [2] * 20, reach=0.5)
    assert near.within_reach[0] < far.within_reach[0] <= 1
    assert near.stands_for.value[0] < far.stands_for.value[0]


def test_prompts_have_laws_of_their_own_and_lean_on_all():
    prompts = [0] * 300 + [1] * 300
    counts = ([1] * 280 + [2] * 20) + ([1] * 100 + [2] * 200)
    found = guesses(counts, prompts=prompts)
    assert found.excess.value[0] > found.excess.value[300]
    few = guesses([1] * 300 + [2] * 300 + [1], prompts=[0] * 600 + [1])
    many = guesses([1] * 590 + [2] * 10 + [1], prompts=[0] * 600 + [1])
    assert many.excess.value[-1] > few.excess.value[-1]  # the last prompt has one mode: it borrows


def test_the_number_of_modes_is_estimated_without_much_bias():
    """1,000 equal modes, 2,000 draws, of which 865 are seen: between both guesses.

    Modes that are alike are what Chao's estimator is right about; the law sees some 16 % more.
    """
    rng = np.random.default_rng(0)
    middle, alike = [], []
    for _ in range(40):
        counts = np.bincount(rng.integers(1000, size=2000), minlength=1000)
        found = guesses(counts[counts > 0], shown=1.0).stands_for
        middle.append(found.value.sum())
        alike.append(middle[-1] - found.unsure[0].sum())
    error = np.std(alike) / np.sqrt(40)
    assert np.mean(alike) == pytest.approx(1000, abs=5 * error)
    assert 1000 < np.mean(middle) < 1000 * 1.08
