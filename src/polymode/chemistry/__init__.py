"""Reinforcement learning of chemical language models: vocabulary, model, prior, oracle, learner.

The public names load torch and RDKit on first use; importing this package does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from polymode.errors import MissingExtraError

if TYPE_CHECKING:
    from polymode.chemistry.learner.config import ChemistryConfig as ChemistryConfig
    from polymode.chemistry.learner.config import check_config as check_config
    from polymode.chemistry.learner.config_files import read_config as read_config
    from polymode.chemistry.learner.run import ChemistryRun as ChemistryRun
    from polymode.chemistry.models.files import load_model as load_model
    from polymode.chemistry.models.files import load_prior as load_prior
    from polymode.chemistry.models.files import save_model as save_model
    from polymode.chemistry.models.interface import SmilesModel as SmilesModel
    from polymode.chemistry.models.likelihood import log_likelihood as log_likelihood
    from polymode.chemistry.models.recurrent import GRUModel as GRUModel
    from polymode.chemistry.models.recurrent import LSTMModel as LSTMModel
    from polymode.chemistry.models.sampling import SmilesSample as SmilesSample
    from polymode.chemistry.models.sampling import sample_smiles as sample_smiles
    from polymode.chemistry.models.transformer import TransformerModel as TransformerModel
    from polymode.chemistry.vocabulary import Vocabulary as Vocabulary
    from polymode.chemistry.vocabulary import tokenize as tokenize

_HOMES = {
    "ChemistryConfig": "learner.config",
    "ChemistryRun": "learner.run",
    "GRUModel": "models.recurrent",
    "LSTMModel": "models.recurrent",
    "SmilesModel": "models.interface",
    "SmilesSample": "models.sampling",
    "TransformerModel": "models.transformer",
    "Vocabulary": "vocabulary",
    "check_config": "learner.config",
    "load_model": "models.files",
    "load_prior": "models.files",
    "log_likelihood": "models.likelihood",
    "read_config": "learner.config_files",
    "sample_smiles": "models.sampling",
    "save_model": "models.files",
    "tokenize": "vocabulary",
}
__all__ = [
    "ChemistryConfig",
    "ChemistryRun",
    "GRUModel",
    "LSTMModel",
    "SmilesModel",
    "SmilesSample",
    "TransformerModel",
    "Vocabulary",
    "check_config",
    "load_model",
    "load_prior",
    "log_likelihood",
    "read_config",
    "sample_smiles",
    "save_model",
    "tokenize",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "chemistry") from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
