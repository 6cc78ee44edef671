"""Models as files."""

import json

import pytest

pytest.importorskip("torch")

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from polymode.chemistry import load_model, load_prior, log_likelihood, save_model
from polymode.errors import InputError
from tests.chemistry.models.test_models import KINDS, MODELS, STRINGS, VOCABULARY


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_brings_the_model_back(kind, tmp_path):
    model = MODELS[kind]
    save_model(model, tmp_path / "m.safetensors", metadata={"source": "a test"})
    again = load_prior(tmp_path / "m.safetensors")
    assert again.vocabulary == VOCABULARY
    assert again.architecture == model.architecture
    assert not again.training
    assert torch.equal(log_likelihood(again, STRINGS), log_likelihood(model, STRINGS))
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        head = file.metadata()
    assert head["source"] == "a test"
    assert json.loads(head["vocabulary"]) == list(VOCABULARY.tokens)
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_rounded_weights_take_half_the_room_and_come_back_as_float32(tmp_path):
    model = MODELS["gru"]
    for dtype in (torch.float32, torch.float16):
        save_model(model, tmp_path / f"{dtype}.safetensors", dtype=dtype)
    again = load_model(tmp_path / "torch.float16.safetensors")
    assert again.head.weight.dtype == torch.float32
    assert torch.equal(again.head.weight, model.head.weight.half().float())
    size = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert size["torch.float16.safetensors"] < 0.6 * size["torch.float32.safetensors"]


def broken(tmp_path, **changes):
    save_model(MODELS["gru"], tmp_path / "whole.safetensors")
    with safe_open(tmp_path / "whole.safetensors", framework="pt") as file:
        head = {k: v for k, v in (file.metadata() | changes).items() if v}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, tmp_path / "broken.safetensors", metadata=head)
    return tmp_path / "broken.safetensors"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "is no model of SMILES: `polymode prior train`"),
        ({"architecture": ""}, "is damaged: 'architecture'"),
        ({"architecture": '{"kind": "gpt"}'}, "kind must be one of gru, lstm, transformer"),
        ({"architecture": '{"kind": "gru", "depth": 2}'}, "a gru model has no such size"),
        ({"architecture": '{"kind": "gru", "hidden": 4}'}, "is damaged"),
        ({"vocabulary": "[]"}, "tokens must begin with"),
        ({"vocabulary": '["$", "^", "C"]'}, "size mismatch"),
    ],
)
def test_files_that_are_no_models_are_refused(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        load_model(broken(tmp_path, **changes))


def test_missing_and_cut_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load_model(tmp_path / "none.safetensors")
    save_model(MODELS["gru"], tmp_path / "m.safetensors")
    (tmp_path / "m.safetensors").write_bytes((tmp_path / "m.safetensors").read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load_model(tmp_path / "m.safetensors")


def test_an_unknown_prior_is_refused():
    with pytest.raises(InputError, match=r"prior must be a file or one of .*got 'zink'"):
        load_prior("zink")
