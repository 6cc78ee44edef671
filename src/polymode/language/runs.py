"""Directories of runs: their settings, so that a killed run goes on and no run is overwritten."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from polymode.errors import InputError

SETTINGS = "settings.json"


def check_directory(settings: Mapping[str, Any], out: Path, *, resume: bool, what: str) -> None:
    """Refuse a directory that a run would overwrite, or that is not the run to resume.

    Parameters
    ----------
    settings : mapping
        The settings of the run.
    out : Path
        Its directory.
    resume : bool
        Whether a run is to go on there.
    what : str
        What kind of run it is, for the message: "demo run".

    Raises
    ------
    InputError
        If it is in use, or there is nothing to resume, or the settings are others.
    """
    path = out / SETTINGS
    if not path.exists():
        if resume:
            raise nothing_to_resume(out)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is in use and holds no {what}: choose another --out")
        return
    if not resume:
        raise InputError(f"{out} holds a run: --resume continues it, another --out starts anew")
    try:
        before, now = json.loads(path.read_text()), json.loads(json.dumps(dict(settings)))
        changed = [
            f"{k} was {before.get(k)!r}, now {v!r}" for k, v in now.items() if before.get(k) != v
        ]
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): start a new run") from error
    if changed:
        raise InputError(f"{out} was started with other settings: {'; '.join(changed)}")


def nothing_to_resume(out: Path) -> InputError:
    """Return the error for a directory without a run."""
    return InputError(f"nothing to resume in {out}: leave --resume out to start a run there")


def environment(*packages: str) -> dict[str, str]:
    """Return the versions and the hardware that the numbers of a run depend on."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("polymode", *packages)},
        "device": device,
        "threads": str(torch.get_num_threads()),
    }
