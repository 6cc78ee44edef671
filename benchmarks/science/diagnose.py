"""Coverage of the intervals of a diagnosis, and its verdicts, where the truth is known.

    OMP_NUM_THREADS=1 PYTHONPATH=. .venv/bin/python benchmarks/science/diagnose.py [--cases 4000]

Each case draws a world (`tests/diagnostics/diagnosis/worlds.py`), prompts of it, an objective and
samples, all at random from the lists below, diagnoses the samples, and asks of every interval
whether the truth lies in it, and of every verdict whether it is the one on the true numbers; and of
one change of the objective likewise, of those that a report tries (`CHANGES`). Cases are seeded by
their number and kept one by one under `polymode-runs/diagnose/NAME`, so that a stopped study goes
on. Writes `benchmarks/science/results/DATE-diagnose.json`.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polymode.diagnostics.diagnosis import (
    DiagnosisSettings,
    RecordedSamples,
    Report,
    diagnose_samples,
)
from polymode.diagnostics.diagnosis.overall import MIN_PROMPTS
from polymode.metrics.intervals import Estimate
from tests.diagnostics.diagnosis.truth import true_numbers, true_verdict
from tests.diagnostics.diagnosis.worlds import THRESHOLD, Prompt, World, draw_samples

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FACTORS: Mapping[str, tuple[Any, ...]] = {
    "n_modes": (10, 100, 1000, 10_000),
    "exponent": (0.5, 1.0, 1.5),
    "rewards": ("binary", "mixed", "favoured", "neglected", "gap"),
    "phrasings": (1, 1, 6),
    "tilt": (None, None, 2.0),
    "n_samples": (8, 32, 128, 512, 4096),
    "n_prompts": (1, 8, 40),
    "beta": (0.01, 0.1, 1.0),
    "divergence": ("reverse_kl", "reverse_kl", "forward_kl", "jensen_shannon"),
}
CHANGES = ("beta / 10", "beta * 10", "divergence", "threshold", "anchored outputs")
"""What may be changed; outputs are anchored where they are no modes."""
OTHER_DIVERGENCE = {
    "reverse_kl": "forward_kl",
    "forward_kl": "jensen_shannon",
    "jensen_shannon": "reverse_kl",
}
OTHER_THRESHOLD = 0.9
BUDGET = ("ceiling", "reference_bias", "reward_gaps", "optimiser", "left")
FIGURES = ("expected_reward", "mass_good", "entropy", "entropy_good")
N_POPULATION = 400
"""Prompts whose mean stands for that of all: what intervals that resample prompts are about."""
FEW_PROMPTS = 8
"""Prompts of a case whose own intervals are looked at."""


def main() -> None:
    """Run what is missing, then write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=4000, help="how many cases")
    parser.add_argument("--name", default="study", help="directory of the cases")
    parser.add_argument("--collect", action="store_true", help="run nothing: only write the JSON")
    options = parser.parse_args()
    path = ROOT / "polymode-runs" / "diagnose" / f"{options.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if not options.collect:
        with path.open("a") as file:
            for number in range(len(done), options.cases):
                done.append(case(number))
                file.write(json.dumps(done[-1]) + "\n")
                file.flush()
    target = HERE / "results" / f"{date.today().isoformat()}-diagnose.json"
    seconds = sum(each["seconds"] for each in done)
    kept = head() | {"n_cases": len(done), "seconds": seconds} | summary(done)
    target.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps({key: kept[key] for key in ("overall", "of_prompts", "verdicts")}, indent=1))


class Drawn(NamedTuple):
    """What a case is made of: which factors, their world, prompts of it, samples of those."""

    factors: dict[str, Any]
    world: World
    prompts: list[Prompt]
    samples: RecordedSamples
    objective: dict[str, Any]


def draw(number: int) -> tuple[Drawn, np.random.Generator]:
    """Return a case by its number, and what draws the rest of it."""
    rng = np.random.default_rng([20261201, number])
    drawn = {name: values[rng.integers(len(values))] for name, values in FACTORS.items()}
    world = World(*(drawn[key] for key in ("n_modes", "exponent", "rewards", "phrasings", "tilt")))
    prompts = [world.prompt(rng) for _ in range(drawn["n_prompts"])]
    samples = draw_samples(prompts, drawn["n_samples"], rng)
    objective = {"beta": drawn["beta"], "divergence": drawn["divergence"], "threshold": THRESHOLD}
    return Drawn(drawn, world, prompts, samples, objective), rng


