"""Tune every method of the diverse-hits table with the same number of trials.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/science/chemistry/tuning.py --trials 8 --workers 2

A trial is one draw of a method's settings, run once on each target with a seed that the table does
not use; the first trial is the method as it stands. The score of a trial is the geometric mean,
over targets, of 1 + its diverse hits: one setting has to serve both. Writes
`benchmarks/science/results/DATE-chemistry-tuning.json` with every trial, bad ones too.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from study import RUNS, parser, run, write

from polymode.chemistry.bench.jobs import Job
from polymode.chemistry.bench.summary import read_records

TASKS, SEED = ("gsk3b", "jnk3"), 1000
DIRECTORY = RUNS / "tuning"
LEARNING_RATE = ("learner", "learning_rate", "log", 1e-4, 1e-3)
BATCH = ("learner", "batch_size", "whole", 32, 128)
_SIGMA = ("learner", "sigma", "log", 30.0, 500.0)
SPACES: Mapping[str, tuple[tuple[Any, ...], ...]] = {
    "reinvent": (_SIGMA, LEARNING_RATE, BATCH, ("replay", "n", "whole", 0, 48)),
    "reinvent-murcko": (_SIGMA, LEARNING_RATE, BATCH, ("filter", "bucket_size", "whole", 5, 50)),
    "augmented-memory": (
        _SIGMA,
        LEARNING_RATE,
        BATCH,
        ("replay", "size", "whole", 32, 128),
        ("replay", "augmentation_rounds", "whole", 1, 6),
    ),
    "mara-strings": (_SIGMA, LEARNING_RATE, BATCH),
    "mara-modes": (
        _SIGMA,
        LEARNING_RATE,
        ("replay", "n", "whole", 8, 64),
        ("target.pressure", "budget_share", "log", 0.1, 3.0),
    ),
}
"""What is drawn for each method: section, key, scale, and the ends."""


def main() -> None:
    """Run the trials that are missing, and write what all of them found."""
    options = parser(__doc__)
    options.add_argument("--trials", type=int, default=8)
    options.add_argument("--methods", nargs="+", default=list(SPACES), choices=list(SPACES))
    given = options.parse_args()
    jobs = [
        Job("diverse-hits", task, method, SEED, given.budget, given.prior, changes, label)
        for number in range(given.trials)
        for method in given.methods
        for label, changes in [trial(method, number)]
        for task in TASKS
    ]
    if not given.collect:
        run(jobs, DIRECTORY, given.workers, "chemistry-tuning")
    write(
        "diverse-hits",
        DIRECTORY,
        "chemistry-tuning",
        "tuning.py",
        spaces={name: [list(each) for each in space] for name, space in SPACES.items()},
        best={name: best(name) for name in SPACES},
    )


def trial(method: str, number: int) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the name of a trial and what it changes; trial 0 changes nothing."""
    if number == 0:
        return "", {}
    rng = np.random.default_rng([list(SPACES).index(method), number])
    changes: dict[str, dict[str, Any]] = {}
    for section, key, scale, low, high in SPACES[method]:
        value: Any = math.exp(rng.uniform(math.log(low), math.log(high))) if scale == "log" else 0
        if scale == "whole":
            value = int(rng.integers(low, high + 1))
        outer, _, inner = section.partition(".")
        own = changes.setdefault(outer, {})
        (own.setdefault(inner, {}) if inner else own)[key] = value
    return f"{method}@{number}", _completed(method, changes)


def _completed(method: str, changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return changes that fit together: a section inside a section is given as a whole."""
    if pressure := changes.get("target", {}).get("pressure"):
        pressure.update(kind="visits", visits="budget")
    if method == "reinvent" and changes["replay"]["n"] == 0:
        changes["replay"] = {"kind": "none"}
    return changes


def best(method: str) -> dict[str, Any] | None:
    """Return the best trial that was run on all targets: its changes and its score."""
    trials: dict[str, dict[str, Any]] = {}
    for record in read_records(DIRECTORY, "diverse-hits"):
        if record["method"] == method and record["seed"] == SEED:
            own = trials.setdefault(record["label"], {"changes": record["changes"], "hits": {}})
            own["hits"][record["task"]] = record["figures"]["diverse_hits"]
    whole = {name: t for name, t in trials.items() if set(t["hits"]) == set(TASKS)}
    if not whole:
        return None
    scores = {
        name: math.exp(np.mean([math.log1p(n) for n in t["hits"].values()]))
        for name, t in whole.items()
    }
    name = max(scores, key=lambda each: scores[each])
    return {"label": name, **whole[name], "score": scores[name], "n_trials": len(whole)}


if __name__ == "__main__":
    main()
