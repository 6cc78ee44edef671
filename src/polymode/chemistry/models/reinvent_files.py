"""Priors of REINVENT 4, read and written.

Such a file is a pickle, which can run code when it is loaded. Here it is read by the restricted
reader of torch: tensors, numbers, strings, lists and dictionaries; classes of REINVENT itself, as
the memories in the checkpoint of a run, become empty stand-ins of ours. Whatever else a file names
is refused, unread.

Layout, as REINVENT 4.8 has it: ``vocabulary`` (end token ``$``, start token ``^``), ``network``
(weights of ``_embedding``, ``_rnn``, ``_linear``), ``network_params``, ``max_sequence_length``,
``metadata``.
"""

import pickle
import time
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from polymode.chemistry.models.interface import END_ID, SmilesModel
from polymode.chemistry.models.recurrent import GRUModel, LSTMModel, RecurrentModel
from polymode.chemistry.models.reinvent_padding import padding_embedding
from polymode.chemistry.vocabulary import END, START, Vocabulary
from polymode.errors import ArgumentError, InputError

_PARTS = {"embedding": "_embedding", "rnn": "_rnn", "head": "_linear"}
_MAX_LENGTH = 256  # tokens that REINVENT draws at most, start and end included: its default


class _StandIn:
    """An object of a class of REINVENT: its attributes, nothing that it does."""

    def __init__(self, *_: Any) -> None:
        """Take what the class was made with, and do nothing."""


class _VocabularyStandIn(_StandIn):
    """Its `Vocabulary`."""


class _TokenizerStandIn(_StandIn):
    """Its `SMILESTokenizer`."""


class _MetadataStandIn(_StandIn):
    """Its `ModelMetaData`."""


_STAND_INS = {
    "Vocabulary": _VocabularyStandIn,
    "SMILESTokenizer": _TokenizerStandIn,
    "ModelMetaData": _MetadataStandIn,
}


def read_reinvent(path: Path | str) -> SmilesModel:
    """Return the model of a prior or an agent of REINVENT 4.

    Parameters
    ----------
    path : path
        The file; GRU and LSTM models ("Reinvent") without layer normalisation.

    Returns
    -------
    SmilesModel
        The model, float32, on the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the file is no such model, is damaged, or names anything that a prior does not need:
        that is refused before anything is read.

    Notes
    -----
    Log-probabilities are those of REINVENT but for the start token: it could be drawn there, and
    cannot here. A trained prior gives it next to nothing.
    """
    state = _read(Path(path))
    if state.get("model_type", "Reinvent") != "Reinvent" or "network" not in state:
        kind = state.get("model_type", "unknown")
        raise InputError(f"{path} is a model of the kind {kind!r}: only 'Reinvent' can be read")
    try:
        return _model(state).eval()
    except (ArgumentError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} does not have the layout of REINVENT 4: {error}") from error


def write_reinvent(model: SmilesModel, path: Path | str, *, source: str = "unknown") -> None:
    """Write a model as a prior that REINVENT 4 reads.

    Parameters
    ----------
    model : SmilesModel
        A GRU or LSTM model.
    path : path
        The file.
    source : str
        What the model was trained on, for REINVENT's own record.

    Raises
    ------
    InputError
        If REINVENT has no such model.

    Notes
    -----
    All weights are copied but for the embedding of the end token, which is never read here: see
    `padding_embedding`.
    """
    if not isinstance(model, RecurrentModel):
        kind = model.architecture["kind"]
        raise InputError(f"REINVENT reads GRU and LSTM priors, got a {kind} model")
    sizes = model.architecture
    network = {
        f"{_PARTS[part]}.{rest}": value.detach().cpu().clone()
        for part, _, rest, value in _split(model.state_dict())
    }
    network["_embedding.weight"][END_ID] = padding_embedding(model).cpu()
    state = {
        "model_type": "Reinvent",
        "version": 1,
        "metadata": _metadata(source),
        "vocabulary": {
            "tokens": {token: number for number, token in enumerate(model.vocabulary.tokens)},
            **{"pad_token": 0, "bos_token": 1, "eos_token": 2, "unk_token": None},
        },
        "max_sequence_length": _MAX_LENGTH,
        "network": network,
        "network_params": {
            "dropout": 0.0,
            "layer_size": sizes["hidden"],
            "num_layers": sizes["n_layers"],
            "cell_type": sizes["kind"],
            "embedding_layer_size": sizes["embedding"],
            "layer_normalization": False,
        },
    }
    torch.save(state, path)


