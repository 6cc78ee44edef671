"""The array libraries that the core serves, for tests that must hold in each of them."""

import numpy as np
import pytest


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
        pytest.param(to_jax, id="jax", marks=pytest.mark.slow),  # compiles for each new shape
    ],
)
