"""Compare methods on a verifiable task with many right answers, on prompts that were held out.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/science/language/countdown.py --seeds 0 1 2

The task is to write an expression that equals a number (`equals.py`). Every run is a recipe of
`polymode train language` on the embedded model, with plain rewards or anchored ones; questions that
were held out (known numbers, other worked examples) are asked afterwards, `SAMPLES` times each.
Runs are kept under `polymode-runs/countdown/`, and what is there is not run again. Writes
`benchmarks/science/results/DATE-countdown.json` from all of them: for each run and held-out prompt
how many completions were right, and how many different right answers they gave.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import equals
import numpy as np
import torch
from kept import ROOT, once

from polymode.language.loading import load_model, load_tokenizer
from polymode.language.recipe import Recipe, check_recipe
from polymode.language.runs import environment
from polymode.language.sampling import TransformersEngine, batch_seed
from polymode.language.training import train_language
from polymode.metrics import pass_at_k

RUNS = ROOT / "polymode-runs" / "countdown"
RESULTS = Path(__file__).resolve().parents[1] / "results"
MODEL, BASE = "smollm2-135m", "base model"
STEPS, GROUP, PROMPTS, LONGEST, BETA = 60, 16, 2, 8, 0.1
SAMPLES, MANY = 32, 16
METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "plain RLOO": {"name": "plain"},
        "anchored, modes": {"name": "anchored", "threshold": 1.0, "modes": "equals:mode"},
        "anchored, strings": {"name": "anchored", "threshold": 1.0},
    }
)
"""What is compared."""


def main() -> None:
    """Run what is missing, then write down all that is there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--collect", action="store_true", help="run nothing: only write the JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    data = RUNS / "questions.jsonl"
    rows = equals.questions(held_out=False)
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if not options.collect:
        once(RUNS / "base.json", measure_base)
        for seed in options.seeds:
            for method in options.methods:
                name = f"{method}-{seed}.json".replace(" ", "_")
                once(RUNS / name, partial(train, method, seed, data))
    write()


def recipe_of(method: str, seed: int, data: Path) -> Recipe:
    """Return the recipe of one run."""
    return check_recipe(
        {
            "model": {"name": MODEL, "shared_prompts": True},
            "data": str(data),
            "rewards": "equals:reward",
            "method": {**METHODS[method], "beta": BETA},
            "trainer": {
                "max_steps": STEPS,
                "num_generations": GROUP,
                "per_device_train_batch_size": GROUP * PROMPTS,
                "gradient_accumulation_steps": 1,
                "max_completion_length": LONGEST,
                "learning_rate": 2.5e-4,
                "lr_scheduler_type": "cosine",
                "warmup_steps": 10,
                "gradient_checkpointing": False,
                "save_strategy": "no",
                "log_completions": False,
                "disable_tqdm": True,
                "seed": seed,
            },
        }
    )


def train(method: str, seed: int, data: Path, scratch: Path) -> dict[str, Any]:
    """Train one run and measure it on the prompts that were held out."""
    result = train_language(recipe_of(method, seed, data), scratch / "run")
    state = json.loads((scratch / "run" / "trainer_state.json").read_text("utf-8"))
    found = measure(str(scratch / "run" / "model"), seed)
    kept = {
        "method": method,
        "seed": seed,
        "seconds": result["seconds"],
        "dtype": result["dtype"],
        **found,
        "history": [row for row in state["log_history"] if "loss" in row],
    }
    print(f"{method}, {seed}: {summary(found)}, trained in {result['seconds']:.0f} s", flush=True)
    return kept


def measure_base(_: Path) -> dict[str, Any]:
    """Measure the model before any training."""
    found = measure(MODEL, seed=0)
    print(f"{BASE}: {summary(found)}", flush=True)
    return {"method": BASE, "seed": 0, **found}


