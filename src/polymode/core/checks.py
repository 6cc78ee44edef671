"""Structural checks of arguments: shapes, dtypes, scalars, names.

Each function yields one line for each problem that it finds; `require` collects the lines of all of
them and raises one error. Values inside arrays are never looked at: on an accelerator that would
wait for the device in every call.
"""

import difflib
import math
from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np

from polymode.core.arrays import (
    Array,
    array_namespace,
    as_array,
    as_keys,
    is_array,
    is_traced,
    library,
)
from polymode.errors import ArgumentError, ShapeError

__all__ = [
    "axes_of",
    "axis_of",
    "broadcasting",
    "columns",
    "did_you_mean",
    "finite",
    "instance",
    "integer_labels",
    "kept_columns",
    "key_labels",
    "known",
    "non_negative",
    "pairs_of",
    "positive",
    "real_arrays",
    "require",
    "single_row",
    "strengths",
    "threshold_for",
    "whole",
    "within",
]


class _ShapeProblem(str):
    """A problem that is about shapes only."""

    __slots__ = ()


def require(*found: Iterable[str]) -> None:
    """Raise one error that lists all problems, if there are any.

    Parameters
    ----------
    *found : iterable of str
        The problems that each check yields.

    Raises
    ------
    ShapeError
        If every problem is about shapes.
    ArgumentError
        If there are other problems.
    """
    problems = [problem for each in found for problem in each]
    if problems:
        only_shapes = all(isinstance(problem, _ShapeProblem) for problem in problems)
        raise (ShapeError if only_shapes else ArgumentError)(problems)


