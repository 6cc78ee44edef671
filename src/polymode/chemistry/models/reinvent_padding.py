"""Padding for REINVENT: behind the end of a string the end token has to be certain.

REINVENT adds up log-probabilities over whole rows of a padded table, so its priors have to know
that the end is followed by the end. Ours never read the end token, whose embedding is therefore
free: here it is chosen such that they know, too.
"""

from typing import Any

import torch
from torch import Tensor

from polymode.chemistry.models.interface import END_ID, START_ID, encode
from polymode.chemistry.models.recurrent import RecurrentModel
from polymode.chemistry.models.sampling import sample_smiles

_N_STRINGS, _N_PADS, _N_STEPS, _RATE = 16, 16, 100, 0.1
_LONGEST = 64  # tokens of a string: states behind longer ones are no different


def padding_embedding(model: RecurrentModel) -> Tensor:
    """Return an embedding of the end token after which a model writes end tokens only.

    Parameters
    ----------
    model : RecurrentModel
        The model; stays as it is.

    Returns
    -------
    tensor, shape (embedding,)
        Found by gradient descent behind strings of the model itself; deterministic.

    Notes
    -----
    Behind strings of a trained GRU of 3 x 256 some .01 nats are left for each token of padding;
    with the embedding that it has from its first weights it is 1 to 2.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = sample_smiles(
        model, _N_STRINGS, generator=generator, dtype="float32", max_length=_LONGEST
    )
    states = _states_behind(model, drawn.smiles)
    free = model.embedding.weight[END_ID].detach().clone().requires_grad_(True)
    optimiser = torch.optim.Adam([free], lr=_RATE)
    for step in range(_N_STEPS):
        optimiser.param_groups[0]["lr"] = _RATE * (1 - step / _N_STEPS)
        written, _ = model.rnn(free.expand(_N_STRINGS, _N_PADS, -1), states)
        loss = -model.head(written).log_softmax(2)[..., END_ID].mean()
        (free.grad,) = torch.autograd.grad(loss, [free])
        optimiser.step()
    return free.detach()


@torch.no_grad()
def _states_behind(model: RecurrentModel, smiles: tuple[str, ...]) -> Any:
    """Return the states of a model that has read each string, its end not included."""
    tokens = encode(model.vocabulary, smiles)
    before = torch.cat([torch.full_like(tokens.ids[:, :1], START_ID), tokens.ids[:, :-1]], dim=1)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        model.embedding(before.to(model.device)),
        tokens.lengths,
        batch_first=True,
        enforce_sorted=False,
    )
    return model.rnn(packed)[1]
