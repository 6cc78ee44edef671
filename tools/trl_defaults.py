"""Write the history of defaults of TRL's configs: ``python tools/trl_defaults.py WHEELS``.

WHEELS is a folder of TRL's wheels (``pip download --no-deps trl==VERSION -d WHEELS``, for each
release). They are parsed, and neither installed nor run. The table has, for each option, the
releases that set its default: that which brought it, those that changed it, the one without it.
"""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from polymode.diagnostics.audit.frameworks.trl_releases import (
    CONFIGS,
    REMOVED,
    Kind,
    dataclass_defaults,
    first_release,
    release_number,
)

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "src/polymode/diagnostics/audit/frameworks/defaults/trl.json"
INHERITED = {"weight_decay": 0.0, "gradient_accumulation_steps": 1}
"""Of transformers' `TrainingArguments`, as far as objectives depend on them."""


def release(wheel: Path) -> str:
    """Return the version of a wheel."""
    return wheel.name.split("-")[1]


def history(wheels: list[Path], kind: Kind) -> dict[str, dict[str, Any]]:
    """Return, for each option, the releases that set its default and to what."""
    file, name = CONFIGS[kind]
    table: dict[str, dict[str, Any]] = {}
    now: dict[str, Any] = {}
    for wheel in wheels:
        version = release(wheel)
        if release_number(version) < release_number(first_release(kind)):
            continue
        with zipfile.ZipFile(wheel) as archive:
            found = INHERITED | dataclass_defaults(archive.read(f"trl/{file}").decode(), name)
        for key in [*found, *(key for key in now if key not in found)]:
            value = found.get(key, REMOVED)
            if key not in now or now[key] != value or type(now[key]) is not type(value):
                table.setdefault(key, {})[version] = value
            now[key] = value
    return dict(sorted(table.items()))


def main() -> None:
    """Write the table, one line for each option."""
    wheels = sorted(Path(sys.argv[1]).glob("trl-*.whl"), key=lambda w: release_number(release(w)))
    parts = [f' "releases": {json.dumps([release(wheel) for wheel in wheels])}']
    for kind in CONFIGS:
        rows = (f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in history(wheels, kind).items())
        parts.append(f' "{kind}": {{\n' + ",\n".join(rows) + "\n }")
    TABLE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    print(f"wrote {TABLE}: {len(wheels)} releases")


if __name__ == "__main__":
    main()
