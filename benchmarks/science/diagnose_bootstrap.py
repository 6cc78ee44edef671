"""Coverage of a bootstrap of samples beside that of a diagnosis, where the truth is known.

    OMP_NUM_THREADS=1 PYTHONPATH=.:src .venv/bin/python benchmarks/science/diagnose_bootstrap.py

The cases of `benchmarks/science/diagnose.py`, those with a verdict. A bootstrap of samples draws as
many of each prompt anew, with replacement, and estimates everything from them, all rounds as
prompts of one table. From twenty prompts on it has two stages: it draws prompts, and samples of
those. It gives percentiles, and intervals about the estimate as wide as the standard deviation of
the rounds says. Writes `benchmarks/science/results/DATE-diagnose-bootstrap.json`.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from statistics import NormalDist
from typing import Any

import numpy as np
from benchmarks.science import diagnose as study

from polymode.diagnostics.diagnosis import Report, diagnose_samples
from polymode.diagnostics.diagnosis.anchored import Anchoring
from polymode.diagnostics.diagnosis.budget import budget_parts
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.overall import MIN_PROMPTS
from polymode.diagnostics.diagnosis.segments import Segments
from polymode.diagnostics.diagnosis.targets import Problem
from polymode.metrics.intervals import Estimate

LEVEL = 0.9
WAYS = ("as it is", "percentiles", "standard deviation")


def main() -> None:
    """Run the cases, write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=400, help="how many cases")
    parser.add_argument("--rounds", type=int, default=100, help="bootstrap rounds")
    options = parser.parse_args()
    started = time.process_time()
    found = [held for i in range(options.cases) for held in case(i, options.rounds)]
    kept = study.head() | {
        "script": "benchmarks/science/diagnose_bootstrap.py",
        "n_cases": options.cases,
        "n_rounds": options.rounds,
        "seconds": time.process_time() - started,
        "rows": list(rows(found)),
    }
    del kept["settings"]
    target = study.HERE / "results" / f"{date.today().isoformat()}-diagnose-bootstrap.json"
    target.write_text(json.dumps(kept, indent=1) + "\n")
    for row in kept["rows"]:
        print(row)


