"""Time REINVENT 4 itself beside `polymode train chemistry`: same prior, same task, same machine.

    .venv/bin/python benchmarks/speed/reinvent.py --reinvent CHECKOUT --python PYTHON --prior FILE

CHECKOUT is the directory of REINVENT 4's sources, PYTHON an interpreter that can import them, FILE
a prior of ours, which is exported for REINVENT. Both learn QED with REINVENT's loss (sigma 128,
rate 1e-4), batches of 128 and the filter on identical Murcko scaffolds, in one thread, and write
their molecules to disk. Each side is started twice in every round, for few and for many steps: the
difference leaves out the start. Sides take turns. Writes
`benchmarks/speed/results/DATE-reinvent.json`.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import Seconds, keep, rates, ratios

BATCH, FEW, MANY, ROUNDS = 128, 3, 18, 3

OURS = """
[prior]
model = "{prior}"
[oracle]
components = [{{ type = "qed" }}]
[learner]
objective = "reinvent"
sigma = 128
learning_rate = 1e-4
batch_size = {batch}
unique = true
[target]
name = "plain"
[modes]
kind = "none"
[replay]
kind = "none"
[filter]
kind = "murcko"
bucket_size = 25
min_score = 0.4
[run]
steps = {steps}
tensorboard = false
"""

THEIRS = """
run_type = "staged_learning"
device = "cpu"
[parameters]
summary_csv_prefix = "{folder}/summary"
prior_file = "{prior}"
agent_file = "{prior}"
batch_size = {batch}
randomize_smiles = false
[learning_strategy]
type = "dap"
sigma = 128
rate = 0.0001
[diversity_filter]
type = "IdenticalMurckoScaffold"
bucket_size = 25
minscore = 0.4
[[stage]]
max_score = 1.0
max_steps = {steps}
chkpt_file = "{folder}/last.chkpt"
[stage.scoring]
type = "geometric_mean"
[[stage.scoring.component]]
[stage.scoring.component.QED]
[[stage.scoring.component.QED.endpoint]]
name = "QED"
weight = 1.0
"""


def main() -> None:
    """Measure both sides and write molecules a second and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--reinvent", type=Path, required=True, help="sources of REINVENT 4")
    parser.add_argument("--python", required=True, help="interpreter that can import them")
    parser.add_argument("--prior", default="zinc250k", help="a prior of ours: name or file")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    sides = ("polymode", "REINVENT 4")
    seconds: dict[str, list[Seconds]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name in sides:
            few, many = (run(name, steps, options) for steps in (FEW, MANY))
            seconds[name].append((many[0] - few[0], many[1] - few[1]))
            print(f"{name:<12} {seconds[name][-1][0]:6.1f} cpu-s {seconds[name][-1][1]:6.1f} s")
    rows = {
        name: rates(own, BATCH * (MANY - FEW)) | ratios(own, seconds["REINVENT 4"])
        for name, own in seconds.items()
    }
    keep(
        "reinvent",
        "benchmarks/speed/reinvent.py",
        load,
        workload={"batch": BATCH, "steps": MANY - FEW, "rounds": ROUNDS, "oracle": "qed"},
        reinvent=version_of(options.reinvent),
        rows=rows,
    )


def run(side: str, steps: int, options: argparse.Namespace) -> Seconds:
    """Run one side for some steps; return seconds of the processor and of the clock."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prior = options.prior
        if side != "polymode":
            prior = folder / "theirs.prior"
            export = ["-m", "polymode", "prior", "export", options.prior, "-o", str(prior)]
            subprocess.run([sys.executable, *export], check=True, capture_output=True)
        text = (OURS if side == "polymode" else THEIRS).format(
            prior=prior, batch=BATCH, steps=steps, folder=folder
        )
        config = folder / "config.toml"
        config.write_text(text)
        command = [sys.executable, "-m", "polymode", "train", "chemistry", str(config)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if side == "polymode":
            command += ["--out", str(folder / "run")]
        else:
            start = (
                f"import sys; sys.argv = ['reinvent', {str(config)!r}]; "
                "from reinvent.Reinvent import main_script; main_script()"
            )
            command = [options.python, "-W", "ignore", "-c", start]
            environment["PYTHONPATH"] = str(options.reinvent)
        return timed(command, environment)


def timed(command: list[str], environment: dict[str, str]) -> Seconds:
    """Run a command; return its seconds, those of its children included."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    clock = time.perf_counter() - clock
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock


def version_of(checkout: Path) -> str:
    """Return what the sources call themselves."""
    text = (checkout / "reinvent" / "version.py").read_text()
    return text.partition('__version__ = "')[2].partition('"')[0]


if __name__ == "__main__":
    main()
