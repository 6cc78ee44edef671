"""How sure a mean is: standard errors and intervals, over prompts or over samples of one."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real

from polymode.core import checks
from polymode.core.arrays import as_array
from polymode.errors import TooFewSamplesWarning

__all__ = ["Estimate", "bootstrap_mean", "jackknife"]

_METHODS = ("percentile", "BCa")
_MOST_RESAMPLED = 2**22  # numbers drawn at a time: 32 MiB


@dataclass(frozen=True, eq=False, slots=True)
class Estimate:
    """A number with how sure it is; arrays of one shape where several were estimated together.

    Parameters
    ----------
    value : float or array, shape (...)
        The estimate.
    standard_error : float or array, shape (...)
        Its standard error; NaN where there was too little to tell.
    low, high : float or array, shape (...)
        The ends of the interval; NaN where there was too little to tell.
    n : int or array of int, shape (...)
        From how many prompts, or samples.
    """

    value: Float[Any, "..."]
    standard_error: Float[Any, "..."]
    low: Float[Any, "..."]
    high: Float[Any, "..."]
    n: Integer[Any, "..."]


def bootstrap_mean(
    values: Real[Any, "... n"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    method: str = "percentile",
    n_resamples: int = 2000,
) -> Estimate:
    """Return means over prompts, with intervals from resampling the prompts.

    Parameters
    ----------
    values : array, shape (..., n)
        One number for each prompt on the last axis; NaN where a prompt has none, which is left out.
    rng : numpy.random.Generator
        What draws the resamples.
    level : float
        Probability of the interval, in (0, 1).
    method : {"percentile", "BCa"}
        ``BCa`` corrects for bias and skew, for about twice the time.
    n_resamples : int
        How many resamples, >= 1.

    Returns
    -------
    Estimate
        Arrays of shape (...). Standard error and interval are NaN with fewer than two prompts, and
        the value too without one.

    Raises
    ------
    ArgumentError
        If `values` is not an array of real numbers with a last axis, `rng` is no generator, or an
        option is out of its range. Lists everything that is wrong.

    Warns
    -----
    TooFewSamplesWarning
        If a mean has fewer than two prompts.

    See Also
    --------
    jackknife : For one prompt, over its samples.

    Notes
    -----
    Prompts are what is drawn anew, because they are what another experiment would draw anew:
    samples of one prompt share its difficulty. Intervals from fewer than about twenty prompts are
    too narrow. Where all values are equal the interval has no width. Cost O(n_resamples n) for each
    mean; the resamples of one mean are drawn together.

    References
    ----------
    .. [1] Efron, "Better Bootstrap Confidence Intervals", Journal of the American Statistical
       Association 82, 1987, by `scipy.stats.bootstrap`.

    Examples
    --------
    >>> found = bootstrap_mean([0.0, 1.0, 1.0, 1.0], rng=np.random.default_rng(0))
    >>> float(found.value), float(found.low), float(found.high)
    (0.75, 0.25, 1.0)
    """
    x = as_array(values)
    checks.require(
        checks.columns(values=x),
        checks.instance("rng", rng, np.random.Generator),
        checks.known("method", method, _METHODS),
        checks.whole(n_resamples=n_resamples),
        _level_problems(level),
    )
    x = np.asarray(x, dtype=np.float64)
    rows = x.reshape(-1, x.shape[-1])
    found = [_mean(row[~np.isnan(row)], rng, level, method, n_resamples) for row in rows]
    columns = [np.asarray(column).reshape(x.shape[:-1])[()] for column in zip(*found, strict=True)]
    return _warned(Estimate(*columns), "prompts")


def jackknife(
    statistic: Callable[[Integer[np.ndarray, " m"]], Any],
    n: int,
    *,
    level: float = 0.95,
    n_blocks: int = 50,
) -> Estimate:
    r"""Return statistics of the samples of one prompt, with intervals from leaving some out.

    .. math:: \text{se}^2 = \frac{b - 1}{b} \sum_i (\theta_{(i)} - \bar\theta)^2

    Parameters
    ----------
    statistic : callable
        From the positions of the samples that are kept, in ascending order, to a number or an
        array of them.
    n : int
        How many samples there are, >= 1.
    level : float
        Probability of the interval, in (0, 1).
    n_blocks : int
        How many parts ``b`` the samples are dealt to, one of which is left out at a time; each
        sample is a part of its own where there are no more samples than that.

    Returns
    -------
    Estimate
        The value is the statistic of all samples; the interval is symmetric about it, by Student's
        t with ``b - 1`` degrees of freedom. Standard error and interval are NaN with fewer than two
        samples, and where a statistic has no number with some left out.

    Raises
    ------
    ArgumentError
        If `n` or `n_blocks` is not an integer >= 1, or `level` is not in (0, 1).

    Warns
    -----
    TooFewSamplesWarning
        If there are fewer than two samples.

    See Also
    --------
    bootstrap_mean : Over prompts, where there are several.

    Notes
    -----
    Not a bootstrap: that draws samples twice, and to a measure of diversity a repeated sample is
    collapse, so that its whole interval can lie below the value. Consistent for statistics that
    are smooth in the frequencies (means, entropies, mean distances); for counts of distinct things
    it is the variance that a new sample would add, and 0 where each came often. Not for maxima.

    References
    ----------
    .. [1] Efron and Stein, "The Jackknife Estimate of Variance", Annals of Statistics 9, 1981.

    Examples
    --------
    For a mean it is the usual standard error, here ``sqrt(5/3) / 2``:

    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> found = jackknife(lambda kept: x[kept].mean(), 4)
    >>> float(found.value), float(found.standard_error.round(4))
    (2.5, 0.6455)
    """
    checks.require(checks.whole(n=n, n_blocks=n_blocks), _level_problems(level))
    from scipy.stats import t as student

    everything = np.arange(n)
    value = np.asarray(statistic(everything), dtype=np.float64)
    b = min(n, max(2, n_blocks))
    if n < 2:
        error = np.full_like(value, np.nan)
        quantile = np.nan
    else:
        each = np.stack([statistic(everything[everything % b != i]) for i in range(b)])
        error = np.sqrt((b - 1) * np.var(each, axis=0))
        quantile = float(student.ppf((1 + level) / 2, b - 1))
    found = Estimate(
        value[()],
        error[()],
        (value - quantile * error)[()],
        (value + quantile * error)[()],
        np.full(value.shape, n)[()],
    )
    return _warned(found, "samples")


def _mean(
    x: Float[np.ndarray, " n"],
    rng: np.random.Generator,
    level: float,
    method: str,
    n_resamples: int,
) -> tuple[float, float, float, float, int]:
    """Return value, standard error, ends of the interval, and number, of one mean."""
    if x.size < 2:
        return (x[0] if x.size else np.nan), np.nan, np.nan, np.nan, x.size
    from scipy.stats import bootstrap

    value = float(x.mean())
    if np.ptp(x) == 0:  # BCa divides by the spread
        return value, 0.0, value, value, x.size
    draws: Any = {"random_state": rng}  # SciPy before 1.15 has no other name for it
    found: Any = bootstrap(
        (x,),
        np.mean,
        n_resamples=n_resamples,
        batch=max(1, _MOST_RESAMPLED // x.size),
        confidence_level=level,
        method=method,
        **draws,
    )
    low, high = found.confidence_interval
    return value, float(found.standard_error), float(low), float(high), x.size


def _warned(found: Estimate, what: str) -> Estimate:
    """Warn once if there was too little to tell how sure an estimate is."""
    if np.any(np.asarray(found.n) < 2):
        warnings.warn(
            f"fewer than two {what}: the standard error and the interval are NaN",
            TooFewSamplesWarning,
            stacklevel=3,
        )
    return found


def _level_problems(level: Any) -> Any:
    """Check the probability of an interval."""
    if isinstance(level, bool) or not isinstance(level, float | int) or not 0 < level < 1:
        yield f"level must be a number in (0, 1), got {level!r}"
