"""Recipes: what a file may hold, and how everything that is wrong is told at once."""

import re
from dataclasses import fields
from importlib.resources import files

import pytest
import yaml

from polymode.errors import ConfigError, InputError
from polymode.language.config import ShapedConfig
from polymode.language.data import DataSettings
from polymode.language.recipe import Recipe, check_recipe, read_recipe
from polymode.language.rewards.guard import Guard

MINIMAL = {"data": "die", "method": {"name": "anchored", "threshold": 1.0}}


def problems(content):
    with pytest.raises(ConfigError) as error:
        check_recipe(content)
    return error.value.problems


def test_short_forms_mean_the_long_ones():
    short = check_recipe({"data": "die", "rewards": "a.b:c", "method": "plain"})
    long = check_recipe(
        {
            "data": {"source": "die"},
            "rewards": [{"source": "a.b:c", "weight": 1.0}],
            "method": {"name": "plain"},
        }
    )
    assert short == long
    mixed = check_recipe({"data": "die", "rewards": ["a.b:c", {"source": "d.e:f", "weight": 2}]})
    assert [(one.source, one.weight) for one in mixed.rewards] == [("a.b:c", 1.0), ("d.e:f", 2.0)]


def test_a_recipe_survives_its_own_file(tmp_path):
    recipe = check_recipe({**MINIMAL, "trainer": {"learning_rate": 1e-5, "max_steps": 3}})
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert read_recipe(tmp_path / "r.yaml") == recipe


def test_the_template_is_a_recipe(tmp_path):
    text = (files("polymode.language") / "recipe_template.yaml").read_text("utf-8")
    (tmp_path / "r.yaml").write_text(text)
    recipe = read_recipe(tmp_path / "r.yaml")
    assert recipe.method.name == "anchored"
    assert recipe.trainer["learning_rate"] == 2.5e-4  # as a number, which YAML 1.1 denies


def test_the_comments_of_the_template_show_true_defaults():
    """Each commented `key: value` is what the recipe has without it."""
    text = (files("polymode.language") / "recipe_template.yaml").read_text("utf-8")
    trainer = {field.name: field.default for field in fields(ShapedConfig)}
    known = {**vars(DataSettings(source="die")), **vars(Guard()), **trainer}
    shown = dict(re.findall(r"# +(\w+): (\S+)", text))
    checked = [
        key for key in shown if key in known and key not in ("threshold_percentile", "report_to")
    ]
    assert len(checked) > 5
    for key in checked:
        value = yaml.safe_load(shown[key])
        assert value == (known[key] or value), key  # or: empty, like {} and null


def test_overrides_reach_every_section(tmp_path):
    (tmp_path / "r.yaml").write_text("data: die\nmethod: plain\n")
    recipe = read_recipe(
        tmp_path / "r.yaml",
        ("data.size=7", "method.beta=1e-3", "trainer.max_steps=2", "method.name=anchored"),
    )
    assert recipe.data.source == "die"
    assert recipe.data.size == 7
    assert recipe.method.name == "anchored"
    assert recipe.method.fields == {"beta": 0.001}
    assert recipe.trainer == {"max_steps": 2}


@pytest.mark.parametrize("text", ["no equals", "=1", "a..b=1", "data.size.x=1"])
def test_a_bad_override_is_named(text, tmp_path):
    (tmp_path / "r.yaml").write_text("data: {source: die, size: 3}\n")
    with pytest.raises(InputError, match="override"):
        read_recipe(tmp_path / "r.yaml", (text,))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"modle": {}}, "unknown key 'modle'; did you mean 'model'?"),
        ({"model": {"nam": "x"}}, "unknown key 'model.nam'; did you mean 'name'?"),
        ({"model": {"lora_rank": -1}}, "model.lora_rank: input should be greater than or equal"),
        ({"data": {"sorce": "die"}}, "unknown key 'sorce'; did you mean 'source'?"),
        ({"data": {"source": "die", "size": 0}}, "size must be"),
        ({"guard": {"time_limt": 1}}, "unknown key 'time_limt'; did you mean 'time_limit'?"),
        ({"method": {"treshold": 1}}, "unknown key 'method.treshold'; did you mean 'threshold'?"),
        ({"method": {"max_steps": 1}}, "method.max_steps belongs into the section trainer"),
        ({"trainer": {"beta": 1}}, "trainer.beta belongs into the section method"),
        ({"trainer": {"output_dir": "x"}}, "trainer.output_dir must not be set"),
        ({"trainer": {"lerning_rate": 1}}, "did you mean 'learning_rate'?"),
        ({"trainer": {"method": "plain"}}, "trainer.method must not be set"),
        ({"trainer": {"max_steps": "ten"}}, "trainer.max_steps: input should be a valid integer"),
        ({"method": {"beta": "abc"}}, "method.beta: input should be a valid number"),
        ({"method": {"name": "plaine"}}, "method.name must be"),
        ({"method": {"modes": "exakt"}}, "method.modes:"),
        (
            {"model": {"lora_rank": 0, "dtype": "bfloat16"}},
            "lora_rank 0 trains weights in bfloat16",
        ),
        ({"rewards": [{"source": "a.b:c", "factor": 1}]}, "unknown key 'rewards.0.factor'"),
    ],
    ids=str,
)
def test_a_wrong_key_or_value_is_named_with_a_hint(change, problem):
    found = problems({**MINIMAL, **change})
    assert len(found) == 1
    assert problem in found[0]


def test_everything_wrong_is_told_at_once():
    found = problems({"model": {"x": 1}, "method": {"y": 1}, "trainer": {"z": 1}})
    assert len(found) == 4  # the data are missing, too
    assert any("data must be given" in text for text in found)


def test_options_keep_their_types_when_trls_parser_has_seen_the_config():
    """That parser replaces the types of unions in the fields that it reads, by plain text."""
    from transformers import HfArgumentParser

    HfArgumentParser(ShapedConfig)
    method = {"name": "entropy_bonus", "beta": 0.2, "method_options": {"strength": 0.1}}
    found = check_recipe({"data": {"source": "die"}, "rewards": ["task"], "method": method})
    assert found.method.fields["method_options"] == {"strength": 0.1}


def test_options_are_looked_up_in_the_config_that_the_method_has():
    grpo = {"data": "die", "method": {"name": "plain", "algorithm": "grpo"}}
    check_recipe({**grpo, "trainer": {"loss_type": "dapo"}})
    assert (
        "ShapedConfig has no such option"
        in problems({"data": "die", "method": "plain", "trainer": {"loss_type": "dapo"}})[0]
    )
    assert (
        "unknown key 'method.threshold'"
        in problems({**grpo, "method": {**grpo["method"], "threshold": 1}})[0]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        ("- die\n", "must hold sections"),
        ("data: die\ndata: season\n", "key 'data' stands twice"),
        ("data: !!python/object:os.system x\n", "is no YAML"),
    ],
)
def test_broken_files_are_one_line(text, message, tmp_path):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_recipe(tmp_path / "r.yaml")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"data: \xff")
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(tmp_path / "latin.yaml")


def test_recipes_do_not_change():
    with pytest.raises(Exception, match="frozen"):
        check_recipe(MINIMAL).method.name = "plain"
    assert isinstance(check_recipe(MINIMAL), Recipe)