def case(number: int) -> dict[str, Any]:
    """Return one case: what was drawn, and what held."""
    started = time.process_time()
    (drawn, world, prompts, samples, objective), rng = draw(number)
    changes = CHANGES if drawn["phrasings"] > 1 else CHANGES[:-1]
    change = changes[rng.integers(len(changes))]
    factor = {"beta / 10": 0.1, "beta * 10": 10.0}.get(change)
    report = diagnose_samples(
        samples,
        **objective,
        betas=() if factor is None else (factor * drawn["beta"],),
        n_betas=1,
        divergences=(OTHER_DIVERGENCE[drawn["divergence"]],),
        thresholds=(OTHER_THRESHOLD,),
        effective_modes=(),
    )
    changed = changed_objective(change, objective)

    def truth_of(prompt: Prompt) -> dict[str, float]:
        return true_numbers(prompt, drawn["n_samples"], **objective)

    def truth_changed(prompt: Prompt) -> dict[str, float]:
        if change == "anchored outputs":
            prompt = replace(prompt, mode=np.arange(len(prompt.q)))
        return true_numbers(prompt, drawn["n_samples"], **changed)

    def truths_of(prompt: Prompt) -> tuple[dict[str, float], dict[str, float]]:
        return truth_of(prompt), truth_changed(prompt) if told_change else {}

    figures, trusted = changed_figures(report, change)
    told = report.verdict.kind != "cannot_tell"
    told_change = told and bool(trusted >= report.settings.limits.prompts)
    truths = [truths_of(prompt) for prompt in prompts]
    each = [own for own, _ in truths]
    if len(prompts) >= MIN_PROMPTS:
        truths = [truths_of(world.prompt(rng)) for _ in range(N_POPULATION)]
    everything = mean([own for own, _ in truths])
    kind, true_kind = report.verdict.kind, true_verdict(everything)
    held = dict(compared(overall(report), everything)) if kind != "cannot_tell" else {}
    held_change: dict[str, str] = {}
    if told_change:
        true = mean([own for _, own in truths])
        held_change = dict(compared(iter(figures), true | {"kept": float(np.exp(-true["lost"]))}))
    few = range(min(FEW_PROMPTS, len(prompts)))
    own = []
    for i in few:
        said = report.prompts.verdicts[i]
        told = said != "cannot_tell"
        own.append(
            {
                "verdict": said,
                "truth": true_verdict(each[i]),
                "held": dict(compared(of_prompt(report, i), each[i])) if told else {},
            }
        )
    return {"number": number, "drawn": drawn} | {
        "verdict": kind,
        "truth": true_kind,
        "kept": float(np.exp(-everything["lost"])),
        "held": held,
        "prompts": own,
        "change": change,
        "change_told": told_change,
        "change_held": held_change,
        "seconds": round(time.process_time() - started, 3),
    }


def changed_objective(change: str, objective: Mapping[str, Any]) -> dict[str, Any]:
    """Return the objective under a change; anchoring changes none of its settings."""
    beta = objective["beta"]
    changed: dict[str, dict[str, Any]] = {
        "beta / 10": {"beta": 0.1 * beta},
        "beta * 10": {"beta": 10.0 * beta},
        "divergence": {"divergence": OTHER_DIVERGENCE[objective["divergence"]]},
        "threshold": {"threshold": OTHER_THRESHOLD},
    }
    return {**objective, **changed.get(change, {})}


def changed_figures(report: Report, change: str) -> tuple[list[tuple[str, Estimate]], float]:
    """Return the estimates under a change, and the share of prompts that can be trusted there."""
    if change.startswith("beta"):
        sweep = report.sweep
        at = 0 if change == "beta / 10" else len(sweep.betas) - 1
        found = {f"target {name}": sweep.target[name] for name in FIGURES}
        found |= {f"anchored {name}": sweep.anchored[name] for name in FIGURES}
        found |= {"kept": sweep.kept}
        return [(name, one_of(each, at)) for name, each in found.items()], sweep.frac_reliable[at]
    (tried,) = (
        each
        for each in report.what_ifs
        if each.name == change or (each.kind == change and change != "anchored outputs")
    )
    policy = "anchored" if tried.kind == "anchoring" else "target"
    found = {f"{policy} {name}": tried.figures[name] for name in FIGURES}
    if policy == "target":
        found |= {"kept": tried.kept}
    return list(found.items()), tried.frac_reliable


def one_of(estimate: Estimate, i: int) -> Estimate:
    """Return one of several estimates."""
    parts = (estimate.value, estimate.standard_error, estimate.low, estimate.high)
    value, error, low, high = (float(part[i]) for part in parts)
    return Estimate(value, error, low, high, int(np.ravel(estimate.n)[i]))


def mean(numbers: list[dict[str, float]]) -> dict[str, float]:
    """Return the means over prompts that have a number; of good modes, the most."""
    out: dict[str, float] = {}
    for name in numbers[0]:
        values = np.array([each[name] for each in numbers])
        known = values[~np.isnan(values)]
        out[name] = float(known.mean()) if len(known) else np.nan
    return out | {"n_good": max(each["n_good"] for each in numbers)}


