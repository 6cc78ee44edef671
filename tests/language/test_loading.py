"""Loading models: adapters on their base, and errors of one line."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from polymode.errors import InputError
from polymode.language.loading import adapter_base, load_model, load_tokenizer


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    """A LoRA adapter that changes the tiny model, saved as the trainers save it."""
    path = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), config)
    model.save_pretrained(path)
    return path, model.eval()


def test_an_adapter_is_put_on_its_base(adapter, tiny_model):
    path, model = adapter
    ids = torch.tensor([[5, 6, 7]])
    loaded = load_model(str(path))
    with torch.no_grad():
        expected, base = model(ids).logits, load_model(tiny_model)(ids).logits
        torch.testing.assert_close(loaded(ids).logits, expected)
    assert (expected - base).abs().max() > 0.1
    assert not loaded.training
    assert adapter_base(str(path)) == tiny_model
    assert adapter_base(tiny_model) is None


def test_the_tokenizer_of_an_adapter_is_its_own_or_that_of_its_base(adapter, tiny_model, tmp_path):
    path, _ = adapter
    base = load_tokenizer(tiny_model)
    assert load_tokenizer(str(path)).chat_template == base.chat_template
    own = tmp_path / "own"
    shutil.copytree(path, own)
    base.chat_template = "other"
    base.save_pretrained(own)
    assert load_tokenizer(str(own)).chat_template == "other"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is damaged or names no base model"),
        ("{}", "is damaged or names no base model"),
        ('{"base_model_name_or_path": null}', "names no base model: set base_model_name_or_path"),
        ('{"base_model_name_or_path": "b"}', "has no adapter_model.safetensors: save it as"),
    ],
)
def test_damaged_adapters_are_one_line(config, message, tmp_path):
    (tmp_path / "adapter_config.json").write_text(config)
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle, which is never read")
    with pytest.raises(InputError, match=message):
        load_model(str(tmp_path))


def test_what_cannot_be_loaded_is_one_line(tmp_path, tiny_model):
    with pytest.raises(InputError, match=r"model '.*' cannot be loaded: "):
        load_model(str(tmp_path))
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((copy / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="has no chat template: choose an instruction-tuned model"):
        load_tokenizer(str(copy))