def _read(path: Path) -> dict[str, Any]:
    """Return what a file holds, unless it names something that a prior does not need."""
    if not path.is_file():
        raise InputError(f"{path} is no file")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no file of torch 1.6 or newer: save it with REINVENT 4")
    try:
        names = get_unsafe_globals_in_checkpoint(path)
        wanted = {name: _stand_in(name) for name in names}
        if refused := sorted(name for name, stand_in in wanted.items() if stand_in is None):
            raise InputError(
                f"{path} names {', '.join(refused)}, which a prior does not need and which could "
                "run code: refused, and nothing of it was run"
            )
        with safe_globals([(stand_in, name) for name, stand_in in wanted.items() if stand_in]):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged or no prior: {error}") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} holds a {type(state).__name__}, not a prior")
    return state


def _stand_in(name: str) -> type[_StandIn] | None:
    """Return what stands for a class that a file names, None if the class is not REINVENT's."""
    last = name.rpartition(".")[2]
    if last in _STAND_INS:
        return _STAND_INS[last]
    return type(last, (_StandIn,), {}) if name.startswith("reinvent.") else None


def _model(state: Mapping[str, Any]) -> RecurrentModel:
    """Return the model of a file."""
    ids = _ids(state["vocabulary"])
    order = [ids[END], ids[START], *(n for token, n in _by_id(ids) if token not in {END, START})]
    tokens = {number: token for token, number in ids.items()}
    sizes = dict(state.get("network_params") or {})
    if sizes.get("layer_normalization"):
        raise ValueError("layer normalisation, which was not one over features, cannot be read")
    cell = str(sizes.get("cell_type", "gru")).lower()
    if cell not in {"gru", "lstm"}:
        raise ValueError(f"its cell must be a gru or an lstm, got {cell!r}")
    model = (GRUModel if cell == "gru" else LSTMModel)(
        Vocabulary(tuple(tokens[number] for number in order)),
        n_layers=sizes.get("num_layers", 3),
        hidden=sizes.get("layer_size", 512),
        embedding=sizes.get("embedding_layer_size", 256),
    )
    network: Mapping[str, Tensor] = state["network"]
    for name in ("_embedding.weight", "_linear.weight", "_linear.bias"):
        network = {**network, name: network[name][order]}
    names = {ours: f"{_PARTS[part]}.{rest}" for part, ours, rest, _ in _split(model.state_dict())}
    model.load_state_dict({ours: network[theirs].float() for ours, theirs in names.items()})
    return model


def _split(weights: Mapping[str, Tensor]) -> list[tuple[str, str, str, Tensor]]:
    """Return part, whole name, rest of the name and value of each of our weights."""
    return [(*_head(name), value) for name, value in weights.items()]


def _head(name: str) -> tuple[str, str, str]:
    """Return part, whole name and rest of a name."""
    part, _, rest = name.partition(".")
    return part, name, rest


def _ids(vocabulary: Any) -> dict[str, int]:
    """Return the ids of tokens: a dictionary in newer files, an object in older ones."""
    if isinstance(vocabulary, _VocabularyStandIn):
        tokens: Mapping[Any, Any] = vars(vocabulary)["_tokens"]
    else:
        tokens = vocabulary["tokens"]
    ids = {token: int(number) for token, number in tokens.items() if isinstance(token, str)}
    if sorted(ids.values()) != list(range(len(ids))) or not {END, START} <= ids.keys():
        raise ValueError(f"its vocabulary must number tokens from 0, with {END} and {START}")
    return ids


def _by_id(ids: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return tokens and ids, by id."""
    return sorted(ids.items(), key=lambda item: item[1])


def _metadata(source: str) -> dict[str, Any]:
    """Return what REINVENT records of a prior; it says that there is no hash, and goes on."""
    return {
        "hash_id": None,
        "hash_id_format": "",
        "model_id": uuid.uuid4().hex,
        "origina_data_source": source,  # spelt so there
        "creation_date": time.time(),
        "updates": [],
        "comments": ["written by polymode"],
    }
