"""Configurations: what goes together, what is told, and TOML both ways."""

import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.chemistry import check_config, read_config
from polymode.chemistry.learner.config_files import preset_names, read_preset, to_toml
from polymode.errors import ConfigError, InputError

ORACLE = {"components": [{"type": "qed"}], "budget": 100}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"larner": {}}, "unknown key 'larner'; did you mean 'learner'"),
        ({"learner": {"sigma": 0}}, "learner.sigma: input should be greater than 0, got 0"),
        ({"oracle": {"components": [{"type": "qed"}]}}, "run.steps or oracle.budget must be given"),
        (
            {"learner": {"objective": "policy_gradient"}},
            "replay.kind must be 'none' with learner.objective policy_gradient",
        ),
        (
            {"learner": {"objective": "policy_gradient", "unique": True}},
            "learner.unique must be false with policy_gradient",
        ),
        ({"learner": {"likelihood_penalty": 1}}, "likelihood_penalty is for .* reinvent only"),
        (
            {"replay": {"kind": "none", "augmentation_rounds": 1}},
            "replay.augmentation_rounds needs a memory",
        ),
        ({"modes": {"kind": "none"}}, "replay.kind modes needs modes: set modes.kind"),
        ({"modes": {"kind": "none"}}, "target.name anchored_modes needs modes"),
        (
            {"target": {"name": "uniqueness"}, "modes": {"kind": "none"}},
            "target.name uniqueness needs modes",
        ),
        ({"target": {"name": "anchred"}}, "did you mean 'anchored'"),
        ({"target": {"parameters": {"strength": 1}}}, "parameters are for shapers"),
        (
            {"target": {"name": "unlikeliness", "parameters": {"strengths": 1}}},
            "unknown key 'parameters.strengths'; did you mean 'strength'",
        ),
        (
            {"target": {"name": "anchored", "parameters": {"beta": 1}}},
            "parameters.beta must not be given: the run sets it",
        ),
        ({"target": {"name": "entropy_bonus"}}, "parameters.strength must be given"),
        (
            {"target": {"name": "plain", "pressure": {"kind": "mass"}}},
            "pressure is for anchored_modes only, got name 'plain'",
        ),
        ({"target": {"level": 0.2}}, "level must be at least the threshold, got 0.2"),
        ({"target": {"pressure": {"visits": -1}}}, "must be above 0, or 'budget', got -1"),
        ({"modes": {"n_bits": 100}}, "multiple of 64"),
    ],
)
def test_what_does_not_go_together_is_told(sections, message):
    with pytest.raises(ConfigError, match=message):
        check_config({"oracle": ORACLE, **sections})


def test_all_problems_at_once():
    with pytest.raises(ConfigError) as caught:
        check_config({"oracle": ORACLE, "modes": {"kind": "x"}, "run": {"seed": -1}, "bad": 1})
    assert len(caught.value.problems) == 3


def test_defaults_need_only_an_oracle():
    config = check_config({"oracle": ORACLE})
    assert (config.target.name, config.learner.objective) == ("anchored_modes", "log_variance")


def test_config_survives_its_file(tmp_path):
    content = {
        "oracle": {
            "components": [
                {"type": "qed", "weight": 2.0},
                {
                    "type": "mw",
                    "name": 'a "mass"',
                    "transform": {"type": "double_sigmoid", "low": 200, "high": 500},
                },
            ],
            "budget": 100,
        },
        "target": {"name": "unlikeliness", "parameters": {"strength": 0.5}, "threshold": 0.7},
    }
    first = tmp_path / "first.toml"
    first.write_text(to_toml(content))
    assert tomllib.loads(first.read_text()) == content
    from polymode.chemistry.learner.directory import RunDirectory

    config = read_config(first)
    RunDirectory(tmp_path).write_config(config)
    assert read_config(tmp_path / "config.toml") == config


SCALARS = st.one_of(
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(SCALARS, max_size=3), st.dictionaries(st.text("ab_- .é", min_size=1), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc.", min_size=1), TREES, max_size=4))
def test_toml_is_read_back(content):
    assert tomllib.loads(to_toml(content)) == content


def test_overrides(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(to_toml({"oracle": ORACLE}))
    given = ("learner.sigma=7", "oracle.components.0.weight=3", "target.name=plain")
    config = read_config(path, (*given, 'modes.kind="murcko"', "run.steps=3"))
    assert config.learner.sigma == 7
    assert config.oracle.components[0].weight == 3
    assert (config.target.name, config.modes.kind, config.run.steps) == ("plain", "murcko", 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sigma", "must read section.key=value"),
        ("learner.sigma.x=1", "learner.sigma: input should be a valid number"),
        ("oracle.components.7.weight=1", "7 is no section"),
        ("oracle.components.0=1", "name a key behind the number"),
        ("oracle.budget.x=1", "budget is no section"),
    ],
)
def test_bad_overrides_are_told(override, message, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(to_toml({"oracle": ORACLE}))
    with pytest.raises((InputError, ConfigError), match=message):
        read_config(path, (override,))


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = ")
    with pytest.raises(InputError, match="is no TOML"):
        read_config(tmp_path / "bad.toml")


def test_presets_and_the_template_are_configs(tmp_path):
    assert "qed-sa" in preset_names()
    for name in preset_names():
        read_preset(name)
    with pytest.raises(InputError, match="did you mean 'qed-sa'"):
        read_preset("qed-sas")
    template = (files("polymode.chemistry.learner") / "config_template.toml").read_text("utf-8")
    path = tmp_path / "template.toml"
    path.write_text(template)
    written = read_config(path)
    # What is commented out stands at its default: with it, nothing changes.
    for line in template.splitlines():
        bare = line.removeprefix("# ").partition("#")[0].strip()
        if line.startswith("# ") and " = " in bare and "oracle" not in bare:
            template = template.replace(line, bare)
    given = {"max_gradient_norm", "steps", "visits"}
    uncommented = {
        section: {key: value for key, value in keys.items() if key not in given}
        for section, keys in _plain(template).items()
    }
    for section, keys in uncommented.items():
        if section not in ("oracle", "prior"):
            now = getattr(written, section).model_dump()
            for key, value in keys.items():
                if not isinstance(value, dict):
                    assert now[key] == value, (section, key)


def _plain(text):
    """The template with the components of its comments left out."""
    kept, skipping = [], False
    for line in text.splitlines():
        if line.startswith("# [["):
            skipping = True
        elif line.startswith("["):
            skipping = False
        if not skipping:
            kept.append(line)
    content = "\n".join(line for line in kept if not line.startswith("# ["))
    lines = [line for line in content.splitlines() if not line.startswith(("transform", "type"))]
    return tomllib.loads("\n".join(lines))
