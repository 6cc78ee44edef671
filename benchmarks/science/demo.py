"""Run the demo over several seeds, as a user would, and keep every number.

    .venv/bin/python benchmarks/science/demo.py --task die --seeds 0 1 2

Each seed is one `polymode demo` in a process of its own; a finished seed is read back, so a stopped
benchmark goes on where it was. Writes `benchmarks/science/results/DATE-demo-TASK.json` (settings,
environment, commit, every `result.json` with its learning curve, and a summary with the criteria
that the demo has to meet) and, from the first seed, the figure that the README shows (`--figure`).
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main() -> None:
    """Run the seeds one after the other, then write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--task", default="die")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=ROOT / "polymode-runs" / "benchmark")
    parser.add_argument("--figure", type=Path, help="directory for the first seed's figure")
    options = parser.parse_args()
    results = [run_seed(options.task, seed, options.work) for seed in options.seeds]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    kept = {
        "schema_version": 1,
        "script": "benchmarks/science/demo.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "summary": summary(results),
        "results": results,
    }
    path = HERE / "results" / f"{date.today().isoformat()}-demo-{options.task}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(kept["summary"], indent=2))
    print(f"wrote {path.relative_to(ROOT)}")
    if options.figure:
        options.figure.mkdir(parents=True, exist_ok=True)
        for suffix in ("png", "svg"):
            source = options.work / f"{options.task}-{options.seeds[0]}" / f"figure.{suffix}"
            shutil.copy(source, options.figure / f"demo-{options.task}.{suffix}")


def run_seed(task: str, seed: int, work: Path) -> dict[str, Any]:
    """Run, resume or read back the demo of one seed."""
    out = work / f"{task}-{seed}"
    if not (out / "result.json").exists():
        command = [sys.executable, "-c", "from polymode.cli import main; main()", "demo"]
        command += ["--task", task, "--seed", str(seed), "--out", str(out)]
        command += ["--resume"] if (out / "settings.json").exists() else []
        subprocess.run(command, check=True, cwd=ROOT)
    return json.loads((out / "result.json").read_text())


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and range over seeds of what the demo is judged by, and whether each criterion holds."""
    rows = [judge(result) for result in results]
    figures = {
        name: {
            "mean": statistics.fmean(row[name] for row in rows),
            "min": min(row[name] for row in rows),
            "max": max(row[name] for row in rows),
        }
        for name in rows[0]
    }
    return {
        "n_seeds": len(rows),
        "figures": figures,
        "criteria": {
            "anchored frac valid >= .95": figures["anchored frac valid"]["min"] >= 0.95,
            "anchored entropy >= .95 of maximum": figures["anchored entropy share"]["min"] >= 0.95,
            "anchored total variation <= .10": figures["anchored total variation"]["max"] <= 0.10,
            "no answer below half its share in the last third": (
                figures["anchored smallest share in the last third"]["min"] >= 0.5
            ),
            "both trainings <= 10 minutes": figures["training seconds"]["max"] <= 600,
            "hook < 1 % of the step": figures["frac of step in hook"]["max"] < 0.01,
        },
    }


def judge(result: dict[str, Any]) -> dict[str, float]:
    """The figures of one demo."""
    row: dict[str, float] = {}
    for name, run in result["runs"].items():
        measured = run["measured"]["exact"]
        row[f"{name} frac valid"] = measured["frac_valid"]
        row[f"{name} entropy share"] = measured["frac_of_max_entropy"]
        row[f"{name} entropy share promised"] = run["promised"]["frac_of_max_entropy"]
        row[f"{name} total variation"] = run["total_variation_to_promise"]
    history = result["runs"]["anchored"]["history"]
    answers = list(result["base"]["exact"]["probabilities"])
    last_third = history[-(len(history) // 3) :]
    row["anchored smallest share in the last third"] = len(answers) * min(
        step[f"answers/{name}"] / step["answers/frac_valid"]
        for step in last_third
        for name in answers
    )
    row["training seconds"] = sum(run["seconds"] for run in result["runs"].values())
    row["seconds of all stages"] = sum(result["seconds"].values())
    row["frac of step in hook"] = result["runs"]["anchored"]["frac_of_step_in_hook"]
    return row


if __name__ == "__main__":
    main()
