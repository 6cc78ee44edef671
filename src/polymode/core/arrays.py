"""Arrays of any library: what the core needs beside the array-API standard.

The core is written once for NumPy, torch and JAX, on top of array-api-compat; Python lists and
numbers count as NumPy. Every formula is evaluated in the widest float that the device has, and its
result is returned in the float type that came in.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import array_api_compat
import numpy as np

__all__ = [
    "Array",
    "array_namespace",
    "as_array",
    "as_keys",
    "at_least",
    "detached",
    "device",
    "has_gradient",
    "is_array",
    "is_traced",
    "library",
    "logsumexp",
    "logsumexp_by",
    "on_host",
    "widen",
]

Array = Any  # np.ndarray | torch.Tensor | jax.Array; the annotations add dtype and shape

device = array_api_compat.device
is_array = array_api_compat.is_array_api_obj


def as_array(x: Any) -> Array:
    """Return the argument itself when it is an array of any library, else a NumPy array of it.

    Parameters
    ----------
    x : array, sequence or number
        What a caller passed.

    Returns
    -------
    array
        Rows of unequal length become an array of objects, which `checks` reports by name.
    """
    if is_array(x):
        return x
    try:
        return np.asarray(x)
    except ValueError:
        return np.asarray(x, dtype=object)


def as_keys(keys: Any) -> Array:
    """Return labels as an array, as `as_array` does, but strings as objects.

    Parameters
    ----------
    keys : array or sequence of int or str
        Labels of samples.

    Returns
    -------
    array
        Strings stay Python objects: NumPy's own would pad each to the longest, and a key may be a
        whole text.
    """
    if isinstance(keys, list | tuple) and any(isinstance(key, str) for key in keys):
        return np.asarray(keys, dtype=object)
    return as_array(keys)


def library(x: Array) -> str:
    """Return the name of the library that an array belongs to.

    Parameters
    ----------
    x : array, sequence or number
        Python lists and numbers count as NumPy.

    Returns
    -------
    str
        ``"numpy"``, ``"torch"``, ``"jax"``, or the name of another package.
    """
    if array_api_compat.is_torch_array(x):
        return "torch"
    if array_api_compat.is_jax_array(x):
        return "jax"
    return type(as_array(x)).__module__.partition(".")[0]


def array_namespace(*arrays: Array) -> Any:
    """Return the array-API functions of the library that all arguments come from.

    Parameters
    ----------
    *arrays : array, sequence or number
        Arrays of one library; Python lists and numbers count as NumPy. Public functions check
        with `checks.columns` first, whose message names the arguments.

    Returns
    -------
    module
        The namespace, usually called ``xp``.

    Raises
    ------
    TypeError
        If the arrays come from different libraries.
    """
    return array_api_compat.array_namespace(*map(as_array, arrays))


def detached(x: Array) -> Array:
    """Return the numbers of an array, cut off from whatever they were computed from.

    Parameters
    ----------
    x : array
        Of any library.

    Returns
    -------
    array
        The same numbers; no gradient flows through them.
    """
    if library(x) == "torch":
        return x.detach()
    if library(x) == "jax":
        return sys.modules["jax"].lax.stop_gradient(x)  # the core itself never imports JAX
    return x


def is_traced(x: Any) -> bool:
    """Return whether JAX traces an array, so that its numbers are not known.

    Parameters
    ----------
    x : object
        Whatever a caller passed.

    Returns
    -------
    bool
        True for the arrays that a function sees under `jit` or `vmap`.
    """
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(x, jax.core.Tracer)


def has_gradient(*arrays: Array) -> bool:
    """Return whether a derivative with respect to any of the arrays may be asked for.

    Parameters
    ----------
    *arrays : array
        Of one library.

    Returns
    -------
    bool
        False for NumPy and for torch tensors without ``requires_grad``; JAX does not tell.
    """
    origin = library(arrays[0])
    return origin == "jax" or (origin == "torch" and any(x.requires_grad for x in arrays))


def on_host(
    function: Callable[..., tuple[Any, ...]], *arrays: Array, shapes: tuple[tuple[int, ...], ...]
) -> tuple[Array, ...]:
    """Return what a function of NumPy arrays makes of arrays of any library.

    Parameters
    ----------
    function : callable
        From NumPy arrays of float64 to as many NumPy arrays as there are `shapes`.
    *arrays : array
        Real arrays of one library, on one device. No gradient flows through them.
    shapes : tuple of tuple of int
        The shapes of the results, which JAX has to know in advance.

    Returns
    -------
    tuple of arrays
        The results, in the dtype and on the device of the first array.

    Notes
    -----
    Waits for the device. Under JAX's ``jit`` and ``vmap`` the function is called back; the second
    adds leading axes to all arrays at once.
    """
    like = arrays[0]
    arrays = tuple(detached(x) for x in arrays)
    if library(like) == "jax":
        jax = sys.modules["jax"]
        if any(map(is_traced, arrays)):

            def call(*numbers: Array) -> tuple[Array, ...]:
                found = function(*(np.asarray(x, np.float64) for x in numbers))
                return tuple(np.asarray(x, like.dtype) for x in found)

            out = tuple(jax.ShapeDtypeStruct(shape, like.dtype) for shape in shapes)
            return jax.pure_callback(call, out, *arrays, vmap_method="broadcast_all")
    xp = array_namespace(like)
    moved = (x.cpu() if library(x) == "torch" else x for x in arrays)
    found = function(*(np.asarray(x, np.float64) for x in moved))
    return tuple(xp.asarray(x, dtype=like.dtype, device=device(like)) for x in found)


def widen(*arrays: Array) -> tuple[tuple[Array, ...], Callable[[Array], Array]]:
    """Return the arrays in the widest float of their device, and the way back.

    Parameters
    ----------
    *arrays : array
        Real arrays of one library on one device.

    Returns
    -------
    wide : tuple of arrays
        The arrays in float64, or in float32 where there is no float64 (torch on Apple's MPS; JAX
        unless told otherwise).
    narrow : callable
        Casts a result to the type that the floating arguments promote to. Integers and booleans
        thus take the type of the array beside them; if no argument is floating, the library's
        default is taken.

    Examples
    --------
    >>> (rewards, log_q), narrow = widen(np.array([0, 1]), np.zeros(2, dtype=np.float32))
    >>> rewards.dtype, narrow(rewards).dtype
    (dtype('float64'), dtype('float32'))
    """
    xp = array_namespace(*arrays)
    info = xp.__array_namespace_info__()
    wide = info.dtypes(device=device(arrays[0]), kind="real floating").get("float64", xp.float32)
    floating = [a.dtype for a in arrays if xp.isdtype(a.dtype, "real floating")]
    out = xp.result_type(*floating) if floating else info.default_dtypes()["real floating"]
    return tuple(xp.astype(a, wide, copy=False) for a in arrays), partial(_cast, dtype=out)


def _cast(x: Array, *, dtype: Any) -> Array:
    """Cast; what lies beyond the range of a narrow float becomes its infinity, silently."""
    with np.errstate(over="ignore"):
        return array_namespace(x).astype(x, dtype, copy=False)


def at_least(x: Array, threshold: Any) -> Array:
    """Return where an array reaches a threshold, compared in the float type of the array.

    Parameters
    ----------
    x : array, shape (..., n)
        Real. NaN reaches nothing.
    threshold : float or array that broadcasts to `x`
        The threshold; in float64, a float32 value of 0.7 would be less than 0.7.

    Returns
    -------
    array of bool, shape (..., n)
        Where ``x >= threshold``.

    Examples
    --------
    >>> at_least(np.float32([0.7, 0.1, np.nan]), 0.7)
    array([ True, False, False])
    """
    xp = array_namespace(x)
    if xp.isdtype(x.dtype, "real floating"):
        threshold = xp.asarray(threshold, dtype=x.dtype, device=device(x))
    return x >= threshold


def logsumexp_by(
    x: Array,
    *,
    largest: Callable[[Array], Array],
    total: Callable[[Array], Array],
    spread: Callable[[Array], Array],
) -> Array:
    """Return ``log(sum(exp(x)))`` for any kind of reduction; see `logsumexp` for one axis.

    Parameters
    ----------
    x : array
        Real floating.
    largest, total : callable
        The reduction as a maximum and as a sum.
    spread : callable
        The way back from a reduced array to one that broadcasts with `x`.

    Returns
    -------
    array
        The reduced array, -inf where no entry has mass.
    """
    xp = array_namespace(x)
    peak = largest(xp.where(xp.isfinite(x), x, -xp.inf))
    peak = xp.where(xp.isfinite(peak), peak, 0.0)
    mass = total(xp.exp(x - spread(peak)))
    empty = mass == 0.0  # the "double where": log(0) would warn and poison gradients
    return peak + xp.where(empty, -xp.inf, xp.log(xp.where(empty, 1.0, mass)))


def logsumexp(x: Array, *, axis: int = -1, keepdims: bool = False) -> Array:
    r"""Return the logarithm of a sum of exponentials, without overflow or warnings.

    .. math:: \log \textstyle\sum_i e^{x_i}

    Parameters
    ----------
    x : array, shape (..., n)
        Real floating. ``-inf`` adds nothing; NaN propagates.
    axis : int
        Axis to reduce.
    keepdims : bool
        Keep the reduced axis, with length 1.

    Returns
    -------
    array, shape (...,)
        In the dtype and on the device of `x`; ``-inf`` where no entry has mass.

    Notes
    -----
    Differentiable. Entries without mass get gradient 0, also where no entry has any.

    Examples
    --------
    >>> float(logsumexp([1e4, 1e4]).round(3))
    10000.693
    >>> float(logsumexp([-np.inf, -np.inf]))
    -inf
    """
    x = as_array(x)
    xp = array_namespace(x)
    out = logsumexp_by(
        x,
        largest=partial(xp.max, axis=axis, keepdims=True),
        total=partial(xp.sum, axis=axis, keepdims=True),
        spread=lambda reduced: reduced,
    )
    return out if keepdims else xp.squeeze(out, axis=axis)
