"""Derivatives of optimal policies and values: finite differences, torch and JAX, on one hard case.

Beside ordinary outcomes it has leading axes, ragged groups, ties, a group of one outcome, outcomes
that the optimum drops, one that the reference never gives, and one that is forbidden.
"""

import numpy as np
import pytest

from polymode.core import (
    alpha_divergence,
    divergence_names,
    log_ratios,
    optimal_policy,
    optimal_value,
)
from polymode.core.divergences import get_divergence
from tests.libraries import to_jax, to_torch
from tests.strategies import RAGGED

SMOOTH = [get_divergence(name) for name in divergence_names() if name not in {"square_and_log"}] + [
    alpha_divergence(alpha) for alpha in (-3.0, 0.995, 1.5)
]
SMOOTH = [each for each in SMOOTH if each.name != "total_variation"]

# RAGGED has groups of 3, 2 and 1. In the second row the last of the first group lies far enough
# below the best for every divergence that drops outcomes to drop it.
REWARDS = np.array([[[0.5, -0.2, 0.5, 1.0, 0.3, 2.0]], [[0.1, -np.inf, 0.9, -9.0, 0.4, -1.0]]])
LOG_Q = np.log([[[0.2, 0.6, 0.3, 0.5, 0.4, 1.0]], [[0.3, 0.5, 0.3, 0.4, 0.5, 1.0]]])
LOG_Q[0, 0, 1] = -np.inf
DROPS = (1, 0, 3)
OPTIONS = {"beta": 0.7, "groups": RAGGED}


def rewards_of(function):
    """The rewards; without the forbidden outcome for values, which it may make infinite."""
    return REWARDS if function is optimal_policy else np.maximum(REWARDS, -9.0)


each_function = pytest.mark.parametrize("function", [optimal_policy, optimal_value])
each_smooth = pytest.mark.parametrize("divergence", SMOOTH, ids=lambda each: each.name)


def weights_of(outputs):
    """Weights of a linear function of the outputs, 0 where they are not finite."""
    weights = np.random.default_rng(2).normal(size=outputs.shape)
    return np.where(np.isfinite(outputs), weights, 0.0)


def by_differences(function, weights, divergence):
    """The gradient of the weighted sum in rewards and in log q, by central differences."""

    def scored(rewards, log_q):
        outputs = function(rewards, log_q, divergence=divergence, **OPTIONS)
        return np.sum(weights * np.where(weights == 0, 0.0, outputs))

    step = 1e-5  # about the cube root of the precision
    gradients = []
    for which in (0, 1):
        gradient = np.zeros(REWARDS.shape)
        for index in np.ndindex(REWARDS.shape):
            ends = []
            for sign in (1, -1):
                moved = [rewards_of(function).copy(), LOG_Q.copy()]
                moved[which][index] += sign * step
                ends.append(scored(*moved))
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


def by_torch(function, weights, divergence):
    torch = pytest.importorskip("torch")
    rewards = to_torch(rewards_of(function)).requires_grad_()
    log_q = to_torch(LOG_Q).requires_grad_()
    outputs = function(rewards, log_q, divergence=divergence, **OPTIONS)
    used = to_torch(weights != 0)
    scored = torch.sum(outputs[used] * to_torch(weights)[used])
    return [x.numpy() for x in torch.autograd.grad(scored, (rewards, log_q))]


def by_jax(function, weights, divergence):
    jax = pytest.importorskip("jax")
    arrays = to_jax(rewards_of(function)), to_jax(LOG_Q)  # also switches float64 on
    outputs, pull_back = jax.vjp(
        lambda r, q: function(r, q, divergence=divergence, **OPTIONS), *arrays
    )
    return [np.asarray(x) for x in pull_back(to_jax(weights).astype(outputs.dtype))]


@each_function
@each_smooth
@pytest.mark.parametrize("library", [by_torch, by_jax], ids=["torch", "jax"])
def test_gradients_are_those_of_finite_differences(library, function, divergence):
    weights = weights_of(function(rewards_of(function), LOG_Q, divergence=divergence, **OPTIONS))
    actual = library(function, weights, divergence)
    expected = by_differences(function, weights, divergence)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-7)
    if library is by_jax:
        expected = by_torch(function, weights, divergence)
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


@each_function
@each_smooth
def test_whole_jacobians_pass_gradcheck(function, divergence):
    torch = pytest.importorskip("torch")
    finite = to_torch(
        np.isfinite(function(rewards_of(function), LOG_Q, divergence=divergence, **OPTIONS))
    )
    assert torch.autograd.gradcheck(
        lambda r, q: function(r, q, divergence=divergence, **OPTIONS)[finite],
        (to_torch(rewards_of(function)).requires_grad_(), to_torch(LOG_Q).requires_grad_()),
    )


def test_the_case_has_what_it_says():
    for divergence in SMOOTH:
        t = np.exp(optimal_policy(REWARDS, LOG_Q, divergence=divergence, **OPTIONS))
        assert (t[DROPS] == 0) == np.isfinite(divergence.domain[0]), divergence.name
        assert np.all(t[(0, 1), 0, 1] == 0)  # never given, and forbidden


def test_log_ratios_in_jax():
    jax = pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    rewards, log_q = REWARDS[:1, 0], LOG_Q[1:, 0]
    weights = np.random.default_rng(3).normal(size=(1, 6, 6))
    _, pull_back = jax.vjp(lambda r, q: log_ratios(r, q, beta=0.7), to_jax(rewards), to_jax(log_q))
    arrays = to_torch(rewards).requires_grad_(), to_torch(log_q).requires_grad_()
    expected = torch.autograd.grad(
        torch.sum(to_torch(weights) * log_ratios(*arrays, beta=0.7)), arrays
    )
    for one, other in zip(pull_back(to_jax(weights)), expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), other.numpy(), rtol=1e-9, atol=1e-12)
