"""Two training steps of several trainers that add terms to the loss; rank 0 saves what was seen.

Run by `accelerate launch`: ``python stored_worker.py MODEL_DIR OUT_DIR STORED JOB…``, where a job
is a name in `JOBS`, and STORED a file of `store_responses`.
"""

import sys
from pathlib import Path

import torch
from accelerate import PartialState

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.language.runs import (
    N_GENERATIONS,
    PROMPTS,
    last_letter,
    make_trainer,
    prescribe_samples,
)

DPH = {"dph_divergence": "jensen_shannon", "dph_eta": 1.0}
# Three groups on two ranks: the rows of a group, and what is dealt to them, lie on both.
JOBS = {
    "dph-rloo": {"kind": "rloo", **DPH},
    "dph-grpo-lora": {"kind": "grpo", "adapter": True, **DPH},
    "cross-entropy": {
        "kind": "rloo",
        "regulariser": "forward_kl",
        "forward_kl_samples": "reference",
    },
    # Kept in the first step, replayed in the second; modes and kept completions on both ranks.
    "replay": {"kind": "rloo", "replay_size": 2},
}


def run(job, model_dir, out, stored):
    world = PartialState(cpu=True).num_processes
    settings = dict(JOBS[job])
    if "dph_divergence" in settings:
        settings["dph_batch"] = 4 // world  # of each rank
    if job != "replay":
        settings["stored_responses"] = stored
    trainer = make_trainer(
        settings.pop("kind"),
        model_dir,
        out / f"run-{job}-{world}",
        per_device_train_batch_size=N_GENERATIONS * len(PROMPTS) // world,
        trainer_kwargs={"mode_fn": last_letter},
        max_steps=2,
        gradient_checkpointing=True,
        **settings,
    )
    prescribe_samples(trainer).train()
    if trainer.accelerator.is_main_process:
        batch = trainer.last_batch
        policy = trainer.accelerator.unwrap_model(trainer.model)
        names = ("rewards", "raw_rewards", "ref_log_probs", "good", "anchor")
        kept = {name: getattr(batch, name) for name in names}
        kept |= {
            "modes": list(batch.modes),
            "weights": {n: p.detach().clone() for n, p in policy.named_parameters()},
            "log": [row for row in trainer.state.log_history if "loss" in row],
        }
        torch.save(kept, out / f"{job}-{world}.pt")
    trainer.accelerator.free_memory()


def main(model_dir, out, stored, *jobs):
    torch.set_num_threads(1)
    for job in jobs:
        run(job, model_dir, Path(out), stored)


if __name__ == "__main__":
    main(*sys.argv[1:])
