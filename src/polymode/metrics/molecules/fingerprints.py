r"""Morgan fingerprints: the one place where molecules become bits.

The bits of a molecule say which neighbourhoods of at most `radius` bonds its atoms have, folded to
`n_bits`. Notation: ``T(x, y)`` the Tanimoto similarity of two molecules, bits that both have over
bits that one has; ``d = 1 - T`` their distance.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt64

from polymode.core import checks
from polymode.errors import ArgumentError
from polymode.metrics.molecules.toolkit import molecule, rdkit

__all__ = ["Fingerprints", "Molecules", "fingerprints_of", "morgan_fingerprints"]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Morgan fingerprints of molecules, in their order.

    Parameters
    ----------
    vectors : tuple of rdkit.DataStructs.ExplicitBitVect
        One for each molecule, as RDKit holds them.
    radius : int
        How many bonds a neighbourhood reaches.
    n_bits : int
        Length of each, a multiple of 64.
    """

    vectors: tuple[Any, ...]
    radius: int
    n_bits: int

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, positions: Iterable[int]) -> "Fingerprints":
        """Return the fingerprints at some positions.

        Parameters
        ----------
        positions : iterable of int
            Which molecules.

        Returns
        -------
        Fingerprints
            In this order.
        """
        return replace(self, vectors=tuple(self.vectors[i] for i in positions))

    @cached_property
    def words(self) -> UInt64[np.ndarray, "n w"]:
        """The bits in words of 64, one row for each molecule."""
        binary = rdkit("DataStructs").BitVectToBinaryText
        packed = b"".join(binary(vector) for vector in self.vectors)
        return np.frombuffer(packed, np.uint64).reshape(len(self.vectors), self.n_bits // 64)

    @cached_property
    def n_on(self) -> Integer[np.ndarray, " n"]:
        """How many bits of each molecule are set."""
        return np.bitwise_count(self.words).sum(axis=1, dtype=np.int64)


Molecules = Fingerprints | Sequence[str]
"""What metrics of sets of molecules take: SMILES, or fingerprints made once for several of them."""


def morgan_fingerprints(
    smiles: Iterable[str], *, radius: int = 2, n_bits: int = 2048
) -> Fingerprints:
    """Return the Morgan fingerprints of molecules.

    Parameters
    ----------
    smiles : iterable of str
        Valid SMILES.
    radius : int
        How many bonds a neighbourhood reaches, >= 1; 2 is what others call ECFP4.
    n_bits : int
        Length of each fingerprint, a multiple of 64. MOSES takes 1024, most others 2048.

    Returns
    -------
    Fingerprints
        In the order of the SMILES. Chirality does not count.

    Raises
    ------
    ArgumentError
        If a SMILES is not valid, or a setting is not what it must be.
    MissingExtraError
        Without RDKit.

    See Also
    --------
    distinct_molecules : Leaves out what is not valid, and what comes twice.

    Notes
    -----
    Metrics that take SMILES make fingerprints themselves, of the radius and bits that their page
    states; make them once where several metrics read the same molecules. Cost: about 10,000
    molecules a second, most of it RDKit's reading of SMILES.

    References
    ----------
    .. [1] Rogers and Hahn, "Extended-Connectivity Fingerprints", J. Chem. Inf. Model. 50, 2010.

    Examples
    --------
    >>> morgan_fingerprints(["CCO", "OCC", "CCCC"]).n_on.tolist()
    [6, 6, 5]
    """
    checks.require(fingerprint_problems(radius, n_bits))
    smiles = [smiles] if isinstance(smiles, str) else list(smiles)
    molecules = [molecule(each) for each in smiles]
    if bad := [i for i, found in enumerate(molecules) if found is None]:
        raise ArgumentError(
            f"smiles must be valid, got {smiles[bad[0]]!r} at position {bad[0]}"
            f"{f' and {len(bad) - 1} more' if len(bad) > 1 else ''}: distinct_molecules leaves "
            "out what is not"
        )
    return Fingerprints(bit_vectors(molecules, radius=radius, n_bits=n_bits), radius, n_bits)


def bit_vectors(molecules: Sequence[Any], *, radius: int, n_bits: int) -> tuple[Any, ...]:
    """Return the fingerprints of RDKit's molecules as its bit vectors."""
    generators = rdkit("Chem.rdFingerprintGenerator")
    generator = generators.GetMorganGenerator(radius=radius, fpSize=n_bits)
    return tuple(generator.GetFingerprint(each) for each in molecules)


def fingerprints_of(molecules: Molecules, *, n_bits: int = 2048) -> Fingerprints:
    """Return fingerprints as they are, and those of radius 2 of SMILES.

    Parameters
    ----------
    molecules : Fingerprints or sequence of str
        Fingerprints, or valid SMILES.
    n_bits : int
        Length of the fingerprints that are made from SMILES.

    Returns
    -------
    Fingerprints
        In the order of the molecules.

    Raises
    ------
    ArgumentError
        If a SMILES is not valid.
    MissingExtraError
        Without RDKit, where there are SMILES.
    """
    if isinstance(molecules, Fingerprints):
        return molecules
    return morgan_fingerprints(molecules, n_bits=n_bits)


def fingerprint_problems(radius: int, n_bits: int) -> Iterator[str]:
    """Check the settings of fingerprints."""
    yield from checks.whole(radius=radius)
    if problems := list(checks.whole(n_bits=n_bits)):
        yield from problems
    elif n_bits % 64:
        yield f"n_bits must be a multiple of 64, got {n_bits}"
