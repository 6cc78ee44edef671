"""Fingerprints and their similarities against Python's sets of bits."""

import numpy as np
import pytest
from hypothesis import given

from polymode.errors import ArgumentError, MissingExtraError
from polymode.metrics.molecules import morgan_fingerprints
from polymode.metrics.molecules.similarity import tanimoto
from tests.metrics.molecules.sets import DRUGS, SETS, similarities

pytest.importorskip("rdkit")


@given(SETS)
def test_similarities_are_those_of_the_bits(smiles):
    words = morgan_fingerprints(smiles).words
    np.testing.assert_array_equal(tanimoto(words, words), similarities(smiles))


def test_tiles_do_not_matter(monkeypatch):
    words = morgan_fingerprints(DRUGS).words
    whole = tanimoto(words, words)
    monkeypatch.setattr("polymode.metrics.molecules.similarity._TILE", 1)
    np.testing.assert_array_equal(tanimoto(words, words), whole)


def test_two_molecules_without_bits_are_equal():
    none, one = np.zeros((1, 32), dtype=np.uint64), morgan_fingerprints(["CCO"]).words
    assert tanimoto(none, np.concatenate([none, one])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("n_bits", [1024, 2048])
@pytest.mark.parametrize("radius", [1, 2, 3])
def test_words_are_the_bits_of_the_vectors(radius, n_bits):
    prints = morgan_fingerprints(DRUGS, radius=radius, n_bits=n_bits)
    assert len(prints) == len(DRUGS)
    bits = np.unpackbits(prints.words.view(np.uint8), axis=1, bitorder="little")
    assert [np.flatnonzero(row).tolist() for row in bits] == [
        list(vector.GetOnBits()) for vector in prints.vectors
    ]
    assert prints.n_on.tolist() == bits.sum(axis=1, dtype=int).tolist()


def test_a_wider_radius_sees_more():
    near, far = (morgan_fingerprints(DRUGS, radius=r).n_on for r in (1, 3))
    assert (near <= far).all()
    assert (near < far).any()


@pytest.mark.parametrize(
    ("smiles", "settings", "message"),
    [
        (["CCO", "C1C"], {}, r"smiles must be valid, got 'C1C' at position 1: distinct_molecules"),
        (["", None, "C"], {}, r"got '' at position 0 and 1 more"),
        (["C"], {"radius": 0}, "radius must be an integer >= 1, got 0"),
        (["C"], {"n_bits": 1000}, "n_bits must be a multiple of 64, got 1000"),
    ],
)
def test_messages(smiles, settings, message, capfd):
    with pytest.raises(ArgumentError, match=message):
        morgan_fingerprints(smiles, **settings)
    assert capfd.readouterr() == ("", "")  # RDKit's own log is silent


def test_without_rdkit(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rdkit.Chem", None)
    with pytest.raises(MissingExtraError, match=r"needs rdkit: `pip install 'polymode\[chem"):
        morgan_fingerprints(["C"])
