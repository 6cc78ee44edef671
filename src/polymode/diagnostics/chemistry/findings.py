"""What a run on molecules has found: hits, what they cost, their clusters and scaffolds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Integer

from polymode.diagnostics.chemistry.reading import MoleculeRun
from polymode.metrics.distributions import effective_number
from polymode.metrics.molecules import (
    SphereExclusion,
    calls_to_hits,
    morgan_fingerprints,
    murcko_scaffold,
    n_circles,
)

__all__ = ["Cluster", "MoleculeFindings", "ScaffoldShare", "molecule_findings"]

BURDENS = (1, 10, 100)
CIRCLE_DISTANCE = 0.75
"""The distance at which the literature counts #Circles, and so does the run."""
_MODE_KINDS = ("cluster", "murcko", "generic")
_N_BEST = 100


@dataclass(frozen=True)
class Cluster:
    """Molecules of one mode.

    Parameters
    ----------
    label : str
        The mode as the run named it, or the number of the cluster.
    members : tuple of int
        Positions of its molecules among the calls, the best reward first.
    """

    label: str
    members: tuple[int, ...]


@dataclass(frozen=True)
class ScaffoldShare:
    """The molecules with one Murcko scaffold.

    Parameters
    ----------
    smiles : str
        The scaffold; empty for molecules without a ring.
    share : float
        Share of the molecules, in (0, 1].
    members : tuple of int
        Positions of its molecules among the calls, the best reward first.
    """

    smiles: str
    share: float
    members: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class MoleculeFindings:
    """What a run has found.

    Parameters
    ----------
    hits : array of int, shape (h,)
        Positions of the hits among the calls, in order.
    subject : {"hits", "best molecules"}
        What clusters and scaffolds are of: the hits, or the best 100 molecules where there is no
        hit.
    n_circles : int
        #Circles of the hits, sequential, at a distance of 0.75.
    burden : mapping of int to float
        Oracle burden: the call that found the 1st, 10th and 100th hit; NaN where it never came.
    clusters : tuple of Cluster
        The one with the best molecule first.
    clustered_by : str
        What a cluster is, in words.
    scaffolds : tuple of ScaffoldShare
        The most frequent first.
    effective_scaffolds : float
        How many equally frequent scaffolds would be as diverse; NaN without a molecule.
    end : {"healthy", "recovered", "collapsed"}
        Whether the run showed signs of collapse, and still does at its end.
    """

    hits: Integer[np.ndarray, " h"]
    subject: Literal["hits", "best molecules"]
    n_circles: int
    burden: Mapping[int, float]
    clusters: tuple[Cluster, ...]
    clustered_by: str
    scaffolds: tuple[ScaffoldShare, ...]
    effective_scaffolds: float
    end: Literal["healthy", "recovered", "collapsed"]


def molecule_findings(run: MoleculeRun) -> MoleculeFindings:
    """Return what a run on molecules has found.

    Parameters
    ----------
    run : MoleculeRun
        The run.

    Returns
    -------
    MoleculeFindings
        Modes are those of the run where they are clusters or scaffolds; else clusters are made
        here, by sphere exclusion in the order of the calls at a distance of 0.7.

    Raises
    ------
    MissingExtraError
        Without RDKit.
    """
    calls = run.calls
    hits = np.flatnonzero(calls.rewards >= run.threshold)
    rank = np.argsort(-np.nan_to_num(calls.rewards, nan=-np.inf), kind="stable")
    rank = rank[np.isfinite(calls.rewards[rank])]
    chosen = rank[: len(hits)] if len(hits) else rank[:_N_BEST]
    labels, clustered_by = _labels(run, np.sort(chosen), of_hits=bool(len(hits)))
    clusters = _grouped(chosen, labels)
    scaffolds = _grouped(chosen, {row: murcko_scaffold(calls.smiles[row]) for row in chosen})
    shares = np.asarray([len(members) / len(chosen) for _, members in scaffolds])
    by_share = sorted(
        (ScaffoldShare(label, len(members) / len(chosen), members) for label, members in scaffolds),
        key=lambda found: -found.share,
    )
    burden = calls_to_hits(calls.rewards, threshold=run.threshold, n=BURDENS)
    prints = morgan_fingerprints([calls.smiles[row] for row in hits.tolist()])
    return MoleculeFindings(
        hits=hits,
        subject="hits" if len(hits) else "best molecules",
        n_circles=n_circles(prints, distance=CIRCLE_DISTANCE),
        burden=dict(zip(BURDENS, burden.tolist(), strict=True)),
        clusters=tuple(Cluster(label, members) for label, members in clusters),
        clustered_by=clustered_by,
        scaffolds=tuple(by_share),
        effective_scaffolds=float(effective_number(np.log(shares))) if len(shares) else np.nan,
        end=_end(run),
    )


def _labels(
    run: MoleculeRun, chosen: Integer[np.ndarray, " k"], *, of_hits: bool
) -> tuple[dict[int, str], str]:
    """Return the mode of each of some molecules, in the order of their calls, and what it is."""
    modes = run.config.get("modes", {})
    kind, rows = modes.get("kind"), chosen.tolist()
    if of_hits and kind in _MODE_KINDS and all(run.modes[row] for row in rows):
        at = f", Tanimoto distance {modes['distance']:g}" if kind == "cluster" else ""
        return {row: str(run.modes[row]) for row in rows}, f"{kind} modes of the run{at}"
    clusters = SphereExclusion()
    found = clusters.assign([run.calls.smiles[row] for row in rows]).tolist()
    named = {row: str(label) for row, label in zip(rows, found, strict=True)}
    return named, f"sphere exclusion, Tanimoto distance {clusters.distance:g}"


def _grouped(
    rows: Iterable[int], labels: Mapping[int, str | None]
) -> list[tuple[str, tuple[int, ...]]]:
    """Return rows by their labels, in the order in which they come."""
    groups: dict[str, list[int]] = {}
    for row in map(int, rows):
        groups.setdefault(labels[row] or "", []).append(row)
    return [(label, tuple(members)) for label, members in groups.items()]


def _end(run: MoleculeRun) -> Literal["healthy", "recovered", "collapsed"]:
    """Say whether signs of collapse were there, and still are at the end."""
    if not run.alerts:
        return "healthy"
    return "collapsed" if run.alerts[-1].step >= run.n_steps else "recovered"
