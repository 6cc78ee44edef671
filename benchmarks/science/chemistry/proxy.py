"""The paper's comparison, REINVENT against string-level MARA, on a proxy of its two tasks.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/science/chemistry/proxy.py --workers 2

10 seeds of each, Welch's one-sided test as in the paper, and an interval of 95 % of the difference.
Writes `benchmarks/science/results/DATE-chemistry-proxy.json`.
"""

from study import RUNS, parser, run, write

from polymode.chemistry.bench.running import suite_jobs


def main() -> None:
    """Run what is missing, and write down all that is there."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--tasks", nargs="+", default=[])
    given = options.parse_args()
    jobs = suite_jobs(
        "mara-proxy",
        tasks=given.tasks,
        seeds=range(given.seeds),
        budget=given.budget,
        prior=given.prior,
    )
    if not given.collect:
        run(jobs, RUNS / "proxy", given.workers, "chemistry-proxy")
    write("mara-proxy", RUNS / "proxy", "chemistry-proxy", "proxy.py")


if __name__ == "__main__":
    main()
