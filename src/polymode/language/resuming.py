"""A trainer that goes on, after it was killed, as if it had not been.

transformers keeps weights, optimiser, schedule, random state and step. What it lacks is added here:
checkpoints that were cut off are passed over, what the hook carries over is kept, and a later epoch
has the order that it would have had.
"""

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list

from polymode.core import CarriedAnchors
from polymode.errors import PolymodeWarning
from polymode.language.memory import find_checkpoint, load_memory, progress, save_memory


class ResumingMixin:
    """Resume a TRL group trainer from its last complete checkpoint, with all that it remembers."""

    accelerator: Any
    args: Any
    carried: CarriedAnchors | None
    state: Any
    _epochs_done = 0

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train as the host does; `resume_from_checkpoint=True` takes the last complete one.

        Raises
        ------
        InputError
            If there is no complete checkpoint, or what it remembers is damaged.

        Warns
        -----
        PolymodeWarning
            If the checkpoint lies between two steps on the same completions, which are not kept.
        """
        host: Any = super()
        self._epochs_done = 0
        if resume_from_checkpoint:
            checkpoint = find_checkpoint(resume_from_checkpoint, self.args.output_dir)
            self._epochs_done, n_steps = progress(checkpoint)
            self._warn_of_new_completions(checkpoint, n_steps)
            # One process reads for all: on another machine the file may be missing.
            is_main = self.accelerator.is_main_process
            memory = [load_memory(checkpoint) if is_main else {}]
            self.load_memory(broadcast_object_list(memory)[0])
            resume_from_checkpoint = str(checkpoint)
        return host.train(resume_from_checkpoint, *args, **kwargs)

    def _warn_of_new_completions(self, checkpoint: Path, n_steps: int) -> None:
        """Say so where a step would go on with completions of an earlier one."""
        args = self.args
        per_step = args.gradient_accumulation_steps
        per_draw = args.steps_per_generation * args.num_iterations
        if n_steps * per_step % per_draw:
            warnings.warn(
                f"{checkpoint.name} lies between two steps on the same completions, which are "
                "drawn anew: the run will not equal one without a break. Let save_steps be a "
                "multiple of "
                f"{math.lcm(per_step, per_draw) // per_step}",
                PolymodeWarning,
                stacklevel=3,
            )

    def memory(self) -> dict[str, Any]:
        """Return what has to be carried over from one step to the next, ready for JSON."""
        if self.carried is None:
            return {}
        names = ("groups", "rewards", "ref_log_probs")
        return {"carried": {name: getattr(self.carried, name).tolist() for name in names}}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take back what `memory` returned."""
        if self.carried is not None and (kept := memory.get("carried")):
            groups = torch.tensor(kept["groups"], dtype=torch.int64).numpy()
            floats = (
                torch.tensor(kept[n], dtype=torch.float64) for n in ("rewards", "ref_log_probs")
            )
            self.carried = CarriedAnchors(groups, *floats)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        host: Any = super()
        # First, since a checkpoint counts as complete once the host is through with it.
        if self.accelerator.is_main_process and (memory := self.memory()):
            save_memory(memory, self.args.output_dir, self.state.global_step)
        host._save_checkpoint(*args, **kwargs)

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        """Return TRL's sampler, past the orders that it drew for the epochs that are done."""
        host: Any = super()
        sampler = host._get_train_sampler(*args, **kwargs)
        for _ in range(self._epochs_done):
            next(iter(sampler), None)
        return sampler
