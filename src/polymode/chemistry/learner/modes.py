"""From molecules to the labels of their structural modes."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

from jaxtyping import Bool
from numpy import ndarray

from polymode.metrics.molecules import SphereExclusion, structural_mode

__all__ = ["MODE_KINDS", "ModeKind", "ModeLabels"]

ModeKind = Literal["none", "canonical", "murcko", "generic", "cluster"]
MODE_KINDS: tuple[ModeKind, ...] = ("none", "canonical", "murcko", "generic", "cluster")


class ModeLabels:
    """Labels molecules with their modes.

    Parameters
    ----------
    kind : {"none", "canonical", "murcko", "generic", "cluster"}
        What a mode is: the molecule, its Murcko scaffold, the shape of that, or the cluster around
        the first hit that lay far from all earlier ones.
    distance : float
        Radius of a cluster, a Tanimoto distance; at 0.7 molecules are of one cluster from a
        similarity of 0.3 on.
    radius, n_bits : int
        Of the Morgan fingerprints of clusters.

    Notes
    -----
    Only hits found clusters; the label of any other molecule is its own string then. The label of a
    scaffold is computed once for each canonical SMILES.
    """

    def __init__(
        self, kind: ModeKind = "none", *, distance: float = 0.7, radius: int = 2, n_bits: int = 2048
    ) -> None:
        self.kind = kind
        self._clusters = SphereExclusion(distance, radius, n_bits) if kind == "cluster" else None
        self._structure = None if kind in ("none", "cluster") else structural_mode(kind)
        self._known: dict[str, Hashable] = {}

    def __call__(
        self, canonical: Sequence[str | None], good: Bool[ndarray, " n"]
    ) -> list[Hashable] | None:
        """Return the label of each molecule, or None for the kind "none".

        Parameters
        ----------
        canonical : sequence of str or None, length n
            Canonical SMILES; invalid strings are labelled as such, all alike.
        good : array of bool, shape (n,)
            Which of them are hits.
        """
        if self.kind == "none":
            return None
        wanted = [
            name
            for name, hit in zip(canonical, good.tolist(), strict=True)
            if name is not None and (hit or self._clusters is None)
        ]
        self._learn([name for name in dict.fromkeys(wanted) if name not in self._known])
        return [
            "invalid" if name is None else self._known.get(name, f"{name} (no hit)")
            for name in canonical
        ]

    def state(self) -> dict[str, Any]:
        """Return what later labels depend on."""
        clusters = None if self._clusters is None else self._clusters.state()
        return {"clusters": clusters, "known": {} if clusters is None else dict(self._known)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            What `state` returned.
        """
        if self._clusters is not None:
            self._clusters.load_state(state["clusters"])
        self._known = dict(state["known"])

    def _learn(self, names: list[str]) -> None:
        """Label canonical SMILES that have no label."""
        if self._clusters is not None:
            found = self._clusters.assign(names).tolist()
            self._known.update(zip(names, found, strict=True))
        elif self._structure is not None:
            self._known.update((name, self._structure(name)) for name in names)
