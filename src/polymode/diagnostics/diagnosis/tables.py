"""The tables of a report: prompts, and their outputs with weights now and under anchoring."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from polymode.diagnostics.diagnosis.anchored import Anchoring
from polymode.diagnostics.diagnosis.measures import Measure
from polymode.diagnostics.diagnosis.outputs import DistinctOutputs
from polymode.diagnostics.diagnosis.report import OutputTable, SampleSummary
from polymode.diagnostics.diagnosis.samples import RecordedSamples
from polymode.diagnostics.diagnosis.segments import Segments
from polymode.diagnostics.diagnosis.targets import Problem

__all__ = ["group_sizes", "output_table", "sample_summary", "size_summary"]

_LEAST = 1e-9  # probability of what was seen, at least, in the table of outputs
_SURE = 0.95  # probability of seeing the rarest good mode


def sample_summary(samples: RecordedSamples, table: DistinctOutputs) -> SampleSummary:
    """Return what a diagnosis was made from.

    Parameters
    ----------
    samples : RecordedSamples
        The samples.
    table : DistinctOutputs
        The same as distinct outputs.

    Returns
    -------
    SampleSummary
        Counts.
    """
    n = table.n_samples
    return SampleSummary(
        source=samples.source,
        drawn_from=samples.drawn_from,
        n_rows=samples.n_rows,
        n_samples=samples.n_samples,
        n_prompts=len(table.prompts),
        n_outputs=len(table.text),
        n_modes=len(table.modes),
        samples_per_prompt=(int(n.min()), int(np.median(n)), int(n.max())),
        modes_are_outputs=table.by_output,
        has_policy=table.log_p is not None,
        bad_rows=samples.bad_rows,
    )


def group_sizes(problem: Problem) -> Float[np.ndarray, " P"]:
    """Return how many samples of the reference show the rarest good mode that was seen.

    Parameters
    ----------
    problem : Problem
        The samples.

    Returns
    -------
    array, shape (P,)
        With a probability of 0.95; NaN where no good mode was seen.
    """
    table, sampling = problem.table, problem.by_reference
    each = np.exp(table.log_q) if table.by_output else sampling.share  # texts that were not seen
    share = table.modes.sum(each)
    good = table.modes.max(problem.good.astype(float)) > 0
    rarest = -table.of_modes.max(np.where(good, -share, -np.inf))
    rarest = np.clip(rarest, 1e-300, 1 - 1e-16)
    size = np.ceil(np.log1p(-_SURE) / np.log1p(-rarest))
    has = table.of_modes.max(good.astype(float)) > 0
    return np.where(has, np.maximum(size, 1.0), np.nan)


def size_summary(sizes: Float[np.ndarray, " P"]) -> Mapping[str, float]:
    """Return group sizes over all prompts.

    Parameters
    ----------
    sizes : array, shape (P,)
        Of each prompt.

    Returns
    -------
    dict
        "median", "most" and "frac_prompts" that have one.
    """
    known = sizes[~np.isnan(sizes)]
    if len(known) == 0:
        return {"median": np.nan, "most": np.nan, "frac_prompts": 0.0}
    return {
        "median": float(np.median(known)),
        "most": float(known.max()),
        "frac_prompts": len(known) / len(sizes),
    }


def output_table(
    samples: RecordedSamples,
    problem: Problem,
    target: Measure,
    anchored: Anchoring,
    *,
    most: int,
    first: int = 0,
) -> OutputTable:
    """Return the outputs of each prompt, those with most weight first.

    Parameters
    ----------
    samples : RecordedSamples
        The samples, for their texts.
    problem : Problem
        The same as distinct outputs.
    target : Measure
        What the objective asks for.
    anchored : Anchoring
        The same, anchored.
    most : int
        How many outputs of each prompt are listed.
    first : int
        Position of the first prompt among all of them.

    Returns
    -------
    OutputTable
        Sorted by prompt and by the larger one of both weights.
    """
    table = problem.table
    log_p = {"reference": table.log_q, "target": target.log_t, "anchored": anchored.log_t}
    if table.log_p is not None:
        log_p["policy"] = table.log_p
    held = {name: _held(values, table.prompts) for name, values in log_p.items()}
    order = np.lexsort((-np.maximum(held["target"], held["anchored"]), table.prompts.index))
    rank = np.arange(len(order)) - table.prompts.starts[table.prompts.index]
    order = order[rank < most]
    texts, names = samples.output_texts, samples.mode_names
    modes = table.mode[order].tolist()
    outputs = tuple(str(texts[i]) for i in table.text[order].tolist())
    return OutputTable(
        prompt=table.prompts.index[order] + first,
        text=outputs,
        mode=outputs
        if samples.modes is None
        else tuple(str(names[i]) if i >= 0 else "" for i in modes),
        n_drawn=table.n_drawn[order].astype(np.int64),
        reward=table.rewards[order],
        ref_log_prob=table.log_q[order],
        reference=held["reference"][order],
        target=held["target"][order],
        anchored=held["anchored"][order],
        policy=held["policy"][order] if "policy" in held else None,
        n_left_out=np.maximum(table.prompts.sizes - most, 0),
    )


def _held(log_p: Float[np.ndarray, " o"], prompts: Segments) -> Float[np.ndarray, " o"]:
    """Return probabilities; of prompts whose sum no float could hold, in proportion."""
    with np.errstate(invalid="ignore"):
        lift = np.nan_to_num(np.maximum(np.log(_LEAST) - prompts.log_sum_exp(log_p), 0.0))
    return np.exp(log_p + prompts.spread(np.where(lift < np.inf, lift, 0.0)))
