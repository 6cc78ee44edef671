"""What inputs look like. Shared by every property test; nothing else lives here."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

BETAS = st.floats(0.05, 20.0)
REWARDS = st.floats(-5.0, 5.0, width=32)
SEEDS = st.integers(0, 2**32 - 1)

# For libraries that compile every shape anew: one group, and ragged groups under leading axes.
RAGGED = np.array([10**9, -3, 10**9, 10**9, -3, 2])
FEW = [((6,), np.zeros(6, np.int64)), ((2, 1, 6), RAGGED)]


@st.composite
def shapes(draw, max_n=10):
    """Zero, one or two leading axes, and at least one sample."""
    return (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.integers(1, max_n)))


@st.composite
def integer_labels(draw, n):
    """Labels of n samples: few or many, negative ones and gaps among them, in any order."""
    return draw(hnp.arrays(np.int64, n, elements=st.integers(-3, 3) | st.just(10**9)))


@st.composite
def labelled_shapes(draw, few=False):
    """A shape, and labels of its last axis."""
    if few:
        return draw(st.sampled_from(FEW))
    shape = draw(shapes())
    return shape, draw(integer_labels(shape[-1]))


@st.composite
def problems(draw, few=False):
    """(rewards, log q, groups): references without mass here and there, never in a whole group."""
    shape, groups = draw(labelled_shapes(few=few))
    rewards = draw(hnp.arrays(np.float64, shape, elements=REWARDS))
    log_q = draw(hnp.arrays(np.float64, shape, elements=st.floats(-30, 5)))
    dead = draw(hnp.arrays(np.bool_, shape, elements=st.booleans()))
    dead[..., np.unique(groups, return_index=True)[1]] = False  # the first sample of each group
    log_q = np.where(dead, -np.inf, log_q)
    for label in np.unique(groups):
        own = groups == label
        log_q[..., own] -= np.logaddexp.reduce(log_q[..., own], axis=-1, keepdims=True)
    return rewards, log_q, groups


class Batch(NamedTuple):
    """A scored batch of samples, as the anchoring functions take it."""

    rewards: np.ndarray
    ref_log_probs: np.ndarray
    threshold: float
    groups: np.ndarray
    modes: np.ndarray
    outputs: np.ndarray

    @property
    def labels(self):
        """The keyword arguments that are labels."""
        return {"groups": self.groups, "modes": self.modes, "outputs": self.outputs}


@st.composite
def batches(draw, few=False):
    """A batch with repeated outputs, unscored samples (NaN) and outputs beyond the reference.

    All copies of an output share its mode, reward and log q. No two outputs tie in log q, so that
    every choice of an anchor is a strict one.
    """
    shape, groups = draw(labelled_shapes(few=few))
    n = shape[-1]
    rng = np.random.default_rng(draw(SEEDS))
    if few:
        n_outputs, outputs, modes = 4, np.array([0, 1, 2, 0, 3, 1]), np.array([5, 7, 7, 5, 7, 7])
    else:
        groups = rng.integers(0, 3, n) if draw(st.booleans()) else np.zeros(n, dtype=np.int64)
        n_outputs = draw(st.integers(1, n))
        outputs = rng.integers(0, n_outputs, n)
        modes = rng.integers(0, draw(st.integers(1, n_outputs)), n_outputs)[outputs]
    rewards = rng.choice([-1.0, 0.0, 0.5, 1.0, 2.0, np.nan], (*shape[:-1], n_outputs))
    log_q = rng.uniform(-30.0, 0.0, (*shape[:-1], n_outputs))
    log_q[rng.random(log_q.shape) < draw(st.sampled_from([0.0, 0.3]))] = -np.inf
    threshold = draw(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0]))
    return Batch(rewards[..., outputs], log_q[..., outputs], threshold, groups, modes, outputs)
