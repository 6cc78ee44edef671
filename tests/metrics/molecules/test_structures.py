"""Structures as modes: canonical molecules, scaffolds, and their shapes."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.errors import ArgumentError, MissingExtraError
from polymode.metrics import mode_function
from polymode.metrics.molecules import (
    canonical_smiles,
    generic_scaffold,
    murcko_scaffold,
    structural_mode,
)
from tests.metrics.molecules.sets import DRUGS

pytest.importorskip("rdkit")

FUNCTIONS = {
    "canonical": canonical_smiles,
    "murcko": murcko_scaffold,
    "generic": generic_scaffold,
}


@pytest.mark.parametrize(
    ("smiles", "murcko", "generic"),
    [
        # by hand: side chains go, the linker C(=O)N stays with the oxygen on its double bond
        ("Cc1ccccc1C(=O)NC1CC1", "O=C(NC1CC1)c1ccccc1", "CC(CC1CC1)C1CCCCC1"),
        ("Clc1ccncc1", "c1ccncc1", "C1CCCCC1"),
        ("C[C@H]1CC[C@@H](C)CC1", "C1CCCCC1", "C1CCCCC1"),
        ("CC(C)O", "", ""),
        ("[Na+].c1ccc[n-]1", "c1cc[n-]c1", "C1CCCC1"),
        ("C1CC1.c1ccccc1", "C1CC1.c1ccccc1", "C1CC1.C1CCCCC1"),
        ("c1ccccc", None, None),
        ("", None, None),
    ],
)
def test_known_scaffolds(smiles, murcko, generic):
    assert murcko_scaffold(smiles) == murcko
    assert generic_scaffold(smiles) == generic


def test_a_generic_scaffold_is_written_also_where_carbon_cannot_be(capfd):
    # five neighbours: RDKit makes the phosphorus a carbon, and refuses it
    pentavalent = "C1CC1P(C1CC1)(C1CC1)(C1CC1)C1CC1"
    assert generic_scaffold(pentavalent).count("1") == 10  # five rings
    assert "P" not in generic_scaffold(pentavalent)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", FUNCTIONS)
@given(smiles=st.sampled_from(DRUGS), seed=st.integers(0, 2**31 - 1))
def test_the_way_a_molecule_is_written_does_not_matter(kind, smiles, seed):
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles)
    (other,) = Chem.MolToRandomSmilesVect(molecule, 1, randomSeed=seed)
    assert FUNCTIONS[kind](other) == FUNCTIONS[kind](smiles)


@given(st.sampled_from(DRUGS))
def test_structures_are_their_own(smiles):
    assert canonical_smiles(canonical_smiles(smiles)) == canonical_smiles(smiles)
    scaffold = murcko_scaffold(smiles)
    assert not scaffold or murcko_scaffold(scaffold) == scaffold


def test_stereochemistry_tells_molecules_apart_and_no_scaffolds():
    pair = ("C[C@H](N)c1ccccc1", "C[C@@H](N)c1ccccc1")
    assert len(set(map(canonical_smiles, pair))) == 2
    assert len(set(map(murcko_scaffold, pair))) == 1


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_kinds_are_mode_specs(kind):
    for function in (structural_mode(kind), mode_function(kind)):
        assert [function(s) for s in (*DRUGS, "no molecule")] == [
            FUNCTIONS[kind](s) for s in (*DRUGS, "no molecule")
        ]
    with pytest.raises(ArgumentError, match=f"mode key {kind} takes nothing after it, got ':1'"):
        mode_function(f"{kind}:1")


def test_an_unknown_kind():
    with pytest.raises(ArgumentError, match=r"kind must be .*, got 'murko'; did you mean 'murcko'"):
        structural_mode("murko")


@pytest.mark.parametrize("spec", ["canonical", "murcko", "generic", "tanimoto:0.7"])
def test_without_rdkit_the_spec_itself_is_refused(spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit.Chem", None)
    with pytest.raises(MissingExtraError, match=r"polymode\[chemistry\]"):
        mode_function(spec)


def test_the_package_loads_no_rdkit():
    code = "import sys, polymode.metrics.molecules; print('rdkit' in sys.modules)"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
