"""The methods that the benchmarks compare: each a configuration of the one learner.

Sections left out are the learner's defaults. The task gives the oracle and the threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polymode.core import checks

__all__ = ["METHODS", "Method", "find_method"]

_Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Method:
    """What is set in the configuration of a run, and where it comes from."""

    about: str
    sections: _Sections = field(default_factory=dict[str, Mapping[str, Any]])


def find_method(name: str) -> Method:
    """Return a method by its name.

    Parameters
    ----------
    name : str
        The name.

    Raises
    ------
    ArgumentError
        If there is none of this name.
    """
    checks.require(checks.known("method", name, METHODS))
    return METHODS[name]


_SQUARED = {"objective": "reinvent", "batch_size": 64, "learning_rate": 5e-4, "unique": True}
_PMO = {**_SQUARED, "sigma": 500.0, "likelihood_penalty": 5000.0}
_PMO_REPLAY = {"kind": "top", "n": 24, "size": 100, "weights": "reward"}
_MILD = {**_SQUARED, "sigma": 60.0}
_NONE = {"kind": "none"}
_PLAIN = {"name": "plain"}
_BATCH_ANCHOR = {"name": "anchored", "carry": False}
_CLUSTERS = {"kind": "cluster", "distance": 0.7}
_FINE_CLUSTERS = {"kind": "cluster", "distance": 0.5}
_EVEN = {"kind": "modes", "n": 24}
_PRESSED = {
    "name": "anchored_modes",
    "floor": "mean",
    "pressure": {"kind": "visits", "visits": "budget"},
}
_SATURN = {**_SQUARED, "sigma": 128.0, "learning_rate": 1e-4}
_MURCKO_10 = {"kind": "murcko", "bucket_size": 10}

METHODS: Mapping[str, Method] = {
    "reinvent": Method(
        "REINVENT with PMO's settings: sigma 500, replay 24, penalty on likely strings",
        {"learner": _PMO, "target": _PLAIN, "replay": _PMO_REPLAY, "modes": _NONE},
    ),
    "reinvent-murcko": Method(
        "the same with the filter on identical Murcko scaffolds, 25 molecules each",
        {
            "learner": _PMO,
            "target": _PLAIN,
            "replay": _PMO_REPLAY,
            "modes": _NONE,
            "filter": {"kind": "murcko", "bucket_size": 25},
        },
    ),
    "reinvent-mild": Method(
        "REINVENT closer to its prior: sigma 60, no replay, no penalty",
        {"learner": _MILD, "target": _PLAIN, "replay": _NONE, "modes": _NONE},
    ),
    "reinvent-mild-murcko": Method(
        "the same with the filter on identical Murcko scaffolds, 25 molecules each",
        {
            "learner": _MILD,
            "target": _PLAIN,
            "replay": _NONE,
            "modes": _NONE,
            "filter": {"kind": "murcko", "bucket_size": 25},
        },
    ),
    "augmented-memory": Method(
        "Augmented Memory with the scaffold filter: sigma 500, memory 64, 2 rounds",
        {
            "learner": {**_SQUARED, "sigma": 500.0},
            "target": _PLAIN,
            "replay": {"kind": "top", "n": 0, "size": 64, "augmentation_rounds": 2},
            "modes": _NONE,
            "filter": _MURCKO_10,
        },
    ),
    "saturn": Method(
        "Saturn's settings: Augmented Memory, batch 16, 10 rounds, sigma 128, lr 1e-4, buckets 10",
        {
            "learner": {**_SATURN, "batch_size": 16},
            "target": _PLAIN,
            "replay": {"kind": "top", "n": 10, "size": 100, "augmentation_rounds": 10},
            "modes": _NONE,
            "filter": _MURCKO_10,
        },
    ),
    "mara-strings": Method(
        "the paper's anchoring of strings, an anchor for each batch, with reinvent-mild's settings",
        {"learner": _MILD, "target": _BATCH_ANCHOR, "replay": _NONE, "modes": _NONE},
    ),
    "mara-strings-lv": Method(
        "anchoring of strings, an anchor for the run, by the log-variance loss",
        {
            "learner": {"objective": "log_variance", "sigma": 60.0, "learning_rate": 5e-4},
            "target": {"name": "anchored"},
            "replay": _NONE,
            "modes": _NONE,
        },
    ),
    "mara-modes": Method(
        "anchoring of fine clusters by the log-variance loss, even replay, pressure by visits",
        {
            "learner": {"objective": "log_variance", "sigma": 60.0, "learning_rate": 5e-4},
            "target": _PRESSED,
            "replay": _EVEN,
            "modes": _FINE_CLUSTERS,
        },
    ),
    "mara-modes-calm": Method(
        "anchoring of clusters at sigma 60, without pressure",
        {
            "learner": {"objective": "log_variance", "sigma": 60.0, "learning_rate": 5e-4},
            "target": {"name": "anchored_modes"},
            "replay": _EVEN,
            "modes": _CLUSTERS,
        },
    ),
    "paper-reinvent": Method(
        "the paper's baseline: sigma 128, lr 1e-4, replay 10 of 100, scaffold filter of 10",
        {
            "learner": _SATURN,
            "target": _PLAIN,
            "replay": {"kind": "top", "n": 10, "size": 100},
            "modes": _NONE,
            "filter": _MURCKO_10,
        },
    ),
    "paper-mara": Method(
        "the paper's MARA: as its baseline, with an anchor for each batch",
        {
            "learner": _SATURN,
            "target": _BATCH_ANCHOR,
            "replay": {"kind": "top", "n": 10, "size": 100},
            "modes": _NONE,
            "filter": _MURCKO_10,
        },
    ),
}
"""The methods by their names."""
