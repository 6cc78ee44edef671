"""Is our plain REINVENT the REINVENT of PMO? JNK3, GSK3β and the seven MPO tasks.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/science/chemistry/pmo.py --workers 2

5 seeds, 10,000 calls, the settings of PMO; each task's AUC of the top 10 beside the published one.
Writes `benchmarks/science/results/DATE-chemistry-pmo.json`.
"""

from study import RUNS, parser, run, write

from polymode.chemistry.bench.jobs import Job
from polymode.chemistry.bench.tasks.names import MPO_NAMES

TASKS = ("jnk3", "gsk3b", *MPO_NAMES)


def main() -> None:
    """Run what is missing, and write down all that is there."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    given = options.parse_args()
    jobs = [
        Job("pmo", task, "reinvent", seed, given.budget, given.prior)
        for seed in range(given.seeds)
        for task in given.tasks
    ]
    if not given.collect:
        run(jobs, RUNS / "pmo", given.workers, "chemistry-pmo")
    write("pmo", RUNS / "pmo", "chemistry-pmo", "pmo.py")


if __name__ == "__main__":
    main()
