"""Train several trainers in a row on prescribed samples; rank 0 saves what the hook saw.

Run by `accelerate launch`:
``python distributed_worker.py MODEL_DIR OUT_DIR JOB…``, where a job is a name in `JOBS`.
"""

import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from transformers import TrainerCallback

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.language.runs import EOS, PROMPTS, last_letter, make_trainer

N_GENERATIONS = 4  # 3 groups of 4: one straddles 2 ranks of 6, all straddle some of 4 ranks of 3
STEPS = 5
# What is drawn in turn. "zz8" has no end; the likeliest good answer is missing from some groups, so
# that anchors which are carried over matter.
ANSWERS = ("x1", "yy2", "bad", "3", "x1", "z4", "ab", "zz8", "5", "nope", "c6")
# max_grad_norm and Adam would hide a gradient of the wrong size.
COMMON = {"max_steps": STEPS, "num_generations": N_GENERATIONS, "max_completion_length": 4}
COMMON |= {"optim": "sgd", "max_grad_norm": 0.0, "learning_rate": 0.05}
MODES = {"trainer_kwargs": {"mode_fn": last_letter}}
RESUMED = "resumed-carried"

JOBS = {
    "strings": {"kind": "rloo"},
    "modes-carried": {"kind": "rloo", "carry_anchors": True, **MODES},
    "forward-kl-carried-lora": {
        "kind": "rloo",
        "regulariser": "forward_kl",
        "carry_anchors": True,
        "adapter": True,
        **MODES,
    },
    "grpo-carried": {"kind": "grpo", "carry_anchors": True, **MODES},
    "grpo-lora": {"kind": "grpo", "adapter": True},
    # Trained once, and again from the second step on.
    RESUMED: {
        "kind": "rloo",
        "carry_anchors": True,
        "save_strategy": "steps",
        "save_steps": 2,
        "optim": "adamw_torch",  # has a state to resume
        "adam_epsilon": 1.0,  # steps as long as gradients: their size is seen
        **MODES,
    },
    "unlikeliness": {"kind": "rloo", "method": "unlikeliness"},
    "unlikeliness-lora": {"kind": "rloo", "method": "unlikeliness", "adapter": True},
}


class Recorder(TrainerCallback):
    """Keep the batch of every step."""

    def __init__(self, trainer, batches):
        self.trainer, self.batches = trainer, batches

    def on_step_end(self, *_, **__):
        batch = self.trainer.last_batch
        names = ("raw_rewards", "rewards", "ref_log_probs", "good", "anchor", "groups")
        kept = {name: getattr(batch, name).cpu() for name in names}
        kept["regularised_log_q"] = batch.shaped.ref_log_probs
        self.batches.append({**kept, "modes": list(batch.modes)})


def prescribe_by_step(trainer):
    """Replace sampling: what row i of the global batch gets depends on the step, too."""

    def _generate_single_turn(prompt_ids, *_):
        tokenizer, n = trainer.processing_class, len(prompt_ids)
        start = trainer.accelerator.process_index * n
        ids = []
        for row in range(start, start + n):
            text = ANSWERS[(5 * row + 7 * trainer.state.global_step) % len(ANSWERS)]
            tokens = tokenizer(text)["input_ids"]
            ids.append(tokens if text == "zz8" else [*tokens, EOS])
        return (ids, None) if hasattr(trainer.args, "loss_type") else ids

    trainer._generate_single_turn = _generate_single_turn
    return trainer


def let_processors_shard():
    """Have accelerate take CPU processes for GPU ones: it ignores a request for FSDP otherwise."""
    start = PartialState.__init__

    def start_as_gpu(self, *arguments, **keywords):
        start(self, *arguments, **keywords)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = start_as_gpu


def build(job, model_dir, folder, world, batches):
    """Make the trainer of a job; its batches are added to the list."""
    settings = {**COMMON, **JOBS[job]}
    settings["per_device_train_batch_size"] = N_GENERATIONS * len(PROMPTS) // world
    trainer = prescribe_by_step(make_trainer(settings.pop("kind"), model_dir, folder, **settings))
    trainer.add_callback(Recorder(trainer, batches))
    return trainer


def whole_weights(trainer):
    """Return the weights, gathered from all ranks: FSDP cuts them into pieces."""
    weights = trainer.accelerator.get_state_dict(trainer.model)
    return {name: weight.clone() for name, weight in weights.items()}


def run(job, model_dir, out):
    """Train, and keep what is known on rank 0."""
    world = PartialState(cpu=True).num_processes
    folder, batches = out / f"run-{job}-{world}", []
    trainer = build(job, model_dir, folder, world, batches)
    trainer.train()
    unbroken = {}
    if job == RESUMED:
        del batches[2:]
        unbroken = whole_weights(trainer)
        trainer.accelerator.free_memory()
        trainer = build(job, model_dir, folder, world, batches)
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-2"))
    weights = whole_weights(trainer)
    if trainer.accelerator.is_main_process:
        kept = {
            "batches": batches,
            "memory": trainer.memory(),
            "distributed_type": trainer.accelerator.distributed_type.value,
            "parameter_type": type(next(trainer.model.parameters())).__name__,
            "weights": weights,
            "unbroken": unbroken,
            "log": [row for row in trainer.state.log_history if "loss" in row],
        }
        torch.save(kept, out / f"{job}-{world}.pt")
    trainer.accelerator.free_memory()


def main(model_dir, out, *jobs):
    torch.set_num_threads(1)
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        let_processors_shard()
    for job in jobs:
        run(job, model_dir, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
