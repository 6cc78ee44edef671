"""The built-in components by the names that a configuration has for them."""

from polymode.chemistry.oracles.builtin import properties
from polymode.chemistry.oracles.builtin.base import BuiltIn

__all__ = ["BUILTIN"]

BUILTIN: dict[str, type[BuiltIn]] = {
    "qed": properties.Qed,
    "sa": properties.SA,
    "mw": properties.MW,
    "logp": properties.LogP,
    "tpsa": properties.TPSA,
    "hbd": properties.HBD,
    "hba": properties.HBA,
    "rings": properties.Rings,
    "rotatable_bonds": properties.RotatableBonds,
}
"""Names and classes."""
