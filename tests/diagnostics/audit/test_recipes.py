"""Published recipes: all of them audit, and the page about them tells what comes out."""

import importlib.util
import re
from pathlib import Path

import pytest

from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.frameworks import FRAMEWORKS

ROOT = Path(__file__).resolve().parents[3]


def script():
    """The benchmark that audits them, as a module."""
    path = ROOT / "benchmarks" / "science" / "audit_recipes.py"
    spec = importlib.util.spec_from_file_location("audit_recipes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECIPES = script().recipes()
TELLING = [r for r in RECIPES if r["settings"] and not r["framework"].startswith("trl")]


def test_the_kept_results_are_what_the_audit_says():
    module = script()
    assert module.audited_recipes() == module.newest_rows()


@pytest.mark.parametrize("recipe", TELLING, ids=lambda r: f"{r['framework']} {r['name']}")
def test_a_recipe_is_recognised_without_the_name_of_its_framework(recipe):
    audit = audit_config(recipe["settings"], version=recipe["version"])
    assert audit.objective.framework == recipe["framework"]


def test_every_framework_has_recipes_and_every_source_is_an_address():
    frameworks = {recipe["framework"].partition(":")[0] for recipe in RECIPES}
    assert frameworks == set(FRAMEWORKS) - {"polymode"}
    assert all(re.match(r"https://\S+$", recipe["source"]) for recipe in RECIPES)


def test_what_changed_between_releases_shows():
    """DeepSeek-R1's settings descend the forward KL in TRL 1.9.2, the reverse one in 1.16.0."""
    found = {
        (row["name"], row["version"]): row["divergence"]
        for row in script().newest_rows()
        if row["name"].startswith("DeepSeek-R1")
    }
    assert sorted(found.values()) == ["forward_kl", "reverse_kl"]
    assert found["DeepSeek-R1", "1.16.0"] == "reverse_kl"
