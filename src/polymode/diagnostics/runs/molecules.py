"""Runs of `polymode train chemistry`: what the policy draws at the end, and what was found."""

from pathlib import Path

import numpy as np

from polymode.diagnostics.chemistry import MoleculeRun, molecule_findings, read_molecule_run
from polymode.diagnostics.chemistry.files import MOLECULES, molecule_columns
from polymode.diagnostics.records import Curve, Found, Quantity, Run
from polymode.diagnostics.runs.columns import samples_of
from polymode.errors import InputError
from polymode.metrics.modes import ModeFunction

__all__ = ["molecule_run"]

_COLUMNS = ("step", "smiles", "canonical", "reward", "status", "log_prob", "ref_log_prob")
_PROMPT = "molecules"
_CURVES: tuple[tuple[Quantity, str, str], ...] = (
    ("reward", "reward/mean", "step"),
    ("effective_modes", "diversity/effective_scaffolds", "step"),
    ("kl", "kl/to_prior", "step"),
    ("hits", "hits/total", "n_calls"),
    ("circles", "hits/circles", "n_calls"),
)
"""Of each curve: what it shows, its name in the log of the run, and that of its axis."""


def molecule_run(path: Path, mode: ModeFunction | None, *, last: int) -> Run:
    """Return a run on molecules.

    Parameters
    ----------
    path : Path
        Its directory.
    mode : callable or None
        Finds modes in SMILES; None takes molecules, whatever their SMILES.
    last : int
        The outcome is the strings that were drawn in this many last steps.

    Returns
    -------
    Run
        With what it found in all its calls. Its only prompt is "molecules".

    Raises
    ------
    InputError
        If a file is missing or broken, or no string of the last steps has a reward.
    MissingExtraError
        Without pyarrow or RDKit.
    """
    run = read_molecule_run(path)
    table = molecule_columns(path / MOLECULES, _COLUMNS)
    if not table:
        raise InputError(f"{path / MOLECULES} has no table of molecules yet: let the run go on")
    steps = np.asarray(table["step"])
    counted = np.asarray(table["status"], dtype=object) != "over_budget"
    first = int(steps.max()) - last + 1
    rows = np.flatnonzero(counted & (steps >= first)).tolist()
    samples, notes = samples_of(
        [_PROMPT] * len(rows),
        [_PROMPT] * len(rows),
        [table["smiles"][row] for row in rows],
        np.asarray(table["reward"], dtype=np.float64)[rows].tolist(),
        [table["canonical"][row] for row in rows],
        (table["log_prob"] - table["ref_log_prob"])[rows].tolist(),
        mode,
    )
    if samples is None:
        raise InputError(f"{path} has no string with a reward in its last {last} steps")
    notes.append(f"figures are those of the strings of the last {last} steps (--last)")
    if mode is None:
        notes.append("modes are molecules: --mode-key murcko or tanimoto:0.7 says otherwise")
    return Run(
        path.name,
        "chemistry",
        path,
        samples,
        _curves(run),
        notes=(*run.notes, *notes),
        found=_found(run),
    )


def _found(run: MoleculeRun) -> Found:
    """Return what the run found in all."""
    findings = molecule_findings(run)
    return Found(
        threshold=run.threshold,
        n_calls=len(run.calls),
        n_hits=len(findings.hits),
        n_circles=findings.n_circles,
        n_scaffolds=len(findings.scaffolds) if len(findings.hits) else 0,
        burden=findings.burden,
        best=run.last("reward/best"),
    )


def _curves(run: MoleculeRun) -> tuple[Curve, ...]:
    """Return the curves that the log of the run has."""
    curves: list[Curve] = []
    for quantity, name, axis in _CURVES:
        values = run.metrics.get(name, np.empty(0))
        known = np.flatnonzero(np.isfinite(values))
        if len(known):
            steps = run.metrics[axis][known].astype(np.int64).tolist()
            curves.append(Curve(quantity, tuple(steps), tuple(values[known].tolist())))
    return tuple(curves)
