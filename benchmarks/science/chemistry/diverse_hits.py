"""The diverse-hits table: JNK3 and GSK3β, 10,000 calls, every method as its tuning found it.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/science/chemistry/diverse_hits.py --workers 2

Takes the best trial of each method from `tuning.py` (with `--as-they-stand`: the settings of the
methods' table), and runs it with 5 seeds that tuning has not seen. Writes
`benchmarks/science/results/DATE-chemistry-diverse-hits.json`; `--figure DIR` draws diverse hits
against calls.
"""

from pathlib import Path

from study import RUNS, parser, run, write
from tuning import SPACES, TASKS, best

from polymode.chemistry.bench.jobs import Job


def main() -> None:
    """Run what is missing, and write down all that is there."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--methods", nargs="+", default=list(SPACES), choices=list(SPACES))
    options.add_argument("--as-they-stand", action="store_true", help="take no tuned settings")
    options.add_argument("--figure", type=Path, help="directory for diverse-hits.png and .svg")
    given = options.parse_args()
    tuned = {name: None if given.as_they_stand else best(name) for name in given.methods}
    jobs = [
        Job(
            "diverse-hits",
            task,
            method,
            seed,
            given.budget,
            given.prior,
            found["changes"] if (found := tuned[method]) else {},
            found["label"] if found else "",
        )
        for seed in range(given.seeds)
        for task in TASKS
        for method in given.methods
    ]
    directory = RUNS / "diverse-hits"
    if not given.collect:
        run(jobs, directory, given.workers, "chemistry-diverse-hits")
    path = write(
        "diverse-hits", directory, "chemistry-diverse-hits", "diverse_hits.py", tuning=tuned
    )
    if given.figure:
        from curves import save_curves

        save_curves(path, given.figure / "diverse-hits")


if __name__ == "__main__":
    main()
