"""Sabotage the core one line at a time, and see whether the tests notice: `make mutants`.

    python tools/mutants.py [WORD]

`tests/mutants.toml` lists what a tired engineer might write. Each mutant runs the tests that must
catch it on a copy of src and tests; the checkout itself is never changed. Only a failing test
counts: a mutant that cannot be imported proves nothing. With a WORD, only mutants that contain it.
Exit code 0: all killed. 1: one survived, or the tests fail without any. 2: the list is not usable.
Standard library only.
"""

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = "tests/mutants.toml"
LARGE = ("torch", "scipy.optimize", "scipy.spatial.distance", "scipy.special")
CPU_SECONDS = 300  # a mutant may never end
PYTEST = (*("-x", "-q", "-m", "not slow and not gpu", "-k", "not jax"), "-p", "no:cacheprovider")
BROKEN = re.compile(
    r"^E +(NameError|ImportError|ModuleNotFoundError|SyntaxError|UnboundLocal)", re.M
)

# Importing torch and scipy takes longer than most tests: done once, before forking. Nothing of ours
# is imported there, and nothing that pytest wants to rewrite.
FORKING = """
import contextlib, importlib, json, os, resource, sys
for name in sys.argv[3:]:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
sys.path.insert(0, os.getcwd())
log, seconds = sys.argv[1], int(sys.argv[2])
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        import pytest
        code = pytest.main(json.loads(line))
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One sabotage: in `file`, `find` becomes `replace`, which `breaks` something."""

    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    breaks: str

    @property
    def label(self) -> str:
        """Name it in one line."""
        return f"{self.file}: {self.breaks}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all mutants, two at a time where there are two cores, and report those that live."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("word", nargs="?", default="", help="only mutants that contain it")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    options = parser.parse_args(arguments)
    mutants = [m for m in load(options.root) if options.word in m.label + m.find]
    unusable = [problem for m in mutants for problem in problems(m, options.root)]
    if unusable or not mutants:
        print("\n".join(unusable) or f"no mutant contains {options.word!r}", file=sys.stderr)
        return 2
    started = time.monotonic()
    packages = LARGE if options.root == ROOT else ()
    verdicts = dict(run_all(mutants, options.root, packages))
    counts = {v: sum(x == v for x in verdicts.values()) for v in sorted(set(verdicts.values()))}
    summary = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    print(
        f"{len(mutants)} mutants and the clean tree: {summary}; {time.monotonic() - started:.0f} s"
    )
    return 0 if set(verdicts.values()) <= {"killed", "clean"} else 1


def load(root: Path) -> list[Mutant]:
    """Read the list of a checkout."""
    listed = tomllib.loads((root / LIST).read_text("utf-8"))["mutant"]
    return [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in listed]


def problems(mutant: Mutant, root: Path) -> Iterator[str]:
    """Check that a mutant can be made: its file, its line, its tests, and that it is Python."""
    path = root / mutant.file
    for missing in [
        p for p in (mutant.file, *map(file_of, mutant.tests)) if not (root / p).exists()
    ]:
        yield f"{mutant.label}: {missing} does not exist"
    if not path.exists():
        return
    text = path.read_text("utf-8")
    if (count := text.count(mutant.find)) != 1:
        yield f"{mutant.label}: must be found once, found {count} times: {mutant.find!r}"
        return
    try:
        compile(text.replace(mutant.find, mutant.replace), mutant.file, "exec")
    except SyntaxError as error:
        yield f"{mutant.label}: is not Python: {error}"


def file_of(test: str) -> str:
    """Return the file of a pytest node."""
    return test.partition("::")[0]


def run_all(
    mutants: Sequence[Mutant], root: Path, packages: Sequence[str]
) -> Iterator[tuple[Mutant | None, str]]:
    """Yield each mutant with its verdict as it comes; None stands for the clean tree."""
    runners: queue.SimpleQueue[Runner] = queue.SimpleQueue()
    n_workers = min(2, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(n_workers) as pool:
        for number in range(n_workers):
            runners.put(Runner(copy_of(root, Path(folder) / str(number)), packages))
        everything = tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        jobs = {pool.submit(timed, None, everything, runners): None}
        jobs |= {pool.submit(timed, m, m.tests, runners): m for m in mutants}
        for number, job in enumerate(as_completed(jobs), start=1):
            mutant, (verdict, seconds, output) = jobs[job], job.result()
            label = mutant.label if mutant else "no mutant at all"
            print(f"[{number}/{len(jobs)}] {verdict:8} {seconds:5.1f} s  {label}", flush=True)
            if verdict not in {"killed", "clean"}:
                print(f"  {mutant}" if verdict == "SURVIVED" else f"  {output[-3000:]}")
            yield mutant, verdict
        for _ in range(n_workers):
            runners.get().close()


def copy_of(root: Path, target: Path) -> Path:
    """Copy what the tests need."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("src", "tests"):
        shutil.copytree(root / name, target / name, ignore=ignore)
    shutil.copy2(root / "pyproject.toml", target)
    return target


def timed(
    mutant: Mutant | None, tests: Sequence[str], runners: "queue.SimpleQueue[Runner]"
) -> tuple[str, float, str]:
    """Return the verdict on a mutant, the seconds that it took, and what pytest said."""
    runner = runners.get()
    started = time.monotonic()
    try:
        code, output = runner.run(mutant, tests)
    finally:
        runners.put(runner)
    verdict = verdict_of(code, output) if mutant else ("INVALID" if code else "clean")
    return verdict, time.monotonic() - started, output


def verdict_of(code: int, output: str) -> str:
    """Return what an exit code of pytest says about a mutant: 1 is a test that failed."""
    if code == 0:
        return "SURVIVED"
    last = output.rstrip().rpartition("\n")[2]
    failed = code == 1 and "failed" in last and "error" not in last
    return "killed" if failed and not BROKEN.search(output) else "INVALID"


class Runner:
    """Runs tests in one copy of the tree: a process with the large packages, which forks."""

    def __init__(self, copy: Path, packages: Sequence[str]) -> None:
        self.copy = copy
        self.log = copy / "pytest.log"
        settings = {
            "PYTHONPATH": str(copy / "src"),
            "HYPOTHESIS_PROFILE": "mutants",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKING, str(self.log), str(CPU_SECONDS), *packages],
            cwd=copy,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, mutant: Mutant | None, tests: Sequence[str]) -> tuple[int, str]:
        """Return the exit code of pytest, and what it said."""
        path = self.copy / mutant.file if mutant else None
        original = path.read_text("utf-8") if path else ""
        if path and mutant:
            path.write_text(original.replace(mutant.find, mutant.replace), "utf-8")
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("a runner has pipes")
        print(json.dumps([*PYTEST, *tests]), file=stdin, flush=True)
        code = int(stdout.readline())
        if path:
            path.write_text(original, "utf-8")
        return code, self.log.read_text("utf-8")

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


if __name__ == "__main__":
    sys.exit(main())
