"""The pages about oracles say what the code does: configs are read, tables are complete."""

import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from polymode.chemistry.learner.config_files import read_config
from polymode.chemistry.oracles import BUILTIN, TRANSFORMS, OracleConfig, build_oracle
from polymode.chemistry.oracles.builtin.base import BuiltIn
from polymode.chemistry.oracles.config import ComponentConfig
from polymode.chemistry.oracles.losses import KINDS
from polymode.chemistry.sections import checked

DOCS = Path(__file__).resolve().parents[3] / "docs"
HOW_TO = (DOCS / "how-to" / "write-an-oracle.md").read_text("utf-8")
REFERENCE = (DOCS / "reference" / "oracles.md").read_text("utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", HOW_TO, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory with what the page wants to be there."""
    (module,) = (block for block in blocks("python") if block.startswith("# my_oracles.py"))
    (tmp_path / "my_oracles.py").write_text(module)
    (tmp_path / "receptor.pdbqt").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SCORE_TOKEN", "secret")
    yield tmp_path
    sys.modules.pop("my_oracles", None)


def oracle_of(section):
    """The oracle of a section, in this process."""
    section = {
        key: value for key, value in section.items() if key not in ("backend", "ray_address")
    }
    return build_oracle(checked(OracleConfig, {**section, "workers": 0}, owner="page"))


@pytest.mark.parametrize("text", blocks("toml"), ids=lambda text: text.split('type = "')[1][:20])
def test_configs_on_the_page_are_read_and_those_that_can_be_are_run(text, folder):
    section = tomllib.loads(text)["oracle"]
    checked(OracleConfig, section, owner="page")
    oracle = oracle_of(section)
    if not any(kind in text for kind in ("docking", "external", "rest")):
        scores = oracle(["c1ccc(cc1)C(=O)Nc1ccc2c(c1)CCC2", "CCO"])
        assert scores.status == ("ok", "ok")
        assert ((scores.rewards >= 0) & (scores.rewards <= 1)).all()


def test_functions_on_the_page_do_what_the_page_says(folder):
    texts = [text for text in blocks("toml") if "my_oracles" in text]
    sections = [tomllib.loads(text)["oracle"] for text in texts]
    named = {one["components"][0]["type"].partition(":")[2]: oracle_of(one) for one in sections}
    indole = "c1ccc2[nH]ccc2c1"
    assert named["heavy_atoms"]([indole]).raw["heavy_atoms"].tolist() == [9]
    np.testing.assert_allclose(named["Activity"]([indole]).rewards, [0.02 * len(indole)])
    rings = named["shape"]([indole])
    assert rings.raw["shape.rings"].tolist() == [2]
    assert rings.raw["shape.of_size"].tolist() == [1]


def test_the_command_finds_functions_beside_the_config(folder, monkeypatch):
    """As an installed program does, whose path does not begin with the current directory."""
    from typer.testing import CliRunner

    from polymode.cli import app

    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(folder))])
    config = folder / "mine.toml"
    config.write_text(
        '[oracle]\nbudget = 5\n\n[[oracle.components]]\ntype = "my_oracles:nothing"\n'
    )
    found = CliRunner().invoke(app, ["train", "chemistry", str(config), "--out", "run"])
    assert "my_oracles has no" in str(found.exception) or "is not there" in str(found.exception)
    config.write_text(config.read_text().replace("nothing", "heavy_atoms"))
    assert read_config(config).oracle.components[0].name == "heavy_atoms"


def cells(heading):
    """Rows of the tables below a heading, as lists of cells."""
    part = REFERENCE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_component_is_in_the_reference_with_unit_and_range():
    rows = {row[0].strip("`"): row for row in cells("Built-in components") if len(row) == 6}
    assert set(rows) - {"`type`", "type", "---"} == set(BUILTIN)
    for name, kind in BUILTIN.items():
        assert rows[name][1:3] == [kind.span, kind.unit]
        assert rows[name][4]


def test_every_parameter_is_in_the_reference_with_its_default():
    rows = [row for row in cells("Built-in components") if len(row) == 4]
    listed = {
        (kind, row[1].strip("`")): row[2].strip("`")
        for row in rows
        for kind in re.findall("`([a-z0-9_]+)`", row[0])
        if kind in BUILTIN
    }
    fields = {
        (name, key): field
        for name, kind in BUILTIN.items()
        for key, field in kind.model_fields.items()
    }
    assert set(listed) == set(fields)
    for key, field in fields.items():
        if field.is_required() or listed[key] == "unset":
            assert field.is_required() == (not listed[key])
            assert field.is_required() or field.default is None
            continue
        value = field.get_default(call_default_factory=True)
        written = tomllib.loads(f"x = {listed[key]}")["x"]
        assert written == (list(value) if isinstance(value, tuple) else value)


def test_every_transform_is_in_the_reference_with_its_parameters():
    rows = {row[0].strip("`"): row[1] for row in cells("Transforms")}
    for name, kind in TRANSFORMS.items():
        keys = [key for key in kind.model_fields if key != "type"]
        assert re.findall("`([a-z_]+)`", rows[name]) == keys
        assert f"`{name}" in REFERENCE


def test_every_key_of_the_section_is_in_the_reference():
    rows = {row[0].strip("`"): row[1].strip("`") for row in cells("The section")}
    for section in (OracleConfig, ComponentConfig):
        for key, field in section.model_fields.items():
            assert key in rows
            if isinstance(field.default, (int, float)):
                assert float(rows[key]) == field.default
            elif isinstance(field.default, str) and field.default:
                assert rows[key] == f'"{field.default}"'
    assert str(BuiltIn.batch_size) in rows["batch_size"]


def test_every_kind_of_loss_is_on_the_page():
    assert not [kind for kind in KINDS if f"`name/{kind}`" not in HOW_TO]