def overall(report: Report) -> Iterator[tuple[str, Estimate]]:
    """Yield the estimates over all prompts."""
    for policy, figures in report.overall.items():
        yield from ((f"{policy} {name}", figures[name]) for name in FIGURES)
    yield from ((name, getattr(report.budget, name)) for name in BUDGET)


def of_prompt(report: Report, i: int) -> Iterator[tuple[str, Estimate]]:
    """Yield the estimates of one prompt."""
    found = {
        f"{policy} {name}": figures[name]
        for policy, figures in report.prompts.figures.items()
        for name in FIGURES
    }
    found |= {name: getattr(report.prompts.budget, name) for name in BUDGET}
    yield from ((name, one_of(each, i)) for name, each in found.items() if each is not None)


def compared(
    estimates: Iterator[tuple[str, Estimate]], truth: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    """Yield where the truth lies: "in", "exact", "below" or "above", "lost" where one is NaN."""
    for name, estimate in estimates:
        if estimate is None:
            continue
        true, slack = truth[name], 1e-7 * (1 + abs(truth[name]))
        if np.isnan(true) or np.isnan(estimate.value):
            if np.isnan(true) != np.isnan(estimate.value):
                yield name, "lost"
        elif true < estimate.low - slack:
            yield name, "below"
        elif true > estimate.high + slack:
            yield name, "above"
        else:
            narrow = estimate.high - estimate.low <= 1e-6 * (1 + abs(true))
            yield name, "exact" if narrow else "in"


def summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return coverage by quantity and by factor, and how often verdicts are right."""
    flat = [
        {"drawn": c["drawn"], **own} for c in cases for own in c["prompts"]
    ]  # prompts of one case share their world and objective
    return {
        "overall": coverage(cases),
        "of_prompts": coverage(flat),
        "changes": {
            change: changes_of([c for c in cases if c["change"] == change]) for change in CHANGES
        },
        "verdicts": {"overall": verdicts(cases), "of_prompts": verdicts(flat)},
        "by_factor": {
            name: [
                {"value": value, "n_cases": len(some)}
                | {
                    "overall": short(some),
                    "of_prompts": short([x for x in flat if x["drawn"][name] == value]),
                }
                for value in dict.fromkeys(values)
                for some in [[c for c in cases if c["drawn"][name] == value]]
            ]
            for name, values in FACTORS.items()
        },
    }


def changes_of(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how often one kind of change was told, and its coverage when it was."""
    found = coverage([{"held": c["change_held"]} for c in cases])
    return {"n": len(cases), "n_told": sum(c["change_told"] for c in cases), **found}


def coverage(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how often intervals held, by quantity, and all together."""
    names = dict.fromkeys(name for c in cases for name in c["held"])
    rows = {name: counts([c["held"][name] for c in cases if name in c["held"]]) for name in names}
    every = counts([where for c in cases for where in c["held"].values()])
    return {"all": every, "by_quantity": rows}


def counts(found: list[str]) -> dict[str, Any]:
    """Return the coverage of intervals of some width, and what became of the others."""
    n = {key: found.count(key) for key in ("in", "below", "above", "exact", "lost")}
    wide = n["in"] + n["below"] + n["above"]
    return {"coverage": n["in"] / wide if wide else None, "n": len(found)} | n


def verdicts(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how often the verdict was given, and right when it was."""
    told = [c for c in cases if c["verdict"] != "cannot_tell"]
    pairs: dict[str, int] = {}
    for c in told:
        key = f"{c['verdict']} for {c['truth']}"
        pairs[key] = pairs.get(key, 0) + 1
    right = sum(c["verdict"] == c["truth"] for c in told)
    return {
        "n": len(cases),
        "n_told": len(told),
        "frac_right": right / len(told) if told else None,
        "pairs": dict(sorted(pairs.items(), key=lambda item: -item[1])),
    }


def short(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return coverage and verdicts in three numbers."""
    found, told = coverage(cases)["all"], verdicts(cases)
    return {key: told[key] for key in ("n", "n_told", "frac_right")} | {
        "coverage": found["coverage"]
    }


def head() -> dict[str, Any]:
    """Return what the study was made with."""
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    return {
        "schema_version": 1,
        "script": "benchmarks/science/diagnose.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "settings": {
            "factors": FACTORS,
            "threshold": THRESHOLD,
            "level": DiagnosisSettings(beta=1, threshold=0).level,
            "n_rounds": DiagnosisSettings(beta=1, threshold=0).n_rounds,
        },
        "environment": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "arviz-stats", "polymode")},
        },
    }


if __name__ == "__main__":
    main()
