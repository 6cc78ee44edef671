"""How good a prior is: what it writes, and what it says of strings that it has not seen."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from rdkit import Chem, rdBase

from polymode.chemistry.models.interface import SmilesModel
from polymode.chemistry.models.likelihood import log_likelihood
from polymode.chemistry.models.sampling import sample_smiles


class Figures(NamedTuple):
    """Figures of a prior."""

    frac_valid: float
    """Share of strings that RDKit reads as a molecule with an atom."""

    frac_unique: float | None
    """Share of different molecules among the valid strings; None where none is valid."""

    frac_novel: float | None
    """Share of molecules that are not in the training set, among the different ones."""

    held_out_nll: float
    """Mean of -log p over the strings held out, **nats** per string."""

    held_out_nll_per_token: float
    """The same per token, end tokens included."""


def canonical_smiles(smiles: Iterable[str]) -> list[str | None]:
    """Return the canonical SMILES of each string; None where it is no molecule with an atom."""
    with rdBase.BlockLogs():
        # MolFromSmiles returns None for what it cannot read, which its stubs do not say.
        molecules: Iterable[Any] = (Chem.MolFromSmiles(string) for string in smiles)
        return [Chem.MolToSmiles(m) if m and m.GetNumAtoms() else None for m in molecules]


def held_out_nll(model: SmilesModel, smiles: Sequence[str]) -> tuple[float, float]:
    """Return the mean of -log p, nats per string and per token."""
    with torch.no_grad():
        total = -float(log_likelihood(model, smiles).double().sum())
    n_tokens = sum(len(model.vocabulary.encode(string).ids) for string in smiles)
    return total / len(smiles), total / n_tokens


def prior_figures(
    model: SmilesModel,
    held_out: Sequence[str],
    *,
    n: int,
    generator: torch.Generator,
    known: frozenset[str] | None = None,
) -> Figures:
    """Return the figures of a prior.

    Parameters
    ----------
    model : SmilesModel
        The prior.
    held_out : sequence of str
        Strings that it was not trained on.
    n : int
        How many strings to draw, in float32.
    generator : torch.Generator
        Source of randomness.
    known : frozenset of str, optional
        Canonical SMILES of the training set, for novelty.
    """
    drawn = sample_smiles(model, n, generator=generator, dtype="float32")
    valid = [string for string in canonical_smiles(drawn.smiles) if string is not None]
    different = set(valid)
    per_string, per_token = held_out_nll(model, held_out)
    return Figures(
        frac_valid=len(valid) / n,
        frac_unique=len(different) / len(valid) if valid else None,
        frac_novel=len(different - known) / len(different) if known and different else None,
        held_out_nll=per_string,
        held_out_nll_per_token=per_token,
    )
