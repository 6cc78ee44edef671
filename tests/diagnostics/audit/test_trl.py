"""TRL's reader: every option classified, every release, both trainers, whatever the form."""

import json
from dataclasses import fields

import pytest

from polymode.diagnostics.audit import audit_config
from polymode.diagnostics.audit.frameworks.trl_fields import SHAPING, fields_of
from polymode.diagnostics.audit.frameworks.trl_releases import (
    REMOVED,
    defaults_of,
    history_of,
    newest_release,
    release_number,
)
from polymode.errors import ArgumentError, ConfigError, InputError

KINDS = ("grpo", "rloo")


@pytest.fixture(scope="module")
def configs():
    trl = pytest.importorskip("trl")
    return {"grpo": trl.GRPOConfig, "rloo": trl.RLOOConfig}


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_of_the_installed_release_is_classified(kind, configs):
    """A new release with an option of its own fails here: say what it can change."""
    installed = {field.name for field in fields(configs[kind])}
    classified = fields_of(kind, script=False)
    assert installed == set(classified)
    assert set(classified.values()) == {"target", "path", "irrelevant"}


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_that_are_parsed_are_those_of_the_class(kind, configs):
    trl = pytest.importorskip("trl")
    parsed, whose = defaults_of(kind, trl.__version__)
    assert whose == f"TRL {trl.__version__}"
    simple = {f.name: f.default for f in fields(configs[kind]) if is_plain(f.default)}
    del simple["optim"]  # depends on the version of torch
    assert len(simple) > 100
    assert {key: parsed[key] for key in simple} == simple


