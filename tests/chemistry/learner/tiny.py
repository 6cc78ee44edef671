"""A prior that fits into a test: a small GRU which has learned some hundred small molecules."""

import functools
import itertools

import torch

from polymode.chemistry import GRUModel, Vocabulary, log_likelihood

HEADS = ("C", "CC", "CCC", "O", "N", "F", "CO", "CN", "Cl", "OC", "NC", "CCO")
RINGS = ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "C1CCNCC1", "c1ccoc1", "c1ccsc1", "C1CCOC1", "C1CC1")
TAILS = ("", "C", "CC", "O", "N", "C(=O)O", "C(N)=O", "C#N")


def small_molecules() -> list[str]:
    """Some hundred valid SMILES with several scaffolds."""
    return [head + ring + tail for head, ring, tail in itertools.product(HEADS, RINGS, TAILS)]


@functools.cache
def tiny_weights() -> dict[str, torch.Tensor]:
    model, smiles = untrained(), small_molecules()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        rows = torch.randint(len(smiles), (64,), generator=generator).tolist()
        loss = -log_likelihood(model, [smiles[row] for row in rows]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.state_dict()


def untrained() -> GRUModel:
    vocabulary = Vocabulary.from_smiles(small_molecules())
    return GRUModel(vocabulary, n_layers=1, hidden=48, embedding=16, seed=0)


def tiny_prior() -> GRUModel:
    """The trained model, a new object each time."""
    torch.set_num_threads(1)
    model = untrained()
    model.load_state_dict(tiny_weights())
    return model.eval()
