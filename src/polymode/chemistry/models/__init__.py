"""Chemical language models: what they are, strings drawn from them, likelihoods, files."""

from polymode.chemistry.models.files import build_model, load_model, load_prior, save_model
from polymode.chemistry.models.interface import Decoder, SmilesModel, Tokens, encode
from polymode.chemistry.models.likelihood import log_likelihood
from polymode.chemistry.models.recurrent import GRUModel, LSTMModel, RecurrentModel
from polymode.chemistry.models.sampling import SmilesSample, sample_smiles
from polymode.chemistry.models.transformer import TransformerModel

__all__ = [
    "Decoder",
    "GRUModel",
    "LSTMModel",
    "RecurrentModel",
    "SmilesModel",
    "SmilesSample",
    "Tokens",
    "TransformerModel",
    "build_model",
    "encode",
    "load_model",
    "load_prior",
    "log_likelihood",
    "sample_smiles",
    "save_model",
]
