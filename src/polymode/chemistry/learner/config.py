"""The configuration of a run on molecules: one TOML file, checked as a whole before it starts."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from polymode.chemistry.learner.filters import FilterKind
from polymode.chemistry.learner.modes import ModeKind
from polymode.chemistry.learner.replay import ReplayKind
from polymode.chemistry.oracles.config import OracleConfig
from polymode.chemistry.sections import Section, checked
from polymode.core.checks import did_you_mean, known
from polymode.core.shaping import SHAPERS

__all__ = ["ChemistryConfig", "check_config"]

ANCHORED_MODES = "anchored_modes"
TARGETS = (*SHAPERS, ANCHORED_MODES)
_COLUMNS = ("log_probs", "groups", "lengths", "modes", "outputs")
_FILLED_IN = ("beta", "threshold")


class PriorSection(Section):
    """What the policy starts from, and stays close to."""

    model: str = "zinc250k"
    """Name of a prior that ships with polymode, or a file that `polymode prior train` wrote."""


class LearnerSection(Section):
    """How the policy learns."""

    objective: Literal["reinvent", "policy_gradient", "log_variance"] = "log_variance"
    """The loss. All three have the same target; log_variance may replay."""
    sigma: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Nats per reward unit, 1 / beta: how far rewards may lead away from the prior."""
    batch_size: int = Field(default=64, ge=2)
    """Strings drawn in a step."""
    learning_rate: float = Field(default=5e-4, gt=0, allow_inf_nan=False)
    """Of Adam."""
    max_gradient_norm: float | None = Field(default=None, gt=0)
    """Gradients longer than this are cut to it; unset: never."""
    likelihood_penalty: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of PMO's penalty on likely strings, for reinvent only; PMO takes 5000."""
    unique: bool = False
    """Leave repeats within a batch out of the loss, as REINVENT does; not with policy_gradient."""
    max_length: int = Field(default=128, ge=1)
    """Tokens after which a string is cut; such strings are not learned from."""
    sample_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What strings are drawn in."""
    likelihood_dtype: Literal["float32", "bfloat16"] = "float32"
    """What log-probabilities are computed in; bfloat16 is faster and off by some .06 nats each."""


class PressureSection(Section):
    """What lowers modes that the policy has visited; for anchored_modes only."""

    kind: Literal["none", "visits", "mass"] = "visits"
    """visits: a mode is used up after so many; mass: a mode with a large share loses."""
    visits: float | Literal["budget"] = "budget"
    """Visits that use a mode up; "budget": what is left of the budget over the modes found."""
    budget_share: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """With "budget": part of what is left that visits may take."""
    min_visits: float = Field(default=8.0, gt=0, allow_inf_nan=False)
    """With "budget": the fewest visits."""
    strength: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Of mass: the exponent."""
    capped: bool = True
    """Of visits: used-up modes stay at the floor; false: they go on falling."""
    near_misses: bool = True
    """Whether what is no hit but lies in a mode loses its reward as the mode is used up: else a
    used-up mode is circled by molecules just below the threshold."""

    @field_validator("visits")
    @classmethod
    def _positive(cls, value: Any) -> Any:
        if not isinstance(value, str) and not value > 0:
            raise ValueError(f"must be above 0, or 'budget', got {value!r}")
        return value


class TargetSection(Section):
    """What the policy is to become: a shaper, or modes anchored over the run."""

    name: str = ANCHORED_MODES
    """plain (REINVENT), anchored (the paper: strings are made equal), anchored_modes (structural
    modes are made equal), or any other shaper of polymode."""
    threshold: float = Field(default=0.5, allow_inf_nan=False)
    """From which reward on a molecule is a hit."""
    carry: bool = True
    """For anchored: one anchor for the whole run; false: one for each batch, as in the paper."""
    level: float | Literal["best"] = 1.0
    """For anchored_modes: the reward that every hit gets, or that of the best so far."""
    floor: float | Literal["threshold", "mean"] = "mean"
    """For anchored_modes: the reward that a used-up mode falls to; mean: what molecules that are
    no hits earn, so that leaving a mode costs no more than finding none."""
    pressure: PressureSection = PressureSection()
    """For anchored_modes."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """More parameters of the shaper."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        yield from known("name", self.name, TARGETS)
        if self.name not in SHAPERS:
            if self.parameters:
                yield "parameters are for shapers, anchored_modes has none: see level and pressure"
            if isinstance(self.level, float) and self.level < self.threshold:
                yield f"level must be at least the threshold, got {self.level}"
            return
        if "pressure" in self.model_fields_set and self.pressure.kind != "none":
            yield f"pressure is for anchored_modes only, got name {self.name!r}"
        signature = inspect.signature(SHAPERS[self.name]).parameters.values()
        own = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}
        free = [key for key in own if key not in (*_COLUMNS, *_FILLED_IN)]
        for key in self.parameters:
            if key in _FILLED_IN:
                yield f"parameters.{key} must not be given: the run sets it"
            elif key not in free:
                hint = did_you_mean(key, free) or f"; known are {', '.join(free) or 'none'}"
                yield f"unknown key 'parameters.{key}'{hint}"
        for key in free:
            if own[key] is inspect.Parameter.empty and key not in self.parameters:
                yield f"parameters.{key} must be given: {self.name} needs it"


class ModesSection(Section):
    """What counts as the same mode."""

    kind: ModeKind = "cluster"
    """canonical, murcko, generic, cluster (around the first hit far from earlier ones), none."""
    distance: float = Field(default=0.7, ge=0, le=1)
    """Radius of a cluster, a Tanimoto distance."""
    radius: int = Field(default=2, ge=1)
    """Of the Morgan fingerprints of clusters."""
    n_bits: int = Field(default=2048, ge=64, multiple_of=64)
    """Of the Morgan fingerprints of clusters."""


