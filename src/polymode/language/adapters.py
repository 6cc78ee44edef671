r"""LoRA adapters in an ensemble of weights: exact where the algebra allows it, refused elsewhere.

An adapter stands for ``base + s B A`` with a scale ``s``. The interpolation with its base is
``base + w s B A``, the same adapter with another scale. That of two adapters of one base is not
linear in the factors, but a sum of two products is one product of longer factors:

.. math:: (1 - w) s_1 B_1 A_1 + w s_2 B_2 A_2
    = \begin{pmatrix} (1 - w) s_1 B_1 & w s_2 B_2 \end{pmatrix}
      \begin{pmatrix} A_1 \\ A_2 \end{pmatrix}
"""

import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from polymode.errors import UnsupportedOptionError
from polymode.language.weights import entries, load, read_json

CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_FACTOR = re.compile(r"\.lora_(embedding_)?[AB](\.weight)?$")
_INTO_ROWS = re.compile(r"\.lora_(embedding_)?A(\.weight)?$")
# Initialisations that change the base as well, so that base + s B A is not the model.
_CHANGE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_NOT_LINEAR = ("use_dora", "alora_invocation_tokens", "use_qalora")


def scale_adapter(adapter: Path, out: Path, *, weight: float) -> int:
    """Write an adapter whose effect is `weight` times that of another.

    Only the scale changes, in ``adapter_config.json``; the factors are copied as they are.

    Returns
    -------
    int
        Number of tensors.

    Raises
    ------
    UnsupportedOptionError
        If the effect of the adapter is not linear in its scale; lists why.
    InputError
        If a file is missing or damaged.
    """
    config = read_json(adapter / CONFIG)
    problems = list(_problems(adapter, config))
    if problems:
        raise UnsupportedOptionError("ensemble", problems)
    config["lora_alpha"] *= weight
    pattern = config.get("alpha_pattern") or {}
    config["alpha_pattern"] = {name: alpha * weight for name, alpha in pattern.items()}
    shutil.copyfile(adapter / _WEIGHTS, out / _WEIGHTS)
    _write_config(out, config)
    return len(entries(adapter))


def join_adapters(first: Path, second: Path, out: Path, *, weight: float) -> int:
    """Write the adapter that interpolates two of one base; its rank is the sum of theirs.

    Returns
    -------
    int
        Number of tensors.

    Raises
    ------
    UnsupportedOptionError
        If the two do not belong together, or either is not a plain LoRA; lists why.
    InputError
        If a file is missing or damaged.
    """
    configs = [read_json(directory / CONFIG) for directory in (first, second)]
    problems = [
        problem
        for directory, config in zip((first, second), configs, strict=True)
        for problem in (*_problems(directory, config), *_pattern_problems(directory, config))
    ]
    problems += _pair_problems(first, second, configs)
    if problems:
        raise UnsupportedOptionError("ensemble", problems)
    tables = [entries(directory) for directory in (first, second)]
    factors = [(1 - weight) * _scale(configs[0]), weight * _scale(configs[1])]
    joined = {
        name: _joined([load(table[name], name) for table in tables], name, factors)
        for name in tables[0]
    }
    save_file(joined, out / _WEIGHTS, metadata={"format": "pt"})
    rank = sum(config["r"] for config in configs)
    _write_config(out, {**configs[0], "r": rank, "lora_alpha": rank, "use_rslora": False})
    return len(joined)


def base_of(adapter: Path) -> str:
    """Return the model that an adapter was made for, a directory or a name."""
    return str(read_json(adapter / CONFIG).get("base_model_name_or_path"))


def same_model(one: str, other: str) -> bool:
    """Return whether two models are one: by name, or as directories."""
    return one == other or (Path(one).is_dir() and Path(one).resolve() == Path(other).resolve())


def _joined(parts: list[torch.Tensor], name: str, factors: list[float]) -> torch.Tensor:
    """Return the longer factor: A below A, or B, with its scale, beside B."""
    if _INTO_ROWS.search(name):
        return torch.cat(parts, dim=0)
    scaled = [
        (factor * part.float()).to(part.dtype) for factor, part in zip(factors, parts, strict=True)
    ]
    return torch.cat(scaled, dim=1)


def _scale(config: dict[str, Any]) -> float:
    """Return what an adapter multiplies B A by."""
    rank = config["r"]
    return config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _problems(adapter: Path, config: dict[str, Any]) -> Iterator[str]:
    """Yield why ``base + s B A`` is not the model of an adapter."""
    kind = config.get("peft_type")
    if kind != "LORA":
        yield f"{adapter} must be a LoRA adapter, got {kind}: merge it into its base first"
    yield from (
        f"{adapter} must not have {name}: its effect is not linear; merge it into its base first"
        for name in _NOT_LINEAR
        if config.get(name)
    )
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGE_BASE):
        yield (
            f"{adapter} must not be initialised by {start}, which changes the base: merge it first"
        )
    whole = [name for name in entries(adapter) if not _FACTOR.search(name)]
    if whole:
        yield (
            f"{adapter} must hold LoRA factors only, got {', '.join(whole[:3])}"
            f"{' …' if len(whole) > 3 else ''}: merge it into its base first"
        )


def _pattern_problems(adapter: Path, config: dict[str, Any]) -> Iterator[str]:
    """Yield what gives the modules of an adapter different ranks or scales."""
    yield from (
        f"{adapter} must not have {name} when two adapters are joined: merge both first"
        for name in ("rank_pattern", "alpha_pattern", "target_parameters")
        if config.get(name)
    )


def _pair_problems(first: Path, second: Path, configs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what keeps two adapters from being joined."""
    bases = [base_of(directory) for directory in (first, second)]
    if not same_model(*bases):
        yield f"both adapters must have one base, got {bases[0]} and {bases[1]}"
    tables = [
        {name: entry.dtype for name, entry in entries(directory).items()}
        for directory in (first, second)
    ]
    if tables[0] != tables[1]:
        yield (
            "both adapters must sit on the same layers in the same dtype: merge each into the base "
            "and interpolate the models"
        )
    for name in ("fan_in_fan_out", "layer_replication"):
        if (configs[0].get(name) or None) != (configs[1].get(name) or None):
            yield f"both adapters must have the same {name}"


def _write_config(out: Path, config: dict[str, Any]) -> None:
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
