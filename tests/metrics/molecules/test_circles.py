"""#Circles: against loops over the definition, and RDKit's own pickers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError
from polymode.metrics.molecules import (
    circle_centres,
    circles,
    morgan_fingerprints,
    n_circles,
    n_diverse_hits,
)
from tests.metrics.molecules.sets import DRUGS, SETS, similarities

pytest.importorskip("rdkit")

TIES = sorted({float(1 - t) for t in similarities(DRUGS).ravel()})
DISTANCES = st.one_of(st.sampled_from(TIES), st.floats(0, 1))  # two molecules at just D, and any
METHODS = st.sampled_from(["sequential", "maxmin"])


@given(SETS, DISTANCES, METHODS)
def test_centres_are_far_from_each_other_and_leave_nothing_far(smiles, distance, method):
    d = 1 - similarities(smiles)
    centres = circle_centres(smiles, distance=distance, method=method)
    between = d[np.ix_(centres, centres)]
    assert (between[~np.eye(len(centres), dtype=bool)] > distance).all()
    assert (d[:, centres].min(axis=1) <= distance).all()
    assert n_circles(smiles, distance=distance, method=method) == len(centres)


@given(SETS, DISTANCES)
def test_sequential_is_the_loop_and_the_leader_picker(smiles, distance):
    from rdkit.SimDivFilters.rdSimDivPickers import LeaderPicker

    d = 1 - similarities(smiles)
    taken = []
    for i in range(len(smiles)):
        if all(d[i, j] > distance for j in taken):
            taken.append(i)
    vectors = morgan_fingerprints(smiles).vectors
    leaders = list(LeaderPicker().LazyBitVectorPick(vectors, len(vectors), distance))
    assert circle_centres(smiles, distance=distance).tolist() == taken == leaders


@given(SETS, DISTANCES)
def test_maxmin_always_takes_the_furthest(smiles, distance):
    d = 1 - similarities(smiles)
    centres = circle_centres(smiles, distance=distance, method="maxmin").tolist()
    assert centres[0] == 0
    for k in range(1, len(centres)):
        nearest = d[:, centres[:k]].min(axis=1)
        assert nearest[centres[k]] == nearest.max()


@given(SETS, st.tuples(DISTANCES, DISTANCES), st.randoms())
def test_between_the_bounds_that_hold_for_every_order(smiles, distances, random):
    """The largest far set, by brute force, is at least what is found, and falls with D."""
    small, large = sorted(distances)
    smiles = list(dict.fromkeys(smiles))[:7]
    best = [largest_far_set(smiles, distance) for distance in (small, large)]
    assert best[0] >= best[1]
    shuffled = random.sample(smiles, len(smiles))
    for method in ("sequential", "maxmin"):
        assert 1 <= n_circles(shuffled, distance=small, method=method) <= best[0]


def largest_far_set(smiles, distance):
    """#Circles itself: over all subsets."""
    far = 1 - similarities(smiles) > distance
    n = len(smiles)
    subsets = ([i for i in range(n) if subset >> i & 1] for subset in range(1, 2**n))
    return max(len(c) for c in subsets if all(far[i, j] for i in c for j in c if i != j))


@given(SETS, METHODS)
def test_repeats_change_nothing_and_the_ends_of_the_scale(smiles, method):
    distinct = list(dict.fromkeys(smiles))
    assert n_circles(smiles, method=method) == n_circles(distinct, method=method)
    assert n_circles(smiles, distance=1.0, method=method) == 1
    assert n_circles(distinct, distance=0.0, method=method) == len(distinct)


def test_tiles_and_rounds_do_not_matter(monkeypatch):
    starts = ("C", "CC", "CO", "CN", "c1ccccc1", "C1CC1", "FC", "N#C", "C1CCNC1", "CS")
    ends = ("C(=O)O", "Cl", "c1ccncc1", "C1CCCC1", "CC=C", "N(C)C", "P", "C#C", "OCC", "S(C)C")
    prints = morgan_fingerprints([a + b for a in starts for b in ends] * 2)
    for distance in (0.3, 0.6, 0.75):
        whole = circle_centres(prints, distance=distance)
        with monkeypatch.context() as patch:
            patch.setattr(circles, "_ROWS", 7)
            patch.setattr(circles, "_CENTRES", 2)
            patch.setattr(circles, "_MAX_CENTRES", 4)
            np.testing.assert_array_equal(circle_centres(prints, distance=distance), whole)
        assert 4 < len(whole) <= 100


@pytest.mark.parametrize("method", ["sequential", "maxmin"])
def test_few_molecules(method):
    assert n_circles([], method=method) == 0
    assert n_circles(["C"], method=method) == 1


def test_the_shape_of_fingerprints_matters():
    """What is far with few neighbourhoods may be near with many, so the caller's are taken."""
    near, far = (morgan_fingerprints(DRUGS, radius=r) for r in (1, 3))
    assert n_circles(near, distance=0.75) < n_circles(far, distance=0.75)


def test_diverse_hits_by_hand():
    # hits are the first three; the two alcohols are 0.444 apart, the benzene 1 from both
    smiles, scores = ["CCO", "CCCO", "c1ccccc1", "CN"], [0.9, 0.5, 0.7, 0.49]
    assert n_diverse_hits(smiles, scores) == 2
    assert n_diverse_hits(smiles, scores, distance=0.4) == 3
    assert n_diverse_hits(smiles, scores, distance=0.4, threshold=0.6) == 2
    assert n_diverse_hits(smiles, np.full(4, np.nan)) == 0
    assert n_diverse_hits(morgan_fingerprints(smiles), scores) == 2


@given(SETS, st.data())
def test_diverse_hits_are_the_circles_of_hits(smiles, data):
    scores = [data.draw(st.sampled_from([0.2, 0.5, 0.9])) for _ in smiles]
    hits = [s for s, score in zip(smiles, scores, strict=True) if score >= 0.5]
    expected = n_circles(hits, distance=0.7, method="maxmin")
    assert n_diverse_hits(smiles, scores) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: n_circles(DRUGS, distance=-0.1), r"distance must be a number in \[0.0, 1.0\]"),
        (lambda: n_circles(DRUGS, method="butina"), "method must be 'sequential' or 'maxmin'"),
        (lambda: n_circles(["C1C"]), "smiles must be valid"),
        (lambda: n_diverse_hits(["C"], [0.5, 0.6]), "scores must be one for each of 1 molecules"),
        (lambda: n_diverse_hits(["C"], ["a"]), "scores must be an array of real numbers"),
        (lambda: n_diverse_hits(["C"], [1.0], threshold=np.nan), "threshold must be a finite"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
