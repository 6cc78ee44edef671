"""Load models and tokenizers: whatever goes wrong is one line of ours."""

import contextlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from polymode.errors import InputError
from polymode.language.embedded import resolve_model

ADAPTER_CONFIG = "adapter_config.json"


def load_model(name: str, *, dtype: Any = "auto") -> Any:
    """Load a model for evaluation, on the accelerator where there is one.

    Parameters
    ----------
    name : str
        The embedded model, a directory, or a hub id, as `resolve_model` takes it. A directory with
        `adapter_config.json` is a LoRA adapter, put on top of the model that it names.
    dtype : torch.dtype or "auto"
        Of the weights; "auto" is that of the checkpoint.

    Raises
    ------
    InputError
        If the model cannot be had.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path = resolve_model(name)
    if base := adapter_base(path):
        return with_adapter(load_model(base, dtype=dtype), path)
    with loading(path):
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def load_tokenizer(name: str, *, chat: bool = True) -> Any:
    """Load a tokenizer with a chat template; an adapter without one has that of its model.

    Parameters
    ----------
    name : str
        As `load_model` takes it.
    chat : bool
        Whether it must have a chat template.

    Raises
    ------
    InputError
        If it cannot be had, or has no chat template.
    """
    from transformers import AutoTokenizer

    path = resolve_model(name)
    base = adapter_base(path)
    if base and not (Path(path) / "tokenizer_config.json").exists():
        return load_tokenizer(base, chat=chat)
    with loading(path):
        tokenizer: Any = AutoTokenizer.from_pretrained(path)
    if chat and tokenizer.chat_template is None:
        raise InputError(f"model {path!r} has no chat template: choose an instruction-tuned model")
    return tokenizer


def adapter_base(path: str) -> str | None:
    """Return the model that an adapter directory is for; None if it is no adapter."""
    config = Path(path) / ADAPTER_CONFIG
    if not config.is_file():
        return None
    try:
        base = json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{config} is damaged or names no base model ({error!r})") from error
    if not isinstance(base, str) or not base:
        raise InputError(f"{config} names no base model: set base_model_name_or_path")
    if not (Path(path) / "adapter_model.safetensors").is_file():  # the other format is a pickle
        raise InputError(
            f"adapter {path!r} has no adapter_model.safetensors: save it as safetensors"
        )
    return base


@contextlib.contextmanager
def loading(path: str) -> Generator[None]:
    """Turn the many ways in which a model cannot be had into one line."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"model {path!r} cannot be loaded: {reason}") from error


def with_adapter(model: Any, path: str) -> Any:
    """Put a LoRA adapter on a model. It is not merged: in bfloat16 that would round it away."""
    from peft import PeftModel

    with loading(path):
        return PeftModel.from_pretrained(model, path).eval()
