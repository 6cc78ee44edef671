"""The array libraries that the core serves, for tests that must hold in each of them."""

import inspect
import os

import numpy as np
import pytest
from hypothesis import given, settings

# Read when JAX starts: nothing here runs long enough to repay optimised code.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def to_numpy(x):
    """Return a NumPy array of the numbers."""
    return np.asarray(x)


def to_torch(x):
    """Return a torch tensor of the numbers; the calling test skips where torch is missing."""
    return pytest.importorskip("torch").asarray(np.asarray(x))


def to_jax(x):
    """Return a JAX array of the numbers; the calling test skips where JAX is missing."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(x)


each_library = pytest.mark.parametrize(
    "to",
    [
        pytest.param(to_numpy, id="numpy"),
        pytest.param(to_torch, id="torch"),
        pytest.param(to_jax, id="jax"),
    ],
)


def given_in_each_library(**strategies):
    """Parametrise a property by library, and draw its other arguments as `given` does.

    JAX compiles every operation for every new shape, 20 ms each, which no setting of it shortens:
    it gets few examples, always the same ones, of few shapes. A strategy that knows them is given
    uncalled, and called with ``few=True`` or ``few=False``.
    """

    def drawn(few):
        return given(**{k: s(few=few) if callable(s) else s for k, s in strategies.items()})

    def decorate(test):
        many = drawn(few=False)(test)
        few = settings(max_examples=6, derandomize=True, deadline=None)(drawn(few=True)(test))

        def in_one_library(to, **parameters):
            return (few if to is to_jax else many)(to=to, **parameters)

        in_one_library.__signature__ = inspect.signature(many)  # what pytest has to fill in
        in_one_library.__name__ = test.__name__
        in_one_library.__module__ = test.__module__
        return each_library(in_one_library)

    return decorate
