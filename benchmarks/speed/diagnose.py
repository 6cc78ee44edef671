"""Seconds and memory of a diagnosis, each size in a process of its own.

    .venv/bin/python benchmarks/speed/diagnose.py [--sizes 100000 1000000 10000000]

100 samples for each prompt from a Zipf reference over 200 outputs, thirty strengths, 200 bootstrap
rounds, and everything else that `polymode.diagnose` does from columns in memory; reading a file is
timed by `recorded_samples.py`. Outputs are modes, or have a mode that several of them share.
Seconds are those of the processor; memory is the peak of the process less that of the samples
alone. Writes `benchmarks/speed/results/DATE-diagnose-speed.json`.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SIZES = (100_000, 1_000_000, 10_000_000)
PER_PROMPT, N_OUTPUTS, PER_MODE, SEED = 100, 200, 4, 0
KINDS = ("outputs", "modes")


def main() -> None:
    """Measure every size of every kind, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of samples")
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], int(options.measure[1]))))
        return
    rows = [apart(kind, size) for size in options.sizes for kind in KINDS]
    rows.sort(key=lambda row: (row["kind"], row["samples"]))
    kept = {
        "schema_version": 1,
        "script": "benchmarks/speed/diagnose.py",
        "commit": subprocess.check_output(
            ["git", "rev-parse", "HEAD"], cwd=HERE, text=True
        ).strip(),
        "date": date.today().isoformat(),
        "workload": {"per_prompt": PER_PROMPT, "n_outputs": N_OUTPUTS, "per_mode": PER_MODE},
        "environment": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "load_before": os.getloadavg()[0],
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "arviz-stats", "polymode")},
        },
        "rows": rows,
    }
    target = HERE / "results" / f"{date.today().isoformat()}-diagnose-speed.json"
    target.write_text(json.dumps(kept, indent=1) + "\n")
    for row in rows:
        print(
            f"{row['kind']:<8} {row['samples']:>11,} {row['seconds']:7.1f} s (wall "
            f"{row['wall_seconds']:.1f}) {row['peak_mib']:6.0f} MiB"
        )


def apart(kind: str, size: int) -> dict[str, Any]:
    """Measure in a process of its own: a peak never falls."""
    command = [sys.executable, __file__, "--measure", kind, str(size)]
    return json.loads(subprocess.check_output(command, text=True))


def measure(kind: str, size: int) -> dict[str, Any]:
    """Diagnose, and return what it took."""
    from polymode.diagnostics.diagnosis import diagnose_samples

    samples = draw(kind, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    started, wall = time.process_time(), time.perf_counter()
    report = diagnose_samples(samples, beta=0.05, threshold=0.8)
    return {
        "kind": kind,
        "samples": size,
        "prompts": len(report.prompts.texts),
        "betas": len(report.sweep.betas),
        "rounds": report.settings.n_rounds,
        "seconds": time.process_time() - started,
        "wall_seconds": time.perf_counter() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before,
        "samples_mib": before,
        "verdict": report.verdict.kind,
    }


def draw(kind: str, size: int) -> Any:
    """Return samples of one kind."""
    import numpy as np

    from polymode.diagnostics.diagnosis import RecordedSamples, Texts

    rng = np.random.default_rng(SEED)
    n_prompts = size // PER_PROMPT
    q = 1 / np.arange(1, N_OUTPUTS + 1)
    q /= q.sum()
    output = rng.choice(N_OUTPUTS, p=q, size=size).astype(np.int32)
    rewards = rng.uniform(0.0, 1.0, N_OUTPUTS)[output]
    modes = None if kind == "outputs" else output // PER_MODE
    names = Texts.of(f"mode {i}" for i in range(N_OUTPUTS)) if kind == "modes" else ()
    return RecordedSamples(
        prompt=np.repeat(np.arange(n_prompts, dtype=np.int32), PER_PROMPT),
        prompt_texts=Texts.of(f"question {i}" for i in range(n_prompts)),
        output=output,
        output_texts=Texts.of(f"answer {i}" for i in range(N_OUTPUTS)),
        rewards=rewards,
        ref_log_probs=np.log(q)[output],
        drawn_from="reference",
        modes=modes,
        mode_names=names,
    )


if __name__ == "__main__":
    main()
