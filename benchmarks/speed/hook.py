"""Measure the hook's share of a training step, beside TRL's own RLOO trainer in one process.

    .venv/bin/python benchmarks/speed/hook.py

The steps are the demo's: completions of the die prompt by SmolLM2-135M with LoRA on all
linear layers, prompts shared, but at a learning rate of 0, so that all sides draw the same. Every
repeat takes one step of each side in alternating order, after one that is dropped; ratios of step
times are within a repeat. Writes `benchmarks/speed/results/DATE-hook.json`.
"""

import json
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from anchoring import cpu_name
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import RLOOConfig, RLOOTrainer

from polymode.devices import fast_dtype
from polymode.language import TASKS, MARAConfig, MARATrainer, SharedPrompts
from polymode.language.embedded import EMBEDDED_MODEL, resolve_model

HERE = Path(__file__).resolve().parent
GROUP_SIZES, TASK, BETA, NEW, REPEATS, SEED = (16, 64), "die", 0.2, 5, 5, 0
HOST = "TRL's RLOO"
SIDES: dict[str, dict[str, Any]] = {
    HOST: {},
    "plain": {"method": "plain"},
    "anchored": {"threshold": 1.0},
    "anchored, modes": {"threshold": 1.0, "modes": True},
    "anchored, modes, forward KL": {
        "threshold": 1.0,
        "modes": True,
        "regulariser": "forward_kl",
    },
}


class HostTrainer(SharedPrompts, RLOOTrainer):
    """TRL's own; prompts are computed once per step, as in the demo."""


class HookedTrainer(MARATrainer, SharedPrompts, RLOOTrainer):
    """Ours on the same footing."""


def main() -> None:
    """Measure both group sizes and write the shares and ratios."""
    torch.set_num_threads(1)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for size in GROUP_SIZES for row in compare(size, scratch)]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    packages = ("torch", "transformers", "trl", "peft", "numpy", "polymode")
    kept = {
        "schema_version": 1,
        "script": "benchmarks/speed/hook.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "workload": {
            "model": EMBEDDED_MODEL,
            "dtype": fast_dtype(),
            "task": TASK,
            "new_tokens": NEW,
            "beta": BETA,
            "repeats": REPEATS,
            "seed": SEED,
        },
        "environment": {
            "machine": platform.machine(),
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load_before": load_before,
            "load_after": os.getloadavg()[0],
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "rows": rows,
    }
    target = HERE / "results" / f"{date.today().isoformat()}-hook.json"
    target.write_text(json.dumps(kept, indent=1) + "\n")
    for row in rows:
        ratio, share = row["ratio"], row["frac_in_hook"]
        print(
            f"{row['group_size']:>3} {row['side']:<28} {row['median_seconds']:6.2f} s/step, "
            f"{ratio['median']:.3f} [{ratio['min']:.3f}, {ratio['max']:.3f}] x TRL, hook "
            + ("-" if share is None else f"{share['median']:.3%} [at most {share['max']:.3%}]")
        )


def compare(size: int, scratch: str) -> list[dict[str, Any]]:
    """Take a step of every side in alternating order, `REPEATS` times."""
    trainers = {side: build(size, scratch, **options) for side, options in SIDES.items()}
    logs: dict[str, list[Mapping[str, float]]] = {side: [] for side in SIDES}
    for repeat in range(REPEATS + 1):
        for side in list(SIDES)[:: -1 if repeat % 2 else 1]:
            torch.manual_seed(SEED + repeat)
            trainers[side].train()
            logs[side].append(trainers[side].state.log_history[0])
    return [row(size, side, logs[side][1:], logs[HOST][1:]) for side in SIDES]


def row(
    size: int, side: str, own: Sequence[Mapping[str, float]], host: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Return the figures of one side."""
    seconds = [log["step_time"] for log in own]
    in_hook = [log.get("mara/hook_seconds") for log in own]
    return {
        "group_size": size,
        "side": side,
        "median_seconds": statistics.median(seconds),
        "ratio": spread([s / log["step_time"] for s, log in zip(seconds, host, strict=True)]),
        "frac_in_hook": None
        if None in in_hook
        else spread([h / s for h, s in zip(in_hook, seconds, strict=True) if h is not None]),
        "seconds": seconds,
        "hook_seconds": in_hook,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the range."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def build(size: int, scratch: str, *, modes: bool = False, **options: Any) -> Any:
    """Make the trainer of a side; without options it is TRL's own."""
    path, task = resolve_model(EMBEDDED_MODEL), TASKS[TASK]
    tokenizer = AutoTokenizer.from_pretrained(path)
    settings: dict[str, Any] = {
        "output_dir": scratch,
        "max_steps": 1,
        "per_device_train_batch_size": size,
        "num_generations": size,
        "max_completion_length": NEW,
        "learning_rate": 0.0,
        "beta": BETA,
        "seed": SEED,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
    }
    common: dict[str, Any] = {
        "model": AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, fast_dtype())),
        "reward_funcs": task.reward,
        "train_dataset": Dataset.from_dict({"prompt": [task.prompt(tokenizer)] * 2}),
        "processing_class": tokenizer,
        "peft_config": LoraConfig(
            r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    }
    if options:
        common["mode_fn"] = task.mode_key if modes else None
        trainer: Any = HookedTrainer(args=MARAConfig(**settings, **options), **common)
    else:
        trainer = HostTrainer(args=RLOOConfig(**settings), **common)
    trainer.remove_callback(PrinterCallback)
    return trainer


if __name__ == "__main__":
    main()
