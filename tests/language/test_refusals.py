"""Settings that would silently change the target are refused in one message, before loading."""

import pytest

from polymode.errors import UnsupportedOptionError
from polymode.language import MARAConfig, MARAGRPOConfig, MARAGRPOTrainer, MARATrainer
from tests.language.runs import options, reward


def refusal(tmp_path, kind="rloo", trainer_kwargs=None, **changes):
    """Problems that a trainer lists; its model does not exist, so nothing may try to load it."""
    trainer, config = {
        "rloo": (MARATrainer, MARAConfig),
        "grpo": (MARAGRPOTrainer, MARAGRPOConfig),
    }[kind]
    with pytest.raises(UnsupportedOptionError) as error:
        trainer(
            "no/such-model",
            reward,
            config(**options(tmp_path, **changes)),
            **(trainer_kwargs or {}),
        )
    assert error.value.owner == trainer.__name__
    return error.value.problems


BOTH = [
    ({"beta": 0.0}, "beta must be a finite number > 0, got 0.0"),
    ({"beta": -0.1}, "beta must be a finite number > 0, got -0.1"),
    ({"threshold": None}, "threshold must be a finite number, got None"),
    ({"threshold": float("nan")}, "threshold must be a finite number, got nan"),
    ({"top_p": 0.9}, "top_p must be 1.0, got 0.9"),
    ({"top_k": 50}, "top_k must be 0, got 50"),
    ({"min_p": 0.1}, "min_p must be None, got 0.1"),
    ({"repetition_penalty": 1.1}, "repetition_penalty must be 1.0, got 1.1"),
    ({"generation_kwargs": {"top_k": 5}}, "top_k must be 0, got 5"),
    (
        {"generation_kwargs": {"temperature": 0.5}},
        r"generation_kwargs\['temperature'\] must equal temperature, got 0.5 and 1.0",
    ),
    ({"sync_ref_model": True}, "sync_ref_model must be False"),
    (
        {"mask_truncated_completions": True, "anchor_truncated": True},
        "anchor_truncated must be False with mask_truncated_completions",
    ),
]
RLOO_ONLY = [
    ({"reward_clip_range": (-1.0, 1.0)}, r"reward_clip_range must be None, got \(-1.0, 1.0\)"),
    ({"normalize_advantages": True}, "normalize_advantages must be False"),
]
GRPO_ONLY = [
    ({"scale_rewards": "group"}, "scale_rewards must be 'none', got 'group'"),
    ({"scale_rewards": "batch"}, "scale_rewards must be 'none', got 'batch'"),
    (
        {"multi_objective_aggregation": "normalize_then_sum"},
        "multi_objective_aggregation must be 'sum_then_normalize', got 'normalize_then_sum'",
    ),
    ({"loss_type": "grpo"}, "loss_type must be one of dr_grpo, .*, got 'grpo'"),
    ({"loss_type": "sapo"}, "loss_type must be one of dr_grpo, .*, got 'sapo'"),
    (
        {"importance_sampling_level": "sequence"},
        "importance_sampling_level must be 'token', got 'sequence'",
    ),
    ({"entropy_coef": 0.01}, "entropy_coef must be 0.0, got 0.01"),
    ({"top_entropy_quantile": 0.2}, "top_entropy_quantile must be 1.0, got 0.2"),
    ({"off_policy_mask_threshold": 0.5}, "off_policy_mask_threshold must be None, got 0.5"),
]
CASES = [(kind, *case) for kind in ("rloo", "grpo") for case in BOTH]
CASES += [("rloo", *case) for case in RLOO_ONLY] + [("grpo", *case) for case in GRPO_ONLY]


@pytest.mark.parametrize(("kind", "changes", "message"), CASES)
def test_setting_is_refused_with_a_reason(kind, changes, message, tmp_path):
    problems = refusal(tmp_path, kind, **changes)
    assert len(problems) == 1
    assert pytest.raises(AssertionError, match=message).matches(AssertionError(problems[0]))


@pytest.mark.parametrize("name", ["tools", "environment_factory", "rollout_func"])
def test_foreign_tokens_are_refused(name, tmp_path):
    def tool():
        """Do nothing."""

    value = [tool] if name == "tools" else tool
    problems = refusal(tmp_path, "grpo", trainer_kwargs={name: value})
    assert len(problems) == 1
    assert problems[0].startswith(f"{name} must not be set: tokens that the policy did not write")


def test_all_problems_come_at_once(tmp_path):
    problems = refusal(
        tmp_path,
        "grpo",
        trainer_kwargs={"tools": [print]},
        beta=0.0,
        threshold=None,
        scale_rewards="group",
        loss_type="grpo",
        top_p=0.5,
    )
    assert [p.split()[0] for p in problems] == [
        "threshold",
        "beta",
        "top_p",
        "scale_rewards",
        "loss_type",
        "tools",
    ]


def test_a_config_of_trl_is_refused(tmp_path):
    from trl import RLOOConfig

    with pytest.raises(
        UnsupportedOptionError, match=r"args must be a MARAConfig .*, got RLOOConfig"
    ):
        MARATrainer("no/such-model", reward, RLOOConfig(str(tmp_path), bf16=False, use_cpu=True))
    with pytest.raises(UnsupportedOptionError, match=r"args must be a MARAConfig .*, got NoneType"):
        MARATrainer("no/such-model", reward)


def test_the_default_configs_need_a_threshold_and_nothing_else(tmp_path):
    for kind in ("rloo", "grpo"):
        trainer, config = {
            "rloo": (MARATrainer, MARAConfig),
            "grpo": (MARAGRPOTrainer, MARAGRPOConfig),
        }[kind]
        args = config(str(tmp_path), threshold=0.8, bf16=False, use_cpu=True)
        with pytest.raises(OSError, match="cached files"):  # past the refusals: it tries to load
            trainer("no/such-model", reward, args)
