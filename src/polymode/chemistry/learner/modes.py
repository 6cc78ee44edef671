"""From molecules to the labels of their structural modes."""

import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

from jaxtyping import Bool
from numpy import ndarray

from polymode.metrics.molecules import SphereExclusion, structural_mode

__all__ = ["MODE_KINDS", "ModeKind", "ModeLabels", "structure_of"]

ModeKind = Literal["none", "canonical", "murcko", "generic", "cluster"]
MODE_KINDS: tuple[ModeKind, ...] = ("none", "canonical", "murcko", "generic", "cluster")


@functools.lru_cache(maxsize=200_000)
def structure_of(kind: str, canonical: str) -> str:
    """Return the structure of a molecule, computed once for labels, filters and figures.

    Parameters
    ----------
    kind : {"canonical", "murcko", "generic"}
        Which structure.
    canonical : str
        Its canonical SMILES.

    Returns
    -------
    str
        The structure; empty for a scaffold without rings.
    """
    return structural_mode(kind)(canonical) or ""


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
    near_misses : bool
        Whether a molecule that is no hit gets the label of the cluster that it lies in, if any.

    Notes
    -----
    Only hits found clusters; the label of any other molecule is its own string, or that of the
    cluster if `near_misses` is set.
    """

    def __init__(
        self,
        kind: ModeKind = "none",
        *,
        distance: float = 0.7,
        radius: int = 2,
        n_bits: int = 2048,
        near_misses: bool = False,
    ) -> None:
        self.kind = kind
        self._near_misses = near_misses
        self._clusters = SphereExclusion(distance, radius, n_bits) if kind == "cluster" else None
        self._known: dict[str, int] = {}

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
        if self._clusters is None:
            return [
                "invalid" if name is None else structure_of(self.kind, name) for name in canonical
            ]
        named = zip(canonical, good.tolist(), strict=True)
        wanted = dict.fromkeys(name for name, hit in named if name is not None and hit)
        new = [name for name in wanted if name not in self._known]
        self._known.update(zip(new, self._clusters.assign(new).tolist(), strict=True))
        near = self._near([name for name in canonical if name is not None])
        return [
            "invalid" if name is None else self._known.get(name, near.get(name, f"{name} (no hit)"))
            for name in canonical
        ]

    def state(self) -> dict[str, Any]:
        """Return what later labels depend on."""
        clusters = None if self._clusters is None else self._clusters.state()
        return {"clusters": clusters, "known": dict(self._known)}

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

    def _near(self, names: list[str]) -> dict[str, int]:
        """Return the clusters of molecules that are no hits, which may change as clusters come."""
        if self._clusters is None or not self._near_misses:
            return {}
        names = [name for name in dict.fromkeys(names) if name not in self._known]
        found = self._clusters.find(names).tolist()
        return {name: one for name, one in zip(names, found, strict=True) if one >= 0}
