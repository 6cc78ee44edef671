"""Activity against JNK3 and GSK3β: the random forests of the PMO benchmark."""

import functools
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from rdkit.Chem import rdFingerprintGenerator

from polymode.chemistry.oracles.builtin.base import BuiltIn, Mol

__all__ = ["GSK3B", "JNK3", "Forest"]


class _Activity(BuiltIn):
    span = "0 to 1"
    is_score = True
    file: ClassVar[str]

    def __call__(self, mols: Sequence[Mol]) -> Float[np.ndarray, " n"]:
        """Return the share of actives, averaged over the trees, for each molecule."""
        if not mols:
            return np.zeros(0)
        ecfp4 = _ecfp4()
        bits = np.stack([ecfp4.GetFingerprintAsNumPy(mol) for mol in mols]).astype(bool)
        return _forest(type(self).file)(bits)


class JNK3(_Activity):
    """Predicted activity against c-Jun N-terminal kinase 3 (PMO's random forest)."""

    file = "jnk3.npz"


class GSK3B(_Activity):
    """Predicted activity against glycogen synthase kinase 3β (PMO's random forest)."""

    file = "gsk3b.npz"


@dataclass(frozen=True, eq=False)
class Forest:
    """Decision trees over bits, as flat arrays of nodes."""

    feature: Int[np.ndarray, " nodes"]
    """The bit that a node looks at; 0 for a leaf."""
    children: Int[np.ndarray, "nodes 2"]
    """Where a bit leads to that is not set, or set; a leaf leads to itself."""
    value: Float[np.ndarray, " nodes"]
    """What a leaf says."""
    roots: Int[np.ndarray, " trees"]
    """Where each tree begins."""

    @classmethod
    def from_preorder(
        cls, feature: Int[np.ndarray, " nodes"], value: Float[np.ndarray, " leaves"]
    ) -> "Forest":
        """Return the forest whose nodes stand in preorder, leaves with feature -1.

        Parameters
        ----------
        feature : array, shape (nodes,)
            Bits of inner nodes, -1 for leaves, tree after tree.
        value : array, shape (leaves,)
            What the leaves say, in the same order.
        """
        n = len(feature)
        right = np.arange(n, dtype=np.int32)
        subtrees: list[int] = []  # roots of the finished subtrees, the leftmost last
        for node, inner in zip(range(n - 1, -1, -1), (feature >= 0)[::-1].tolist(), strict=True):
            if inner:
                subtrees.pop()  # the left child, which is the next node
                right[node] = subtrees.pop()
            subtrees.append(node)
        leaf = feature < 0
        values = np.zeros(n, dtype=np.float32)
        values[leaf] = value
        here = np.arange(n, dtype=np.int32)
        return cls(
            feature=np.where(leaf, 0, feature).astype(np.int32),
            children=np.stack([np.where(leaf, here, here + 1).astype(np.int32), right], axis=1),
            value=values,
            roots=np.array(subtrees[::-1], dtype=np.int32),
        )

    def __call__(self, bits: Bool[np.ndarray, "n width"]) -> Float[np.ndarray, " n"]:
        """Return what the trees say on average."""
        n, n_trees = len(bits), len(self.roots)
        flat, children = np.ascontiguousarray(bits).ravel(), self.children.ravel()
        at = np.tile(self.roots, n)  # where each walk is: every molecule through every tree
        walks, node = np.arange(n * n_trees), at
        row = np.repeat(np.arange(n) * bits.shape[1], n_trees)
        while len(walks):
            below = children[2 * node + flat[row + self.feature[node]]]
            going = below != node
            at[walks] = below
            walks, node, row = walks[going], below[going], row[going]
        return self.value[at].reshape(n, n_trees).mean(axis=1, dtype=np.float64)


@functools.cache
def _forest(file: str) -> Forest:
    """Read a forest, once in each process."""
    folder = importlib.resources.files("polymode.chemistry.oracles") / "forests"
    with (folder / file).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return Forest.from_preorder(arrays["feature"], arrays["value"])


@functools.cache
def _ecfp4() -> rdFingerprintGenerator.FingerprintGenerator64:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
