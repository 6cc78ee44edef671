"""The configs are TRL's: YAML, command lines and JSON keep working, and say what they mean."""

import pytest
from trl import GRPOConfig, RLOOConfig, TrlParser

from polymode.errors import ConfigError
from polymode.language import MARAConfig, MARAGRPOConfig, ShapedConfig
from polymode.language.config import ShapingFields

OURS = {ShapedConfig: RLOOConfig, MARAConfig: RLOOConfig, MARAGRPOConfig: GRPOConfig}


@pytest.mark.parametrize(("ours", "theirs"), OURS.items())
def test_every_option_of_trl_is_there(ours, theirs):
    assert issubclass(ours, theirs)
    added = set(ours.__dataclass_fields__) - set(theirs.__dataclass_fields__)
    assert added == set(ShapingFields.__dataclass_fields__)


@pytest.mark.parametrize("config", OURS)
def test_own_fields_explain_themselves(config):
    for name in ShapingFields.__dataclass_fields__:
        assert len(config.__dataclass_fields__[name].metadata["help"]) > 40


@pytest.mark.parametrize("config", OURS)
def test_yaml_and_command_line(config, tmp_path):
    page = tmp_path / "run.yaml"
    page.write_text(
        f"output_dir: {tmp_path}\nthreshold: 0.8\nbeta: 0.1\nuse_cpu: true\nbf16: false\n"
        "num_generations: 4\nmethod_options:\n  k: 3\n"
    )
    (args,) = TrlParser((config,)).parse_args_and_config(
        ["--config", str(page), "--anchor_truncated", "true"]
    )
    assert (args.threshold, args.beta, args.num_generations) == (0.8, 0.1, 4)
    assert args.anchor_truncated is True
    assert args.method_options == {"k": 3}


def test_options_of_a_method_may_be_json(tmp_path):
    args = ShapedConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, method_options='{"k": 3}'
    )
    assert args.method_options == {"k": 3}


def test_defaults_that_differ_from_trl(tmp_path):
    common = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False}
    rloo, grpo = MARAConfig(**common), MARAGRPOConfig(**common)
    assert (ShapedConfig(**common).method, rloo.method, grpo.method) == (
        "plain",
        "anchored",
        "anchored",
    )
    assert (rloo.threshold, rloo.anchor_truncated, rloo.num_generations) == (None, False, 8)
    assert (grpo.beta, grpo.scale_rewards, grpo.loss_type) == (0.05, "none", "dr_grpo")


@pytest.mark.parametrize("text", ["{k: 3}", "[1]"])
def test_options_that_are_no_json_are_named(text, tmp_path):
    with pytest.raises(ConfigError, match="method_options: must be"):
        ShapedConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, method_options=text)
