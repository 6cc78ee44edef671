"""What all built-in components have in common."""

from collections.abc import Sequence
from typing import Any, ClassVar

from polymode.chemistry.oracles.transforms import Transform
from polymode.chemistry.sections import Section

__all__ = ["BuiltIn", "Mol"]

Mol = Any
"""`rdkit.Chem.Mol`; RDKit's types are known in part only."""


class BuiltIn(Section):
    """A component: its parameters are its fields, and calling it measures molecules.

    `__call__` takes n molecules and returns an array of n values. Objects are pickled to reach
    worker processes, so what is costly to build is built on first use and kept by the module.
    """

    unit: ClassVar[str] = ""
    """Unit of the values; empty for pure numbers."""
    span: ClassVar[str]
    """Range of the values, in words."""
    is_score: ClassVar[bool] = False
    """Whether the values lie in [0, 1] already, more being better."""
    default_transform: ClassVar[Transform | None] = None
    """What makes scores of the values if the configuration does not say; None: it has to."""
    guarded: ClassVar[bool] = False
    """Whether it may hang or crash, or is slow enough to want processes of its own."""

    @property
    def scored(self) -> bool:
        """Whether the values are scores, or become scores without a word of the configuration."""
        return self.is_score or self.default_transform is not None

    def __call__(self, mols: Sequence[Mol]) -> Any:
        """Return a value for each molecule."""
        raise NotImplementedError
