"""The way to RDKit: loaded on first use, and silent about strings that are no molecules."""

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from polymode.errors import MissingExtraError

__all__ = ["molecule", "quiet", "rdkit"]


def rdkit(module: str) -> Any:
    """Return a module of RDKit.

    Parameters
    ----------
    module : str
        Its path below ``rdkit``, such as ``Chem``.

    Returns
    -------
    module
        The module.

    Raises
    ------
    MissingExtraError
        Without RDKit.
    """
    try:
        return importlib.import_module(f"rdkit.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError("rdkit", "chemistry") from error


@contextmanager
def quiet() -> Generator[None]:
    """Keep RDKit's own log, which goes to the standard error of the process, silent for a while.

    Yields
    ------
    None
        What a string lacks to be a molecule is told by our results.
    """
    with rdkit("rdBase").BlockLogs():
        yield


def molecule(smiles: Any) -> Any:
    """Return the molecule that a SMILES describes, or None.

    Parameters
    ----------
    smiles : str
        The SMILES. Anything else is no molecule.

    Returns
    -------
    rdkit.Chem.Mol or None
        The molecule as RDKit sanitises it; None where it cannot, and where there is no atom.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    Examples
    --------
    >>> molecule("CCO").GetNumAtoms(), molecule("C1CC"), molecule("")
    (3, None, None)
    """
    if not isinstance(smiles, str):
        return None
    with quiet():
        found = rdkit("Chem").MolFromSmiles(smiles)
    return found if found is not None and found.GetNumAtoms() else None
