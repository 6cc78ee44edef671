"""The directory of a run: what is in it, and how it is put back to the last checkpoint.

::

    config.toml                the configuration as it ran
    prior.safetensors          what the policy started from
    metrics.jsonl              figures of each step, one JSON object a line
    molecules/molecules_*.parquet    every string that was drawn
    checkpoints/step_*/        what a killed run goes on from
    tensorboard/               the figures for TensorBoard
    alerts.jsonl               signs of collapse, if there were any
    model.safetensors          the trained policy, once the run has ended
    result.json                what came of it
    report.html                all of it as one page; `polymode train chemistry` writes it
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polymode.chemistry.learner.checkpoint import last_checkpoint, read_checkpoint, write_checkpoint
from polymode.chemistry.learner.config import ANCHORED_MODES, ChemistryConfig
from polymode.chemistry.learner.config_files import to_toml
from polymode.chemistry.learner.table import write_part
from polymode.chemistry.models import SmilesModel
from polymode.diagnostics.chemistry.files import (
    ALERTS,
    CONFIG,
    METRICS,
    MOLECULES,
    PAGE,
    RESULT,
    complete_lines,
    molecule_parts,
)
from polymode.errors import InputError
from polymode.files import json_ready, write_json, write_text

__all__ = ["MODEL", "PRIOR", "RunDirectory"]

MODEL, PRIOR = "model.safetensors", "prior.safetensors"


class RunDirectory:
    """Files of one run.

    Parameters
    ----------
    path : Path
        The directory; made when something is written.
    tensorboard : bool
        Whether to write for TensorBoard.
    """

    def __init__(self, path: Path, *, tensorboard: bool = True) -> None:
        self.path = path
        self.molecules = path / MOLECULES
        self.checkpoints = path / "checkpoints"
        self._waiting: list[dict[str, Any]] = []
        self._tensorboard = tensorboard
        self._writer: Any = None

    def start(self, config: ChemistryConfig) -> None:
        """Make the directory and write the configuration.

        Parameters
        ----------
        config : ChemistryConfig
            The configuration.

        Raises
        ------
        InputError
            If there is a run in it already.
        """
        if (self.path / CONFIG).exists():
            raise InputError(
                f"{self.path} holds a run already: go on with it with --resume, or choose another "
                "directory"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_config(config)

    def write_config(self, config: ChemistryConfig) -> None:
        """Write the configuration with every default that was used.

        Parameters
        ----------
        config : ChemistryConfig
            The configuration.
        """
        unused = {} if config.target.name == ANCHORED_MODES else {"target": {"pressure"}}
        content = config.model_dump(mode="json", exclude={"oracle": True, **unused})
        # What a component leaves unset depends on its kind, so it stays unset.
        oracle = config.oracle.model_dump(mode="json", exclude_unset=True)
        text = to_toml({**content, "oracle": oracle})
        write_text(self.path / CONFIG, text)

    def go_back(self) -> tuple[SmilesModel, dict[str, Any]]:
        """Return the last checkpoint, and take back what was written after it.

        Raises
        ------
        InputError
            If there is no checkpoint, or it cannot be read.
        """
        found = last_checkpoint(self.checkpoints)
        if found is None:
            raise InputError(f"nothing to resume in {self.path}: it has no checkpoint yet")
        model, state = read_checkpoint(found)
        step = state["step"]
        for number, part in molecule_parts(self.molecules).items():
            if number > step:
                part.unlink()
        for name in (METRICS, ALERTS):
            if (path := self.path / name).exists():
                kept = [line for line in complete_lines(path) if json.loads(line)["step"] <= step]
                write_text(path, "".join(line + "\n" for line in kept))
        for name in (RESULT, PAGE):  # they tell of an end that is none any more
            (self.path / name).unlink(missing_ok=True)
        return model, state

    def log(self, step: int, figures: Mapping[str, float], seconds: float) -> None:
        """Write the figures of a step.

        Parameters
        ----------
        step : int
            Its number.
        figures : mapping
            The figures; what is not finite is written as null.
        seconds : float
            How long the step took.
        """
        row = {"step": step, **figures, "seconds": seconds}
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(json_ready(row)) + "\n")
        if self._tensorboard:
            for name, value in figures.items():
                if math.isfinite(value):
                    self._tensorboard_writer(step).add_scalar(name, value, step)

    def alert(self, step: int, text: str) -> None:
        """Write a sign of collapse.

        Parameters
        ----------
        step : int
            The step.
        text : str
            What was seen.
        """
        with (self.path / ALERTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "alert": text}) + "\n")

    def add_molecules(self, columns: dict[str, Any]) -> None:
        """Keep the rows of a step until the next checkpoint.

        Parameters
        ----------
        columns : dict
            The rows.
        """
        self._waiting.append(columns)

    def checkpoint(
        self, step: int, model: SmilesModel, state: Mapping[str, Any], *, keep: int
    ) -> None:
        """Write the molecules that wait, then a checkpoint.

        Parameters
        ----------
        step : int
            The step that has just been taken.
        model : SmilesModel
            The policy.
        state : mapping
            All the rest.
        keep : int
            How many checkpoints to keep.
        """
        if self._waiting:
            write_part(self.molecules, self._waiting, step)
            self._waiting = []
        write_checkpoint(self.checkpoints, step, model, {**state, "step": step}, keep=keep)
        if self._writer is not None:
            self._writer.flush()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write what came of the run.

        Parameters
        ----------
        result : mapping
            Plain values.
        """
        write_json(self.path / RESULT, json_ready(result))
        self.close()

    def close(self) -> None:
        """Close what is open."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _tensorboard_writer(self, step: int) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.path / "tensorboard"), purge_step=step)
        return self._writer