def is_plain(value):
    return (
        isinstance(value, bool | int | float | str | None) and type(value).__module__ == "builtins"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_agrees_with_the_installed_release(kind):
    trl = pytest.importorskip("trl")
    if trl.__version__ not in (newest_release(),):
        pytest.skip("another release is installed than the table ends with")
    parsed, _ = defaults_of(kind, newest_release())
    for key, values in history_of(kind).items():
        last = list(values.values())[-1]
        if last != REMOVED:
            assert parsed[key] == last, key


def test_options_of_our_own_trainers_are_known():
    pytest.importorskip("trl")
    from polymode.language.config import ShapingFields

    assert {field.name for field in fields(ShapingFields)} == set(SHAPING)


def test_arguments_of_the_scripts_are_known():
    trl = pytest.importorskip("trl")
    from trl.scripts.grpo import GRPOScriptArguments
    from trl.scripts.rloo import RLOOScriptArguments

    kinds = {"grpo": GRPOScriptArguments, "rloo": RLOOScriptArguments}
    for kind, script in kinds.items():
        for each in (script, trl.ModelConfig, trl.DatasetMixtureConfig):
            assert {field.name for field in fields(each)} <= set(fields_of(kind))


GRPO = {"beta": 0.04, "loss_type": "dapo"}


@pytest.mark.parametrize(
    ("version", "divergence", "ratio"),
    [("1.9.2", "forward_kl", "none"), ("1.10.0", "reverse_kl", "token")],
)
def test_the_flip_of_the_kl(version, divergence, ratio):
    objective = audit_config(GRPO, version=version).objective
    assert (objective.divergence, objective.kl_ratio) == (divergence, ratio)
    assert objective.version == version


@pytest.mark.parametrize(
    ("version", "beta", "aggregation", "in_loss", "filters"),
    [
        ("0.14.0", 0.04, "per_sequence", False, {}),
        ("0.16.0", 0.04, "constant", True, {"top_k": 50}),
        ("0.18.0", 0.04, "constant", True, {}),
        ("0.19.0", 0.0, "constant", True, {}),
        ("1.16.0", 0.0, "constant", True, {}),
    ],
)
def test_defaults_of_old_releases(version, beta, aggregation, in_loss, filters):
    objective = audit_config({"num_generations": 8}, version=version).objective
    assert objective.beta == beta
    assert objective.aggregation == aggregation
    assert objective.temperature_in_loss == in_loss
    assert objective.truncated_sampling == filters
    assert objective.scale == "group_std"


def test_releases_compare_as_numbers():
    assert release_number("1.9.2") < release_number("1.10.0")
    assert release_number("0.29.1") < release_number("1.0.0rc1")


def test_history_is_named_only_where_it_bears():
    changed = {"max_completion_length": 64, **GRPO}
    audit = audit_config(changed, version="1.16.0")
    (finding,) = [f for f in audit.findings if f.code == "PM701"]
    assert "use_bias_correction_kl is True since 1.10.0, and was False" in finding.effect
    without = audit_config({**changed, "beta": 0.0}, version="1.16.0")
    assert "PM701" not in {f.code for f in without.findings}


@pytest.mark.parametrize("version", ["0.14.0", "0.22.0", "0.29.0", "1.5.0", "1.16.0", "9.0"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_release_is_read(kind, version):
    if (kind, version) == ("rloo", "0.14.0"):
        with pytest.raises(ConfigError, match=r"TRL 0.14.0: rloo is known from 0.22.0 on"):
            audit_config({"beta": 0.1}, framework="trl:rloo", version=version)
        return
    audit = audit_config({"beta": 0.1}, framework=f"trl:{kind}", version=version)
    json.dumps(audit.to_dict(), allow_nan=False)
    expected = "reverse_kl" if kind == "rloo" or version in ("1.16.0", "9.0") else "forward_kl"
    assert audit.objective.divergence == expected
    assert audit.objective.level == ("sequence" if kind == "rloo" else "token")


def test_forms_of_one_configuration_agree(configs, tmp_path):
    made = configs["grpo"](
        output_dir=str(tmp_path), use_cpu=True, bf16=False, beta=0.04, loss_type="grpo", top_p=0.9
    )
    path = tmp_path / "run.yaml"
    path.write_text("beta: 0.04\nloss_type: grpo\ntop_p: 0.9\n")
    words = ["trl", "grpo", "--beta", "0.04", "--loss_type", "grpo", "--top_p", "0.9"]
    forms = [made, path, words, {"beta": 0.04, "loss_type": "grpo", "top_p": 0.9}]
    first, *others = [audit_config(form).objective for form in forms]
    assert all(other == first for other in others)


def test_objects_of_both_trainers_and_of_ours(configs, tmp_path):
    from polymode.language import MARAConfig, MARAGRPOConfig

    common = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False}
    assert audit_config(configs["rloo"](**common)).objective.trainer == "RLOOTrainer"
    for config in (MARAConfig, MARAGRPOConfig):
        audit = audit_config(config(**common, threshold=0.8))
        assert audit.objective.anchored == "anchored"
        assert audit.objective.anchoring_problems() == ()
        assert (audit.objective.divergence, audit.objective.level) == ("reverse_kl", "sequence")
        assert audit.worst() == "note"


@pytest.mark.parametrize(
    ("changes", "updates"),
    [
        ({}, 1),
        ({"num_iterations": 3}, 3),
        ({"steps_per_generation": 8, "gradient_accumulation_steps": 2}, 4),
        ({"steps_per_generation": 1, "gradient_accumulation_steps": 4}, 1),
        ({"generation_batch_size": 64}, None),
    ],
)
def test_updates_for_each_batch(changes, updates):
    audit = audit_config({**GRPO, **changes}, version="1.16.0")
    assert audit.objective.n_updates == updates
    assert bool(audit.objective.remarks) == (updates is None)


def test_generation_kwargs_override():
    settings = {**GRPO, "top_p": 0.5, "generation_kwargs": {"top_p": 1.0, "min_p": 0.1}}
    assert audit_config(settings).objective.truncated_sampling == {"min_p": 0.1}


@pytest.mark.parametrize("in_loss", [1.0, 0.9])
def test_a_temperature_of_sampling_alone(in_loss):
    settings = {**GRPO, "temperature": in_loss, "generation_kwargs": {"temperature": 0.7}}
    audit = audit_config(settings, version="1.16.0")
    assert (audit.objective.temperature, audit.objective.loss_temperature) == (0.7, in_loss)
    (finding,) = [f for f in audit.findings if f.code == "PM403"]
    assert "drawn at temperature 0.7" in finding.effect
    assert f"in the loss are taken at {in_loss:g}:" in finding.effect


def test_a_clip_that_holds_the_ratio_stops_no_reward():
    codes = [
        {f.code for f in audit_config({**GRPO, "loss_type": loss, "num_iterations": 4}).findings}
        for loss in ("dapo", "cispo")
    ]
    assert ["PM404" in found for found in codes] == [True, False]


def test_no_before_an_option_switches_it_off():
    words = ["trl", "grpo", "--beta", "0.1", "--no_use_bias_correction_kl"]
    assert audit_config(words).objective.kl_ratio == "none"


def test_a_file_that_could_be_either_is_said_to_be():
    audit = audit_config({"beta": 0.04, "num_generations": 8}, version="1.16.0")
    assert audit.objective.trainer == "GRPOTrainer"
    assert "tells GRPO from RLOO" in audit.objective.remarks[0]
    told = audit_config({"beta": 0.04, "num_generations": 8}, framework="trl:rloo")
    assert (told.objective.trainer, told.objective.remarks) == ("RLOOTrainer", ())


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({**GRPO, "scale_reward": 1}, ConfigError, "unknown option 'scale_reward'; did you mean"),
        ({**GRPO, "loss_type": "dapoo"}, ConfigError, "loss_type must be .* did you mean 'dapo'"),
        ({**GRPO, "beta": "much"}, ConfigError, "beta must be a number, got 'much'"),
        ({"colour": "red"}, InputError, "no configuration of .*TRL.* name the framework"),
        (["trl", "dpo", "--beta", "1"], ConfigError, "only `trl grpo` and `trl rloo`"),
    ],
)
def test_wrong_input(config, error, message):
    with pytest.raises(error, match=message):
        audit_config(config)


def test_wrong_arguments():
    with pytest.raises(
        ArgumentError, match=r"framework must be .*, got 'trll'; did you mean 'trl'"
    ):
        audit_config(GRPO, framework="trll")
    with pytest.raises(ArgumentError, match="version must be a release such as"):
        audit_config(GRPO, version="latest")


def test_misspelt_options_can_be_let_pass(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("beta: 0.1\nloss_type: dapo\nscale_reward: 1\n")
    with pytest.raises(ConfigError, match="line 3: unknown option 'scale_reward'"):
        audit_config(path)
    audit = audit_config(path, unknown="note")
    assert "PM705" in {finding.code for finding in audit.findings}
