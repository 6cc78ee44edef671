"""How a molecule is lost to a component, and what a component gave, as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

__all__ = ["KINDS", "Kind", "Loss", "Unavailable", "described", "table_of"]

Kind = Literal[
    "raised", "timed_out", "died", "not_finite", "wrong_type", "wrong_length", "unavailable"
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Unavailable(Exception):  # noqa: N818 - an event that a component reports, no error of the user's
    """Raised by a component whose service or program cannot be reached at all.

    No molecule is to blame: none is tried alone, none is charged, and all may be asked for again.
    """


@dataclass(frozen=True, eq=False)
class Loss:
    """Why molecules could not be scored: one object for one event."""

    kind: Kind
    text: str
    """What happened, in a line that goes on after the name of the component."""


def described(error: BaseException) -> str:
    """Return an exception as a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def table_of(returned: Any, n: int, endpoints: Sequence[str]) -> Float[np.ndarray, "n k"] | Loss:
    """Return what a component returned for n molecules as a table, or why that cannot be.

    Parameters
    ----------
    returned : array of shape (n,) or (n, k), list, or mapping of names to arrays of shape (n,)
        What it returned. None among the values counts as NaN.
    n : int
        Number of molecules.
    endpoints : sequence of str
        Names of the columns that are wanted; a mapping may hold more.
    """
    columns = [returned]
    if isinstance(returned, Mapping):
        if missing := [name for name in endpoints if name not in returned]:
            return Loss("wrong_type", f"returned no {', '.join(missing)} among its endpoints")
        columns = [returned[name] for name in endpoints]
    try:
        arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    except (TypeError, ValueError):
        return Loss("wrong_type", f"returned {type(returned).__name__}, not an array of numbers")
    if len(arrays) > 1 or isinstance(returned, Mapping):
        lengths = {array.shape for array in arrays}
        if lengths != {(n,)}:
            return Loss("wrong_length", f"returned shapes {sorted(lengths)} for {n} molecules")
        return np.stack(arrays, axis=1)
    table = arrays[0].reshape(-1, 1) if arrays[0].ndim == 1 else arrays[0]
    if table.shape != (n, len(endpoints)):
        wanted = f"{n} molecules" + (
            f" and {len(endpoints)} endpoints" if len(endpoints) > 1 else ""
        )
        return Loss("wrong_length", f"returned shape {arrays[0].shape} for {wanted}")
    return table
