"""The section `[oracle]` of a configuration, and the oracle that it describes.

.. code-block:: toml

    [oracle]
    aggregation = "geometric_mean"
    budget = 10000

    [[oracle.components]]
    type = "qed"

    [[oracle.components]]
    type = "mw"
    transform = { type = "double_sigmoid", low = 200, high = 500 }

    [[oracle.components]]
    type = "my_models:activity"  # a function of yours
    name = "activity"
    weight = 2
"""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from polymode.chemistry.oracles.aggregation import Aggregation
from polymode.chemistry.oracles.builtin.registry import BUILTIN
from polymode.chemistry.oracles.component import Component, Direction, Endpoint, UserFunction
from polymode.chemistry.oracles.oracle import Oracle
from polymode.chemistry.oracles.processes import Processes, n_cores, packed
from polymode.chemistry.oracles.schedule import Executor, Inline
from polymode.chemistry.oracles.transforms import TRANSFORMS, NoTransform, Transform
from polymode.chemistry.sections import Section, findings
from polymode.core.checks import did_you_mean
from polymode.errors import ArgumentError
from polymode.metrics.dotted import function_at

__all__ = ["ComponentConfig", "EndpointConfig", "OracleConfig", "build_oracle"]

_REVERSE = ("reverse_sigmoid", "left_step")


