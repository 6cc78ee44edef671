"""Molecules and scaffolds of a run as cards."""

from collections.abc import Sequence

from polymode.diagnostics.chemistry import Cluster, MoleculeFindings, MoleculeRun, ScaffoldShare
from polymode.report.chemistry.words import counted
from polymode.report.drawing import draw_molecule
from polymode.report.numbers import number, percent
from polymode.report.pictures import Card, Drawing, Gallery

__all__ = ["cluster_gallery", "scaffold_gallery"]

CLUSTERS, MORE, SCAFFOLDS = 60, 3, 24
"""How many are drawn: at some 4 kB each they keep a page below 2.5 MB."""


def cluster_gallery(run: MoleculeRun, findings: MoleculeFindings) -> Gallery:
    """Return the best molecule of each cluster, with a few more of it.

    Parameters
    ----------
    run : MoleculeRun
        The run.
    findings : MoleculeFindings
        What it found.

    Returns
    -------
    Gallery
        The best first; the caption says how many clusters are left out.
    """
    shown = findings.clusters[:CLUSTERS]
    n = len(findings.clusters)
    every = "all" if n == len(shown) else f"the first {len(shown):,} of"
    caption = (
        f"The best of the {findings.subject} in {every} {counted(n, 'cluster')}, by reward "
        f"({findings.clustered_by}). Below each: what the components measured. A cluster opens to "
        "its next best."
    )
    return Gallery("clusters", caption, [_cluster(run, found) for found in shown])


def scaffold_gallery(run: MoleculeRun, findings: MoleculeFindings) -> Gallery:
    """Return the most frequent scaffolds with their shares.

    Parameters
    ----------
    run : MoleculeRun
        The run.
    findings : MoleculeFindings
        What it found.

    Returns
    -------
    Gallery
        The most frequent first; the caption says what the others have.
    """
    shown, rest = findings.scaffolds[:SCAFFOLDS], findings.scaffolds[SCAFFOLDS:]
    others = sum(found.share for found in rest)
    left_out = f" The other {len(rest):,} have {percent(others)} together." if rest else ""
    caption = (
        f"Murcko scaffolds of the {findings.subject}, by their share of them. As diverse as "
        f"{number(findings.effective_scaffolds)} equally frequent ones.{left_out}"
    )
    return Gallery("scaffolds", caption, [_scaffold(run, found) for found in shown])


def _cluster(run: MoleculeRun, cluster: Cluster) -> Card:
    """Return the card of a cluster."""
    first, *rest = cluster.members
    named = f"cluster {cluster.label}: " if cluster.label.isdigit() else ""  # else a long SMILES
    return _molecule(
        run,
        first,
        kind=f"{named}{counted(len(cluster.members), 'molecule')}",
        more=[_molecule(run, row) for row in rest[:MORE]],
    )


def _molecule(run: MoleculeRun, row: int, *, kind: str = "", more: Sequence[Card] = ()) -> Card:
    """Return the card of a molecule."""
    smiles = run.calls.smiles[row]
    return Card(
        number(float(run.calls.rewards[row])),
        f"call {row + 1:,}",
        draw_molecule(smiles),
        smiles,
        facts=[(name, number(float(values[row]))) for name, values in run.raw.items()],
        kind=kind,
        more=more,
    )


def _scaffold(run: MoleculeRun, found: ScaffoldShare) -> Card:
    """Return the card of a scaffold."""
    best = number(float(run.calls.rewards[found.members[0]]))
    return Card(
        percent(found.share),
        f"{counted(len(found.members), 'molecule')}, best {best}",
        draw_molecule(found.smiles) or _no_ring(),
        found.smiles or "no ring",
        share=found.share,
    )


def _no_ring() -> Drawing:
    """Return an empty drawing."""
    return Drawing(250, 170, (), "no ring")
