"""A training survives its rewards on TRL's trainers, and stops in good order when too many fail."""

import json
import math

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from polymode.errors import RewardError
from polymode.language import MARAConfig, MARAGRPOConfig, MARAGRPOTrainer, MARATrainer
from polymode.language.rewards.guard import Guard, GuardedReward
from polymode.language.rewards.health import RewardHealth
from tests.language import runs
from tests.language.rewards import bad, health_worker
from tests.language.test_distributed import launch

TRAINERS = {
    "rloo": (RLOOTrainer, RLOOConfig),
    "grpo": (GRPOTrainer, GRPOConfig),
    "mara": (MARATrainer, MARAConfig),
    "mara-grpo": (MARAGRPOTrainer, MARAGRPOConfig),
}
N = runs.N_GENERATIONS * len(runs.PROMPTS)


def raises_on_bad(completions, **_):
    if "bad" in completions:
        raise ValueError("bad")
    return runs.reward(completions)


async def async_raises_on_bad(completions, **_):
    return raises_on_bad(completions)


def always_raises(**_):
    raise OSError("the judge is down")


def make(kind, tiny_model, out, rewards, *, callbacks=(), **changes):
    trainer_class, config_class = TRAINERS[kind]
    settings = runs.options(out, **changes)
    known = config_class.__dataclass_fields__
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        reward_funcs=rewards,
        args=config_class(**{k: v for k, v in settings.items() if k in known}),
        train_dataset=Dataset.from_dict({"prompt": list(runs.PROMPTS) * 4}),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
        callbacks=[*callbacks],
    )
    return runs.prescribe_samples(trainer)


@pytest.mark.parametrize("function", [raises_on_bad, async_raises_on_bad], ids=["sync", "async"])
@pytest.mark.parametrize("kind", TRAINERS)
def test_a_culprit_is_left_out_of_the_update_and_logged(kind, function, tiny_model, tmp_path):
    reward = GuardedReward(function, name="judge", guard=Guard(time_limit=30))
    trainer = make(kind, tiny_model, tmp_path, [reward])
    trainer.train()
    log = trainer.state.log_history[0]
    assert reward.failures["raised"] == len(runs.PROMPTS)  # "bad" is one in each group
    assert log["rewards/judge/frac_unscorable"] == pytest.approx(1 / runs.N_GENERATIONS)
    assert log["rewards/judge/n_raised"] == len(runs.PROMPTS)
    assert log["rewards/judge/n_timed_out"] == 0
    # x1, yy2, x1, 3 are good and z4 as well: the mean is over those that have a reward.
    assert log["rewards/judge/mean"] == pytest.approx(1.0)
    assert math.isfinite(log["loss"])


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_hang_does_not_stop_the_training(where, tiny_model, tmp_path):
    reward = GuardedReward(
        bad.hangs_on_bad, guard=Guard(time_limit=0.4, where=where, one_by_one=False)
    )
    trainer = make("mara", tiny_model, tmp_path, [reward], max_steps=2)
    trainer.train()
    assert trainer.state.global_step == 2
    assert reward.failures["timed_out"] == 2 * N
    assert trainer.last_batch.raw_rewards.isnan().all()
    assert math.isfinite(trainer.state.log_history[0]["loss"])
    reward.close()


@pytest.mark.parametrize("kind", ["mara", "grpo"])
def test_a_failing_reward_stops_the_training_after_a_checkpoint(kind, tiny_model, tmp_path):
    reward = GuardedReward(always_raises, guard=Guard(min_samples=2 * N))
    health = RewardHealth([reward, bad.length])
    ended = []

    class Witness(TrainerCallback):
        def on_train_end(self, *_, **__):
            ended.append(True)

    trainer = make(kind, tiny_model, tmp_path, [reward], callbacks=[Witness(), health], max_steps=5)
    expected = (
        rf"^reward 'always_raises' could not score 100% of the last {2 * N} completions .*raised "
        r"OSError: the judge is down; .*; training stopped after step 2, with a checkpoint$"
    )
    with pytest.raises(RewardError, match=expected):
        trainer.train()
    assert trainer.state.global_step == 2
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    assert (tmp_path / "checkpoint-2" / "trainer_state.json").is_file()
    assert ended == [True]  # other callbacks came to their end
    with pytest.raises(RewardError, match=expected):
        health.check()


def test_a_healthy_training_is_left_alone(tiny_model, tmp_path):
    reward = GuardedReward(raises_on_bad, guard=Guard(min_samples=1))  # one in six is allowed
    health = RewardHealth([reward])
    trainer = make("rloo", tiny_model, tmp_path, [reward], callbacks=[health], max_steps=3)
    trainer.train()
    health.check()
    assert trainer.state.global_step == 3
    assert not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.slow
def test_all_processes_stop_when_the_reward_of_one_fails(tiny_model, tmp_path):
    launch(2, tiny_model, tmp_path, worker=health_worker.__file__)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["step"] == 2
    assert first["error"].startswith("reward 'fails_on_rank_1' could not score 100% of the last 18")
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-2"]