class ReplaySection(Section):
    """What is learned from again."""

    kind: ReplayKind = "modes"
    """top: the best molecules (inception); modes: hits, drawn evenly over modes; none."""
    n: int = Field(default=24, ge=0)
    """Molecules replayed in a step."""
    size: int = Field(default=100, ge=1)
    """Molecules that top keeps; and modes of those that are no hits, for when hits are few."""
    per_mode: int = Field(default=64, ge=1)
    """Molecules of a mode that modes keeps."""
    weights: Literal["uniform", "reward"] = "uniform"
    """How top draws."""
    augmentation_rounds: int = Field(default=0, ge=0)
    """Updates on the batch and all of the memory, as random SMILES, after each step (Augmented
    Memory; 2 there, 10 in Saturn)."""
    purge: bool = True
    """Drop molecules whose scaffold the filter has penalised before augmentation."""


class FilterSection(Section):
    """The peers' diversity filters; baselines beside anchoring."""

    kind: FilterKind = "none"
    """murcko, topological, similarity, same_smiles, occurrence or none."""
    bucket_size: int = Field(default=25, ge=1)
    """Molecules of a scaffold that keep their reward."""
    min_score: float = Field(default=0.4, allow_inf_nan=False)
    """Rewards below are left alone."""
    min_similarity: float = Field(default=0.4, ge=0, le=1)
    """For similarity: from which Dice similarity on scaffolds share a bucket."""
    penalty: float = Field(default=0.5, ge=0, le=1)
    """For same_smiles: factor of what was seen before."""
    tolerance: int = Field(default=5, ge=0)
    """For occurrence: draws of a molecule that keep the reward."""
    fade: int = Field(default=10, ge=1)
    """For occurrence: draws over which the reward then falls to 0."""


class AlertSection(Section):
    """When a run is said to have collapsed."""

    window: int = Field(default=20, ge=1)
    """Steps in a row."""
    repeats: float = Field(default=0.8, ge=0, le=1)
    """Share of molecules seen before, above which a step is a sign."""
    effective_scaffolds: float = Field(default=4.0, ge=0, allow_inf_nan=False)
    """Effective number of scaffolds in a batch, below which a step is a sign."""
    stop: bool = False
    """End the run then."""


class RunSection(Section):
    """How long, and what is kept."""

    steps: int | None = Field(default=None, ge=1)
    """Steps; unset: until the oracle's budget is spent."""
    strings_per_call: float = Field(default=10.0, gt=0)
    """The run ends once so many strings were drawn for each call of the budget, spent or not: a
    policy that only repeats itself makes no more calls and would never end. inf: no limit."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints."""
    checkpoint_seconds: float = Field(default=300.0, gt=0)
    """Seconds between checkpoints at most, for slow oracles."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """How many of the last are kept."""
    tensorboard: bool = True
    """Write metrics for TensorBoard, too."""


class ChemistryConfig(Section):
    """A run on molecules."""

    oracle: OracleConfig
    """What molecules are rewarded for."""
    prior: PriorSection = PriorSection()
    learner: LearnerSection = LearnerSection()
    target: TargetSection = TargetSection()
    modes: ModesSection = ModesSection()
    replay: ReplaySection = ReplaySection()
    filter: FilterSection = FilterSection()
    alert: AlertSection = AlertSection()
    run: RunSection = RunSection()

    @model_validator(mode="after")
    def _together(self) -> Self:
        if problems := [*self._learner_problems(), *self._mode_problems()]:
            raise ValueError("\n".join(problems))
        return self

    def _learner_problems(self) -> Iterator[str]:
        """Yield settings that do not go together with the objective."""
        learner, replay = self.learner, self.replay
        if learner.objective == "policy_gradient":
            if replay.kind != "none":
                yield (
                    "replay.kind must be 'none' with learner.objective policy_gradient, which "
                    "learns from the policy's own molecules only: take log_variance to replay"
                )
            if learner.unique:
                yield "learner.unique must be false with policy_gradient: it would bias it"
        if learner.likelihood_penalty and learner.objective != "reinvent":
            yield "learner.likelihood_penalty is for learner.objective reinvent only"
        if replay.augmentation_rounds and replay.kind == "none":
            yield "replay.augmentation_rounds needs a memory: set replay.kind to top or modes"
        if self.run.steps is None and self.oracle.budget is None:
            yield "run.steps or oracle.budget must be given: the run would never end"

    def _mode_problems(self) -> Iterator[str]:
        """Yield what needs modes and has none."""
        if self.modes.kind != "none":
            return
        if self.replay.kind == "modes":
            yield "replay.kind modes needs modes: set modes.kind"
        if self.target.name == ANCHORED_MODES:
            yield "target.name anchored_modes needs modes: set modes.kind"
        shaper = SHAPERS.get(self.target.name)
        column = None if shaper is None else inspect.signature(shaper).parameters.get("modes")
        if column is not None and column.default is inspect.Parameter.empty:
            yield f"target.name {self.target.name} needs modes: set modes.kind"


def check_config(content: Mapping[str, Any], *, owner: str = "config") -> ChemistryConfig:
    """Return a configuration made of a mapping of sections.

    Parameters
    ----------
    content : mapping
        The sections.
    owner : str
        What messages call it.

    Raises
    ------
    ConfigError
        If anything is wrong; lists everything.
    """
    return checked(ChemistryConfig, content, owner=owner)
