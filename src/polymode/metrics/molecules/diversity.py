"""How different the molecules of a set are from each other, from all pairs of them."""

import numpy as np
from jaxtyping import Float, UInt64

from polymode.core import checks
from polymode.errors import ArgumentError
from polymode.metrics.distributions import effective_number
from polymode.metrics.embeddings import log_spectrum
from polymode.metrics.molecules.fingerprints import Molecules, fingerprints_of
from polymode.metrics.molecules.similarity import bits_of, similarity_sums, tanimoto

__all__ = [
    "hamiltonian_diversity",
    "internal_diversity",
    "mean_similarity",
    "tanimoto_vendi_score",
]

_DEFINITIONS = ("formula", "moses_code", "pairs")
_MAX_VENDI = 5000
_ROWS = 4096


def internal_diversity(molecules: Molecules, *, p: float = 1, definition: str = "formula") -> float:
    r"""Return the internal diversity (IntDiv) of a set of molecules.

    .. math::

        \text{IntDiv}_p(S) = 1 - \Big( \frac{1}{|S|^2} \sum_{x, y \in S} T(x, y)^p \Big)^{1/p}

    Parameters
    ----------
    molecules : Fingerprints or sequence of str
        Fingerprints, or valid SMILES: then Morgan of radius 2, with 1024 bits as in MOSES for the
        first two definitions, and 2048 for ``pairs``.
    p : float
        The exponent, > 0. IntDiv1 and IntDiv2 are in use.
    definition : {"formula", "moses_code", "pairs"}
        ``formula``: as above, pairs of a molecule with itself included. ``moses_code``: what the
        program of MOSES computes, the mean over molecules of ``1 - (mean_y T(x, y)^p)^(1/p)``; the
        same for ``p = 1``. ``pairs``: the formula over pairs of different molecules only, what PMO
        and TDC call diversity (``p = 1``).

    Returns
    -------
    float
        In [0, 1]; NaN without a molecule, and for ``pairs`` with a single one.

    Raises
    ------
    ArgumentError
        If a SMILES is not valid, `p` is not > 0, or `definition` is not known.
    MissingExtraError
        Without RDKit.

    See Also
    --------
    n_circles : Sees clusters, to which a mean over pairs is blind.

    Notes
    -----
    From all pairs: cost O(n²), about 30 million pairs a second. A molecule that comes twice counts
    twice: `distinct_molecules` prevents it. The order does not matter.

    References
    ----------
    .. [1] Polykovskiy et al., "Molecular Sets (MOSES): A Benchmarking Platform for Molecular
       Generation Models", Frontiers in Pharmacology 11, 2020, "internal diversity".
    .. [2] Gao et al., "Sample Efficiency Matters: A Benchmark for Practical Molecular
       Optimization", NeurIPS 2022.

    Examples
    --------
    >>> smiles = ["CCO", "CCCO", "c1ccccc1"]
    >>> (
    ...     round(internal_diversity(smiles), 3),
    ...     round(internal_diversity(smiles, definition="pairs"), 3),
    ... )
    (0.543, 0.815)
    """
    checks.require(checks.positive(p=p), checks.known("definition", definition, _DEFINITIONS))
    prints = fingerprints_of(molecules, n_bits=2048 if definition == "pairs" else 1024)
    n = len(prints)
    if n < (2 if definition == "pairs" else 1):
        return np.nan
    (sums,) = similarity_sums(prints, powers=(p,))
    if definition == "moses_code":
        return _distance_of(np.mean((sums / n) ** (1 / p)))
    total, n_pairs = (sums.sum() - n, n * (n - 1)) if definition == "pairs" else (sums.sum(), n**2)
    return _distance_of((max(0.0, total) / n_pairs) ** (1 / p))


def mean_similarity(molecules: Molecules) -> float:
    r"""Return the instant similarity (iSIM) of a set: nearly its mean Tanimoto similarity, quickly.

    .. math::

        \text{iT} = \frac{\sum_b \binom{k_b}{2}}{\sum_b \left[ \binom{k_b}{2} + k_b (n - k_b)
        \right]}, \qquad k_b = \text{how many of the } n \text{ molecules have bit } b

    Parameters
    ----------
    molecules : Fingerprints or sequence of str
        Fingerprints, or valid SMILES (then Morgan, radius 2, 2048 bits).

    Returns
    -------
    float
        In [0, 1]: the sum of what pairs share over the sum of what one of them has; exactly the
        similarity for two molecules. NaN with fewer than two.

    Raises
    ------
    ArgumentError
        If a SMILES is not valid.
    MissingExtraError
        Without RDKit.

    See Also
    --------
    internal_diversity : With the mean of quotients in place of the quotient of sums.

    Notes
    -----
    Cost O(n). For logs: a quotient of sums weights molecules with many bits more.

    References
    ----------
    .. [1] López-Pérez, Kim and Miranda-Quintana, "iSIM: instant similarity", Digital Discovery 3,
       2024.

    Examples
    --------
    >>> round(mean_similarity(["CCO", "CCCO"]), 3)
    0.556
    """
    prints = fingerprints_of(molecules)
    n = len(prints)
    if n < 2:
        return np.nan
    starts = range(0, n, _ROWS)
    words = prints.words
    k = np.sum(
        [bits_of(words[i : i + _ROWS]).sum(axis=0, dtype=np.float64) for i in starts], axis=0
    )
    both = k * (k - 1) / 2
    return float(both.sum() / (both + k * (n - k)).sum())


