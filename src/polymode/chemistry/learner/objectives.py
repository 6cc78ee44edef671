r"""Losses that drive a policy to a target given up to a constant, ``log t = log q + sigma r'``.

All three take the same two columns. With ``d = log p - log t``, and molecules drawn from the policy
itself, their gradients descend the reverse KL (policy first), ``kl(p, t)``, up to a factor:

=================== =========================================== ==================
objective           loss                                        gradient
=================== =========================================== ==================
``squared``         mean of ``d^2`` (REINVENT)                  2 grad kl(p, t)
``policy_gradient`` REINFORCE with a leave-one-out baseline     grad kl(p, t)
``log_variance``    variance of ``d`` over the batch (VarGrad)  2 grad kl(p, t)
=================== =========================================== ==================

They differ in variance, and in what they do with molecules that the policy did not draw.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from polymode.core.advantages import leave_one_out
from polymode.core.checks import positive, require
from polymode.errors import ShapeError

__all__ = [
    "OBJECTIVES",
    "likelihood_penalty",
    "log_targets",
    "log_variance",
    "policy_gradient",
    "squared",
]


def log_targets(ref_log_probs: Tensor, shaped_rewards: Tensor, *, sigma: float) -> Tensor:
    r"""Return the log-target that a reward and a prior make, up to a constant.

    .. math:: \log t(y) = \log q(y) + \sigma r'(y) + \text{const}, \qquad \sigma = 1 / \beta

    Parameters
    ----------
    ref_log_probs : Tensor, shape (n,)
        ``log q`` of the molecules' strings under the prior, in nats.
    shaped_rewards : Tensor, shape (n,)
        Rewards to train on, in reward units.
    sigma : float
        Nats per reward unit, finite and > 0: the inverse of the strength of the regulariser.

    Returns
    -------
    Tensor, shape (n,)
        REINVENT's "augmented log-likelihood", in nats.

    Raises
    ------
    ArgumentError
        If `sigma` is not a finite number > 0.
    ShapeError
        If the columns differ in shape.

    References
    ----------
    .. [1] Olivecrona et al., "Molecular de-novo design through deep reinforcement learning",
       J. Cheminform. 9:48 (2017), "augmented likelihood".
    """
    require(positive(sigma=sigma))
    _check(ref_log_probs, shaped_rewards, "ref_log_probs", "shaped_rewards")
    return ref_log_probs + sigma * shaped_rewards


def squared(log_probs: Tensor, log_targets: Tensor) -> Tensor:
    r"""Return REINVENT's loss: the mean squared distance of log-policy and log-target.

    .. math:: \frac{1}{n} \sum_i \bigl( \log q(y_i) + \sigma r'(y_i) - \log p(y_i) \bigr)^2

    Parameters
    ----------
    log_probs : Tensor, shape (n,)
        ``log p``, differentiable, in nats.
    log_targets : Tensor, shape (n,)
        ``log t`` up to a constant, in nats; see `log_targets`.

    Returns
    -------
    Tensor, scalar
        The loss, in squared nats.

    Raises
    ------
    ShapeError
        If the columns differ in shape or are empty.

    Notes
    -----
    On the policy's own molecules the gradient is unbiased for ``2 grad kl(p, t)``, because the
    expectation of ``grad log p`` is zero: the missing ``log Z`` drops out. But it has no baseline:
    ``d`` holds all of ``log Z``, tens of nats, which is noise in every gradient. And on molecules
    of any other distribution the constant does not drop out: the loss is least where ``p`` is the
    *unnormalised* target, which no policy is, so that replayed molecules are pushed up as far as
    the constant is large, whatever their share under the target is. `log_variance` mends both.
    """
    _check(log_probs, log_targets)
    return ((log_targets.detach() - log_probs) ** 2).mean()


def policy_gradient(log_probs: Tensor, log_targets: Tensor) -> Tensor:
    r"""Return the REINFORCE loss of the regularised reward, with a leave-one-out baseline.

    .. math::

        -\frac{1}{n} \sum_i A_i \log p(y_i), \qquad
        A_i = R_i - \frac{1}{n-1} \sum_{j \ne i} R_j, \qquad
        \beta R = r' - \beta (\log p - \log q)

    Parameters
    ----------
    log_probs : Tensor, shape (n,)
        ``log p``, differentiable, in nats.
    log_targets : Tensor, shape (n,)
        ``log t`` up to a constant, in nats; see `log_targets`.

    Returns
    -------
    Tensor, scalar
        The loss; its value means nothing, its gradient is unbiased for that of ``kl(p, t)``.

    Raises
    ------
    ShapeError
        If the columns differ in shape or are empty.

    Notes
    -----
    Everything is divided by ``beta``, so that advantages are nats and one learning rate serves all
    objectives. For the policy's own molecules only. There, batch by batch, its gradient is exactly
    half that of `log_variance`.
    """
    _check(log_probs, log_targets)
    advantages = leave_one_out((log_targets - log_probs).detach())
    return -(advantages * log_probs).mean()


def log_variance(log_probs: Tensor, log_targets: Tensor) -> Tensor:
    r"""Return the variance over the batch of the log-ratio of policy and target.

    .. math:: \frac{1}{n - 1} \sum_i (d_i - \bar d)^2, \qquad d = \log p - \log t

    Parameters
    ----------
    log_probs : Tensor, shape (n,)
        ``log p``, differentiable, in nats.
    log_targets : Tensor, shape (n,)
        ``log t`` up to a constant, in nats; see `log_targets`.

    Returns
    -------
    Tensor, scalar
        The loss, in squared nats; 0 for a single molecule.

    Raises
    ------
    ShapeError
        If the columns differ in shape or are empty.

    Notes
    -----
    Zero exactly where ``p`` is proportional to ``t`` on the molecules of the batch, so for every
    distribution that molecules are drawn from, replayed ones included, ``p = t`` is a minimum, and
    the only one if that distribution reaches everywhere. No importance weights are needed: the
    divergence that is minimised changes with the sampling distribution, its minimum does not. The
    mean of ``d`` takes the part of ``log Z``, and of a baseline.

    References
    ----------
    .. [1] Richter et al., "VarGrad: A Low-Variance Gradient Estimator for Variational Inference",
       NeurIPS 2020, arXiv 2010.10436: the log-variance loss, whose gradient is that of the KL
       where samples come from the policy.
    .. [2] Malkin et al., "Trajectory balance: Improved credit assignment in GFlowNets", NeurIPS
       2022, arXiv 2201.13259: the squared loss with a learned ``log Z``; here the batch gives it.
    """
    _check(log_probs, log_targets)
    if len(log_probs) < 2:
        return (log_probs * 0.0).sum()
    return (log_probs - log_targets.detach()).var()


def likelihood_penalty(log_probs: Tensor, *, weight: float) -> Tensor:
    r"""Return the penalty on likely strings that PMO's REINVENT adds to the squared loss.

    .. math:: -w \cdot \frac{1}{n} \sum_i \frac{1}{\log p(y_i)}

    Parameters
    ----------
    log_probs : Tensor, shape (n,)
        ``log p``, differentiable, in nats, below 0.
    weight : float
        The weight ``w``, in squared nats times nats; PMO takes 5,000.

    Returns
    -------
    Tensor, scalar
        The penalty: grows without bound as a string becomes certain.

    Raises
    ------
    ArgumentError
        If `weight` is not a finite number > 0.

    References
    ----------
    .. [1] Gao et al., "Sample Efficiency Matters: A Benchmark for Practical Molecular
       Optimization", NeurIPS 2022, arXiv 2206.12411; the term is in its REINVENT code.
    """
    require(positive(weight=weight))
    return -weight * (1.0 / log_probs.clamp(max=-1e-3)).mean()


Objective = Callable[[Tensor, Tensor], Tensor]

OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {"reinvent": squared, "policy_gradient": policy_gradient, "log_variance": log_variance}
)
"""The objectives by the names of configs."""


def _check(
    first: Tensor, second: Tensor, name: str = "log_probs", other: str = "log_targets"
) -> None:
    """Check that two columns are columns of one table."""
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ShapeError(f"{name} and {other} must be two columns of one length > 0, got {shapes}")
