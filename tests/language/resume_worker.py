"""Runs that are killed and resumed, each in a process of its own, with real sampling.

``python resume_worker.py MODEL_DIR OUT_DIR RUN…``: a run is SETTING, or SETTING:KILL:STEP, which is
resumed after its end. What came out lies in OUT_DIR under the run's name.
"""

import json
import multiprocessing
import os
import signal
import sys
import warnings
from pathlib import Path

import torch
from datasets import Dataset
from transformers import Trainer, TrainerState
from trl import GRPOTrainer, RLOOTrainer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from polymode.errors import PolymodeWarning
from polymode.language.memory import last_complete_checkpoint
from tests.language import runs

STEPS = 7
COMMON = {
    "max_steps": STEPS,
    "save_strategy": "steps",
    "save_steps": 2,
    "anchor_truncated": True,  # the tiny model hardly ever ends a completion
    "shuffle_dataset": True,  # an epoch has four steps: the second has another order
}
SETTINGS = {
    "rloo": {"kind": "rloo", "carry_anchors": True, "regulariser": "forward_kl", "eval": True},
    "grpo-lora": {"kind": "grpo", "carry_anchors": True, "adapter": True, "save_total_limit": 1},
    # Completions serve two steps: from the first to the second, and from the third to the fourth.
    "iterations": {"kind": "grpo", "num_iterations": 2, "gradient_accumulation_steps": 2},
    "steps-per-generation": {"kind": "rloo", "steps_per_generation": 2},
    "between": {"kind": "rloo", "steps_per_generation": 2, "save_steps": 3},
}


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def at(step, action, method):
    """Return the method; once the step is reached, `action` comes first."""

    def wrapped(self, *arguments, **keywords):
        state = self if isinstance(self, TrainerState) else self.state
        if state.global_step == step:
            action(*arguments)
        return method(self, *arguments, **keywords)

    return wrapped


def write_half_and_die(path):
    Path(path).write_text('{"epoch": 0.5, "global_st')
    die()


# What comes before which methods. Within a save the order is: memory, weights, optimiser, random
# state, trainer_state.json; then older checkpoints are deleted.
KILLS = {
    "in-step": (die, "_compute_loss", GRPOTrainer, RLOOTrainer),
    "before-weights": (die, "save_model", Trainer),
    "before-optimiser": (die, "_save_optimizer_and_scheduler", Trainer),
    "before-state": (die, "save_to_json", TrainerState),
    "in-state": (write_half_and_die, "save_to_json", TrainerState),
}


def build(setting, model_dir, out):
    """Make the trainer of a setting."""
    settings = {**COMMON, **SETTINGS[setting]}
    more = {"mode_fn": runs.last_letter}
    if settings.pop("eval", False):
        settings |= {"eval_strategy": "steps", "eval_steps": 2}
        settings["per_device_eval_batch_size"] = 2 * runs.N_GENERATIONS
        more["eval_dataset"] = Dataset.from_dict({"prompt": list(runs.PROMPTS)})
    kind = settings.pop("kind")
    return runs.make_trainer(kind, model_dir, out, trainer_kwargs=more, **settings)


def train(setting, model_dir, out, kill=None, step=0):
    """Train to the end, or to the kill, from the last complete checkpoint if there is any."""
    torch.set_num_threads(1)
    if kill is not None:
        action, name, *owners = KILLS[kill]
        for owner in owners:
            setattr(owner, name, at(int(step), action, getattr(owner, name)))
    trainer = build(setting, model_dir, out / "run")
    checkpoint = last_complete_checkpoint(out / "run")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PolymodeWarning)
        trainer.train(resume_from_checkpoint=checkpoint is not None)
    kept = {
        "warnings": [str(w.message) for w in caught if w.category is PolymodeWarning],
        "weights": {name: weight.detach() for name, weight in trainer.model.named_parameters()},
        "log": trainer.state.log_history,
        "memory": trainer.memory(),
        "resumed_from": checkpoint and checkpoint.name,
    }
    torch.save(kept, out / "kept.pt")


def main(model_dir, out, *names):
    """Run each in children that are forked from here, where TRL is imported already."""
    fork = multiprocessing.get_context("fork")
    for name in names:
        folder = Path(out) / name.replace(":", "-")
        folder.mkdir(parents=True)
        setting, *kill = name.split(":")
        codes = []
        for each in (kill, []) if kill else ([],):
            child = fork.Process(target=train, args=(setting, model_dir, folder, *each))
            child.start()
            child.join()
            codes.append(child.exitcode)
        (folder / "codes.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main(*sys.argv[1:])
