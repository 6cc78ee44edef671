"""Time the parts of a training step with and without shared prompts, side by side in one process.

    .venv/bin/python benchmarks/speed/shared_prompts.py

The workload is the demo's: 64 completions of the die prompt by SmolLM2-135M, in the type that the
machine multiplies fastest. Every repeat runs both sides in alternating order; ratios are within a
repeat. Writes
`benchmarks/speed/results/DATE-shared-prompts.json`.
"""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.devices import fast_dtype
from polymode.language.embedded import EMBEDDED_MODEL, resolve_model
from polymode.language.shared_prompt import score_completions, shared_generation
from polymode.language.tasks import find_task

HERE = Path(__file__).resolve().parent
N, NEW, REPEATS, SEED = 64, 5, 5, 0


def main() -> None:
    """Measure every part `REPEATS` times and write the ratios."""
    torch.manual_seed(SEED)
    path = resolve_model(EMBEDDED_MODEL)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, fast_dtype()))
    prompt = tokenizer(find_task("die").prompt(tokenizer))["input_ids"]
    completions = [row[len(prompt) :].tolist() for row in generate(model, prompt)]
    rows = [
        compare(
            "generation",
            lambda: generate(model, prompt),
            lambda: generate_shared(model, prompt),
        ),
        compare(
            "reference log-probabilities",
            lambda: score(model, prompt, completions, grad=False),
            lambda: score_shared(model, prompt, completions, grad=False),
        ),
        compare(
            "policy log-probabilities and gradient",
            lambda: score(model, prompt, completions, grad=True),
            lambda: score_shared(model, prompt, completions, grad=True),
        ),
    ]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    kept = {
        "schema_version": 1,
        "script": "benchmarks/speed/shared_prompts.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "workload": {
            "dtype": fast_dtype(),
            "completions": N,
            "distinct": len(set(map(tuple, completions))),
            "prompt_tokens": len(prompt),
            "new_tokens": NEW,
            "repeats": REPEATS,
            "seed": SEED,
        },
        "environment": {
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            **{name: version(name) for name in ("torch", "transformers", "polymode")},
        },
        "rows": rows,
    }
    target = HERE / "results" / f"{date.today().isoformat()}-shared-prompts.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


def compare(part: str, alone: Callable[[], Any], shared: Callable[[], Any]) -> dict[str, Any]:
    """Time both sides in alternating order; the first repeat warms up and is dropped."""
    sides = {"row_by_row": alone, "shared": shared}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(REPEATS + 1):
        for name in sorted(sides, reverse=bool(repeat % 2)):
            started = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - started)
    pairs = list(zip(seconds["row_by_row"][1:], seconds["shared"][1:], strict=True))
    ratios = [slow / fast for slow, fast in pairs]
    return {
        "part": part,
        "row_by_row": statistics.median(slow for slow, _ in pairs),
        "shared": statistics.median(fast for _, fast in pairs),
        "ratio": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
        "seconds": pairs,
    }


def generate(model: Any, prompt: list[int]) -> torch.Tensor:
    """Sample as TRL does: the prompt repeated for every completion."""
    ids = torch.tensor([prompt] * N)
    return model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        top_k=0,
        max_new_tokens=NEW,
        min_new_tokens=NEW,
        pad_token_id=2,
    )


def generate_shared(model: Any, prompt: list[int]) -> torch.Tensor:
    """Sample with the prompt computed once."""
    with shared_generation(model):
        return generate(model, prompt)


def score(model: Any, prompt: list[int], completions: list[list[int]], *, grad: bool) -> None:
    """Log-probabilities of every row, prompt included, as TRL computes them."""
    ids = torch.tensor([prompt + c for c in completions])
    with torch.set_grad_enabled(grad):
        logits = model(input_ids=ids, logits_to_keep=NEW + 1).logits[:, :-1]
        log_probs = logits.float().log_softmax(-1).gather(-1, ids[:, -NEW:, None])
        if grad:
            log_probs.sum().backward()
            model.zero_grad()


def score_shared(
    model: Any, prompt: list[int], completions: list[list[int]], *, grad: bool
) -> None:
    """The same with shared prompts."""
    with torch.set_grad_enabled(grad):
        scores = score_completions(model, [prompt] * N, completions)
        if grad:
            scores.log_probs.sum().backward()
            model.zero_grad()


if __name__ == "__main__":
    main()
