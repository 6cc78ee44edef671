r"""Write a bundled table of a framework's options and defaults.

    python tools/host_defaults.py verl 0.9.1 SITE/verl/trainer/config/_generated_ppo_trainer.yaml \
        SITE/verl/trainer/config/_generated_ppo_*_trainer.yaml
    python tools/host_defaults.py openrlhf 0.11.2 SITE/openrlhf/cli/train_ppo_ray.py
    python tools/host_defaults.py skyrl 0.3.0 SITE/skyrl/train/config/config.py
    python tools/host_defaults.py slime 0.3.1 CHECKOUT/slime/utils/arguments.py
    python tools/host_defaults.py nemo_rl 0.7.0 CHECKOUT/examples/configs/grpo_math_1B.yaml

`polymode audit` reads these where a framework is not installed. SITE is the ``site-packages`` of an
environment that has it, CHECKOUT the sources at the tag of that version.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polymode.diagnostics.audit.frameworks.sources import EXTRACTORS

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "src" / "polymode" / "diagnostics" / "audit" / "frameworks" / "defaults"


def main() -> int:
    """Parse one source and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("framework", choices=sorted(EXTRACTORS))
    parser.add_argument("version")
    parser.add_argument("source", type=Path, nargs="+", help="later ones add what is missing")
    options = parser.parse_args()
    extract = EXTRACTORS[options.framework]
    tables = [asdict(extract(path.read_text(encoding="utf-8"))) for path in options.source]
    table = tables[0]
    for more in tables[1:]:
        table["defaults"] = {**more["defaults"], **table["defaults"]}
    kept = {"framework": options.framework, "version": options.version, **table}
    path = TABLES / f"{options.framework}.json"
    path.write_text(as_lines(kept), encoding="utf-8")
    print(f"wrote {path}: {len(table['defaults'])} options")
    return 0


def as_lines(table: dict[str, Any]) -> str:
    """Return the table as JSON with one line for each option, so that differences can be read."""
    rows = ",\n".join(
        f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
        for key, value in sorted(table["defaults"].items())
    )
    parts = [
        f"{json.dumps(key)}: " + (f"{{\n{rows}\n}}" if key == "defaults" else json.dumps(value))
        for key, value in table.items()
        if value
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