class EndpointConfig(Section):
    """One of several values of a component."""

    name: str = Field(min_length=1)
    """Its key if the function returns a mapping; else only what it is called."""
    transform: Transform | None = None
    """From values to scores; none by default."""
    direction: Direction = "maximise"
    """minimise: one minus the score."""
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """In the aggregation; 0: watched only."""

    @field_validator("transform", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """Take the bare name of a transform, and say what a wrong one may have meant."""
        given = {"type": value} if isinstance(value, str) else value
        if isinstance(given, dict) and given.get("type") not in TRANSFORMS:
            name = given.get("type")
            hint = did_you_mean(name, TRANSFORMS) or f"; known are {', '.join(TRANSFORMS)}"
            raise ValueError(f"type must be the name of a transform, got {name!r}{hint}")
        return given

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        kind = getattr(self.transform, "type", "none")
        if self.direction == "minimise" and kind in _REVERSE:
            raise ValueError(
                f"direction minimise turns {kind} round once more: drop one of the two"
            )
        return self


class ComponentConfig(EndpointConfig):
    """A component."""

    type: str
    """Name of a built-in component, or the dotted path ``package.module:function`` of yours."""
    name: str = ""
    """What tables and messages call it; by default its type."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Of a built-in component, or passed by name to your function."""
    takes: Literal["mols", "smiles"] = "mols"
    """What your function is given: RDKit molecules, or canonical SMILES."""
    endpoints: tuple[EndpointConfig, ...] = ()
    """If a call gives several values of each molecule: one for each."""
    batch_size: int = Field(default=32, ge=1)
    """How many molecules a call gets at most."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.name:
            object.__setattr__(self, "name", re.split("[.:]", self.type)[-1])
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        return self

    @property
    def is_builtin(self) -> bool:
        """Whether the type is a name of ours."""
        return self.type in BUILTIN

    def function(self) -> Any:
        """Return what measures."""
        if self.is_builtin:
            return BUILTIN[self.type].model_validate(self.parameters)
        return UserFunction(self.type, tuple(self.parameters.items()), self.takes)

    def component(self) -> Component:
        """Return the component."""
        kind = BUILTIN.get(self.type)
        parts = self.endpoints or (self,)
        return Component(
            self.name,
            self.function(),
            endpoints=tuple(self._endpoint(part) for part in parts),
            batch_size=self.batch_size,
            guarded=kind is None or kind.guarded,
        )

    def _endpoint(self, part: EndpointConfig) -> Endpoint:
        default = getattr(BUILTIN.get(self.type), "default_transform", None) or NoTransform()
        return Endpoint(
            self.name if part is self else f"{self.name}.{part.name}",
            part.transform or default,
            part.direction,
            part.weight,
        )

    def _problems(self) -> Iterator[str]:
        """Yield what is wrong beyond single fields."""
        if self.is_builtin:
            yield from self._builtin_problems(BUILTIN[self.type])
        elif not re.search("[.:]", self.type):
            hint = did_you_mean(self.type, BUILTIN) or f"; known are {', '.join(BUILTIN)}"
            wanted = "a component or a path like package.module:function"
            yield f"type must be {wanted}, got {self.type!r}{hint}"
        else:
            try:
                function_at(self.type, name="type")
            except ArgumentError as error:
                yield str(error)
        if self.endpoints and {"transform", "direction", "weight"} & self.model_fields_set:
            yield "transform, direction and weight belong to each of the endpoints"

    def _builtin_problems(self, kind: Any) -> Iterator[str]:
        """Yield what is wrong with the parameters of a built-in component."""
        try:
            function: Any = kind.model_validate(self.parameters)
        except ValidationError as error:
            yield from findings(error, kind, prefix="parameters.")
            return
        if not function.scored and not (self.transform or self.weight == 0):
            span = f"{function.span}{' ' * bool(function.unit)}{function.unit}"
            yield (
                f"transform must be given: {self.type} is no score in [0, 1] but {span}; for "
                'instance { type = "double_sigmoid", low = …, high = … }'
            )
        if self.endpoints:
            yield f"endpoints must not be given: {self.type} has one value"
        if self.takes != "mols":
            yield "takes is for functions of yours only"


class OracleConfig(Section):
    """What molecules are rewarded for."""

    components: tuple[ComponentConfig, ...]
    """What measures."""
    aggregation: Aggregation = "geometric_mean"
    """How scores become a reward: product, geometric_mean or arithmetic_mean."""
    budget: int | None = Field(default=None, ge=1)
    """How many different molecules may be measured; unset: any number."""
    workers: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """How many processes measure. 0: none but this one, which cannot end a call that hangs. auto: a
    process for each core (with Ray: of the cluster) if a component is yours, docks, or asks another
    program; else 0."""
    backend: Literal["processes", "ray"] = "processes"
    """Where they are: on this machine, or wherever a Ray cluster has cores."""
    ray_address: str | None = None
    """Of the Ray cluster: auto, host:port or ray://host:port; unset: a new one on this machine."""
    time_limit: float | None = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Seconds for one call of one component, with workers. A call that takes longer is killed, and
    its molecules are tried in halves."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if not self.components:
            yield "components must hold one component at least, got none"
            return
        if self.backend == "ray" and self.workers == 0:
            yield 'workers must be "auto" or at least 1 with the backend ray, got 0'
        names = [one.name for one in self.components]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"names of components must differ, got {name!r} {names.count(name)} times"
        parts = [part for one in self.components for part in (one.endpoints or (one,))]
        if not any(part.weight > 0 for part in parts):
            yield "weights must hold one above 0, got none"


def build_oracle(config: OracleConfig) -> Oracle:
    """Return the oracle that a configuration describes.

    Parameters
    ----------
    config : OracleConfig
        The section.

    Raises
    ------
    ArgumentError
        If a component cannot be sent to processes.
    MissingExtraError
        If a package is missing that a component or backend needs.
    InputError
        If the Ray cluster cannot be reached.
    """
    components = [each.component() for each in config.components]
    return Oracle(
        components,
        aggregation=config.aggregation,
        budget=config.budget,
        executor=_executor(config, components),
    )


def _executor(config: OracleConfig, components: Sequence[Component]) -> Executor:
    """Return what carries out the calls."""
    n = None if config.workers == "auto" else config.workers
    if config.backend == "ray":
        from polymode.chemistry.oracles.cluster import RayActors

        return RayActors(
            packed(components),
            n_actors=n,
            time_limit=config.time_limit,
            address=config.ray_address,
        )
    if n is None:
        n = n_cores() if os.name == "posix" and any(each.guarded for each in components) else 0
    if n == 0:
        return Inline(components)
    return Processes(packed(components), n_processes=n, time_limit=config.time_limit)
