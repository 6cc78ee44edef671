"""Log-probabilities of given strings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from polymode.chemistry.models.interface import SmilesModel, encode
from polymode.core.checks import require, whole


def log_likelihood(model: SmilesModel, smiles: Sequence[str], *, batch_size: int = 512) -> Tensor:
    """Return the log-probability of strings under a model.

    Parameters
    ----------
    model : SmilesModel
        The model.
    smiles : sequence of str, length n
        The strings. Tokens that the vocabulary does not have are skipped:
        ``model.vocabulary.n_unknown`` counts them.
    batch_size : int
        Strings in one pass; strings of about one length go together.

    Returns
    -------
    tensor, shape (n,)
        Float32, **nats**, summed over tokens, end token included; differentiable in the weights
        (under ``torch.no_grad()`` nothing is kept for that).

    Raises
    ------
    ArgumentError
        If `batch_size` is not an integer >= 1.
    """
    require(whole(batch_size=batch_size))
    if not smiles:
        return torch.zeros(0, device=model.device)
    tokens = encode(model.vocabulary, smiles)
    order = tokens.lengths.argsort(descending=True, stable=True)
    parts: list[Tensor] = []
    for rows in order.split(batch_size):
        lengths = tokens.lengths[rows]
        ids = tokens.ids[rows, : int(lengths[0])].to(model.device)
        parts.append(model.log_probs(ids, lengths))
    return torch.cat(parts)[order.argsort().to(model.device)]
