"""Our launch configurations say what accelerate reads, and what TRL's own ones say."""

from pathlib import Path

import pytest

pytest.importorskip("trl")

import trl
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

CONFIGS = Path(__file__).parents[2] / "configs" / "accelerate"
OURS = sorted(CONFIGS.glob("*.yaml"))
TRL_CONFIGS = Path(trl.__file__).parent / "accelerate_configs"
TWINS = {
    "ddp": "multi_gpu",
    "fsdp2": "fsdp2",
    "deepspeed_zero1": "zero1",
    "deepspeed_zero2": "zero2",
    "deepspeed_zero3": "zero3",
}
SECTIONS = ("fsdp_config", "deepspeed_config")


def test_there_is_a_config_for_each_way_to_train():
    assert {path.stem for path in OURS} == {*TWINS, "cpu_gloo"}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_accelerate_knows_every_field(path):
    config = load_config_from_file(str(path)).to_dict()  # refuses unknown keys at the top
    # Within a section an unknown key would be taken and never read.
    flags = {action.dest for action in launch_command_parser()._actions}
    given = {key for section in SECTIONS for key in config.get(section) or {}}
    assert given <= flags


@pytest.mark.parametrize(("ours", "theirs"), TWINS.items())
def test_configs_are_those_of_trl(ours, theirs):
    own, twin = (
        load_config_from_file(str(path)).to_dict()
        for path in (CONFIGS / f"{ours}.yaml", TRL_CONFIGS / f"{theirs}.yaml")
    )
    for config in (own, twin):
        del config["downcast_bf16"]  # of TPUs
        config.pop("tpu_env", None)
        # The trainer's own setting decides.
        config.get("deepspeed_config", {}).pop("gradient_accumulation_steps", None)
    assert own == twin


def test_the_config_for_processors_uses_them():
    config = load_config_from_file(str(CONFIGS / "cpu_gloo.yaml"))
    assert config.use_cpu
    assert config.mixed_precision == "no"
