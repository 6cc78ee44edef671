"""What the studies of molecule design share: running what is missing, writing what is there.

Runs are kept under `polymode-runs/chemistry/STUDY/`, one JSON each; what is there is not run again,
a killed run goes on, and several processes can share the work. Runs of the newest results that are
kept are there, too, as long as settings and prior are the same: a study may take several machines.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from polymode.chemistry.bench.jobs import Job, record_path
from polymode.chemistry.bench.machine import machine
from polymode.chemistry.bench.published import PEERS
from polymode.chemistry.bench.running import run_jobs
from polymode.chemistry.bench.suites import find_suite
from polymode.chemistry.bench.summary import contrasts, lines, read_records
from polymode.files import json_ready

ROOT = Path(__file__).resolve().parents[3]
RUNS = ROOT / "polymode-runs" / "chemistry"
RESULTS = ROOT / "benchmarks" / "science" / "results"
DROPPED = ("curves", "environment", "oracle", "losses", "schema_version")


def parser(text: str) -> argparse.ArgumentParser:
    """Return the options that every study has."""
    found = argparse.ArgumentParser(description=text.split("\n", 1)[0])
    found.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    found.add_argument("--prior", default="zinc250k", help="a prior, or its file")
    found.add_argument("--budget", type=int, help="calls in place of those of the protocol")
    found.add_argument("--collect", action="store_true", help="run nothing: only write the JSON")
    return found


def run(jobs: Sequence[Job], directory: Path, workers: int, name: str) -> None:
    """Carry out what is missing, a line for each run; `name` is that of the results."""
    restore(jobs, directory, name)
    for outcome in run_jobs(jobs, directory, n_workers=workers):
        text = outcome.error or ("busy elsewhere" if outcome.record is None else "")
        if outcome.record is not None:
            own = outcome.record["figures"]
            text = f"{own['yield']} hits, {own['diverse_hits']} diverse, AUC {own['auc_top10']:.3f}"
        print(f"{outcome.job.name}: {text}", flush=True)


def restore(jobs: Sequence[Job], directory: Path, name: str) -> None:
    """Put back the records of runs that the newest results have, if they are still the same."""
    kept = sorted(RESULTS.glob(f"*-{name}.json"))
    rows = json.loads(kept[-1].read_text("utf-8"))["runs"] if kept else []
    for job in jobs:
        path = record_path(job, directory)
        if path.exists():
            continue
        wanted = json.loads(json.dumps(job.settings()))
        for row in rows:
            if all(row.get(key) == value for key, value in wanted.items()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(row), "utf-8")


def write(suite: str, directory: Path, name: str, script: str, **more: Any) -> Path:
    """Write all records of a suite, and what they say together, as one JSON file."""
    records = read_records(directory, suite)
    kept = {
        "schema_version": 1,
        "script": f"benchmarks/science/chemistry/{script}",
        "date": date.today().isoformat(),
        "commit": commit(),
        "environment": machine(),
        "suite": suite,
        "about": find_suite(suite).about,
        "differences": list(find_suite(suite).differences),
        "peers": [asdict(peer) for peer in PEERS[suite]],
        "lines": [json_ready(line) for line in lines(records)],
        "contrasts": [json_ready(each) for each in contrasts(records, suite)],
        "runs": [_row(record) for record in records],
        **more,
    }
    path = RESULTS / f"{date.today().isoformat()}-{name}.json"
    path.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n")
    print(f"wrote {path} with {len(records)} runs")
    return path


def commit() -> str:
    """Return the commit that is checked out."""
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without most of its curves."""
    row = {key: value for key, value in record.items() if key not in DROPPED}
    sparse = ("sparse_n_calls", "diverse_hits", "circles_075")
    load = record["load"] if "load" in record else record["environment"]["load"]
    curves = {key: record["curves"][key] for key in sparse}
    return {**row, "curves": curves, "load": load}
