"""Valid, unique, novel; drug-likeness and ease of synthesis."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.metrics.molecules import (
    canonical_smiles,
    distinct_molecules,
    frac_novel,
    frac_unique,
    frac_valid,
    qed_scores,
    sa_scores,
)
from tests.metrics.molecules.sets import DRUGS

pytest.importorskip("rdkit")

STRINGS = st.lists(st.sampled_from([*DRUGS, "OCC", "C1C", "", "c1cccc1"]), min_size=1, max_size=12)


@given(STRINGS, st.sets(st.sampled_from(DRUGS)))
def test_shares_are_those_of_moses(smiles, known):
    """MOSES drops what is invalid, counts the set of the rest, and then what is not known."""
    known = {canonical_smiles(each) for each in known}
    valid = [c for s in smiles if (c := canonical_smiles(s)) is not None]
    assert frac_valid(smiles) == len(valid) / len(smiles)
    assert set(distinct_molecules(smiles)) == set(valid)
    if valid:
        assert frac_unique(smiles) == len(set(valid)) / len(valid)
        assert frac_novel(smiles, known=known) == len(set(valid) - known) / len(set(valid))
        assert frac_novel(smiles, known=list(known)) == frac_novel(smiles, known=known)


def test_distinct_molecules_come_in_their_order():
    assert distinct_molecules(["c1ccccc1O", "OCC", "x", "CCO"]) == ("Oc1ccccc1", "CCO")


@pytest.mark.parametrize("smiles", [[], ["x"]])
def test_nothing_valid(smiles, capfd):
    assert distinct_molecules(smiles) == ()
    assert math.isnan(frac_unique(smiles))
    assert math.isnan(frac_novel(smiles, known=()))
    assert math.isnan(frac_valid([]))
    assert frac_valid(["x"]) == 0
    assert capfd.readouterr() == ("", "")


def test_properties_are_those_of_rdkit():
    from rdkit import Chem
    from rdkit.Chem import QED
    from rdkit.Contrib.SA_Score import sascorer

    molecules = [Chem.MolFromSmiles(s) for s in DRUGS]
    np.testing.assert_array_equal(qed_scores(DRUGS), [QED.qed(m) for m in molecules])
    np.testing.assert_array_equal(sa_scores(DRUGS), [sascorer.calculateScore(m) for m in molecules])
    for scores, low, high in ((qed_scores, 0, 1), (sa_scores, 1, 10)):
        found = scores([*DRUGS, "C1C"])
        assert np.isnan(found).tolist() == [False] * len(DRUGS) + [True]
        assert low <= np.nanmin(found) < np.nanmax(found) <= high
        assert scores([]).shape == (0,)
    # published: caffeine has a QED of 0.54 in RDKit's weights, aspirin is easy to make
    assert qed_scores(["Cn1cnc2c1c(=O)n(C)c(=O)n2C"])[0] == pytest.approx(0.538, abs=1e-3)
