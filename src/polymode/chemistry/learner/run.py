"""A run on molecules, from its configuration to the last file."""

import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from polymode.chemistry.learner.alerts import CollapseAlert
from polymode.chemistry.learner.config import ChemistryConfig
from polymode.chemistry.learner.directory import MODEL, PRIOR, RunDirectory
from polymode.chemistry.learner.learner import Learner
from polymode.chemistry.learner.monitor import Monitor
from polymode.chemistry.learner.table import columns_of
from polymode.chemistry.models import SmilesModel, load_model, load_prior, save_model
from polymode.chemistry.oracles import Oracle, build_oracle

__all__ = ["ChemistryRun"]

Watch = Callable[[int, Mapping[str, float]], None]


class ChemistryRun:
    """Trains a prior into a policy that finds many different good molecules.

    Parameters
    ----------
    config : ChemistryConfig
        The configuration: `check_config` makes one of a dict, `read_config` of a file.
    directory : path
        Where everything is written; must not hold a run, unless `resume` is set.
    resume : bool
        Go on from the last checkpoint in the directory.
    prior : SmilesModel, optional
        Instead of the one that the configuration names.
    oracle : Oracle, optional
        Instead of the one that the configuration describes; its budget holds.
    device : str
        Where the models are: "cpu", or as torch names it.

    Raises
    ------
    InputError
        If the directory holds a run, or none to go on with, or the prior cannot be read.

    Notes
    -----
    With one thread (``OMP_NUM_THREADS=1``) a run that was killed and goes on gives bit for bit what
    it would have given.

    Examples
    --------
    .. code-block:: python

        from polymode.chemistry import ChemistryRun, check_config

        config = check_config({"oracle": {"components": [{"type": "qed"}], "budget": 1000}})
        result = ChemistryRun(config, "my-run").train()
    """

    def __init__(
        self,
        config: ChemistryConfig,
        directory: Path | str,
        *,
        resume: bool = False,
        prior: SmilesModel | None = None,
        oracle: Oracle | None = None,
        device: str = "cpu",
    ) -> None:
        self.config = config
        self.directory = RunDirectory(Path(directory), tensorboard=config.run.tensorboard)
        self.n_steps = 0
        state: dict[str, Any] = {}
        kept_prior = self.directory.path / PRIOR
        if resume:
            policy, state = self.directory.go_back()
            prior = load_model(kept_prior)
            self.directory.write_config(config)
        else:
            prior = deepcopy(prior) if prior is not None else load_prior(config.prior.model)
            policy = deepcopy(prior)
            self.directory.start(config)
            save_model(prior, kept_prior)
        oracle = oracle if oracle is not None else build_oracle(config.oracle)
        self.learner = Learner(config, policy.to(device), prior.to(device), oracle)
        self.monitor = Monitor(threshold=config.target.threshold)
        self._alert = CollapseAlert(
            window=config.alert.window,
            repeats=config.alert.repeats,
            effective_scaffolds=config.alert.effective_scaffolds,
        )
        if state:
            self.n_steps = state["step"]
            self.learner.load_state(state["learner"])
            self.monitor.load_state(state["monitor"])
            self._alert.load_state(state["alert"])

    def train(self, *, watch: Watch | None = None) -> dict[str, Any]:
        """Train until the steps, the budget or the strings for it are spent.

        Parameters
        ----------
        watch : callable, optional
            Called after each step with its number and its figures.

        Returns
        -------
        dict
            What ``result.json`` holds: ``steps``, ``seconds``, ``stopped`` (why: ``budget``,
            ``steps``, ``strings`` or ``collapse``), ``figures`` (of the last step) and ``losses``
            (of the oracle, in words).
        """
        started, figures = time.perf_counter(), dict[str, float]()
        saved_at, saved_step = started, -1
        settings = self.config.run
        try:
            while not (stopped := self._reason_to_stop()):
                figures, alert = self.step()
                if watch is not None:
                    watch(self.n_steps, figures)
                if alert and self.config.alert.stop:
                    stopped = "collapse"
                    break
                late = time.perf_counter() - saved_at > settings.checkpoint_seconds
                if late or self.n_steps % settings.checkpoint_every == 0:
                    self._checkpoint()
                    saved_at, saved_step = time.perf_counter(), self.n_steps
            if saved_step != self.n_steps:
                self._checkpoint()
        finally:
            self.learner.close()
            self.directory.close()
        save_model(self.learner.policy, self.directory.path / MODEL)
        result = {
            "steps": self.n_steps,
            "seconds": time.perf_counter() - started,
            "stopped": stopped,
            "figures": figures,
            "oracle": dict(self.learner.oracle.counts),
            "losses": list(self.learner.oracle.messages),
        }
        self.directory.finish(result)
        return result

    def step(self) -> tuple[dict[str, float], str | None]:
        """Take a step, write down what it did, and return its figures and a sign of collapse."""
        started = time.perf_counter()
        n_calls = self.learner.oracle.n_calls
        step = self.learner.step()
        self.n_steps += 1
        figures = self.monitor.figures(step, self.learner)
        self.directory.add_molecules(columns_of(step, self.n_steps, n_calls))
        self.directory.log(self.n_steps, figures, time.perf_counter() - started)
        alert = self._alert.watch(
            frac_repeats=figures["samples/frac_repeats"],
            effective_scaffolds=figures["diversity/effective_scaffolds"],
        )
        if alert:
            self.directory.alert(self.n_steps, alert)
        return figures, alert

    def _reason_to_stop(self) -> str:
        """Return why the run is over, nothing if it is not."""
        oracle, settings = self.learner.oracle, self.config.run
        if oracle.exhausted:
            return "budget"
        if settings.steps is not None and self.n_steps >= settings.steps:
            return "steps"
        limit = math.inf if oracle.budget is None else settings.strings_per_call * oracle.budget
        return "strings" if self.monitor.n_samples >= limit else ""

    def _checkpoint(self) -> None:
        state = {
            "learner": self.learner.state(),
            "monitor": self.monitor.state(),
            "alert": self._alert.state(),
        }
        keep = self.config.run.keep_checkpoints
        self.directory.checkpoint(self.n_steps, self.learner.policy, state, keep=keep)