def measure(path: str, seed: int) -> dict[str, Any]:
    """Ask every question that was held out, and count right answers and different ones."""
    model, tokenizer = load_model(path, dtype=torch.float32), load_tokenizer(MODEL)
    engine = TransformersEngine(model, tokenizer, max_new_tokens=LONGEST, temperature=1.0)
    found: dict[str, list[int]] = {"targets": [], "n_right": [], "n_distinct_right": []}
    for number, row in enumerate(equals.questions(held_out=True)):
        target = row["target"]
        chat = tokenizer.apply_chat_template(
            row["prompt"], tokenize=False, add_generation_prompt=True
        )
        drawn = engine.sample(
            tokenizer(chat)["input_ids"],
            SAMPLES,
            seed=batch_seed(seed, task="equals", prompt_id=str(number), batch=0),
        )
        texts = [each.text for each in drawn if each.finished]
        scores = equals.reward(texts, [target] * len(texts))
        right = [text for text, score in zip(texts, scores, strict=True) if score == 1.0]
        found["targets"].append(target)
        found["n_right"].append(len(right))
        found["n_distinct_right"].append(len({equals.mode(text) for text in right}))
    return {**found, "n_samples": SAMPLES}


def figures(run: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return what is compared, one number for each prompt."""
    right, drawn = np.array(run["n_right"]), run["n_samples"]
    return {
        "pass_at_1": pass_at_k(right, drawn, k=1),
        f"pass_at_{MANY}": pass_at_k(right, drawn, k=MANY),
        "distinct_right": np.array(run["n_distinct_right"], dtype=float),
    }


def summary(run: Mapping[str, Any]) -> str:
    """Return the means in a line."""
    return ", ".join(f"{name} {values.mean():.3f}" for name, values in figures(run).items())


def compared(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return means of each method, and differences to plain RLOO with the same seeds.

    Standard errors are over the numbers asked for, of means over seeds and the questions of a
    number: numbers are paired, as seeds are.
    """
    by = {(run["method"], run["seed"]): figures(run) for run in runs}
    rows: list[dict[str, Any]] = []
    for method in dict.fromkeys(method for method, _ in by):
        seeds = sorted(seed for other, seed in by if other == method)
        row: dict[str, Any] = {"method": method, "seeds": seeds, "figures": {}}
        for name in by[method, seeds[0]]:
            values = np.stack([by[method, seed][name] for seed in seeds])
            gap = _minus_plain(by, name, row, runs[0]["targets"])
            row["figures"][name] = {"mean": float(values.mean()), **gap}
        rows.append(row)
    return rows


def _minus_plain(
    by: Mapping[Any, Any], name: str, row: Mapping[str, Any], targets: Sequence[int]
) -> dict[str, Any]:
    """Return the paired difference to plain RLOO, where there is one."""
    method, plain = row["method"], next(iter(METHODS))
    seeds = [seed for seed in row["seeds"] if (plain, seed) in by]
    if method in (plain, BASE) or not seeds:
        return {}
    gaps = np.stack([by[method, seed][name] - by[plain, seed][name] for seed in seeds])
    own = [gaps.mean(0)[np.array(targets) == target] for target in dict.fromkeys(targets)]
    by_target = np.array([each.mean() for each in own])
    return {
        "minus_plain": float(by_target.mean()),
        "standard_error": float(by_target.std(ddof=1) / np.sqrt(len(by_target))),
        "minus_plain_by_seed": gaps.mean(1).tolist(),
    }


def write() -> None:
    """Write the JSON that pages are made from."""
    runs = [json.loads(path.read_text("utf-8")) for path in sorted(RUNS.glob("*.json"))]
    order = [BASE, *METHODS]
    runs.sort(key=lambda run: (order.index(run["method"]), run["seed"]))
    kept = {
        "schema_version": 1,
        "script": "benchmarks/science/language/countdown.py",
        "date": date.today().isoformat(),
        "environment": environment("torch", "transformers", "trl", "peft", "numpy"),
        "settings": {
            "model": MODEL,
            "n_trained_on": len(equals.questions(held_out=False)),
            "n_held_out": len(equals.questions(held_out=True)),
            "n_samples": SAMPLES,
            "steps": STEPS,
            "group": GROUP,
            "prompts_per_step": PROMPTS,
            "beta": BETA,
            "methods": {name: dict(own) for name, own in METHODS.items()},
        },
        "summary": compared(runs),
        "runs": [{k: v for k, v in run.items() if k != "history"} for run in runs],
    }
    path = RESULTS / f"{date.today().isoformat()}-countdown.json"
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"wrote {path} with {len(runs)} runs")


if __name__ == "__main__":
    main()
