"""A training on two processes, of which the second has a reward that fails. Run by accelerate.

``python health_worker.py MODEL_DIR OUT_DIR``
"""

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from polymode.errors import RewardError
from polymode.language.rewards.guard import Guard, GuardedReward
from polymode.language.rewards.health import RewardHealth
from tests.language.runs import N_GENERATIONS, PROMPTS, make_trainer, prescribe_samples, reward


def fails_on_rank_1(completions, **_):
    if PartialState().process_index == 1:
        raise OSError("no connection")
    return reward(completions)


def main(model_dir, out):
    torch.set_num_threads(1)
    rank = PartialState(cpu=True).process_index
    n_local = N_GENERATIONS * len(PROMPTS) // 2
    guarded = GuardedReward(fails_on_rank_1, guard=Guard(min_samples=2 * n_local))
    trainer = make_trainer(
        "rloo", model_dir, Path(out) / "run", per_device_train_batch_size=n_local, max_steps=5
    )
    trainer.reward_funcs[0] = guarded
    trainer.add_callback(RewardHealth([guarded]))
    try:
        prescribe_samples(trainer).train()
        error = None
    except RewardError as raised:
        error = str(raised)
    outcome = {"error": error, "step": trainer.state.global_step}
    (Path(out) / f"{rank}.json").write_text(json.dumps(outcome))
    trainer.accelerator.end_training()  # leave together: gloo aborts when its peer goes first


if __name__ == "__main__":
    main(*sys.argv[1:])
