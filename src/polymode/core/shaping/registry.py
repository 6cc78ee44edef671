"""The shapers by name."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from jaxtyping import Float, Real

from polymode.core import checks
from polymode.core.arrays import Array
from polymode.core.shaping import frequency, probability, selection
from polymode.core.shaping.columns import COLUMNS, column_problems

__all__ = ["SHAPERS", "shape"]

Shaper = Callable[..., Array]

SHAPERS: Mapping[str, Shaper] = MappingProxyType(
    {
        "plain": probability.plain,
        "anchored": probability.anchored,
        "unlikeliness": probability.unlikeliness,
        "differential_smoothing": probability.differential_smoothing,
        "uniform_correct": probability.uniform_correct,
        "entropy_bonus": probability.entropy_bonus,
        "inverse_probability": frequency.inverse_probability,
        "pass_at_k": frequency.pass_at_k,
        "dra": frequency.dra,
        "uniqueness": frequency.uniqueness,
        "gapo": frequency.gapo,
        "best_of_n": selection.best_of_n,
    }
)
"""The shapers by name, read-only: the functions that `shape` calls."""


def shape(
    name: str,
    rewards: Real[Array, "*batch n"],
    ref_log_probs: Float[Array, "*batch n"],
    *,
    log_probs: Any = None,
    groups: Any = None,
    lengths: Any = None,
    modes: Any = None,
    **parameters: Any,
) -> Float[Array, "*batch n"]:
    r"""Return the rewards of a batch as one of the methods for diversity would change them.

    .. math:: r'_i = \text{shaper}(r, \log q, \log p, \text{groups}, \text{lengths}, \text{modes})_i

    Every method takes the same columns and reads what it needs of them, so that methods can be
    exchanged by name. `SHAPERS` lists the names.

    Parameters
    ----------
    name : str
        Name of the shaper.
    rewards : array, shape (..., n)
        Rewards, in reward units, finite. NaN marks samples that could not be scored: they stay
        NaN, and enter no count, sum or rank. So do samples with NaN in a log-probability that the
        shaper reads.
    ref_log_probs : array, shape (..., n)
        ``log q`` of the samples, in nats, summed over tokens. A sample whose ``-inf`` would make
        its reward infinite keeps its reward.
    log_probs : array, shape (..., n), or None
        ``log p`` of the samples under the policy that drew them, in nats, summed over tokens;
        ``-inf`` as in `ref_log_probs`.
    groups : array or sequence of int, shape (n,), or None
        Group (prompt) of each position on the last axis; None puts all into one group. Groups are
        shaped independently.
    lengths : array, shape (..., n), or None
        Number of tokens of each sample, at least 1.
    modes : array or sequence of int or str, shape (n,), or None
        Mode of each position (final answer, canonical form, cluster), compared within a group.
    **parameters
        The shaper's own parameters, see the function of that name in `polymode.core.shaping`.

    Returns
    -------
    array, shape (..., n)
        Rewards to train on, in reward units. Floating dtype of `rewards` and `ref_log_probs`, on
        their device.

    Raises
    ------
    ShapeError
        If columns differ in shape, there is no sample, or labels are not one for each sample.
    ArgumentError
        If the name is not known, the shaper needs a column or a parameter that is not given, does
        not know a parameter that is, or a value is not what it must be. Lists everything.

    See Also
    --------
    anchored_rewards : The shaper ``"anchored"``.

    Notes
    -----
    No shaper loops over groups; most cost O(n), some O(n log n). Treat shaped rewards as constants
    in a policy gradient.

    References
    ----------
    .. [1] The docstring of each shaper names its paper; ``docs/concepts/shapers`` compares them.

    Examples
    --------
    >>> rewards, log_q = [1.0, 1.0, 1.0, 0.0], [-1.0, -1.0, -3.0, -2.0]
    >>> shape("inverse_probability", rewards, log_q, modes=["a", "a", "b", "c"])
    array([2., 2., 4., 0.])
    >>> shape("differential_smoothing", rewards, log_q, threshold=1, correct=0.1)
    array([1.1, 1.1, 1.3, 0. ])
    """
    columns = {"log_probs": log_probs, "groups": groups, "lengths": lengths, "modes": modes}
    problems = list(checks.known("name", name, SHAPERS)) or list(
        _signature_problems(name, columns, parameters)
    )
    if problems:
        checks.require(problems, column_problems(rewards, ref_log_probs, **columns))
    return SHAPERS[name](rewards, ref_log_probs, **columns, **parameters)


def _signature_problems(
    name: str, columns: dict[str, Any], parameters: dict[str, Any]
) -> Iterator[str]:
    """Check that a shaper has all that it needs, and nothing that it does not know."""
    signature = inspect.signature(SHAPERS[name]).parameters.values()
    known = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}
    required = [key for key, default in known.items() if default is inspect.Parameter.empty]
    for key in required:
        if {**columns, **parameters}.get(key) is None:
            kind = "column" if key in COLUMNS else "parameter"
            yield f"{key} must be given: {name!r} needs this {kind}"
    own = [key for key in known if key not in COLUMNS]
    for key in parameters:
        if key not in known:
            yield (
                f"unknown parameter {key!r} of {name!r}, which has {', '.join(own) or 'none'}"
                f"{checks.did_you_mean(key, own)}"
            )
