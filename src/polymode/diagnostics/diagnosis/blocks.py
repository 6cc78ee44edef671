"""What is found of some neighbouring prompts at a time, and how that comes together.

Columns of ten million outputs fit no cache, and each temporary one is memory that the system has to
map and clear; those of a hundred thousand stay where they are. Prompts are independent until their
means are taken, so that nothing else changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from jaxtyping import Bool, Float

from polymode.diagnostics.diagnosis.anchored import Anchoring
from polymode.diagnostics.diagnosis.budget import Parts, budget_parts
from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.reliability import reliability
from polymode.diagnostics.diagnosis.report import OutputTable, Reliability
from polymode.diagnostics.diagnosis.samples import RecordedSamples
from polymode.diagnostics.diagnosis.sampling import Spread
from polymode.diagnostics.diagnosis.settings import DiagnosisSettings
from polymode.diagnostics.diagnosis.tables import group_sizes, output_table
from polymode.diagnostics.diagnosis.targets import Problem

__all__ = ["Found", "find", "joined"]

_T = TypeVar("_T")


class Found(NamedTuple):
    """What is found of some prompts under the objective of the settings.

    Parameters
    ----------
    spreads : mapping of str to mapping of str to Spread
        Figures of each policy.
    parts : Parts
        The terms of the budget.
    trust : Reliability
        How far the samples can be trusted.
    n_good : array, shape (P,)
        Number of good modes within reach.
    group_size : array, shape (P,)
        How many samples show the rarest good mode that was seen.
    beyond_one : array of bool, shape (P,)
        Whether the probabilities of the outputs sum to more than 1.
    outputs : OutputTable
        The outputs with most weight.
    """

    spreads: Mapping[str, Mapping[str, Spread]]
    parts: Parts
    trust: Reliability
    n_good: Float[np.ndarray, " P"]
    group_size: Float[np.ndarray, " P"]
    beyond_one: Bool[np.ndarray, " P"]
    outputs: OutputTable


def find(
    samples: RecordedSamples, problem: Problem, settings: DiagnosisSettings, first: int
) -> Found:
    """Return what is found of some neighbouring prompts.

    Parameters
    ----------
    samples : RecordedSamples
        All samples, for their texts.
    problem : Problem
        Of these prompts.
    settings : DiagnosisSettings
        The objective.
    first : int
        Position of the first one among all prompts.

    Returns
    -------
    Found
        Of these prompts.
    """
    beta, divergence, table = float(settings.beta), settings.divergence, problem.table
    target = problem.target(beta, divergence)
    anchored = Anchoring.of(problem, beta, divergence)
    return Found(
        spreads=_spreads(problem, target, anchored),
        parts=budget_parts(problem, target),
        trust=reliability(problem, target, settings),
        n_good=problem.n_good.value,
        group_size=group_sizes(problem),
        beyond_one=table.prompts.sum(np.exp(table.log_drawn)) > 1 + 1e-3,
        outputs=output_table(
            samples, problem, target, anchored, most=settings.n_outputs, first=first
        ),
    )


def _spreads(
    problem: Problem, target: Measure, anchored: Anchoring
) -> dict[str, dict[str, Spread]]:
    """Return the figures of each policy with their errors."""
    by_reference = problem.by_reference.spread
    out = {
        "reference": {k: by_reference(v) for k, v in problem.reference().figures().items()},
        "target": {k: by_reference(v) for k, v in target.figures().items()},
        "anchored": {k: by_reference(v) for k, v in anchored.figures().items()},
    }
    policy, by_policy = problem.policy(), problem.by_policy
    if policy is not None and by_policy is not None:
        out["policy"] = {k: by_policy.spread(v) for k, v in policy.figures().items()}
    return out


def joined(parts: Sequence[_T]) -> _T:
    """Return one result from those of neighbouring blocks.

    Parameters
    ----------
    parts : sequence
        Results of one kind: arrays whose last axis is that of prompts or outputs, tuples of texts,
        counts, None; or named tuples, dataclasses and mappings of such.

    Returns
    -------
    same as each part
        Arrays and texts end to end, counts added up.
    """
    first, every = cast(Any, parts[0]), cast(Sequence[Any], parts)
    if isinstance(first, np.ndarray):
        return cast(Any, np.concatenate(every, axis=-1))
    if isinstance(first, Mapping):
        return cast(Any, {key: joined([part[key] for part in every]) for key in cast(Any, first)})
    if is_dataclass(first):
        names = (field.name for field in fields(first))
        columns = ([getattr(part, name) for part in every] for name in names)
        return cast(Any, type(first))(*map(joined, columns))
    if hasattr(first, "_fields"):
        return type(first)(*(joined(column) for column in zip(*every, strict=True)))
    if isinstance(first, tuple):
        return cast(Any, tuple(chain.from_iterable(every)))
    return cast(Any, sum(every)) if isinstance(first, int) else first
