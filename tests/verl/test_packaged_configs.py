"""Configurations that come with verl: `make test-verl`."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("verl") is None:
    pytest.skip("verl is not installed", allow_module_level=True)

from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.frameworks.tables import bundled_options, options_of
from polymode.diagnostics.audit.frameworks.verl import _FILE
from polymode.errors import PolymodeError

FOLDER = Path(find_spec("verl").submodule_search_locations[0]) / "trainer" / "config"
TRAINERS = sorted(FOLDER.glob("*ppo*trainer.yaml"))
PARTS = sorted(set(FOLDER.rglob("*.yaml")) - set(TRAINERS))


@pytest.mark.parametrize("path", TRAINERS, ids=lambda path: path.name)
def test_every_trainer_audits(path):
    """As it comes: generalised advantages from a critic, and no KL."""
    audit = audit_config(str(path), framework="verl")
    assert audit.objective.version == version("verl")
    assert (audit.objective.trainer, audit.objective.divergence) == ("gae", "none")
    assert "PM101" in {finding.code for finding in audit.findings}


@pytest.mark.parametrize("path", PARTS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_parts_of_configurations_are_refused_in_one_line(path):
    with pytest.raises(PolymodeError) as caught:
        audit_config(str(path))
    assert "\n" not in str(caught.value)


def test_the_bundled_table_is_that_of_the_installed_package():
    installed, whose = options_of("verl", "verl", version=version("verl"), file=_FILE)
    assert whose == f"verl {version('verl')}"
    bundled = bundled_options("verl").defaults
    assert set(installed.defaults) <= set(bundled)
    assert all(bundled[key] == value for key, value in installed.defaults.items())