def did_you_mean(given: object, options: Iterable[str]) -> str:
    """Return a hint at the option that is closest to what was given.

    Parameters
    ----------
    given : object
        What is not an option.
    options : iterable of str
        What would have been one.

    Returns
    -------
    str
        ``"; did you mean 'x'?"``, or nothing where no option is close.

    Examples
    --------
    >>> did_you_mean("reverse-kl", ["reverse_kl", "forward_kl"])
    "; did you mean 'reverse_kl'?"
    """
    close = difflib.get_close_matches(str(given), list(options), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def known(name: str, value: object, options: Iterable[str]) -> Iterator[str]:
    """Check that a value is one of the names that we know.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        Its value.
    options : iterable of str
        The names that are known.

    Yields
    ------
    str
        The problem.
    """
    options = list(options)
    if value not in options:
        listed = " or ".join(map(repr, options))
        yield f"{name} must be {listed}, got {value!r}{did_you_mean(value, options)}"


def positive(**scalars: object) -> Iterator[str]:
    """Check that numbers are finite and > 0.

    Parameters
    ----------
    **scalars : float
        The numbers by their names.

    Yields
    ------
    str
        One problem for each number.
    """
    for name, value in scalars.items():
        if not (isinstance(value, Real) and math.isfinite(value) and float(value) > 0):
            yield f"{name} must be a finite number > 0, got {value!r}"


def finite(**scalars: object) -> Iterator[str]:
    """Check that numbers are finite.

    Parameters
    ----------
    **scalars : float
        The numbers by their names.

    Yields
    ------
    str
        One problem for each number.
    """
    for name, value in scalars.items():
        if not (isinstance(value, Real) and math.isfinite(value)):
            yield f"{name} must be a finite number, got {value!r}"


def strengths(rewards: Array, *, zero: bool = False, **given: Any) -> Iterator[str]:
    """Check strengths of a regulariser: numbers, or arrays with one number for each row.

    Parameters
    ----------
    rewards : array, shape (..., n)
        What the strengths go with.
    zero : bool
        Whether 0 is a strength.
    **given : float or array
        The strengths by their names. Values in an array are looked at in NumPy only.

    Yields
    ------
    str
        The problems.
    """
    for name, value in given.items():
        if isinstance(value, Real) or not (isinstance(value, list | tuple) or is_array(value)):
            yield from (non_negative if zero else positive)(**{name: value})
            continue
        array = as_array(value)
        yield from real_arrays(**{name: array})
        if is_array(value):
            yield from _one_library(**{"rewards": rewards, name: array})
        shapes = {name: tuple(array.shape), "rewards": tuple(rewards.shape)}
        if not _broadcast_together(shapes[name], shapes["rewards"][:-1]):
            yield _ShapeProblem(
                f"{name} must broadcast with the rows of rewards, got {_listed(shapes)}"
            )
        if library(array) == "numpy" and array.dtype.kind in "fiu":
            bad = array[~(np.isfinite(array) & ((array >= 0) if zero else (array > 0)))]
            if bad.size:
                bound = ">= 0" if zero else "> 0"
                example = bad.flat[0].item()
                yield f"{name} must be finite numbers {bound}, got {example!r} among them"


def instance(name: str, value: object, kind: type) -> Iterator[str]:
    """Check that a value is an object of one of our classes.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        Its value.
    kind : type
        The class.

    Yields
    ------
    str
        The problem.
    """
    if not isinstance(value, kind):
        yield f"{name} must be a {kind.__name__}, got {value!r}"


def non_negative(**scalars: object) -> Iterator[str]:
    """Check that numbers are finite and >= 0.

    Parameters
    ----------
    **scalars : float
        The numbers by their names.

    Yields
    ------
    str
        One problem for each number.
    """
    for name, value in scalars.items():
        if not (isinstance(value, Real) and math.isfinite(value) and float(value) >= 0):
            yield f"{name} must be a finite number >= 0, got {value!r}"


def within(low: float, high: float, **scalars: object) -> Iterator[str]:
    """Check that numbers lie in an interval, ends included.

    Parameters
    ----------
    low, high : float
        The ends.
    **scalars : float
        The numbers by their names.

    Yields
    ------
    str
        One problem for each number.
    """
    for name, value in scalars.items():
        if not (isinstance(value, Real) and low <= float(value) <= high):
            yield f"{name} must be a number in [{low}, {high}], got {value!r}"


def whole(**scalars: object) -> Iterator[str]:
    """Check that numbers are integers >= 1.

    Parameters
    ----------
    **scalars : int
        The numbers by their names.

    Yields
    ------
    str
        One problem for each number.
    """
    for name, value in scalars.items():
        if isinstance(value, bool) or not (isinstance(value, Integral) and int(value) >= 1):
            yield f"{name} must be an integer >= 1, got {value!r}"


def real_arrays(**arrays: Array) -> Iterator[str]:
    """Check that arrays hold real numbers and come from one library that the core serves.

    Parameters
    ----------
    **arrays : array
        The arrays by their names.

    Yields
    ------
    str
        One problem for each array, and one if the libraries differ.
    """
    for name, array in arrays.items():
        if library(array) not in {"numpy", "torch", "jax"}:
            yield f"{name} must be a NumPy, torch or JAX array, got {type(array).__name__}"
        elif not _has_kind(array, "bool", "integral", "real floating"):
            yield f"{name} must be an array of real numbers, got dtype {array.dtype}"
    yield from _one_library(**arrays)


def columns(**arrays: Array) -> Iterator[str]:
    """Check that arrays are columns of one table: real, of one shape, with a sample at least.

    Parameters
    ----------
    **arrays : array, shape (..., n)
        The arrays by their names.

    Yields
    ------
    str
        The problems.
    """
    yield from real_arrays(**arrays)
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    name, shape = next(iter(shapes.items()))
    if len(set(shapes.values())) > 1:
        yield _ShapeProblem(f"{', '.join(shapes)} must have equal shapes, got {_listed(shapes)}")
    elif not shape or shape[-1] == 0:
        yield _ShapeProblem(f"{name} must have a sample on the last axis, got shape {shape}")


def threshold_for(rewards: Array, threshold: Any) -> Iterator[str]:
    """Check that a threshold is a finite number, an array that broadcasts, or a function.

    Parameters
    ----------
    rewards : array, shape (..., n)
        What the threshold is compared with.
    threshold : float, array or callable
        The threshold; what a function returns is checked once it has been called.

    Yields
    ------
    str
        The problems.
    """
    if isinstance(threshold, Real):
        if not math.isfinite(threshold):
            yield f"threshold must be finite, got {threshold!r}"
    elif not callable(threshold):
        yield from broadcasting(rewards, threshold=as_array(threshold))


def broadcasting(rewards: Array, **arrays: Array) -> Iterator[str]:
    """Check that arrays are real, of the library of the rewards, and broadcast to them.

    Parameters
    ----------
    rewards : array, shape (..., n)
        What sets the shape.
    **arrays : array
        The arrays by their names.

    Yields
    ------
    str
        The problems.
    """
    for name, array in arrays.items():
        yield from real_arrays(**{name: array})
        yield from _one_library(**{"rewards": rewards, name: array})
        shapes = {name: tuple(array.shape), "rewards": tuple(rewards.shape)}
        if not _broadcasts(*shapes.values()):
            listed = _listed(shapes)
            yield _ShapeProblem(f"{name} must broadcast to the shape of rewards, got {listed}")


def integer_labels(rewards: Array, **labels: Any) -> Iterator[str]:
    """Check that labels are integers, one for each position on the last axis of the rewards.

    Parameters
    ----------
    rewards : array, shape (..., n)
        What the labels belong to.
    **labels : array or sequence of int, shape (n,), or None
        The labels by their names; None is not checked.

    Yields
    ------
    str
        The problems.
    """
    for name, given in _given(labels):
        if not _has_kind(given, "integral"):
            yield f"{name} must be integers, got dtype {given.dtype}"
        yield from _one_per_sample(rewards, name, given)


def key_labels(rewards: Array, **labels: Any) -> Iterator[str]:
    """Check that labels are integers or strings, one for each position on the last axis.

    Parameters
    ----------
    rewards : array, shape (..., n)
        What the labels belong to.
    **labels : array or sequence of int or str, shape (n,), or None
        The labels by their names; None is not checked.

    Yields
    ------
    str
        The problems.
    """
    for name, given in _given(labels):
        if not (_has_kind(given, "integral") or _is_string(given)):
            yield f"{name} must be integer or string keys, got dtype {given.dtype}"
        yield from _one_per_sample(rewards, name, given)


def single_row(name: str, rewards: Array) -> Iterator[str]:
    """Check that rewards have no leading axes.

    Parameters
    ----------
    name : str
        Name of the argument that needs it.
    rewards : array, shape (..., n)
        The rewards.

    Yields
    ------
    str
        The problem.
    """
    shape = tuple(rewards.shape)
    if len(shape) > 1:
        yield _ShapeProblem(f"{name} needs rewards without leading axes, got shape {shape}")


def kept_columns(rewards: Array, *, groups: str, **arrays: Any) -> Iterator[str]:
    """Check columns that were kept from earlier batches: one length, one axis, maybe empty.

    Parameters
    ----------
    rewards : array, shape (..., n)
        The rewards of this batch, whose library the columns may have beside NumPy.
    groups : str
        Name of the column that holds integer labels.
    **arrays : array, shape (k,)
        The columns by their names.

    Yields
    ------
    str
        The problems.
    """
    columns = {name: as_array(array) for name, array in arrays.items()}
    for name, array in columns.items():
        yield from real_arrays(**{name: array})
        if library(array) != "numpy":
            yield from _one_library(**{"rewards": rewards, name: array})
    if not _has_kind(columns[groups], "integral"):
        yield f"{groups} must be integers, got dtype {columns[groups].dtype}"
    shapes = {name: tuple(array.shape) for name, array in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        names, listed = ", ".join(shapes), _listed(shapes)
        yield _ShapeProblem(f"{names} must have one axis and one length, got {listed}")


def pairs_of(rewards: Array, **arrays: Array) -> Iterator[str]:
    """Check that arrays have an entry for every two samples of a row, and one library.

    Parameters
    ----------
    rewards : array, shape (..., n)
        What the pairs are made of.
    **arrays : array, shape (..., n, n)
        The arrays by their names.

    Yields
    ------
    str
        The problems.
    """
    for name, array in arrays.items():
        yield from _one_library(**{"rewards": rewards, name: array})
        shapes = {name: tuple(array.shape), "rewards": tuple(rewards.shape)}
        if shapes[name] != (*shapes["rewards"], *shapes["rewards"][-1:]):
            listed = _listed(shapes)
            yield _ShapeProblem(f"{name} must have an entry for every two samples, got {listed}")


def axes_of(n_axes: int, **arrays: Array) -> Iterator[str]:
    """Check that arrays have as many axes as they need.

    Parameters
    ----------
    n_axes : int
        The number that is needed; anything else than a number is left to `whole`.
    **arrays : array
        The arrays by their names.

    Yields
    ------
    str
        One problem for each array.
    """
    for name, array in arrays.items():
        if isinstance(n_axes, Integral) and array.ndim < int(n_axes):
            shape = tuple(array.shape)
            yield _ShapeProblem(f"{name} must have {n_axes} axes at least, got shape {shape}")


def axis_of(axis: int, **arrays: Array) -> Iterator[str]:
    """Check that an axis exists in the arrays and that there is something on it.

    Parameters
    ----------
    axis : int
        The axis, counted from the end if negative.
    **arrays : array
        The arrays by their names.

    Yields
    ------
    str
        One problem for each array.
    """
    for name, array in arrays.items():
        shape = tuple(array.shape)
        if not -len(shape) <= axis < len(shape) or shape[axis] == 0:
            yield _ShapeProblem(f"axis must be a non-empty axis of {name} {shape}, got {axis!r}")


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    """Name the shapes: ``rewards (2, 3), ref_log_probs (3,)``."""
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _has_kind(array: Array, *kinds: str) -> bool:
    """Return whether the dtype of an array is one of the kinds that the standard names."""
    return array_namespace(array).isdtype(array.dtype, kinds)


def _is_string(labels: Array) -> bool:
    """Return whether labels are NumPy strings, or objects that are all strings."""
    kind = getattr(labels.dtype, "kind", "")  # dtypes of torch have none: torch has no strings
    return kind in {"U", "T"} or (kind == "O" and all(isinstance(k, str) for k in labels.flat))


def _one_library(**arrays: Array) -> Iterator[str]:
    """Check that all arrays come from one library."""
    libraries = {name: library(array) for name, array in arrays.items()}
    if len(set(libraries.values())) > 1:
        listed = ", ".join(f"{name} from {origin}" for name, origin in libraries.items())
        yield f"arrays must come from one library, got {listed}; convert one of them"


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Return whether a shape broadcasts to another without changing it."""
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _broadcast_together(*shapes: tuple[int, ...]) -> bool:
    """Return whether shapes broadcast with each other."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def _given(labels: dict[str, Any]) -> Iterator[tuple[str, Array]]:
    """Yield the labels that are not None, as arrays."""
    return ((name, as_keys(value)) for name, value in labels.items() if value is not None)


def _one_per_sample(rewards: Array, name: str, labels: Array) -> Iterator[str]:
    """Check library and shape of labels; those of NumPy go with all, as only NumPy has strings."""
    if is_traced(labels):
        yield f"{name} must be known before JAX traces a function: close over NumPy labels instead"
    if library(labels) != "numpy":
        yield from _one_library(**{"rewards": rewards, name: labels})
    shapes = {name: tuple(labels.shape), "rewards": tuple(rewards.shape)}
    if shapes[name] != shapes["rewards"][-1:]:
        listed = _listed(shapes)
        yield _ShapeProblem(f"{name} must have one label for each sample of a row, got {listed}")
