"""What a diagnosis of the base model says, beside what training ended in.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/science/diagnose_demo.py [--samples 512]

Draws completions of the embedded model on the picking tasks, before any training, with rewards and
log-probabilities as any trainer would record them, and diagnoses them under the demo's objective
(beta .2, threshold 1, answers as modes). Beside what it says of the plain and the anchored optimum
stands what was measured after training, in the results that `demo.py` and `language/picking.py`
keep: exact answer distributions of the trained models, same model, beta and threshold. Writes
`benchmarks/science/results/DATE-diagnose-demo.json`.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymode.diagnostics.diagnosis import RecordedSamples, Report, diagnose_samples
from polymode.language.answers import max_completion_tokens, promised_answers, score_phrasings
from polymode.language.demo_run import DemoSettings
from polymode.language.embedded import EMBEDDED_MODEL, resolve_model
from polymode.language.loading import load_model, load_tokenizer
from polymode.language.runs import environment
from polymode.language.sampling import TransformersEngine
from polymode.language.tasks import TASKS, Level, PickingTask

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results"
BETA, THRESHOLD = DemoSettings().beta, 1.0
METHODS = {"plain": "target", "anchored": "anchored"}
PICKING = {"plain": "plain RLOO", "anchored": "anchored, modes"}
FIGURES = ("mass_good", "effective_modes_good")


def main() -> None:
    """Sample, diagnose, and set what was measured beside it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--samples", type=int, default=512, help="completions of each task")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, task in TASKS.items():
        drawn = draw_once(name, options.samples, options.seed)
        report = diagnose_samples(recorded(task, drawn["rows"]), beta=BETA, threshold=THRESHOLD)
        rows.append(
            {
                "task": name,
                "n_answers": len(task.answers),
                "verdict": report.verdict.kind,
                "sentence": report.verdict.sentence,
                "advice": report.verdict.advice,
                "predicted": {m: figures(report, policy) for m, policy in METHODS.items()},
                "reference": figures(report, "reference"),
                "exact": {method: shares(found) for method, found in drawn["exact"].items()},
                "measured": list(measured(name)),
            }
        )
        print(name, report.verdict.title, rows[-1]["predicted"], flush=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    kept = {
        "schema_version": 1,
        "script": "benchmarks/science/diagnose_demo.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "settings": {
            "model": EMBEDDED_MODEL,
            "beta": BETA,
            "threshold": THRESHOLD,
            "n_samples": options.samples,
            "seed": options.seed,
        },
        "environment": environment("torch", "transformers", "numpy"),
        "rows": rows,
    }
    target = RESULTS / f"{date.today().isoformat()}-diagnose-demo.json"
    target.write_text(json.dumps(kept, indent=1) + "\n")


def draw_once(name: str, n: int, seed: int) -> dict[str, Any]:
    """Return samples of the base model and the exact optima, which are drawn once and kept."""
    kept = ROOT / "polymode-runs" / "diagnose" / f"{name}-{n}-{seed}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(draw(TASKS[name], n, seed)))
    return json.loads(kept.read_text())


def draw(task: PickingTask, n: int, seed: int) -> dict[str, Any]:
    """Return samples of the base model, as a trainer would record them, and the exact optima."""
    path = resolve_model(EMBEDDED_MODEL)
    model, tokenizer = load_model(path, dtype=torch.float32), load_tokenizer(path)
    longest = max_completion_tokens(tokenizer, task)
    engine = TransformersEngine(model, tokenizer, max_new_tokens=longest, temperature=1.0)
    found = engine.sample(tokenizer(task.prompt(tokenizer))["input_ids"], n, seed=seed)
    reference = score_phrasings(model, tokenizer, task)
    levels: dict[str, Level | None] = {"plain": None, "anchored": "modes"}
    return {
        "rows": [asdict(completion) for completion in found],
        "exact": {
            method: promised_answers(
                reference, beta=BETA, level=level, threshold=THRESHOLD
            ).to_dict()
            for method, level in levels.items()
        },
    }


def recorded(task: PickingTask, rows: Sequence[Mapping[str, Any]]) -> RecordedSamples:
    """Return samples with rewards and modes; what was cut off gives no answer."""
    texts = [row["text"] if row["finished"] else f"{row['text']} …" for row in rows]
    answers = [task.answer_of(row["text"]) if row["finished"] else None for row in rows]
    names, distinct = list(task.answers), list(dict.fromkeys(texts))
    return RecordedSamples(
        prompt=np.zeros(len(rows), dtype=np.int32),
        prompt_texts=[task.question],
        output=np.array([distinct.index(text) for text in texts]),
        output_texts=distinct,
        rewards=np.array([float(answer is not None) for answer in answers]),
        ref_log_probs=np.array([min(row["log_prob"], 0.0) for row in rows]),
        drawn_from="reference",
        modes=np.array([-1 if answer is None else names.index(answer) for answer in answers]),
        mode_names=names,
    )


def figures(report: Report, policy: str) -> dict[str, list[float]]:
    """Return estimates with the ends of their intervals."""
    found = report.overall[policy]
    return {
        name: [getattr(found[name], part) for part in ("value", "low", "high")] for name in FIGURES
    }


def shares(answers: Mapping[str, Any]) -> dict[str, float]:
    """Return the same two figures of an exact answer distribution."""
    return dict(zip(FIGURES, (answers["frac_valid"], answers["effective_answers"]), strict=True))


def measured(task: str) -> Iterator[dict[str, Any]]:
    """Yield what trained models give, from the results that are kept."""
    for path in sorted(RESULTS.glob(f"*-demo-{task}.json")):
        for result in json.loads(path.read_text())["results"]:
            own = result["settings"]
            if (own["model"], own["beta"], own["level"]) == (EMBEDDED_MODEL, BETA, "modes"):
                for method in METHODS:
                    found = shares(result["runs"][method]["measured"]["exact"])
                    yield {"file": path.stem, "method": method, "seed": own["seed"]} | found
    for path in sorted(RESULTS.glob("*-picking.json")):
        for run in json.loads(path.read_text())["runs"]:
            for method, name in PICKING.items():
                if (run["task"], run["beta"], run["method"]) == (task, BETA, name):
                    found = shares(run["measured"])
                    yield {"file": path.stem, "method": method, "seed": run["seed"]} | found


if __name__ == "__main__":
    main()
