"""Train a prior: a model of SMILES strings, by maximum likelihood.

The order of batches depends on seed and epoch alone and nothing else is random, so a run that was
killed and goes on ends with the weights that it would have had.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from polymode.chemistry.models.files import build_model, load_prior, save_model, weights_sha256
from polymode.chemistry.models.interface import SmilesModel
from polymode.chemistry.prior.checkpoint import load_checkpoint, save_checkpoint
from polymode.chemistry.prior.data import Split, read_smiles, split_smiles
from polymode.chemistry.prior.figures import canonical_smiles, prior_figures
from polymode.core.checks import known, positive, require, whole
from polymode.devices import fast_dtype
from polymode.errors import InputError
from polymode.files import write_json, write_text

Watch = Callable[[int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class PriorSettings:
    """What a prior is and how it is trained."""

    kind: str = "gru"
    """"gru", "lstm" or "transformer"."""

    n_layers: int = 3
    hidden: int = 256
    embedding: int = 128
    """Width of a token, of a GRU or an LSTM."""

    n_heads: int = 6
    """Heads of attention, of a transformer."""

    epochs: int = 6
    batch_size: int = 128
    learning_rate: float = 2e-3
    """Highest rate: it rises over the first steps and falls to zero along a cosine."""

    n_warmup: int = 200
    """Steps over which the rate rises."""

    max_norm: float = 1.0
    """Longer gradients are cut to this norm."""

    n_held_out: int = 5000
    """Strings to hold out; a tenth of all at most."""

    max_length: int = 100
    """Strings of more tokens are left out."""

    min_count: int = 1
    """Strings with a token that occurs more rarely are left out."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What products are computed in; weights and sums stay in float32."""

    seed: int = 0
    n_evaluations: int = 20
    """How often figures are taken, the last time at the end."""

    n_samples: int = 1000
    """Strings to draw for them; ten times as many at the end."""

    def __post_init__(self) -> None:
        counts = ("n_layers", "hidden", "embedding", "n_heads", "epochs", "batch_size")
        more = ("n_held_out", "max_length", "min_count", "n_evaluations", "n_samples")
        require(
            whole(**{name: getattr(self, name) for name in (*counts, *more)}),
            positive(learning_rate=self.learning_rate, max_norm=self.max_norm),
            known("dtype", self.dtype, ("auto", "float32", "bfloat16")),
        )

    @property
    def architecture(self) -> dict[str, Any]:
        """The part that says what the model is."""
        own = ("n_heads",) if self.kind == "transformer" else ("embedding",)
        return {name: getattr(self, name) for name in ("kind", "n_layers", "hidden", *own)}

    def of_model(self, model: SmilesModel) -> "PriorSettings":
        """Return these settings for a model that is there already.

        Raises
        ------
        ArgumentError
            If they ask for another architecture; those that are as by default ask for none.
        """
        found = {name: value for name, value in model.architecture.items() if hasattr(self, name)}
        default = PriorSettings()
        require(
            f"{name} must be that of the model to start from, {value!r}, got {given!r}"
            for name, value in found.items()
            if (given := getattr(self, name)) not in (value, getattr(default, name))
        )
        return replace(self, **found)


def run_directory(output: Path) -> Path:
    """Return where the training of a prior keeps its log and its checkpoint."""
    return output.with_name(f"{output.stem}.training")


