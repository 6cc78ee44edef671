"""A guard around one reward function: whatever it does, the training goes on and is told.

`GuardedReward` is a reward function for TRL's trainers. What cannot be scored becomes None, which
TRL leaves out of baselines and updates; it never becomes 0, which would teach the policy something.
"""

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from polymode.core import checks
from polymode.errors import ConfigError, RewardError
from polymode.language.rewards.functions import Where, name_of, worker_for
from polymode.language.rewards.process import InProcess
from polymode.language.rewards.scores import KINDS, CallFailed, Loss, Score
from polymode.language.rewards.texts import text_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What a reward function may do before the training is stopped."""

    time_limit: float | None = 60.0
    """Seconds for one batch, everything included; None: no limit. Keep it below the time after
    which the other ranks of a distributed run give up."""
    where: Where = "auto"
    """"thread" takes any function, and leaves one that hangs behind; "process" takes functions that
    can be imported, and kills one that hangs; "auto" is the process for a function given by its
    path, and the thread for any other."""
    one_by_one: bool = True
    """If a batch fails, score its samples one by one, so that only those that cause it are lost. A
    batch then has half of the time limit, and each sample its share of what is left. Turn it off
    for rewards that compare the samples of a batch with each other."""
    max_frac_unscorable: float = 0.2
    """Share of the last samples that may be lost; beyond it `GuardedReward.check` raises."""
    n_batches: int = 10
    """How many batches back that share looks."""
    min_samples: int = 64
    """Below so many samples there is no verdict."""
    n_logged: int = 3
    """How many losses of each kind are logged in words; later ones are counted only."""

    def __post_init__(self) -> None:
        """Refuse what cannot be, all of it at once."""
        if problems := list(self._problems()):
            raise ConfigError("Guard", problems)

    def _problems(self) -> Iterator[str]:
        if self.time_limit is not None:
            yield from checks.positive(time_limit=self.time_limit)
        yield from checks.known("where", self.where, get_args(Where))
        yield from checks.within(0.0, 1.0, max_frac_unscorable=self.max_frac_unscorable)
        yield from checks.whole(n_batches=self.n_batches, min_samples=self.min_samples)
        if self.n_logged < 0:
            yield f"n_logged must be >= 0, got {self.n_logged!r}"


class GuardedReward:
    """A reward function for TRL that survives what the function inside it does.

    The function may raise, hang, end its process (with ``where="process"``), or return NaN,
    infinities, the wrong type or the wrong number of rewards. What it could not score becomes None;
    each loss is counted by kind and the first of each kind are logged. None that the function
    itself returns is TRL's "not applicable" and no loss.

    Parameters
    ----------
    function : callable or str
        ``function(prompts, completions, **columns)``, sync or async, as TRL takes it; or the path
        of one, ``package.module:function``.
    guard : Guard
        Limits.
    name : str, optional
        What TRL calls the reward; by default the name of the function.

    Raises
    ------
    ArgumentError
        If the path leads to no function, or the function cannot be found again by a process.

    Notes
    -----
    A call takes at most `time_limit` seconds, and one start of a process. In a thread, a
    function that hangs is left behind: it goes on using its core until the interpreter exits,
    which it does not hold up; later calls run in other threads. One that never lets go of the
    interpreter (a regular expression that backtracks without end) cannot be left at all, and hangs
    the training: use ``where="process"``. Functions that set signals of their own (as
    `math_verify` does for its time-outs) also need the process, whose main thread they get.

    Coroutines run in an event loop of this reward's own and are cancelled at the limit.

    Logs, where TRL offers `log_metric`: ``rewards/<name>/frac_unscorable`` and
    ``rewards/<name>/n_<kind>`` for each kind of loss, per batch and rank.
    """

    def __init__(
        self,
        function: Callable[..., Any] | str,
        *,
        guard: Guard | None = None,
        name: str | None = None,
    ) -> None:
        self.guard = guard or Guard()
        self._worker = worker_for(function, self.guard.where)
        self.__name__ = name or name_of(function)
        self.failures: dict[str, int] = dict.fromkeys(KINDS, 0)
        """Samples lost so far, by kind: raised, timed_out, died, not_finite, wrong_type,
        wrong_length."""
        self._batches: deque[tuple[int, int]] = deque(maxlen=self.guard.n_batches)
        self._last: dict[str, str] = {}
        self._n_logged: Counter[str] = Counter()

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float | None]:
        """Return a reward or None for each completion; raises nothing."""
        given = {"prompts": prompts, "completions": completions, **columns}
        scores = self._scores(given, len(completions))
        self._count(scores, completions)
        if log_metric := columns.get("log_metric"):
            self._log(scores, log_metric)
        return [None if isinstance(score, Loss) else score for score in scores]

    @property
    def frac_unscorable(self) -> float:
        """Share of the samples of the last batches that were lost; NaN before the first."""
        n = sum(size for size, _ in self._batches)
        return sum(lost for _, lost in self._batches) / n if n else math.nan

    def problem(self) -> str | None:
        """Say in a line what is wrong if too many samples were lost, else return None."""
        n = sum(size for size, _ in self._batches)
        share, most = self.frac_unscorable, self.guard.max_frac_unscorable
        if n < self.guard.min_samples or share <= most:
            return None
        kinds = ", ".join(f"{k} {count}" for k, count in self.failures.items() if count)
        kind = next(reversed(self._last))
        return (
            f"reward {self.__name__!r} could not score {share:.0%} of the last {n} completions "
            f"(allowed: {most:.0%}); lost since the start: {kinds}; the last one {self._last[kind]}"
            f"; mend the function{_REMEDIES.get(kind, '')}, or allow more with max_frac_unscorable"
        )

    def check(self) -> None:
        """Raise `RewardError` if too many of the last samples could not be scored."""
        if text := self.problem():
            raise RewardError(text)

    def close(self) -> None:
        """End the worker process, if there is one; the next call starts another."""
        if isinstance(self._worker, InProcess):
            self._worker.close()

    def _scores(self, columns: Mapping[str, Any], n: int) -> list[Score]:
        """Score a batch at once; if that fails, sample by sample in the time that is left."""
        limit = math.inf if self.guard.time_limit is None else self.guard.time_limit
        deadline = time.monotonic() + limit
        alone = n <= 1 or not self.guard.one_by_one
        try:
            return self._scored(columns, n, limit if alone else limit / 2)
        except CallFailed as failed:
            if alone or failed.loss.kind in ("wrong_type", "wrong_length"):
                return [failed.loss] * n
        scores: list[Score] = []
        for i in range(n):
            share = (deadline - time.monotonic()) / (n - i)  # what one does not need, others have
            try:
                scores += self._scored(_row(columns, i, n), 1, share)
            except CallFailed as failed:
                scores.append(failed.loss)
        return scores

    def _scored(self, columns: Mapping[str, Any], n: int, seconds: float) -> list[Score]:
        if seconds <= 0:
            raise CallFailed("timed_out", "had no time left")
        scores = self._worker.call(columns, None if math.isinf(seconds) else seconds)
        if len(scores) != n:
            raise CallFailed("wrong_length", f"returned {len(scores)} rewards for {n} completions")
        return scores

    def _count(self, scores: Sequence[Score], completions: Sequence[Any]) -> None:
        """Add a batch to the counters; log what is new."""
        said: set[int] = set()
        n_lost = 0
        for score, completion in zip(scores, completions, strict=True):
            if not isinstance(score, Loss):
                continue
            n_lost += 1
            self.failures[score.kind] += 1
            if id(score) not in said:  # one event may have cost several samples
                said.add(id(score))
                self._say(score, completion)
        self._batches.append((len(scores), n_lost))

    def _say(self, loss: Loss, completion: Any) -> None:
        start = text_of(completion)[:80]
        self._last.pop(loss.kind, None)
        self._last[loss.kind] = loss.text
        self._n_logged[loss.kind] += 1
        n = self._n_logged[loss.kind]
        if n <= self.guard.n_logged:
            silent = "; more of this kind are only counted" if n == self.guard.n_logged else ""
            text = "reward %r %s, completion %r: no reward, not 0 (%s)%s"
            logger.warning(text, self.__name__, loss.text, start, loss.kind, silent)

    def _log(self, scores: Sequence[Score], log_metric: Callable[[str, float], None]) -> None:
        """Log all names each time: in a distributed run every rank must name the same."""
        lost = Counter(score.kind for score in scores if isinstance(score, Loss))
        prefix = f"rewards/{self.__name__}"
        log_metric(f"{prefix}/frac_unscorable", lost.total() / len(scores) if scores else 0.0)
        for kind in KINDS:
            log_metric(f"{prefix}/n_{kind}", float(lost[kind]))


_REMEDIES = {"timed_out": " or raise time_limit", "raised": " or have it return None there"}


def _row(columns: Mapping[str, Any], i: int, n: int) -> dict[str, Any]:
    """Return the columns of one sample. What is logged for one sample does not fit TRL's tables."""
    row = {
        name: [value[i]] if isinstance(value, list) and len(value) == n else value
        for name, value in columns.items()
    }
    return {**row, **{name: _ignore for name in ("log_extra", "log_metric") if name in row}}


def _ignore(*_: Any) -> None:
    """Log nothing."""
