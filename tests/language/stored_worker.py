"""One training step on prescribed samples; rank 0 saves what the hook saw. Run by accelerate.

``python stored_worker.py MODEL_DIR OUT_DIR KIND ADAPTER [SETTINGS]``, settings as JSON; what
they give `for_all_ranks` is divided among the ranks.
"""

import json
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


def main(model_dir, out, kind, adapter, settings="{}"):
    torch.set_num_threads(1)
    world = PartialState(cpu=True).num_processes
    changes = json.loads(settings)
    shared = changes.pop("for_all_ranks", {})
    changes |= {name: number // world for name, number in shared.items()}
    trainer = make_trainer(
        kind,
        model_dir,
        Path(out) / f"run-{kind}-{adapter}-{world}",
        adapter=adapter == "lora",
        per_device_train_batch_size=N_GENERATIONS * len(PROMPTS) // world,
        trainer_kwargs={"mode_fn": last_letter},
        max_steps=2,
        **changes,
    )
    prescribe_samples(trainer).train()
    if trainer.accelerator.is_main_process:
        batch = trainer.last_batch
        policy = trainer.accelerator.unwrap_model(trainer.model)
        torch.save(
            {
                "rewards": batch.rewards,
                "raw_rewards": batch.raw_rewards,
                "ref_log_probs": batch.ref_log_probs,
                "good": batch.good,
                "anchor": batch.anchor,
                "modes": list(batch.modes),
                "weights": {n: p.detach() for n, p in policy.named_parameters()},
                "log": [row for row in trainer.state.log_history if "loss" in row],
            },
            Path(out) / f"{kind}-{adapter}-{world}.pt",
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
