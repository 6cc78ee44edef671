"""Audit published recipes for the objective that they really optimise.

    python benchmarks/science/audit_recipes.py [--check]

`recipes.json` beside this file holds what each recipe sets of the options that decide the target
or the way to it, with the address where its authors or the framework's makers publish it; what it
does not set is the default of that version. Writes `results/DATE-recipes.json`, from which the page
"What popular recipes really optimise" is made; `--check` compares with the newest one instead.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.results import environment

HERE = Path(__file__).resolve().parent
RECIPES = HERE / "recipes.json"
RATES = (0.5, 0.9)
"""Success rates at which the effective beta is told."""


def main() -> int:
    """Write the results, or say whether they are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if outdated")
    options = parser.parse_args()
    rows = audited_recipes()
    if options.check:
        kept = newest_rows()
        changed = [new["name"] for new, old in zip(rows, kept, strict=True) if new != old]
        print("changed: " + (", ".join(changed) or "none"))
        return 1 if changed else 0
    path = HERE / "results" / f"{date.today().isoformat()}-recipes.json"
    head = {"schema_version": 1, "script": "benchmarks/science/audit_recipes.py"}
    result = {**head, "date": date.today().isoformat(), "environment": environment()}
    path.write_text(json.dumps({**result, "rates": RATES, "rows": rows}, indent=1) + "\n")
    print(f"wrote {path.name}: {len(rows)} recipes")
    return 0


def recipes() -> list[dict[str, Any]]:
    """Return all recipes."""
    return json.loads(RECIPES.read_text(encoding="utf-8"))


def newest_rows() -> list[dict[str, Any]]:
    """Return the rows that were kept last."""
    newest = max((HERE / "results").glob("*-recipes.json"))
    return json.loads(newest.read_text(encoding="utf-8"))["rows"]


def audited_recipes() -> list[dict[str, Any]]:
    """Return a row for each recipe."""
    return [row(recipe) for recipe in recipes()]


def row(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one recipe optimises, as plain data."""
    audit = audit_config(
        recipe["settings"], framework=recipe["framework"], version=recipe["version"]
    )
    o = audit.objective
    betas = {str(rate): o.beta_eff(rate) for rate in RATES}
    return {
        "name": recipe["name"],
        "framework": recipe["framework"],
        "version": recipe["version"],
        "source": recipe["source"],
        "evidence": o.evidence,
        "not_executed": list(o.not_executed),
        "divergence": o.divergence,
        "level": o.level,
        "placement": o.kl_placement,
        "estimator": o.estimator,
        "beta": o.beta,
        "beta_eff": {k: float(f"{b:.6g}") if math.isfinite(b) else None for k, b in betas.items()},
        "group_size": o.group_size,
        "baseline": o.baseline,
        "scale": o.scale,
        "aggregation": o.aggregation,
        "clipping": o.clipping,
        "anchoring_is_exact": not o.anchoring_problems(),
        "codes": {
            severity: [f.code for f in audit.findings if f.severity == severity]
            for severity in ("error", "warning")
        },
        "remarks": list(o.remarks),
    }


if __name__ == "__main__":
    sys.exit(main())
