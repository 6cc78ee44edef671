"""Add log-probabilities to a file of samples; killed, it goes on where it stopped."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Protocol

from polymode.errors import InputError
from polymode.language.dtypes import sampling_dtype, settled
from polymode.language.scoring.files import read_rows
from polymode.language.scoring.ledger import Ledger, kept_identity
from polymode.language.scoring.model import Scorer
from polymode.language.scoring.settings import ScoreSettings
from polymode.language.scoring.tables import merged_tables
from polymode.language.scoring.writing import write_scored

__all__ = ["Reporter", "Scored", "score_samples"]

_N_ROWS = 512  # read, sorted by length, scored and kept together


class Reporter(Protocol):
    """What a front end is told while samples are scored."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def progress(self, done: int, total: int) -> None:
        """So many rows are done."""


@dataclass(frozen=True)
class Scored:
    """What was done.

    Parameters
    ----------
    n_rows : int
        Rows of the file.
    n_resumed : int
        How many of them an earlier process had scored.
    dtype : str
        What the weights were in: never "auto".
    problems : mapping of str to int
        Rows without a score in this process, by reason.
    """

    n_rows: int
    n_resumed: int
    dtype: str
    problems: Mapping[str, int]


def score_samples(settings: ScoreSettings, reporter: Reporter) -> Scored:
    """Write the samples with `ref_log_prob` (or `log_prob`) and `n_tokens`.

    Parameters
    ----------
    settings : ScoreSettings
        What, with which model, where to.
    reporter : Reporter
        Told of stages and rows.

    Returns
    -------
    Scored
        How many rows, and which have no score.

    Raises
    ------
    InputError
        If the file, the model or the output is not usable.
    UnsupportedOptionError
        If the model cannot be scored.

    Notes
    -----
    Exact up to the rounding of the weights' dtype. An output is tokenised by itself: a sample that
    was drawn token by token along another split of the same text has another probability. Scores
    are kept beside the output, in ``OUTPUT.scores``, until all are there.
    """
    out = settings.target
    if out.exists() and not settings.overwrite:
        raise InputError(f"{out} is there already: --overwrite replaces it")
    if settings.samples.is_dir():
        rows = out.with_name(f"{out.stem}.rows.parquet")
        merged_tables(settings.samples, rows, last=settings.last)
        done = score_samples(replace(settings, samples=rows, output=out), reporter)
        rows.unlink()
        return done
    taken = None if settings.overwrite else settings.column
    total = sum(1 for _ in read_rows(settings.samples, settings.columns, taken))
    if total == 0:
        raise InputError(f"{settings.samples} has no row")
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f"{out.name}.scores")
    kept = kept_identity(path).get("dtype")
    settings = replace(settings, dtype=settled(settings.dtype, kept, sampling_dtype))
    ledger = Ledger(path, _identity(settings), overwrite=settings.overwrite)
    n_resumed = ledger.n_done
    problems: Mapping[str, int] = {}
    reporter.progress(n_resumed, total)
    if n_resumed < total:
        reporter.stage(f"loading {settings.model}")
        scorer = Scorer(settings)
        rows = islice(read_rows(settings.samples, settings.columns, taken), n_resumed, None)
        while part := list(islice(rows, _N_ROWS)):
            ledger.add(scorer.score(part))
            reporter.progress(ledger.n_done, total)
        problems = scorer.problems
    write_scored(
        settings.samples,
        out,
        ledger.scores(),
        column=settings.column,
        overwrite=settings.overwrite,
    )
    ledger.path.unlink()
    return Scored(total, n_resumed, settings.dtype, problems)


def _identity(settings: ScoreSettings) -> dict[str, Any]:
    """Return what the scores are scores of."""
    facts = settings.samples.stat()
    own = {name: value for name, value in asdict(settings).items() if name not in _FREE}
    return {
        **own,
        "samples": str(settings.samples.resolve()),
        "n_bytes": facts.st_size,
        "changed": facts.st_mtime_ns,
    }


_FREE = {
    "samples",
    "output",
    "overwrite",
    "batch_tokens",
}  # may change from one process to the next
