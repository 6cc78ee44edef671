"""The slider for beta: what the script of the page needs to know of the sweep."""

from typing import Any

import numpy as np

from polymode.diagnostics.diagnosis import FIGURE_NAMES, Report
from polymode.report.blocks import Widget
from polymode.report.diagnosis.plots import SWEPT
from polymode.report.diagnosis.words import SHORT
from polymode.report.numbers import number

__all__ = ["sweep_widget"]

FIGURES = ("expected_reward", "mass_good", "effective_modes", "effective_modes_good")


def sweep_widget(report: Report) -> Widget:
    """Return the slider with the figures at its strength.

    Parameters
    ----------
    report : Report
        The diagnosis.

    Returns
    -------
    Widget
        The figures at the strength of the settings stand in it without scripts, too.
    """
    sweep, settings = report.sweep, report.settings
    betas = [float(beta) for beta in sweep.betas]
    own = int(np.argmin(np.abs(np.log(sweep.betas / settings.beta))))
    lines = [
        (FIGURE_NAMES[name], _line(sweep.target[name].value), _line(sweep.anchored[name].value))
        for name in FIGURES
    ]
    lines.append(("share of good modes kept", _line(sweep.kept.value), []))
    lines.append(("prompts that can be trusted, share", _line(sweep.frac_reliable), []))
    exact = settings.divergence_name == "reverse_kl"
    data = {
        "betas": betas,
        "own": own,
        "rows": [{"target": target, "anchored": anchored} for _, target, anchored in lines],
        "plots": [f"sweep-{name}" for name in SWEPT],
    }
    context: dict[str, Any] = {
        "beta": f"{settings.beta:g}",
        "low": f"{betas[0]:.3g}",
        "high": f"{betas[-1]:.3g}",
        "n_betas": len(betas),
        "exact": exact,
        "divergence": settings.divergence_name,
        "rows": [
            (
                label,
                number(target[own]),
                number(anchored[own]) if anchored else "",
                number(_missed(sweep.betas, target, anchored)),
            )
            for label, target, anchored in lines
        ],
        "names": [SHORT["target"], SHORT["anchored"]],
    }
    return Widget("sweep", context, {"sweep": data})


def _missed(betas: np.ndarray, *lines: list[float]) -> float:
    """Return by how much straight lines between strengths are off, at most and about.

    A line over two steps misses the strength in the middle; one over a single step, half as long,
    misses its own middle by a quarter of that.
    """
    logs, found = np.log(betas), [np.nan]
    for line in lines:
        if len(line) > 2:
            y = np.asarray(line)
            part = (logs[1:-1] - logs[:-2]) / (logs[2:] - logs[:-2])
            off = np.abs(y[1:-1] - y[:-2] - part * (y[2:] - y[:-2]))
            found += off[~np.isnan(off)].tolist()
    return float(np.fmax.reduce(found)) / 4


def _line(values: Any) -> list[float]:
    """Return numbers along the sweep, as precise as a screen can show."""
    return [float(f"{value:.5g}") for value in np.asarray(values, dtype=float).tolist()]