def hamiltonian_diversity(molecules: Molecules) -> float:
    r"""Return the Hamiltonian diversity (HamDiv): the length of a tour through all molecules.

    Parameters
    ----------
    molecules : Fingerprints or sequence of str
        Fingerprints, or valid SMILES (then Morgan, radius 2, 2048 bits). Of those with the
        same fingerprint the last counts, as in the program of [1]_.

    Returns
    -------
    float
        Length of the closed tour in Tanimoto distance: 0 for a single molecule, and at most ``n``.
        NaN without a molecule.

    Raises
    ------
    ArgumentError
        If a SMILES is not valid.
    MissingExtraError
        Without RDKit.

    Notes
    -----
    The definition asks for the shortest tour; this is the greedy one that its authors use by
    default, from the first molecule always to the nearest that is left, the earlier of two: an
    upper bound, which depends a little on the order. Cost O(n²).

    References
    ----------
    .. [1] Hu et al., "Hamiltonian diversity: effectively measuring molecular diversity by shortest
       Hamiltonian circuits", Journal of Cheminformatics 16, 2024.

    Examples
    --------
    >>> round(hamiltonian_diversity(["CCO", "CCCO", "OCC", "c1ccccc1"]), 3)
    2.444
    """
    prints = fingerprints_of(molecules)
    if not len(prints):
        return np.nan
    last = {row.tobytes(): i for i, row in enumerate(prints.words)}
    return _greedy_tour(prints.words[sorted(last.values())])


def tanimoto_vendi_score(molecules: Molecules, *, order: float = 1) -> float:
    r"""Return the Vendi score of a set: how many molecules, no two alike, would be as diverse.

    .. math::

        \text{VS} = \exp\Big( - \sum_i \lambda_i \log \lambda_i \Big), \qquad
        \lambda \text{ the eigenvalues of } K / n, \quad K_{ij} = T(x_i, x_j)

    Parameters
    ----------
    molecules : Fingerprints or sequence of str
        Fingerprints, or valid SMILES (then Morgan, radius 2, 2048 bits), at most 5,000.
    order : float
        Order of the Hill number of the eigenvalues, >= 0, ``inf`` allowed.

    Returns
    -------
    float
        Between 1 and ``n``; NaN without a molecule.

    Raises
    ------
    ArgumentError
        If there are more than 5,000 molecules, a SMILES is not valid, or `order` not >= 0.
    MissingExtraError
        Without RDKit.

    See Also
    --------
    polymode.metrics.vendi_score : The same of embeddings.

    Notes
    -----
    Cost O(n³), some two seconds for 1,000 molecules and twenty for 3,000: take a random subset of
    one size for all sets that are compared.

    References
    ----------
    .. [1] Friedman and Dieng, "The Vendi Score: A Diversity Evaluation Metric for Machine
       Learning", TMLR 2023, arXiv 2210.02410, definition 3.1.

    Examples
    --------
    >>> round(tanimoto_vendi_score(["CCO", "OCC", "c1ccccc1"]), 3)
    1.89
    """
    n = len(molecules)
    if n > _MAX_VENDI:
        raise ArgumentError(
            f"molecules must be at most {_MAX_VENDI} for a Vendi score, got {n}: take a random "
            "subset, of the same size wherever scores are compared"
        )
    words = fingerprints_of(molecules).words
    if not n:
        return np.nan
    return float(effective_number(log_spectrum(tanimoto(words, words) / n), order=order))


def _distance_of(similarity: float) -> float:
    """Return one minus a similarity; rounding leaves no number below 0."""
    return max(0.0, 1.0 - float(similarity))


def _greedy_tour(words: UInt64[np.ndarray, "n w"]) -> float:
    """Return the length of the tour that always goes to the nearest molecule that is left."""
    start, here, left = words[:1], words[:1], words[1:]
    visited = np.zeros(len(left), dtype=bool)
    length = 0.0
    for _ in range(len(left)):
        similar: Float[np.ndarray, " m"] = tanimoto(here, left)[0]
        similar[visited] = -1.0
        nearest = int(similar.argmax())
        length += 1.0 - float(similar[nearest])
        here = left[nearest : nearest + 1]
        visited[nearest] = True
        if 2 * visited.sum() > len(left):  # so that few comparisons are in vain
            left, visited = left[~visited], visited[~visited]
    return length + 1.0 - float(tanimoto(here, start)[0, 0])