def rows(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the coverage of each way, by what is averaged and by the kind of modes."""
    for about in ("a prompt", "these prompts", "prompts like these"):
        for modes in ("outputs", "of several outputs"):
            some = [each for each in found if each["about"] == about and each["modes"] == modes]
            for way in WAYS:
                held = [where for each in some for where in each["held"][way].values()]
                widths = [width for each in some for width in each["widths"][way].values()]
                yield (
                    {"about": about, "modes": modes, "way": way, "n_cases": len(some)}
                    | study.counts(held)
                    | {"median_width": float(np.nanmedian(widths)) if widths else None}
                )


def case(number: int, n_rounds: int) -> Iterator[dict[str, Any]]:
    """Yield what held of a case over all prompts and of its first one, if that was told."""
    drawn, rng = study.draw(number)
    report = diagnose_samples(
        drawn.samples, **drawn.objective, n_betas=1, divergences=(), thresholds=(2.0,)
    )
    table = DistinctOutputs.of(drawn.samples)
    told = report.verdict.kind != "cannot_tell"
    told_first = report.prompts.verdicts[0] != "cannot_tell"
    if not (told or told_first):
        return
    n = drawn.factors["n_samples"]
    values = redrawn_values(table, drawn.objective, n_rounds, rng)
    modes = "outputs" if table.by_output else "of several outputs"
    if told_first:
        truth = study.true_numbers(drawn.prompts[0], n, **drawn.objective)
        own = dict(study.of_prompt(report, 0))
        rounds = {name: each[0] for name, each in values.items()}
        yield {"about": "a prompt", "modes": modes} | compared(own, rounds, truth)
    if told and len(drawn.prompts) > 1:
        many = len(drawn.prompts) >= MIN_PROMPTS
        prompts = drawn.prompts
        if many:
            prompts = [drawn.world.prompt(rng) for _ in range(study.N_POPULATION)]
        truths = [study.true_numbers(prompt, n, **drawn.objective) for prompt in prompts]
        about = "prompts like these" if many else "these prompts"
        again = rng.integers(len(drawn.prompts), size=(len(drawn.prompts), n_rounds))
        rounds = {}
        for name, each in values.items():
            chosen = np.take_along_axis(each, again, axis=0) if many else each
            with np.errstate(invalid="ignore"):
                there = ~np.isnan(chosen)
                rounds[name] = np.where(there, chosen, 0).sum(axis=0) / there.sum(axis=0)
        yield {"about": about, "modes": modes} | compared(
            overall(report), rounds, study.mean(truths)
        )


def overall(report: Report) -> dict[str, Estimate]:
    """Return the estimates over all prompts, those that there are."""
    return {name: each for name, each in study.overall(report) if each is not None}


def compared(
    own: Mapping[str, Estimate], rounds: Mapping[str, np.ndarray], truth: Mapping[str, float]
) -> dict[str, Any]:
    """Return where the truth lies by each way, and how wide its intervals are."""
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2)
    found: dict[str, dict[str, Estimate]] = {way: {} for way in WAYS}
    for name, each in rounds.items():
        found["as it is"][name] = estimate = own[name]
        known, value = each[~np.isnan(each)], estimate.value
        ends = (np.nan, np.nan)
        if len(known):
            ends = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found["percentiles"][name] = replace(estimate, low=ends[0], high=ends[1])
        far = reach * known.std() if len(known) else np.nan
        found["standard deviation"][name] = replace(estimate, low=value - far, high=value + far)
    return {
        "held": {
            way: dict(study.compared(iter(each.items()), truth)) for way, each in found.items()
        },
        "widths": {
            way: {name: float(one.high - one.low) for name, one in each.items()}
            for way, each in found.items()
        },
    }


def redrawn_values(
    table: DistinctOutputs, objective: Mapping[str, Any], n_rounds: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return figures of prompts whose samples were drawn anew, of shape (prompts, rounds)."""
    parts = [estimated(block, objective) for block in redrawn(table, n_rounds, rng).blocks()]
    shape = (len(table.prompts), n_rounds)
    return {
        name: np.concatenate([part[name] for part in parts]).reshape(shape) for name in parts[0]
    }


def estimated(table: DistinctOutputs, objective: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the estimates of each prompt."""
    beta, divergence = objective["beta"], objective["divergence"]
    problem = Problem.of(table, threshold=objective["threshold"], reach=0.1)
    target = problem.target(beta, divergence)
    figures = {
        "reference": problem.reference().figures(),
        "target": target.figures(),
        "anchored": Anchoring.of(problem, beta, divergence).figures(),
    }
    out = {
        f"{policy} {name}": each[name].value
        for policy, each in figures.items()
        for name in study.FIGURES
    }
    parts = budget_parts(problem, target)
    return out | {
        name: getattr(parts, name).value
        for name in study.BUDGET
        if getattr(parts, name) is not None
    }


def redrawn(table: DistinctOutputs, n_rounds: int, rng: np.random.Generator) -> DistinctOutputs:
    """Return the same table with every round of every prompt as a prompt of its own."""
    columns: list[np.ndarray] = []
    chosen: list[np.ndarray] = []
    prompt: list[np.ndarray] = []
    for i, (start, size) in enumerate(zip(table.prompts.starts, table.prompts.sizes, strict=True)):
        drawn = table.n_drawn[start : start + size]
        n = int(table.n_samples[i])
        counts = rng.multinomial(n, drawn / drawn.sum(), size=n_rounds)
        rounds, outputs = np.nonzero(counts)
        columns.append(counts[rounds, outputs])
        chosen.append(outputs + start)
        prompt.append(rounds + i * n_rounds)
    rows, label = np.concatenate(chosen), np.concatenate(prompt)
    n_drawn = np.concatenate(columns).astype(float)
    mode = table.modes.index[rows]
    prompts, modes = Segments.of(label), Segments.of(label, mode)
    return replace(
        table,
        prompt_ids=np.arange(len(prompts)),
        prompts=prompts,
        modes=modes,
        of_modes=Segments.of(label[modes.starts]),
        n_drawn=n_drawn,
        n_samples=prompts.sum(n_drawn),
        **{
            name: getattr(table, name)[rows]
            for name in ("rewards", "log_q", "log_drawn", "text", "mode")
        },
        log_p=None if table.log_p is None else table.log_p[rows],
    )


if __name__ == "__main__":
    main()
