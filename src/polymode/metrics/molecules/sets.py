"""How many of the strings that a model writes are molecules, distinct ones, and new ones."""

from collections.abc import Collection, Sequence

import numpy as np

from polymode.metrics.molecules.structures import canonical_smiles

__all__ = ["distinct_molecules", "frac_novel", "frac_unique", "frac_valid"]


def distinct_molecules(smiles: Sequence[str]) -> tuple[str, ...]:
    """Return the molecules among strings, each once.

    Parameters
    ----------
    smiles : sequence of str
        What a model wrote.

    Returns
    -------
    tuple of str
        Canonical SMILES in the order in which they came first.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    Examples
    --------
    >>> distinct_molecules(["OCC", "CCO", "C1C", "C"])
    ('CCO', 'C')
    """
    found = (canonical_smiles(each) for each in smiles)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def frac_valid(smiles: Sequence[str]) -> float:
    """Return the share of strings that are molecules.

    Parameters
    ----------
    smiles : sequence of str
        What a model wrote.

    Returns
    -------
    float
        In [0, 1]; NaN without a string.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    References
    ----------
    .. [1] Polykovskiy et al., "Molecular Sets (MOSES): A Benchmarking Platform for Molecular
       Generation Models", Frontiers in Pharmacology 11, 2020, "validity".

    Examples
    --------
    >>> frac_valid(["CCO", "C1C"])
    0.5
    """
    return _share(sum(canonical_smiles(each) is not None for each in smiles), len(smiles))


def frac_unique(smiles: Sequence[str]) -> float:
    """Return the share of valid strings that are distinct molecules.

    Parameters
    ----------
    smiles : sequence of str
        What a model wrote. MOSES takes the first 1,000, and the first 10,000, of the valid ones.

    Returns
    -------
    float
        Distinct molecules over valid strings, in (0, 1]; NaN where no string is valid. It falls as
        more are drawn: compare equal numbers only.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    References
    ----------
    .. [1] Polykovskiy et al., "Molecular Sets (MOSES): A Benchmarking Platform for Molecular
       Generation Models", Frontiers in Pharmacology 11, 2020, "uniqueness".

    Examples
    --------
    >>> frac_unique(["CCO", "OCC", "C1C"])
    0.5
    """
    valid = [found for each in smiles if (found := canonical_smiles(each)) is not None]
    return _share(len(set(valid)), len(valid))


def frac_novel(smiles: Sequence[str], *, known: Collection[str]) -> float:
    """Return the share of distinct molecules that were not known before.

    Parameters
    ----------
    smiles : sequence of str
        What a model wrote.
    known : collection of str
        Canonical SMILES that are not new, such as the training set of the prior: as
        `canonical_smiles` writes them. A set is fastest.

    Returns
    -------
    float
        In [0, 1]; NaN where no string is valid.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    References
    ----------
    .. [1] Polykovskiy et al., "Molecular Sets (MOSES): A Benchmarking Platform for Molecular
       Generation Models", Frontiers in Pharmacology 11, 2020, "novelty".

    Examples
    --------
    >>> frac_novel(["OCC", "CC", "CC"], known={"CCO"})
    0.5
    """
    distinct = distinct_molecules(smiles)
    known = known if isinstance(known, set | frozenset) else set(known)
    return _share(sum(each not in known for each in distinct), len(distinct))


def _share(part: int, whole: int) -> float:
    """Return a quotient, NaN where there is nothing."""
    return part / whole if whole else np.nan
