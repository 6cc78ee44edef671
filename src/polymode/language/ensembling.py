"""Ensembles of weights: a model between two checkpoints, tensor by tensor."""

import contextlib
import json
import shutil
from collections.abc import Generator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from polymode.core import checks
from polymode.errors import InputError, UnsupportedOptionError
from polymode.language.adapters import CONFIG, base_of, join_adapters, same_model, scale_adapter
from polymode.language.weights import Entry, entries, load, read_json, weight_files, write_like

_METADATA = "polymode_ensemble.json"
_COPIED = {".json", ".txt", ".model", ".jinja", ".tiktoken", ".py"}
_LEFT_OUT = {"trainer_state.json", "polymode_memory.json", _METADATA, CONFIG}
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float32, "BF16": torch.float32}
_HARMLESS = {"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache"}


def interpolate_checkpoints(
    first: str | Path, second: str | Path, out: str | Path, *, weight: float
) -> dict[str, Any]:
    r"""Write the model that lies between two, and return what was written about it.

    .. math:: \theta = (1 - w) \, \theta_1 + w \, \theta_2

    Parameters
    ----------
    first, second : path
        Directories with a model as safetensors, sharded or not, or with a LoRA adapter; next to an
        adapter, the other may be its base, as a directory or by the name that the adapter knows.
    out : path
        A new directory. Layout, dtypes, configuration and tokenizer are those of `first`.
    weight : float
        Share of `second`, in [0, 1].

    Returns
    -------
    dict
        What ``polymode_ensemble.json`` holds: ``first``, ``second``, ``weight``, ``kind``
        ("weights", "scaled adapter" or "joined adapters"), ``n_tensors``, versions.

    Raises
    ------
    ArgumentError
        If `weight` does not lie in [0, 1].
    InputError
        If a checkpoint is missing, damaged or not in safetensors, or `out` exists.
    UnsupportedOptionError
        If the two do not fit together, or the interpolation would not be exact; lists why.

    Notes
    -----
    Computed in float32 (float64 for float64) and rounded once to the dtype of `first`. Memory: one
    tensor of each. An adapter and its base give an adapter with another scale, two adapters of one
    base one of the summed rank; both equal the interpolated weights exactly, up to rounding.

    References
    ----------
    .. [1] Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv 2109.01903
       (WiSE-FT, Eq. 1).
    .. [2] Dang et al., "Weight Ensembling Improves Reasoning in Language Models", 2025, arXiv
       2504.10478 (pass@k of interpolations between an early and a late checkpoint).
    """
    checks.require(checks.within(0, 1, weight=weight))
    first, second, out = Path(first), Path(second), Path(out)
    adapters = [(directory / CONFIG).exists() for directory in (first, second)]
    with _all_or_nothing(out) as partial:
        if all(adapters):
            kind, source = "joined adapters", first
            n_tensors = join_adapters(first, second, partial, weight=weight)
        elif any(adapters):
            kind, source = "scaled adapter", first if adapters[0] else second
            _check_base(source, second if adapters[0] else first)
            share = 1 - weight if adapters[0] else weight
            n_tensors = scale_adapter(source, partial, weight=share)
        else:
            kind, source = "weights", first
            n_tensors = _interpolate(first, second, partial, weight)
        _copy_the_rest(source, partial)
        metadata = {
            "schema_version": 1,
            "polymode": version("polymode"),
            "first": str(first),
            "second": str(second),
            "weight": weight,
            "kind": kind,
            "n_tensors": n_tensors,
        }
        (partial / _METADATA).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    return metadata


@contextlib.contextmanager
def _all_or_nothing(out: Path) -> Generator[Path]:
    """Give a directory to write into, which becomes `out` once everything is there."""
    if out.exists():
        raise InputError(f"{out} already exists: name another directory")
    partial = out.with_name(out.name + ".partial")
    if partial.exists():
        raise InputError(f"{partial} is left over from a run that was killed: remove it first")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _interpolate(first: Path, second: Path, out: Path, weight: float) -> int:
    """Write the interpolated weights in the layout of the first; return the number of tensors."""
    ours, theirs = entries(first), entries(second)
    problems = [*_table_problems(ours, theirs), *_config_problems(first, second)]
    if problems:
        raise UnsupportedOptionError("ensemble", problems)

    def value(name: str) -> torch.Tensor:
        return _between(name, load(ours[name], name), load(theirs[name], name), weight)

    return sum(write_like(file, out / file.name, value) for file in weight_files(first))


def _between(name: str, a: torch.Tensor, b: torch.Tensor, weight: float) -> torch.Tensor:
    """Return one interpolated tensor in the dtype of the first."""
    if not a.is_floating_point():
        if not torch.equal(a, b):
            raise UnsupportedOptionError(
                "ensemble", f"{name} must be equal in both, as it holds no floats ({a.dtype})"
            )
        return a
    wide = torch.float64 if a.dtype == torch.float64 else torch.float32
    return torch.lerp(a.to(wide), b.to(wide), weight).to(a.dtype)


def _table_problems(ours: dict[str, Entry], theirs: dict[str, Entry]) -> Iterator[str]:
    """Yield why two models do not have the same tensors."""
    for which, names in (("first", ours.keys() - theirs), ("second", theirs.keys() - ours)):
        if names:
            yield f"both models must have the same tensors, only the {which} has {_some(names)}"
    shapes = [n for n in ours.keys() & theirs if ours[n].shape != theirs[n].shape]
    if shapes:
        yield f"both models must have the same shapes, which differ for {_some(shapes)}"
    packed = [
        name
        for name, entry in ours.items()
        if entry.dtype.startswith("F") and entry.dtype not in _DTYPES
    ]
    if packed:
        yield f"weights must not be quantised, got {ours[min(packed)].dtype} for {_some(packed)}"


def _config_problems(first: Path, second: Path) -> Iterator[str]:
    """Yield what makes equal weights mean different things in two models."""
    one, other = (read_json(directory / "config.json") for directory in (first, second))
    differ = [
        name
        for name in one.keys() & other
        if one[name] != other[name] and name not in _HARMLESS and not name.endswith("_token_id")
    ]
    if differ:
        yield f"both models must have one architecture, config.json differs in {_some(differ)}"
    if one.get("quantization_config") or other.get("quantization_config"):
        yield "weights must not be quantised: what they stand for is not linear in them"
    paths = [directory / "tokenizer.json" for directory in (first, second)]
    if all(path.exists() for path in paths):
        vocabularies = [read_json(path).get("model", {}).get("vocab") for path in paths]
        if vocabularies[0] != vocabularies[1]:
            yield "both tokenizers must have the same vocabulary: rows of an embedding are tokens"


def _some(names: Any) -> str:
    """Name up to three of many."""
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _check_base(adapter: Path, base: Path) -> None:
    """Refuse an adapter beside a model that is not its base."""
    own = base_of(adapter)
    if not same_model(own, str(base)):
        raise UnsupportedOptionError(
            "ensemble",
            f"the model beside {adapter} must be its base, {own}, got {base}: merge the adapter "
            "first (model.merge_and_unload().save_pretrained(DIRECTORY))",
        )


def _copy_the_rest(source: Path, out: Path) -> None:
    """Copy configuration and tokenizer, and what else is no weights and no state of a trainer."""
    for path in sorted(source.iterdir()):
        wanted = path.suffix in _COPIED and path.name not in _LEFT_OUT
        if wanted and path.is_file():
            shutil.copyfile(path, out / path.name)
