"""The tasks of PMO: values of their own programs, known answers, and what holds for all of them."""

import math

import numpy as np
import pytest

pytest.importorskip("rdkit")

from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from polymode.chemistry.bench.suites import SUITES
from polymode.chemistry.bench.tasks import pmo
from polymode.chemistry.bench.tasks.isomers import formula_terms
from polymode.chemistry.bench.tasks.names import GUACAMOL_NAMES, MPO_NAMES
from polymode.chemistry.bench.tasks.pmo import GUACAMOL_TASKS, PmoTask, task
from polymode.errors import ArgumentError

PROBES = (
    "COc1ccccc1OCC(O)CN1CCN(CC(=O)Nc2c(C)cccc2C)CC1",
    "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "CC(=O)Nc1ccc(F)cc1C#N",
)
# Made with the functions of PyTDC 1.1.15, each in a process of its own; of the four with a formula
# both the function that it names _prev, which is PMO's, and the later one, which is GuacaMol's.
PYTDC = {
    "albuterol_similarity": (0.25, 0.19802, 0.282828),
    "amlodipine_mpo": (0.452084, 0.360237, 0.00634472),
    "celecoxib_rediscovery": (0.143885, 1.0, 0.12766),
    "deco_hop": (0.523031, 0.536181, 0.515251),
    "fexofenadine_mpo": (0.473882, 0.406461, 0.0403159),
    "isomers_c7h8n2o2": (1.19531e-40, 9.2136e-08, 0.0149956),
    "isomers_c9h10n2o2pf2cl": (7.99445e-22, 3.32153e-05, 0.000856634),
    "median1": (0.0733945, 0.0176749, 0.0279399),
    "median2": (0.147083, 0.129656, 0.0769306),
    "mestranol_similarity": (0.239044, 0.0640789, 0.0776699),
    "osimertinib_mpo": (0.285537, 0.181751, 0.0400347),
    "perindopril_mpo": (0.357295, 0.062632, 0.0818521),
    "qed": (0.639855, 0.754105, 0.710433),
    "ranolazine_mpo": (0.0492374, 0.0663511, 0.00977928),
    "scaffold_hop": (0.368136, 0.388007, 0.356379),
    "sitagliptin_mpo": (4.10019e-06, 1.10807e-06, 1.69728e-06),
    "thiothixene_rediscovery": (0.291045, 0.209302, 0.100917),
    "troglitazone_rediscovery": (0.175676, 0.129496, 0.0900901),
    "valsartan_smarts": (0.0, 0.0, 0.0),
    "zaleplon_mpo": (1.12737e-09, 6.33138e-07, 1.08903e-11),
}
LATER = {
    "isomers_c7h8n2o2": (1.26526e-62, 1.82839e-11, 0.535261),
    "isomers_c9h10n2o2pf2cl": (8.81992e-31, 0.000374236, 0.206362),
    "sitagliptin_mpo": (6.48419e-06, 0.000435537, 9.21869e-05),
    "zaleplon_mpo": (3.75269e-10, 0.226485, 8.28986e-08),
}


def molecules(*smiles):
    return [Chem.MolFromSmiles(each) for each in smiles]


@pytest.mark.parametrize("name", GUACAMOL_NAMES)
def test_values_are_those_of_pmos_own_program(name):
    mols = molecules(*PROBES)
    np.testing.assert_allclose(PmoTask(name)(mols), PYTDC[name], rtol=1e-5)
    later = LATER.get(name, PYTDC[name])
    np.testing.assert_allclose(PmoTask(name, "guacamol")(mols), later, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("celecoxib_rediscovery", pmo.CELECOXIB),
        ("troglitazone_rediscovery", pmo.TROGLITAZONE),
        ("thiothixene_rediscovery", pmo.THIOTHIXENE),
        ("albuterol_similarity", pmo.ALBUTEROL),
        ("mestranol_similarity", pmo.MESTRANOL),
    ],
)
def test_the_molecule_that_is_looked_for_scores_one(name, target):
    assert PmoTask(name)(molecules(target)).tolist() == [1.0]


def test_an_isomer_scores_one_by_guacamols_definition():
    isomer = molecules("COc1ccc(N)cc1N=O")  # C7H8N2O2
    assert PmoTask("isomers_c7h8n2o2", "guacamol")(isomer).tolist() == [1.0]
    assert PmoTask("isomers_c7h8n2o2")(isomer)[0] < 0.5


def test_pmo_counts_the_atoms_of_the_string():
    # CCO is C2H6O: 2 C, 6 H and 1 O are right; nine atoms are wanted, the string shows three
    *elements, total = (term(molecules("CCO")[0]) for term in formula_terms("C2H6O", "pmo"))
    assert elements == [1.0, 1.0, 1.0]
    assert total == pytest.approx(math.exp(-0.5 * (6 / 2) ** 2))
    # digits of rings count as numbers of atoms: C1CC1 reads as C1, C, C1
    *_, total = (term(molecules("C1CC1")[0]) for term in formula_terms("C3H6", "pmo"))
    assert total == pytest.approx(math.exp(-0.5 * (6 / 2) ** 2))


def test_osimertinib_is_too_similar_to_itself():
    # By hand: likeness by features 1, by bonds 1 where at most .85 is wanted (bell of .1), and the
    # molecule's TPSA of 87.55 (at least 100, bell of 10) and logP of 4.51 (at most 1, bell of 1)
    (mol,) = molecules(pmo.OSIMERTINIB)
    terms = [term(mol) for term in task("osimertinib_mpo").terms]
    assert terms[0] == 1.0
    assert terms[1] == pytest.approx(math.exp(-0.5 * 1.5**2))
    assert terms[2] == pytest.approx(math.exp(-0.5 * 1.245**2), rel=1e-3)
    assert terms[3] == pytest.approx(math.exp(-0.5 * 3.51**2), rel=2e-2)
    assert task("osimertinib_mpo")(mol) == pytest.approx(math.prod(terms) ** 0.25)


PIECES = ("c1ccccc1", "C(=O)N", "CC", "N1CCN(C)CC1", "OC", "C(F)(F)F", "S(N)(=O)=O", "C#N", "Cl")


@given(
    pieces=st.lists(st.sampled_from(PIECES[:5]), min_size=1, max_size=4),
    end=st.sampled_from(PIECES[4:]),
    name=st.sampled_from([each for each in GUACAMOL_NAMES if not each.endswith("_hop")]),
    definition=st.sampled_from(["pmo", "guacamol"]),
)
def test_scores_lie_between_zero_and_one(pieces, end, name, definition):
    chain = "".join(f"C({piece})" for piece in pieces if piece != "C(=O)N") + f"C{end}"
    (score,) = PmoTask(name, definition)(molecules(chain))
    assert 0.0 <= score <= 1.0


def test_names_agree_everywhere():
    assert set(GUACAMOL_NAMES) == set(GUACAMOL_TASKS) == set(PYTDC)
    assert set(MPO_NAMES) == {name for name in GUACAMOL_TASKS if name.endswith("_mpo")}
    assert set(SUITES["pmo"].tasks) == {*GUACAMOL_NAMES, "jnk3", "gsk3b"}


def test_a_wrong_name_is_told():
    with pytest.raises(ArgumentError, match=r"task must be .*did you mean 'median1'"):
        PmoTask("median11")
    with pytest.raises(ArgumentError, match="definition must be"):
        PmoTask("median1", "molscore")
