"""Seconds and memory of reading recorded samples, each in a process of its own.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speed/recorded_samples.py [--rows 1000000]

A table of 100 rows for each prompt, prompts and outputs of 200 characters, about four in ten
outputs distinct, as JSON Lines (plain and packed), CSV and Parquet. Beside `read_samples` stands
the obvious way: pandas, which reads the whole table and holds every text of it. Seconds are those
of the processor, of one thread; memory is the peak of the process less that of a table of two rows.
Writes `benchmarks/speed/results/DATE-recorded-samples.json`.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speed/recorded_samples.py --long

A table of 100,000 rows with outputs of 8,000 characters, no two alike, diagnosed from end to end by
a process that may have half as much memory as there is text (`RLIMIT_DATA`); pandas, which only
reads it, may have all. Writes `benchmarks/speed/results/DATE-recorded-samples-long.json`.
"""

import argparse
import csv
import gzip
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROWS, PER_PROMPT, LENGTH, SEED = 1_000_000, 100, 200, 0
FILLER = "words that follow one another, " * 10
NAMES = ("s.jsonl", "s.jsonl.gz", "s.csv", "s.parquet")
WAYS = ("polymode", "polymode, 32 characters", "pandas")
LONG_ROWS, LONG_LENGTH = 100_000, 8000
LONG_NAMES = ("long.jsonl", "long.parquet")
LONG_WAYS = ("diagnosed, 200 characters", "pandas")


def main() -> None:
    """Write the files, measure each way on each, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, help="how many rows")
    parser.add_argument("--long", action="store_true", help="long texts, little memory")
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, metavar=("DIRECTORY", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        (write_long if options.long else write)(Path(options.write[0]), int(options.write[1]))
        return
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1: the figures are those of one thread")
    n_rows = options.rows or (LONG_ROWS if options.long else ROWS)
    with tempfile.TemporaryDirectory() as folder:
        rows = figures(Path(folder), n_rows, long=options.long)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    kept = {
        "schema_version": 1,
        "script": "benchmarks/speed/recorded_samples.py",
        "commit": commit,
        "date": date.today().isoformat(),
        "workload": {
            "rows": n_rows,
            "per_prompt": PER_PROMPT,
            "characters": LONG_LENGTH if options.long else LENGTH,
            "seed": SEED,
        },
        "environment": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": 1,
            "load_before": os.getloadavg()[0],
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "pandas", "pyarrow", "polymode")},
        },
        "rows": rows,
    }
    name = "recorded-samples-long" if options.long else "recorded-samples"
    target = HERE / "results" / f"{date.today().isoformat()}-{name}.json"
    target.write_text(json.dumps(kept, indent=1) + "\n")
    for row in rows:
        seconds = row["seconds"]
        print(f"{row['file']:<12} {row['way']:<25} {seconds:6.1f} s {row['peak_mib']:7.0f} MiB")


def figures(folder: Path, n_rows: int, *, long: bool) -> list[dict[str, Any]]:
    """Return seconds and memory of every way on every file."""
    empty, full = folder / "empty", folder / "full"
    for home, n in ((empty, 2), (full, n_rows)):
        home.mkdir()  # written apart as well: the peak of a process is that of its parent at least
        command = [sys.executable, __file__, "--write", str(home), str(n)]
        subprocess.run(command + ["--long"] * long, check=True)
    rows: list[dict[str, Any]] = []
    for name in LONG_NAMES if long else NAMES:
        for way in LONG_WAYS if long else WAYS:
            before, after = (apart(way, home / name) for home in (empty, full))
            rows.append(
                {
                    "file": name,
                    "file_mib": (full / name).stat().st_size / 2**20,
                    "way": way,
                    "seconds": after["seconds"],
                    "peak_mib": after["peak_mib"] - before["peak_mib"],
                    "n_read": after["n_read"],
                }
            )
    return rows


def write(home: Path, n: int) -> None:
    """Write one table in every format."""
    import pyarrow.csv
    import pyarrow.parquet

    rng = random.Random(SEED)
    names = ("prompt", "output", "reward", "ref_log_prob", "log_prob")
    with (home / "s.csv").open("w", newline="") as table, (home / "s.jsonl").open("w") as lines:
        writer = csv.writer(table)
        writer.writerow(names)
        for i in range(n):
            number = i // PER_PROMPT
            prompt = f"question {number}: {FILLER}"[:LENGTH]
            output = f"answer {rng.randrange(n // 2)}: {FILLER}"[:LENGTH]
            row = (prompt, output, rng.random(), -rng.random() * 50, -rng.random() * 50)
            writer.writerow(row)
            lines.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")
    (home / "s.jsonl.gz").write_bytes(gzip.compress((home / "s.jsonl").read_bytes(), 6))
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(home / "s.csv"), home / "s.parquet")


def write_long(home: Path, n: int) -> None:
    """Write a table of long texts, in one row group where there are such."""
    import pyarrow as pa
    import pyarrow.parquet

    rng = random.Random(SEED)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        text = rng.randbytes(LONG_LENGTH // 2).hex()
        row = {"prompt": f"question {i // PER_PROMPT}", "output": text, "reward": rng.random()}
        rows.append(row | {"ref_log_prob": -50 - 10 * rng.random()})
    with (home / LONG_NAMES[0]).open("w") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    pa.parquet.write_table(pa.Table.from_pylist(rows), home / LONG_NAMES[1])


def apart(way: str, path: Path) -> dict[str, Any]:
    """Measure in a process of its own: a peak never falls."""
    command = [sys.executable, __file__, "--measure", way, str(path)]
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # others reserve a lot
    return json.loads(subprocess.check_output(command, text=True, env=environment))


def measure(way: str, file: str) -> dict[str, Any]:
    """Read a file, and return what it took."""
    import pandas as pd

    from polymode.diagnostics import SampleOptions, read_samples

    path = Path(file)
    started = time.process_time()
    if way == "pandas":
        n_read = len(
            pd.read_csv(path)
            if path.suffix == ".csv"
            else pd.read_parquet(path)
            if path.suffix == ".parquet"
            else pd.read_json(path, lines=True)
        )
    elif way in LONG_WAYS:
        n_read = diagnosed(path)
    else:
        short = 32 if way != "polymode" else None
        n_read = read_samples(path, SampleOptions(keep_characters=short)).n_samples
    return {
        "seconds": time.process_time() - started,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "n_read": n_read,
    }


def diagnosed(path: Path) -> int:
    """Read and diagnose with half as much memory as the text of the long table takes."""
    limit = LONG_ROWS * LONG_LENGTH // 2
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    from polymode.diagnostics import SampleOptions, read_samples
    from polymode.diagnostics.diagnosis import diagnose_samples

    samples = read_samples(path, SampleOptions(keep_characters=200))
    report = diagnose_samples(samples, beta=10.0, threshold=0.5)
    return report.samples.n_rows


if __name__ == "__main__":
    main()
