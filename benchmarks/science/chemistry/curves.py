"""Diverse hits against calls, from the results of `diverse_hits.py`."""

import json
from pathlib import Path

import numpy as np


def save_curves(results: Path, target: Path) -> None:
    """Draw one panel for each task: every seed thin, the mean of a method thick."""
    from matplotlib.figure import Figure

    runs = json.loads(results.read_text("utf-8"))["runs"]
    tasks = list(dict.fromkeys(run["task"] for run in runs))
    methods = list(dict.fromkeys(run["method"] for run in runs))
    figure = Figure(figsize=(4.5 * len(tasks), 3.6), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for panel, task in zip(panels, tasks, strict=True):
        for number, method in enumerate(methods):
            own = [r["curves"] for r in runs if r["task"] == task and r["method"] == method]
            for curve in own:
                panel.plot(
                    curve["sparse_n_calls"], curve["diverse_hits"], color=f"C{number}", alpha=0.3
                )
            if own and len({tuple(curve["sparse_n_calls"]) for curve in own}) == 1:
                mean = np.mean([curve["diverse_hits"] for curve in own], axis=0)
                panel.plot(own[0]["sparse_n_calls"], mean, color=f"C{number}", lw=2, label=method)
        panel.set(title=task, xlabel="oracle calls", ylabel="diverse hits")
        panel.legend(fontsize="small")
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".png", ".svg"):
        figure.savefig(target.with_suffix(suffix), dpi=150)
