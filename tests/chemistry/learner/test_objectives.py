"""Objectives against the exact gradient of the reverse KL of a tabular policy."""

import pytest
import torch

from polymode.chemistry.learner.objectives import (
    OBJECTIVES,
    likelihood_penalty,
    log_targets,
    log_variance,
    policy_gradient,
    squared,
)
from polymode.errors import ArgumentError, ShapeError

torch.set_num_threads(1)
LOG_T = torch.tensor([0.4, -1.0, 2.0, -0.5], dtype=torch.float64)  # not normalised, and need not be
LOGITS = torch.tensor([0.1, 0.7, -0.3, -1.2], dtype=torch.float64)


def gradient(loss_of, logits=LOGITS):
    logits = logits.clone().requires_grad_()
    loss_of(logits.log_softmax(0)).backward()
    return logits.grad


def kl_gradient(logits=LOGITS):
    """Of ``kl(p, t)``, by the sum over all four outputs."""
    return gradient(lambda log_p: (log_p.exp() * (log_p - LOG_T)).sum(), logits)


@pytest.mark.parametrize(
    ("name", "factor"), [("reinvent", 2.0), ("policy_gradient", 1.0), ("log_variance", 2.0)]
)
def test_expected_gradient_is_that_of_reverse_kl(name, factor):
    # Exact expectation over all 16 batches of two outputs drawn from the policy.
    p = LOGITS.softmax(0)
    expected = torch.zeros(4, dtype=torch.float64)
    for i in range(4):
        for j in range(4):
            batch = torch.tensor([i, j])
            one = gradient(lambda log_p, b=batch: OBJECTIVES[name](log_p[b], LOG_T[b]))
            expected += p[i] * p[j] * one
    torch.testing.assert_close(expected, factor * kl_gradient())


def test_log_variance_gradient_is_twice_policy_gradient_in_every_batch():
    batch = torch.tensor([0, 0, 3, 1, 2])
    first = gradient(lambda log_p: log_variance(log_p[batch], LOG_T[batch]))
    second = gradient(lambda log_p: policy_gradient(log_p[batch], LOG_T[batch]))
    torch.testing.assert_close(first, 2 * second)


def test_off_policy_only_log_variance_rests_at_the_target():
    # Drawn evenly, not from the policy; the policy is the target already.
    everything = torch.arange(4)
    at_target = LOG_T.log_softmax(0)
    rest = gradient(lambda log_p: log_variance(log_p[everything], LOG_T), at_target)
    torch.testing.assert_close(rest, torch.zeros(4, dtype=torch.float64))
    # d is log Z for all of them: sum_i (p_j - 1/4) * 2 log Z is what pushes on.
    log_z = LOG_T.logsumexp(0)
    pushed = gradient(lambda log_p: squared(log_p[everything], LOG_T), at_target)
    torch.testing.assert_close(pushed, 2 * log_z * (at_target.exp() - 0.25))


def test_squared_has_the_noise_of_log_z_and_the_others_do_not():
    # At the target every single-batch gradient is zero for log_variance; squared has 2 log Z times
    # the score function in each, though their mean is zero.
    at_target = LOG_T.log_softmax(0)
    batch = torch.tensor([0, 2, 2])
    assert gradient(lambda lp: log_variance(lp[batch], LOG_T[batch]), at_target).abs().max() < 1e-12
    assert gradient(lambda lp: squared(lp[batch], LOG_T[batch]), at_target).abs().max() > 0.5


@pytest.mark.parametrize(
    ("name", "same"), [("reinvent", False), ("policy_gradient", True), ("log_variance", True)]
)
def test_constants_in_the_target_change_only_squared(name, same):
    batch = torch.tensor([0, 1, 3])
    first, second = (
        gradient(lambda lp, c=c: OBJECTIVES[name](lp[batch], LOG_T[batch] + c)) for c in (0, 7)
    )
    assert torch.allclose(first, second) is same


def test_log_target_is_the_augmented_likelihood():
    got = log_targets(torch.tensor([-20.0, -30.0]), torch.tensor([0.5, 0.0]), sigma=60)
    torch.testing.assert_close(got, torch.tensor([10.0, -30.0]))


def test_likelihood_penalty_is_that_of_pmo():
    # -5000 * mean(1/-10, 1/-20) = 5000 * 0.075
    got = likelihood_penalty(torch.tensor([-10.0, -20.0]), weight=5000)
    torch.testing.assert_close(got, torch.tensor(375.0))


def test_one_molecule_has_no_variance_and_no_gradient():
    log_p = torch.tensor([-3.0], requires_grad=True)
    log_variance(log_p, torch.tensor([0.0])).backward()
    assert log_p.grad == 0


def test_messages():
    two, three = torch.zeros(2), torch.zeros(3)
    with pytest.raises(ShapeError, match="log_probs and log_targets must be two columns"):
        squared(two, three)
    with pytest.raises(ShapeError, match="length > 0"):
        log_variance(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ShapeError, match="ref_log_probs and shaped_rewards"):
        log_targets(two, three, sigma=1)
    with pytest.raises(ArgumentError, match="sigma must be a finite number > 0, got 0"):
        log_targets(two, two, sigma=0)
    with pytest.raises(ArgumentError, match="weight"):
        likelihood_penalty(two, weight=-1)
