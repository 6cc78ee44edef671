"""Limits of the diverse-hits suite, the amide proxy, the easy task: molecules of known fate."""

import numpy as np
import pytest

pytest.importorskip("rdkit")

from rdkit import Chem
from rdkit.Chem import QED

from polymode.chemistry.bench.tasks.amides import AllAmide
from polymode.chemistry.bench.tasks.druglike import qed_sa
from polymode.chemistry.bench.tasks.limits import DrugLimits, features, known_features

CELECOXIB = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"


def molecules(*smiles):
    return [Chem.MolFromSmiles(each) for each in smiles]


def test_drugs_are_within_the_limits_and_odd_molecules_are_not():
    too_light, too_greasy = "CCO", "C" * 30  # 46 Da; logP 11
    too_heavy = "O=C(NCCCCCCNC(=O)c1ccccc1)" + "c1ccc(OCCOCCOCCOCCOCCOCCOCCOCCOCCOCC)cc1"
    unknown = "B1PB[SiH2]B[AsH]B[SiH]1CP[SiH2]BPC"
    mols = molecules(CELECOXIB, too_light, too_greasy, too_heavy, unknown)
    assert DrugLimits()(mols).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert DrugLimits(None)(molecules(CELECOXIB)).tolist() == [1.0]


def test_the_share_of_known_features_decides():
    # Weight and logP are those of a drug, but boron and arsenic are where nobody has put them
    odd = molecules("CC1=C([AsH]Br)B(N2CC([SiH2]P)C2)OC1c1ccccc1")
    assert DrugLimits(None)(odd).tolist() == [1.0]
    assert DrugLimits()(odd).tolist() == [0.0]
    assert DrugLimits(0.0)(odd).tolist() == [1.0]


def test_known_features_are_sorted_and_hold_those_of_benzene():
    known = known_features()
    assert len(known) == 180_142  # as its JSON says
    assert (np.diff(known.astype(np.int64)) > 0).all()
    own = features(molecules("c1ccccc1")[0])
    assert np.isin(own, known).all()
    # one neighbourhood of each radius, 0 to 2, since all atoms are alike
    assert len(own) == 3


@pytest.mark.parametrize(
    ("smiles", "kept"),
    [
        ("CC(=O)Nc1ccccc1", True),
        ("O=C(c1ccccc1)N1CCC(NC(C)=O)CC1", True),  # both are amides
        ("CC(=O)Nc1ccc(C(=O)O)cc1", True),  # an acid is no ester
        ("CCO", False),  # nothing to cut
        ("NC(=O)c1ccccc1", False),  # ammonia is no fragment
        ("CC(=O)Nc1ccc(OCC)cc1", False),  # an ether besides
        ("CC(=O)Nc1ccc(-c2ccccc2)cc1", False),  # a biaryl besides
        ("O=C(Nc1ccccc1)Nc1ccccc1", False),  # urea
        ("CC(=O)NCC(=O)OC", False),  # an ester besides
        ("CC(=O)NCCN(C)CC", False),  # an amine besides
        ("O=C1CCCN1", False),  # in a ring
    ],
)
def test_all_amide(smiles, kept):
    assert AllAmide()(molecules(smiles)).tolist() == [float(kept)]


def test_the_weaker_of_two_decides():
    easy, hard = molecules("CCO", CELECOXIB)
    low, high = qed_sa([easy, hard])
    assert low == pytest.approx(QED.qed(easy))  # ethanol is easy to make and no drug
    assert high == pytest.approx(min(QED.qed(hard), 1.0), abs=0.2)
    assert 0 < low < high < 1
