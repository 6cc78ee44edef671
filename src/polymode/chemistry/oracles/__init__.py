"""Oracles: what molecules are rewarded for.

`Oracle` scores SMILES with components; `OracleConfig` and `build_oracle` make one from a section of
a configuration file. The names load RDKit on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from polymode.errors import MissingExtraError

if TYPE_CHECKING:
    from polymode.chemistry.oracles.aggregation import aggregate as aggregate
    from polymode.chemistry.oracles.builtin.registry import BUILTIN as BUILTIN
    from polymode.chemistry.oracles.component import Component as Component
    from polymode.chemistry.oracles.component import Endpoint as Endpoint
    from polymode.chemistry.oracles.component import UserFunction as UserFunction
    from polymode.chemistry.oracles.config import ComponentConfig as ComponentConfig
    from polymode.chemistry.oracles.config import EndpointConfig as EndpointConfig
    from polymode.chemistry.oracles.config import OracleConfig as OracleConfig
    from polymode.chemistry.oracles.config import build_oracle as build_oracle
    from polymode.chemistry.oracles.losses import Unavailable as Unavailable
    from polymode.chemistry.oracles.oracle import Oracle as Oracle
    from polymode.chemistry.oracles.oracle import Scores as Scores
    from polymode.chemistry.oracles.transforms import TRANSFORMS as TRANSFORMS

_HOMES = {
    "BUILTIN": "builtin.registry",
    "Component": "component",
    "ComponentConfig": "config",
    "Endpoint": "component",
    "EndpointConfig": "config",
    "Oracle": "oracle",
    "OracleConfig": "config",
    "Scores": "oracle",
    "TRANSFORMS": "transforms",
    "Unavailable": "losses",
    "UserFunction": "component",
    "aggregate": "aggregation",
    "build_oracle": "config",
}
__all__ = [
    "BUILTIN",
    "TRANSFORMS",
    "Component",
    "ComponentConfig",
    "Endpoint",
    "EndpointConfig",
    "Oracle",
    "OracleConfig",
    "Scores",
    "Unavailable",
    "UserFunction",
    "aggregate",
    "build_oracle",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "chemistry") from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
