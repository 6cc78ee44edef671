"""The table of molecules: one row for every string that a run drew, in Parquet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymode.chemistry.learner.learner import Step
from polymode.files import whole_file

__all__ = ["columns_of", "write_part"]


def columns_of(step: Step, number: int, n_calls: int) -> dict[str, Any]:
    """Return the rows of a step.

    Parameters
    ----------
    step : Step
        What the step drew.
    number : int
        Number of the step.
    n_calls : int
        Oracle calls before the step.
    """
    batch, n = step.batch, len(step.batch.kept)
    scores = batch.scores
    modes = batch.modes or [None] * n
    hits = batch.hits.tolist()
    columns: dict[str, Any] = {
        "step": np.full(n, number, dtype=np.int32),
        "smiles": list(batch.sample.smiles),
        "canonical": list(scores.canonical),
        "reward": scores.rewards,
        "ref_log_prob": batch.ref_log_probs,
        "log_prob": batch.log_probs,
        "n_tokens": batch.sample.n_tokens.cpu().numpy().astype(np.int32),
        "valid": np.array([name is not None for name in scores.canonical]),
        "new": np.asarray(scores.new),
        "n_calls": (n_calls + np.cumsum(scores.new)).astype(np.int64),
        "mode": [str(mode) if hit else None for mode, hit in zip(modes, hits, strict=True)],
        "status": [
            "truncated" if cut else status
            for cut, status in zip(batch.sample.truncated.tolist(), scores.status, strict=True)
        ],
        "shaped_reward": step.shaped,
    }
    columns |= {f"raw/{name}": values for name, values in scores.raw.items()}
    return columns | {f"score/{name}": values for name, values in scores.transformed.items()}


def write_part(directory: Path, steps: Sequence[dict[str, Any]], number: int) -> Path:
    """Write the rows of some steps as one file, in one piece.

    Parameters
    ----------
    directory : Path
        Where the parts are kept.
    steps : sequence of dict
        What `columns_of` returned for each, at least one.
    number : int
        The last step.

    Returns
    -------
    Path
        ``molecules_<step>.parquet``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: _joined([step[name] for step in steps]) for name in steps[0]}
    path = directory / f"molecules_{number:06d}.parquet"
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    with whole_file(path) as scratch:
        pq.write_table(table, scratch)
    return path


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [value for part in parts for value in part]
