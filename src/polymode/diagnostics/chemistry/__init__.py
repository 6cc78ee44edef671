"""From the directory of a run on molecules to what it found."""

from polymode.diagnostics.chemistry.calls import Calls, read_calls
from polymode.diagnostics.chemistry.findings import (
    Cluster,
    MoleculeFindings,
    ScaffoldShare,
    molecule_findings,
)
from polymode.diagnostics.chemistry.reading import ENDS, Alert, MoleculeRun, read_molecule_run

__all__ = [
    "ENDS",
    "Alert",
    "Calls",
    "Cluster",
    "MoleculeFindings",
    "MoleculeRun",
    "ScaffoldShare",
    "molecule_findings",
    "read_calls",
    "read_molecule_run",
]
