"""Compare methods on picking tasks, whose answers can be counted: quality against diversity.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/science/language/picking.py --tasks one-or-two

Every run is a recipe of `polymode train language` on the embedded model, and is kept as one JSON
file under `polymode-runs/picking/`; what is there, or in a results file of the same settings, is
not run again, so that a stopped benchmark goes on where it was, on another machine too, and several
processes can share the work. Writes `benchmarks/science/results/DATE-picking.json` from all of
them: settings, exact answer distributions of the base, of each promise and of each trained model.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from kept import ROOT, once

from polymode.language.answers import max_completion_tokens
from polymode.language.loading import load_tokenizer
from polymode.language.recipe import check_recipe
from polymode.language.runs import environment
from polymode.language.tasks import TASKS
from polymode.language.training import train_language
from polymode.plots.quality_diversity import save_quality_diversity

HERE = Path(__file__).resolve().parent
RUNS, RESULTS = ROOT / "polymode-runs" / "picking", HERE.parent / "results"
MODEL = "smollm2-135m"
STEPS, GROUP, LEARNING_RATE, WARM_UP = 60, 32, 2.5e-4, 10
BETAS, SEEDS = (0.1, 0.2, 0.4), (0, 1, 2)

METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "plain RLOO": {"name": "plain"},
        # TRL's defaults, but for beta: rewards over the group's deviation, k3 in the loss.
        "GRPO (TRL)": {"name": "plain", "algorithm": "grpo"},
        "entropy bonus": {"name": "entropy_bonus", "method_options": {"strength": 0.1}},
        "unlikeliness": {"name": "unlikeliness", "threshold": 1.0},
        "differential smoothing": {
            "name": "differential_smoothing",
            "threshold": 1.0,
            "method_options": {"correct": 0.1, "wrong": 0.1},
        },
        "inverse probability": {"name": "inverse_probability", "modes": "task"},
        "anchored, strings": {"name": "anchored", "threshold": 1.0},
        "anchored, forward KL": {
            "name": "anchored",
            "threshold": 1.0,
            "regulariser": "forward_kl",
        },
        "anchored, modes": {"name": "anchored", "threshold": 1.0, "modes": "task"},
    }
)
"""What is compared; every method also gets the beta."""

Key = tuple[str, str, float, int]
"""Task, method, beta and seed of a run."""


def main() -> None:
    """Run what is missing, then write down all that is there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--betas", type=float, nargs="+", default=BETAS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--figure", type=Path, help="directory for picking.png and picking.svg")
    parser.add_argument("--collect", action="store_true", help="run nothing: only write the JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    kept = earlier()
    for key, recipe in () if options.collect else wanted(options):
        if key not in kept:
            run(key, recipe)
    rows = collect()
    write(rows)
    if options.figure:
        save_quality_diversity(rows, options.figure, "picking")


def wanted(options: argparse.Namespace) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield every run and its recipe, seed by seed, so that a part is a whole."""
    tokenizer = load_tokenizer(MODEL)
    for seed in options.seeds:
        for task in options.tasks:
            for beta in options.betas:
                for method in options.methods:
                    length = max_completion_tokens(tokenizer, TASKS[task])
                    yield (
                        (task, method, beta, seed),
                        recipe_of(task, method, beta, seed, length),
                    )


def recipe_of(task: str, method: str, beta: float, seed: int, length: int) -> dict[str, Any]:
    """Return the recipe of one run."""
    return {
        "model": {"name": MODEL, "shared_prompts": True},
        "data": {"source": task, "size": STEPS},
        "method": {**METHODS[method], "beta": beta},
        "trainer": {
            "max_steps": STEPS,
            "num_generations": GROUP,
            "per_device_train_batch_size": GROUP,
            "gradient_accumulation_steps": 1,
            "max_completion_length": length,
            "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "cosine",
            "warmup_steps": WARM_UP,
            "gradient_checkpointing": False,
            "save_strategy": "no",
            "log_completions": False,
            "disable_tqdm": True,
            "seed": seed,
        },
    }


def run(key: Key, content: dict[str, Any]) -> None:
    """Train one run, unless it is there or another process is at it."""
    task, method, beta, seed = key
    name = f"{task}-{method}-{beta:g}-{seed}".replace(" ", "_")
    once(RUNS / f"{name}.json", partial(train, name, content))


def train(name: str, content: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Train one run and return what is kept of it."""
    result = train_language(check_recipe(content), scratch / "run")
    state = json.loads((scratch / "run" / "trainer_state.json").read_text("utf-8"))
    measured = result["task"]["measured"]
    print(
        f"{name}: valid {measured['frac_valid']:.3f}, "
        f"effective {measured['effective_answers'] or 0:.2f}, {result['seconds']:.0f} s",
        flush=True,
    )
    history = [row for row in state["log_history"] if "loss" in row]
    return {"recipe": content, **result, "history": history}


def earlier() -> dict[Key, dict[str, Any]]:
    """Return the runs of results files that were made with these settings, the newest last."""
    rows: dict[Key, dict[str, Any]] = {}
    for path in sorted(RESULTS.glob("*-picking.json")):
        file = json.loads(path.read_text("utf-8"))
        methods = file["settings"]["methods"]
        if {**file["settings"], "methods": None} != {**settings(), "methods": None}:
            continue
        for row in file["runs"]:
            if methods[row["method"]] == METHODS.get(row["method"]):
                row.setdefault("dtype", "bfloat16")  # the default before it was kept
                rows[row["task"], row["method"], row["beta"], row["seed"]] = row
    return rows


def collect() -> list[dict[str, Any]]:
    """Return every run without its history: of earlier results, and those that are kept here."""
    rows = earlier()
    for path in sorted(RUNS.glob("*.json")):
        kept = json.loads(path.read_text("utf-8"))
        method = {k: v for k, v in kept["recipe"]["method"].items() if k != "beta"}
        row = {
            "task": kept["recipe"]["data"]["source"],
            "method": next(name for name, own in METHODS.items() if dict(own) == method),
            "beta": kept["recipe"]["method"]["beta"],
            "seed": kept["recipe"]["trainer"]["seed"],
            "seconds": kept["seconds"],
            "dtype": kept["dtype"],
            "commit": kept["commit"],
            **kept["task"],
        }
        rows[row["task"], row["method"], row["beta"], row["seed"]] = row
    return [rows[key] for key in sorted(rows)]


def settings() -> dict[str, Any]:
    """Return what all runs have in common."""
    return {
        "model": MODEL,
        "steps": STEPS,
        "group": GROUP,
        "learning_rate": LEARNING_RATE,
        "warmup_steps": WARM_UP,
        "lora_rank": 16,
        "methods": {name: dict(own) for name, own in METHODS.items()},
    }


def write(rows: list[dict[str, Any]]) -> None:
    """Write the JSON that pages are made from."""
    kept = {
        "schema_version": 1,
        "script": "benchmarks/science/language/picking.py",
        "date": date.today().isoformat(),
        "environment": environment("torch", "transformers", "trl", "peft", "numpy"),
        "settings": settings(),
        "runs": rows,
    }
    path = RESULTS / f"{date.today().isoformat()}-picking.json"
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"wrote {path} with {len(rows)} runs")


if __name__ == "__main__":
    main()
