"""Diversity of sets: against the double loops of the definitions."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polymode.errors import ArgumentError
from polymode.metrics.molecules import (
    Fingerprints,
    hamiltonian_diversity,
    internal_diversity,
    mean_similarity,
    morgan_fingerprints,
    similarity,
    tanimoto_vendi_score,
)
from tests.metrics.molecules.sets import DRUGS, SETS, similarities

pytest.importorskip("rdkit")

POWERS = st.sampled_from([1, 2, 0.5, 3])
ROUNDING = {"rtol": 1e-6, "atol": 1e-6}  # quotients are in single precision


@given(SETS, POWERS)
def test_internal_diversity_is_the_formula(smiles, p):
    t = similarities(smiles, n_bits=1024)
    np.testing.assert_allclose(
        internal_diversity(smiles, p=p), 1 - np.mean(t**p) ** (1 / p), **ROUNDING
    )


@given(SETS, POWERS)
def test_internal_diversity_is_the_program_of_moses(smiles, p):
    """There: columns are averaged, then the root is taken, then these are averaged."""
    t = similarities(smiles, n_bits=1024)
    expected = 1 - np.mean(np.mean(t**p, axis=0) ** (1 / p))
    found = internal_diversity(smiles, p=p, definition="moses_code")
    np.testing.assert_allclose(found, expected, **ROUNDING)


@given(SETS, POWERS)
def test_internal_diversity_over_pairs_leaves_out_self(smiles, p):
    t = similarities(smiles)[np.triu_indices(len(smiles), k=1)]
    found = internal_diversity(smiles, p=p, definition="pairs")
    np.testing.assert_allclose(found, 1 - np.mean(t**p) ** (1 / p), **ROUNDING)


def test_definitions_differ_where_they_should():
    one, two = (
        {
            d: internal_diversity(DRUGS, p=p, definition=d)
            for d in ("formula", "moses_code", "pairs")
        }
        for p in (1, 2)
    )
    assert one["formula"] == pytest.approx(one["moses_code"], rel=1e-9)
    # a mean of roots is at most the root of a mean
    assert two["formula"] < two["moses_code"]
    assert one["pairs"] > one["formula"]
    # bits make a difference too: fingerprints are taken as they come
    wide = internal_diversity(morgan_fingerprints(DRUGS, n_bits=64))
    assert wide < one["formula"]


@given(SETS, POWERS, st.sampled_from(["formula", "moses_code", "pairs"]), st.randoms())
def test_internal_diversity_lies_in_0_1_and_knows_no_order(smiles, p, definition, random):
    found = internal_diversity(smiles, p=p, definition=definition)
    assert 0 <= found <= 1
    other = internal_diversity(random.sample(smiles, len(smiles)), p=p, definition=definition)
    np.testing.assert_allclose(other, found, **ROUNDING)
    assert internal_diversity([smiles[0]] * 3, p=p, definition=definition) == 0


def test_tiles_do_not_matter(monkeypatch):
    whole = [internal_diversity(DRUGS, p=p, definition="moses_code") for p in (1, 2)]
    monkeypatch.setattr(similarity, "_ROWS", 3)
    tiled = [internal_diversity(DRUGS, p=p, definition="moses_code") for p in (1, 2)]
    np.testing.assert_allclose(tiled, whole, **ROUNDING)


def test_molecules_without_bits_are_equal():
    from rdkit.DataStructs import ExplicitBitVect

    vectors = (*morgan_fingerprints(["C"]).vectors, ExplicitBitVect(2048), ExplicitBitVect(2048))
    # similarities: 1 on the diagonal and between the empty ones, 0 elsewhere: 5 of 9
    found = internal_diversity(Fingerprints(vectors, 2, 2048))
    assert found == pytest.approx(1 - 5 / 9, rel=1e-6)


@given(SETS)
def test_isim_is_the_quotient_of_sums_over_pairs(smiles):
    bits = np.unpackbits(morgan_fingerprints(smiles).words.view(np.uint8), axis=1).astype(bool)
    pairs = np.triu_indices(len(smiles), k=1)
    both = (bits[pairs[0]] & bits[pairs[1]]).sum()
    either = (bits[pairs[0]] | bits[pairs[1]]).sum()
    np.testing.assert_allclose(mean_similarity(smiles), both / either, rtol=1e-12)


def test_isim_of_two_is_their_similarity(monkeypatch):
    assert mean_similarity(DRUGS[:2]) == pytest.approx(similarities(DRUGS[:2])[0, 1], rel=1e-12)
    whole = mean_similarity(DRUGS)
    monkeypatch.setattr("polymode.metrics.molecules.diversity._ROWS", 3)
    assert mean_similarity(DRUGS) == pytest.approx(whole, rel=1e-12)


@given(SETS)
def test_hamiltonian_diversity_is_the_greedy_tour(smiles):
    distinct = list(dict.fromkeys(smiles[::-1]))[::-1]  # the last of each, as in the program
    d = 1 - similarities(distinct)
    tour, left = [0], list(range(1, len(distinct)))
    while left:
        tour.append(min(left, key=lambda i: (d[tour[-1], i], i)))
        left.remove(tour[-1])
    expected = sum(d[a, b] for a, b in zip(tour, [*tour[1:], tour[0]], strict=True))
    np.testing.assert_allclose(hamiltonian_diversity(smiles), expected, rtol=1e-12)


@given(st.lists(st.sampled_from(DRUGS), min_size=2, max_size=6, unique=True))
def test_hamiltonian_diversity_is_no_shorter_than_the_shortest_tour(smiles):
    d = 1 - similarities(smiles)
    tours = ((0, *rest, 0) for rest in permutations(range(1, len(smiles))))
    shortest = min(sum(d[a, b] for a, b in pairwise(t)) for t in tours)
    assert shortest - 1e-12 <= hamiltonian_diversity(smiles) <= len(smiles)


@given(SETS, st.sampled_from([0, 0.5, 1, 2, np.inf]))
def test_vendi_score_is_the_definition(smiles, order):
    distinct = list(dict.fromkeys(smiles)) if order == 0 else smiles  # where rounding decides
    values = np.linalg.eigvalsh(similarities(distinct) / len(distinct)).clip(0)
    expected = {
        0: len(distinct),  # Tanimoto kernels of distinct sets have full rank
        0.5: np.sum(values**0.5) ** 2,
        1: np.exp(stats.entropy(values)),
        2: 1 / np.sum(values**2),
        np.inf: 1 / values.max(),
    }[order]
    np.testing.assert_allclose(tanimoto_vendi_score(distinct, order=order), expected, rtol=1e-5)


def test_too_few_molecules():
    for function in (hamiltonian_diversity, internal_diversity, tanimoto_vendi_score):
        assert np.isnan(function([]))
    for few in ([], ["C"]):
        assert np.isnan(mean_similarity(few))
        assert np.isnan(internal_diversity(few, definition="pairs"))
    assert hamiltonian_diversity(["C"]) == hamiltonian_diversity(["CCO", "OCC"]) == 0
    assert internal_diversity(["C"]) == 0
    assert tanimoto_vendi_score(["C"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: internal_diversity(DRUGS, p=0), "p must be a finite number > 0, got 0"),
        (lambda: internal_diversity(DRUGS, definition="moses"), "definition must be 'formula' or"),
        (lambda: internal_diversity(["x"]), "smiles must be valid"),
        (lambda: tanimoto_vendi_score(["C"] * 5001), "at most 5000 for a Vendi score, got 5001"),
        (lambda: tanimoto_vendi_score(DRUGS, order=-1), "order must be a number >= 0"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
