"""Sphere exclusion: against loops over the definition, and RDKit's own picker."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError
from polymode.metrics import mode_function
from polymode.metrics.molecules import SphereExclusion, morgan_fingerprints
from tests.metrics.molecules.sets import SETS, similarities

pytest.importorskip("rdkit")

DISTANCES = st.one_of(st.sampled_from([0.0, 0.5, 0.7, 0.75, 1.0]), st.floats(0, 1))
CHOICES = st.sampled_from(["first", "nearest"])


def by_definition(smiles, distance, choice):
    """Clusters by a loop over molecules in their order."""
    similar = similarities(smiles)
    centroids, found = [], []
    for i in range(len(smiles)):
        near = [
            (similar[i, c], -k) for k, c in enumerate(centroids) if 1 - similar[i, c] <= distance
        ]
        if not near:
            centroids.append(i)
            found.append(len(centroids) - 1)
        else:
            found.append(-max(k for _, k in near) if choice == "first" else -max(near)[1])
    return found, centroids


@given(SETS, DISTANCES, CHOICES)
def test_clusters_are_those_of_the_definition(smiles, distance, choice):
    clusters = SphereExclusion(distance, choice=choice)
    found, centroids = by_definition(smiles, distance, choice)
    assert clusters.assign(smiles).tolist() == found
    assert clusters.centroids == tuple(smiles[i] for i in centroids)
    assert len(clusters) == len(centroids)


@given(SETS, DISTANCES, CHOICES, st.integers(1, 6))
def test_how_molecules_are_split_into_calls_does_not_matter(smiles, distance, choice, size):
    whole, parts = (SphereExclusion(distance, choice=choice) for _ in range(2))
    calls = [smiles[i : i + size] for i in range(0, len(smiles), size)]
    assert (
        np.concatenate([parts.assign(c) for c in calls]).tolist() == whole.assign(smiles).tolist()
    )
    assert parts.centroids == whole.centroids


@given(SETS, DISTANCES)
def test_centroids_are_the_leaders_of_rdkit(smiles, distance):
    from rdkit.SimDivFilters.rdSimDivPickers import LeaderPicker

    vectors = morgan_fingerprints(smiles).vectors
    leaders = LeaderPicker().LazyBitVectorPick(vectors, len(vectors), distance)
    clusters = SphereExclusion(distance)
    clusters.assign(smiles)
    assert clusters.centroids == tuple(smiles[i] for i in leaders)


@given(SETS, SETS)
def test_a_molecule_stays_in_the_first_cluster_that_took_it(before, after):
    clusters = SphereExclusion(0.7)
    first = clusters.assign(before)
    clusters.assign(after)
    assert clusters.find(before).tolist() == first.tolist() == clusters.assign(before).tolist()


def test_the_nearest_centroid_may_be_a_later_one():
    smiles = ["Clc1ccccc1", "CCCO", "OCCCCl"]
    similar = similarities(smiles)
    assert similar[0, 1] < similar[2, 0] < similar[2, 1]  # the third would join both
    edge = 1 - similar[2, 0]
    first, nearest = (SphereExclusion(edge, choice=choice) for choice in ("first", "nearest"))
    assert first.assign(smiles).tolist() == [0, 1, 0]
    assert nearest.assign(smiles).tolist() == [0, 1, 1]


def test_invalid_molecules_are_in_no_cluster(capfd):
    clusters = SphereExclusion()
    assert clusters.assign(["C1C", "CCO", "", "CCO"]).tolist() == [-1, 0, -1, 0]
    assert clusters.find(["c1ccccc1", "x"]).tolist() == [-1, -1]
    assert clusters.assign([]).tolist() == []
    assert len(clusters) == 1
    assert capfd.readouterr() == ("", "")


@given(SETS, SETS, CHOICES)
def test_a_state_goes_through_json_and_on(before, after, choice):
    clusters, other = (SphereExclusion(0.6, 3, 1024, choice=choice) for _ in range(2))
    clusters.assign(before)
    other.load_state(json.loads(json.dumps(clusters.state())))
    assert other.assign(after).tolist() == clusters.assign(after).tolist()
    assert other.state() == clusters.state()


def test_more_clusters_than_room_for_the_first():
    starts = ("C", "CC", "CO", "CN", "c1ccccc1", "C1CC1", "FC", "N#C", "C1CCNC1", "CS")
    ends = ("C(=O)O", "Cl", "c1ccncc1", "C1CCCC1", "CC=C", "N(C)C", "P", "C#C", "OCC", "S(C)C")
    smiles = [start + end for start in starts for end in ends]
    clusters = SphereExclusion(0.05)
    found = np.concatenate([clusters.assign(smiles[i : i + 7]) for i in range(0, 100, 7)])
    assert found.tolist() == by_definition(smiles, 0.05, "first")[0]
    assert len(clusters) > 64


def test_a_mode_is_the_centroid():
    mode = mode_function("tanimoto:0.7")
    assert [mode(s) for s in ("CCO", "CCCO", "c1ccccc1", "x", "CCO")] == [
        "CCO",
        "CCO",
        "c1ccccc1",
        None,
        "CCO",
    ]
    assert mode_function("tanimoto:0.7")("CCCO") == "CCCO"  # each has clusters of its own
    assert mode_function("tanimoto")("CCCO") == "CCCO"
    strict = mode_function("tanimoto:0.1")
    assert [strict(s) for s in ("CCO", "CCCO")] == ["CCO", "CCCO"]


@pytest.mark.parametrize("spec", ["tanimoto:", "tanimoto:x", "tanimoto:1.5", "tanimoto:nan"])
def test_a_mode_needs_a_distance(spec):
    with pytest.raises(ArgumentError, match=r"tanimoto takes a distance in \[0, 1\]"):
        mode_function(spec)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance": 1.5}, r"distance must be a number in \[0.0, 1.0\], got 1.5"),
        ({"choice": "last"}, "choice must be 'first' or 'nearest', got 'last'"),
        ({"n_bits": 100, "radius": 0}, "(?s)2 problems.*radius.*n_bits must be a multiple of 64"),
    ],
)
def test_messages(settings, message):
    with pytest.raises(ArgumentError, match=message):
        SphereExclusion(**settings)


def test_a_state_of_other_clusters_is_refused():
    state = SphereExclusion(0.7).state()
    with pytest.raises(ArgumentError, match=r"distance of these clusters, 0.6, got 0.7"):
        SphereExclusion(0.6).load_state(state)
    with pytest.raises(ArgumentError, match="smiles must be valid"):
        SphereExclusion(0.7).load_state({**state, "centroids": ["C1C"]})
