"""A component: what measures molecules, and what becomes of its values.

A user's component is any function ``f(mols) -> values`` at a dotted path: a list of n RDKit
molecules in; an array of n values, an array of shape (n, k), or a mapping of names to arrays of n
values out. A class works as well: it is made once in each process, and its object is called.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from polymode.chemistry.oracles.losses import Loss, Unavailable, described, table_of
from polymode.chemistry.oracles.transforms import NoTransform
from polymode.metrics.dotted import function_at

__all__ = ["Component", "Direction", "Endpoint", "UserFunction"]

Direction = Literal["maximise", "minimise"]


@dataclass(frozen=True)
class Endpoint:
    """One value of a component, and how it becomes a score."""

    name: str
    """Its column in tables: the component's own name, or ``component.endpoint``."""
    transform: Callable[[np.ndarray], np.ndarray] = field(default_factory=NoTransform)
    """From values to scores."""
    direction: Direction = "maximise"
    """"minimise" takes one minus the score."""
    weight: float = 1.0
    """In the aggregation; 0: watched only."""

    def scores(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the scores of values; NaN where the transform fails on one of them."""
        scores = _transformed(self.transform, values)
        return 1.0 - scores if self.direction == "minimise" else scores


def _transformed(transform: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """Call a transform; one of the user's may raise, which costs the values it raises on."""
    try:
        return transform(values)
    except Exception:
        if len(values) == 1:
            return np.full(1, np.nan)
        one_by_one = [_transformed(transform, values[i : i + 1]) for i in range(len(values))]
        return np.concatenate(one_by_one) if one_by_one else values


@dataclass(frozen=True)
class UserFunction:
    """A function of the user's at a dotted path; pickles as its path."""

    path: str
    """``package.module:function``, or of a class whose objects can be called."""
    parameters: tuple[tuple[str, Any], ...] = ()
    """Passed by name: to the function in each call, to the class once."""
    takes: Literal["mols", "smiles"] = "mols"
    """What it is given: molecules, or canonical SMILES."""

    def __call__(self, mols: Sequence[Any]) -> Any:
        """Call the function."""
        given = list(mols)
        if self.takes == "smiles":
            from rdkit.Chem import MolToSmiles

            given = [MolToSmiles(mol) for mol in mols]
        return self.load()(given)

    def load(self) -> Callable[..., Any]:
        """Find the function, or make the object, which is kept for the life of the process."""
        key = (self.path, repr(self.parameters))
        if key not in _OBJECTS:
            function = function_at(self.path, name="function")
            given = dict(self.parameters)
            made = function(**given) if isinstance(function, type) else None
            _OBJECTS[key] = made or functools.partial(function, **given)
        return _OBJECTS[key]


_OBJECTS: dict[tuple[str, str], Callable[..., Any]] = {}
"""What user functions lead to: models are loaded once in each process, not once in each call."""


@dataclass(frozen=True, eq=False)
class Component:
    """What measures molecules, and what becomes of each of its values.

    Parameters
    ----------
    name : str
        Name in tables and messages.
    function : callable
        ``function(mols)``; must pickle if it is to run in other processes.
    endpoints : tuple of Endpoint
        One for each value, in the order of the columns of an array; by default one, of this name.
    batch_size : int
        How many molecules a call gets at most.
    guarded : bool
        Whether it may hang, crash or take long, so that processes are worth their start.
    """

    name: str
    function: Callable[[Sequence[Any]], Any]
    endpoints: tuple[Endpoint, ...] = ()
    batch_size: int = 32
    guarded: bool = False

    def __post_init__(self) -> None:
        """Give a component without endpoints one."""
        if not self.endpoints:
            object.__setattr__(self, "endpoints", (Endpoint(self.name),))

    def measure(self, mols: Sequence[Any]) -> Float[np.ndarray, "n k"] | Loss:
        """Return a row of values for each molecule, or why there are none; raises nothing."""
        try:
            returned = self.function(mols)
        except Unavailable as error:
            return Loss("unavailable", f"could not be reached: {' '.join(str(error).split())}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit as well: an oracle does not end the training
            return Loss("raised", f"raised {described(error)}")
        return table_of(returned, len(mols), self._columns)

    @property
    def _columns(self) -> list[str]:
        """Names of the endpoints as the function has them."""
        return [endpoint.name.removeprefix(f"{self.name}.") for endpoint in self.endpoints]
