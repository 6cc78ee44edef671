"""Training a prior: it learns, and goes on as if nothing had happened."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("rdkit")

import torch

from polymode.chemistry import load_model, log_likelihood, sample_smiles
from polymode.chemistry.prior.figures import canonical_smiles, held_out_nll, prior_figures
from polymode.chemistry.prior.training import PriorSettings, train_prior
from polymode.errors import ArgumentError, InputError
from tests.chemistry.prior.test_data import STRINGS

TINY = {
    "n_layers": 1,
    "hidden": 24,
    "embedding": 8,
    "batch_size": 16,
    "n_samples": 10,
    "n_evaluations": 3,
    "n_held_out": 6,
}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "strings.smi"
    path.write_text("\n".join(STRINGS))
    return path


def log(tmp_path):
    lines = (tmp_path / "p.training" / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_prior_learns_its_strings(source, tmp_path):
    output = tmp_path / "p.safetensors"
    settings = PriorSettings(**TINY, epochs=40, learning_rate=1e-2)
    seen = []
    figures = train_prior(source, output, settings, watch=lambda *step: seen.append(step))
    # 54 strings in batches of 16 are 4 steps an epoch
    assert [step for step, _, row in seen if "nll" in row] == list(range(1, 161))
    rows = log(tmp_path)
    assert [row["step"] for row in rows] == [54, 107, 160]
    assert rows[-1] == figures
    assert (figures["n_samples"], rows[0]["n_samples"]) == (100, 10)
    # Chains of 1 to 20 carbons with three tails: about log(60) = 4.1 nats, from 22 at the start
    assert figures["held_out_nll"] < 6
    assert figures["frac_valid"] > 0.9
    assert 0 < figures["frac_novel"] < 1
    assert rows[0]["frac_novel"] is None
    model = load_model(output)
    assert model.architecture["hidden"] == 24
    assert -log_likelihood(model, STRINGS).mean().item() < 6
    assert not (tmp_path / "p.training" / "checkpoint.safetensors").exists()


class KillError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("stop", [3, 7])
def test_a_killed_run_ends_with_the_same_weights(source, tmp_path, stop):
    settings = PriorSettings(**TINY, epochs=3)
    whole = train_prior(source, tmp_path / "whole.safetensors", settings)

    def kill(step, steps, figures):
        if step == stop + 1:
            raise KillError

    with pytest.raises(KillError):
        train_prior(source, tmp_path / "p.safetensors", settings, checkpoint_seconds=0, watch=kill)
    # a line that was being written is dropped, and one from after the checkpoint too
    with (tmp_path / "p.training" / "log.jsonl").open("a") as text:
        text.write('{"step": 11}\n{"step": 1')
    figures = train_prior(source, tmp_path / "p.safetensors", settings, resume=True)
    whole_rows = (tmp_path / "whole.training" / "log.jsonl").read_text().splitlines()
    assert [row["step"] for row in log(tmp_path)] == [json.loads(r)["step"] for r in whole_rows]
    assert figures | {"seconds": 0} == whole | {"seconds": 0}
    one, other = (load_model(tmp_path / f"{name}.safetensors") for name in ("whole", "p"))
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_other_kinds_train_too(source, tmp_path, kind):
    settings = PriorSettings(**TINY, kind=kind, n_heads=2, epochs=2, dtype="bfloat16")
    figures = train_prior(source, tmp_path / "p.safetensors", settings)
    assert figures["held_out_nll"] < 22
    assert load_model(tmp_path / "p.safetensors").architecture["kind"] == kind


def test_runs_are_not_overwritten_and_not_mixed(source, tmp_path):
    output = tmp_path / "p.safetensors"
    settings = PriorSettings(**TINY, epochs=1)
    with pytest.raises(InputError, match="nothing to resume"):
        train_prior(source, output, settings, resume=True)

    def kill(*_):
        raise KillError

    with pytest.raises(KillError):
        train_prior(source, output, settings, watch=kill)
    with pytest.raises(InputError, match=r"p\.training is there already: go on with --resume"):
        train_prior(source, output, settings)
    with pytest.raises(InputError, match="nothing to resume"):  # no checkpoint yet
        train_prior(source, output, settings, resume=True)
    (tmp_path / "p.training" / "checkpoint.safetensors").write_bytes(b"not one")
    with pytest.raises(InputError, match="is damaged or of another model"):
        train_prior(source, output, settings, resume=True)


def test_a_checkpoint_of_other_strings_is_refused(source, tmp_path):
    output = tmp_path / "p.safetensors"
    settings = PriorSettings(**TINY, epochs=1)

    def kill(step, *_):
        if step == 2:
            raise KillError

    with pytest.raises(KillError):
        train_prior(source, output, settings, checkpoint_seconds=0, watch=kill)
    source.write_text("\n".join([*STRINGS, "CNC"]))
    with pytest.raises(InputError, match="comes from other strings, settings or another start"):
        train_prior(source, output, settings, resume=True)


def test_settings_say_everything_that_is_wrong():
    with pytest.raises(ArgumentError) as caught:
        PriorSettings(epochs=0, learning_rate=-1, dtype="half")
    for part in ("epochs must be", "learning_rate must be", "dtype must be 'auto'"):
        assert part in str(caught.value)


def test_figures_against_their_definitions():
    from tests.chemistry.models.test_models import MODELS, STRINGS

    model = MODELS["gru"]
    drawn = sample_smiles(model, 300, generator=torch.Generator().manual_seed(0), dtype="float32")
    valid = [s for s in canonical_smiles(drawn.smiles) if s]
    known = frozenset(valid[:2])
    figures = prior_figures(
        model, STRINGS, n=300, generator=torch.Generator().manual_seed(0), known=known
    )
    assert 0 < len(valid) < 300
    assert figures.frac_valid == len(valid) / 300
    assert figures.frac_unique == len(set(valid)) / len(valid)
    assert figures.frac_novel == len(set(valid) - known) / len(set(valid))
    assert figures[3:] == held_out_nll(model, STRINGS)
    with torch.no_grad():
        total = -log_likelihood(model, STRINGS).sum().item()
    # 3 + 0 + 9 + 3 + 4 + 1 tokens, and an end each
    assert figures.held_out_nll == pytest.approx(total / 6)
    assert figures.held_out_nll_per_token == pytest.approx(total / 26)


def test_a_molecule_has_an_atom_and_a_canonical_form():
    assert canonical_smiles(["OCC", "C(C)O", "", "c1cc", "CC(C)(C)(C)C", "C="]) == [
        "CCO",
        "CCO",
        None,
        None,
        None,
        None,
    ]


def test_a_prior_goes_on_from_another(source, tmp_path):
    """Transfer: the tokens, the sizes and what was learned stay; strings it cannot write do not."""
    first, second = tmp_path / "first.safetensors", tmp_path / "p.safetensors"
    train_prior(source, first, PriorSettings(**TINY, epochs=30, learning_rate=1e-2))
    rings = [f"C1CC1{'O' * (n % 3)}{'N' * n}" for n in range(1, 40)]
    source.write_text("\n".join([*STRINGS[:30], *rings, "CS", "CF"]))
    kept = {name: value for name, value in TINY.items() if name not in ("hidden", "embedding")}
    settings = PriorSettings(**kept, epochs=1, learning_rate=1e-6)
    figures = train_prior(source, second, settings, start=first)
    one, other = load_model(first), load_model(second)
    assert other.vocabulary == one.vocabulary
    assert other.architecture == one.architecture
    # The rings are unknown to it, as are sulphur and fluorine
    assert json.loads((tmp_path / "p.training" / "settings.json").read_text())["n_left_out"] == 41
    # A step of 1e-6 changes next to nothing: far below log(60), as the first prior was
    change = max(
        (value - other.state_dict()[key]).abs().max() for key, value in one.state_dict().items()
    )
    assert 0 < change < 1e-4
    assert figures["held_out_nll"] < 6


def test_another_start_or_architecture_is_refused(source, tmp_path):
    first, other = tmp_path / "first.safetensors", tmp_path / "other.safetensors"
    train_prior(source, first, PriorSettings(**TINY, epochs=1))
    train_prior(source, other, PriorSettings(**TINY, epochs=1, seed=1))
    settings = PriorSettings(**TINY, epochs=1)

    def kill(step, *_):
        if step == 2:
            raise KillError

    with pytest.raises(KillError):
        train_prior(
            source,
            tmp_path / "p.safetensors",
            settings,
            start=first,
            checkpoint_seconds=0,
            watch=kill,
        )
    with pytest.raises(InputError, match="or another start"):
        train_prior(source, tmp_path / "p.safetensors", settings, start=other, resume=True)
    wide = PriorSettings(**TINY | {"hidden": 32, "n_layers": 2}, epochs=1)
    with pytest.raises(ArgumentError) as caught:
        train_prior(source, tmp_path / "q.safetensors", wide, start=first)
    assert "n_layers must be that of the model to start from, 1, got 2" in str(caught.value)
    assert "hidden must be that of the model to start from, 24, got 32" in str(caught.value)
    assert not (tmp_path / "q.training").exists()
