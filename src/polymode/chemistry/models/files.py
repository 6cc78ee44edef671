"""A model as one file: safetensors, with architecture and vocabulary as JSON in its metadata."""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from polymode.chemistry.models.interface import SmilesModel
from polymode.chemistry.models.recurrent import GRUModel, LSTMModel
from polymode.chemistry.models.transformer import TransformerModel
from polymode.chemistry.vocabulary import Vocabulary
from polymode.core.checks import did_you_mean
from polymode.errors import InputError, PolymodeError
from polymode.files import whole_file

MODELS: dict[str, type[Any]] = {
    "gru": GRUModel,
    "lstm": LSTMModel,
    "transformer": TransformerModel,
}
"""The kinds of models, by the name that files and command lines use."""

_FORMAT = "polymode-smiles-model"


def build_model(architecture: Mapping[str, Any], vocabulary: Vocabulary) -> SmilesModel:
    """Return a new model of an architecture: ``kind`` and its sizes.

    Raises
    ------
    InputError
        If the kind or a size is unknown.
    ArgumentError
        If a size is not what it must be.
    """
    sizes = dict(architecture)
    kind = sizes.pop("kind", None)
    if kind not in MODELS:
        raise InputError(f"kind must be one of {', '.join(MODELS)}, got {kind!r}")
    try:
        return MODELS[kind](vocabulary, **sizes)
    except TypeError as error:
        raise InputError(f"a {kind} model has no such size: {error}") from error


def save_model(
    model: SmilesModel,
    path: Path | str,
    *,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a model to one safetensors file.

    Parameters
    ----------
    model : SmilesModel
        The model.
    path : path
        The file; replaced in one piece if it is there.
    metadata : mapping of str to str, optional
        What else to keep, as where the model came from.
    dtype : torch.dtype
        What weights are rounded to; `load_model` returns float32 always.
    """
    path = Path(path)
    head = {
        **(metadata or {}),
        "format": _FORMAT,
        "architecture": json.dumps(model.architecture),
        "vocabulary": model.vocabulary.to_json(),
    }
    weights = {k: v.detach().to("cpu", dtype).contiguous() for k, v in model.state_dict().items()}
    with whole_file(path) as scratch:
        save_file(weights, scratch, metadata=head)


def load_model(path: Path | str) -> SmilesModel:
    """Read a model that `save_model` wrote. Nothing is unpickled.

    Parameters
    ----------
    path : path
        The safetensors file.

    Returns
    -------
    SmilesModel
        The model, float32, on the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the file is missing, damaged or not such a model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            head = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name).float() for name in list(file.keys())}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}") from error
    if head.get("format") != _FORMAT:
        raise InputError(
            f"{path} is no model of SMILES: `polymode prior train` and `polymode prior import` "
            "write such files"
        )
    try:
        architecture = json.loads(head["architecture"])
        model = build_model(architecture, Vocabulary.from_json(head["vocabulary"]))
        model.load_state_dict(weights)
    except (PolymodeError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    return model.eval()


def weights_sha256(model: SmilesModel) -> str:
    """Return what tells the weights of a model from others, whatever their file is called.

    Parameters
    ----------
    model : SmilesModel
        The model.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_prior(name_or_path: str | Path = "zinc250k") -> SmilesModel:
    """Return a prior: one that comes with polymode, or one from a file.

    Parameters
    ----------
    name_or_path : str or path
        "zinc250k", or a file that `save_model` wrote.

    Returns
    -------
    SmilesModel
        The model, float32, on the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If there is no such prior.
    """
    shelf = files("polymode.chemistry.prior")
    shipped = [each.name for each in shelf.iterdir() if (each / "model.safetensors").is_file()]
    if str(name_or_path) in shipped:
        with as_file(shelf / str(name_or_path) / "model.safetensors") as path:
            return load_model(path)
    if Path(name_or_path).exists():
        return load_model(name_or_path)
    given = str(name_or_path)
    raise InputError(
        f"prior must be a file or one of {', '.join(shipped) or 'none'}, "
        f"got {given!r}{did_you_mean(given, shipped)}"
    )