def train_prior(
    source: Path,
    output: Path,
    settings: PriorSettings,
    *,
    start: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    checkpoint_seconds: float = 120.0,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train a prior on a file of SMILES and write it to one file.

    Parameters
    ----------
    source : Path
        The SMILES, as `read_smiles` takes them.
    output : Path
        The safetensors file to write. Beside it, a directory ``<stem>.training`` holds the log, a
        line of JSON for each evaluation, and until the end the checkpoint.
    settings : PriorSettings
        What to train and how.
    start : str or Path, optional
        A prior to start from, its name or its file: its vocabulary and architecture stay, and
        strings with tokens that it does not know are left out. The same strings, seed and settings
        of the split hold out the same strings again. By default, a new model.
    resume : bool
        Go on from the checkpoint, which must come from the same strings, settings and start.
    device : str
        Where to train.
    checkpoint_seconds : float
        How often to save a checkpoint.
    watch : callable, optional
        Called after each step with the step, their number and figures.

    Returns
    -------
    dict
        The figures at the end, as the last line of the log has them.

    Raises
    ------
    InputError
        If a file cannot be read, there is a run already, or the checkpoint does not fit.
    ArgumentError
        If the settings ask for another architecture than that of `start`.
    """
    parent = None if start is None else load_prior(start)
    if parent is not None:
        settings = settings.of_model(parent)
    split = split_smiles(
        read_smiles(source),
        n_held_out=settings.n_held_out,
        max_length=settings.max_length,
        min_count=settings.min_count,
        seed=settings.seed,
        vocabulary=None if parent is None else parent.vocabulary,
    )
    run = _Run(split, settings, run_directory(output), device, parent)
    run.start(resume)
    figures = run.train(checkpoint_seconds, watch or _look_away)
    origin = {**run.identity, "figures": figures}
    save_model(run.model, output, metadata={"training": json.dumps(origin)})
    run.clean()
    return figures


def _look_away(step: int, steps: int, figures: dict[str, Any]) -> None:
    """Watch nothing."""


class _Run:
    """A model in training."""

    def __init__(
        self,
        split: Split,
        settings: PriorSettings,
        directory: Path,
        device: str,
        parent: SmilesModel | None,
    ) -> None:
        self.split, self.settings, self.directory = split, settings, directory
        self.identity = {"settings": asdict(settings), "data": split.fingerprint}
        """What two runs must share for one to go on with the other's checkpoint."""
        if parent is None:
            sizes = {**settings.architecture, "seed": settings.seed}
            self.model: SmilesModel = build_model(sizes, split.vocabulary).to(device)
        else:
            self.identity["start"] = weights_sha256(parent)
            self.model = parent.to(device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.0, weight_decay=0.0)
        self.n_batches = split.train.n_batches(settings.batch_size)
        self.n_steps = self.n_batches * settings.epochs
        self.step, self.seconds = 0, 0.0
        dtype = fast_dtype(device) if settings.dtype == "auto" else settings.dtype
        self.bfloat16 = dtype == "bfloat16"
        self._known: frozenset[str] | None = None

    def start(self, resume: bool) -> None:
        """Make the directory of the run, or go on from what is there."""
        path = self.directory / "checkpoint.safetensors"
        if not resume:
            if self.directory.exists():
                raise InputError(
                    f"{self.directory} is there already: go on with --resume, or choose another "
                    "--output"
                )
            self.directory.mkdir(parents=True)
            counts = {"n_train": len(self.split.train.smiles), "n_left_out": self.split.left_out}
            head = {**self.identity, **counts}
            write_json(self.directory / "settings.json", head)
            return
        if not path.exists():
            raise InputError(f"nothing to resume: {path} is not there")
        state = load_checkpoint(path, self.model, self.optimizer)
        if state["identity"] != self.identity:
            raise InputError(
                f"{path} comes from other strings, settings or another start: give those of its "
                "settings.json"
            )
        self.step, self.seconds = state["step"], state["seconds"]
        kept = [row for row in _rows(self._log) if row["step"] <= self.step]
        write_text(self._log, "".join(json.dumps(row) + "\n" for row in kept))

    def train(self, checkpoint_seconds: float, watch: Watch) -> dict[str, Any]:
        """Take all steps that are left; return the figures at the end."""
        begun = saved = time.monotonic() - self.seconds
        marks = {
            -(-self.n_steps * part // self.settings.n_evaluations)
            for part in range(1, self.settings.n_evaluations)
        }
        for rows in self._batches():
            nll = self._take_step(rows)
            self.step += 1
            self.seconds = time.monotonic() - begun
            watch(self.step, self.n_steps, {"nll": nll})
            if self.step in marks:
                watch(self.step, self.n_steps, self._evaluate(self.settings.n_samples, nll))
            if self.seconds - (saved - begun) > checkpoint_seconds:
                self._save()
                saved = time.monotonic()
        self._save()
        figures = self._evaluate(10 * self.settings.n_samples, None, novelty=True)
        watch(self.step, self.n_steps, figures)
        return figures

    def clean(self) -> None:
        """Leave the log and the settings, and no checkpoint."""
        (self.directory / "checkpoint.safetensors").unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return self.directory / "log.jsonl"

    def _batches(self) -> Iterator[np.ndarray]:
        """Yield the batches that are left."""
        for epoch in range(self.step // self.n_batches, self.settings.epochs):
            rng = np.random.default_rng([self.settings.seed, epoch])
            done = self.step - epoch * self.n_batches
            yield from list(self.split.train.epoch(self.settings.batch_size, rng))[done:]

    def _take_step(self, rows: np.ndarray) -> float:
        """Descend once; return the mean of -log p over the batch, nats per token."""
        settings, device = self.settings, self.model.device
        ids, lengths = self.split.train.batch(rows)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            log_probs = self.model.log_probs(ids.to(device), lengths)
        loss = -log_probs.sum() / int(lengths.sum())
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.max_norm)
        warm = min(1.0, (self.step + 1) / max(1, min(settings.n_warmup, self.n_steps // 10)))
        fall = 0.5 * (1 + np.cos(np.pi * self.step / self.n_steps))
        self.optimizer.param_groups[0]["lr"] = settings.learning_rate * warm * float(fall)
        self.optimizer.step()
        return float(loss.detach())

    def _evaluate(self, n: int, nll: float | None, *, novelty: bool = False) -> dict[str, Any]:
        """Take figures and write them to the log."""
        if novelty:
            strings = canonical_smiles(self.split.train.smiles)
            self._known = frozenset(string for string in strings if string is not None)
        self.model.eval()
        figures = prior_figures(
            self.model,
            self.split.held_out.smiles,
            n=n,
            generator=torch.Generator().manual_seed(self.settings.seed + self.step),
            known=self._known,
        )
        self.model.train()
        row = {
            "step": self.step,
            "epoch": self.step / self.n_batches,
            "seconds": round(self.seconds, 1),
            "nll_per_token": nll,
            "n_samples": n,
            **figures._asdict(),
        }
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        return row

    def _save(self) -> None:
        """Write a checkpoint."""
        state = {"identity": self.identity, "step": self.step, "seconds": self.seconds}
        path = self.directory / "checkpoint.safetensors"
        save_checkpoint(path, self.model, self.optimizer, state)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a log."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
