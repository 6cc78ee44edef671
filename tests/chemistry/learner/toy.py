"""A language of SMILES that can be written down whole, and a model of it with a number per prefix.

Strings of one to four of the tokens C, N and O: 120 of them, all molecules, in which CCO and OCC
are two strings of one. The model has free logits for every prefix: it can become any distribution.
"""

import itertools
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from polymode.chemistry import SmilesModel, Vocabulary, log_likelihood
from polymode.chemistry.models.interface import END_ID
from polymode.chemistry.oracles import Component, Oracle

TOKENS, LONGEST = "CNO", 4
STRINGS = [
    "".join(letters)
    for length in range(1, LONGEST + 1)
    for letters in itertools.product(TOKENS, repeat=length)
]


class TabularModel(SmilesModel):
    """Logits for every prefix; the empty string and longer ones have no probability."""

    def __init__(self, *, seed: int = 0, spread: float = 1.0) -> None:
        super().__init__(Vocabulary.from_smiles(TOKENS))
        self.n_prefixes = sum(len(TOKENS) ** length for length in range(LONGEST + 1))
        generator = torch.Generator().manual_seed(seed)
        size = (self.n_prefixes, len(self.vocabulary))
        self.logits = nn.Parameter(spread * torch.randn(size, generator=generator))

    @property
    def architecture(self):
        return {"kind": "tabular"}

    @cached_property
    def _allowed(self) -> Tensor:
        allowed = self.not_start.expand(self.n_prefixes, -1).clone()
        allowed[0, END_ID] = -torch.inf
        allowed[-(len(TOKENS) ** LONGEST) :, 2:] = -torch.inf
        return allowed

    def rows(self, prefixes: Tensor) -> Tensor:
        return (self.logits + self._allowed)[prefixes]

    @staticmethod
    def longer(prefixes: Tensor, tokens: Tensor) -> Tensor:
        """Number of a prefix and one token: the children of k are 3k + 1 to 3k + 3."""
        return prefixes * len(TOKENS) + tokens - 1

    def log_probs(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        prefixes = torch.zeros(len(tokens), dtype=torch.int64)
        total = torch.zeros(len(tokens))
        for column in range(tokens.shape[1]):
            going = column < lengths
            some = self.rows(prefixes[going]).log_softmax(1)
            here = some.gather(1, tokens[going, column][:, None])[:, 0]
            total = total.index_add(0, going.nonzero()[:, 0], here)
            more = going & (tokens[:, column] != END_ID)
            prefixes = torch.where(more, self.longer(prefixes, tokens[:, column]), prefixes)
        return total

    def decoder(self, n, *, dtype):
        return _Decoder(self, n)

    @torch.no_grad()
    def distribution(self) -> np.ndarray:
        """Probability of each of `STRINGS`."""
        return log_likelihood(self, STRINGS).double().exp().numpy()


class _Decoder:
    def __init__(self, model: TabularModel, n: int) -> None:
        self.model, self.prefixes, self.started = model, torch.zeros(n, dtype=torch.int64), False

    def step(self, tokens: Tensor) -> Tensor:
        if self.started:
            self.prefixes = self.model.longer(self.prefixes, tokens)
        self.started = True
        return self.model.rows(self.prefixes)

    def keep(self, rows: Tensor) -> None:
        self.prefixes = self.prefixes[rows]


def reward_of(smiles: str) -> float:
    """Oxygens and nitrogens are good, next to each other they are not; hits are from 0.8 on."""
    if "OO" in smiles or "NN" in smiles or "NO" in smiles or "ON" in smiles:
        return 0.0
    return min(1.0, 0.4 * sum(letter != "C" for letter in smiles) + 0.05 * smiles.count("O"))


def measure(mols) -> np.ndarray:
    from rdkit.Chem import MolToSmiles

    return np.array([reward_of(MolToSmiles(mol)) for mol in mols])


def toy_oracle() -> Oracle:
    return Oracle([Component("toy", measure)])
