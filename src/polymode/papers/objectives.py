"""The objectives that the figures compare, and what each of them asks for."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from polymode.core import anchor, augment, optimal_policy

Method = Literal["plain", "anchored"]
Vector = Float[np.ndarray, " n"]

KLS = ("reverse_kl", "forward_kl")
METHODS: tuple[Method, ...] = ("plain", "anchored")


class Objective(NamedTuple):
    """``E_p[r] - beta * D_f(p, q)``; `log_q` sums to 1."""

    rewards: Vector
    log_q: Vector
    beta: float
    divergence: str

    @classmethod
    def of(
        cls,
        rewards: Vector,
        log_q: Vector,
        *,
        beta: float,
        divergence: str,
        threshold: float,
        algorithm: int | None,
    ) -> "Objective":
        """Return the plain objective (None), or that of Algorithm 1 or 2."""
        if algorithm == 1:
            rewards = augment(rewards, log_q, beta=beta, threshold=threshold).rewards
        elif algorithm == 2:
            anchored = anchor(rewards, log_q, threshold=threshold)
            # A KL to something that does not sum to 1 is another objective under forward KL, of
            # strength beta * sum q. Scaled, it is the one whose optimum `optimal_policy` gives.
            log_q = anchored.ref_log_probs - np.logaddexp.reduce(anchored.ref_log_probs)
            rewards = anchored.rewards
        return cls(rewards, log_q, beta, divergence)

    def log_target(self) -> Vector:
        """Return log-probabilities of the policy that the objective asks for."""
        return optimal_policy(self.rewards, self.log_q, beta=self.beta, divergence=self.divergence)

    def target(self) -> list[float]:
        """Return its probabilities."""
        return np.exp(self.log_target()).tolist()


def algorithm_of(method: Method, divergence: str) -> int | None:
    """Return how a method anchors: by rewards alone under reverse KL, else by substitution."""
    if method == "plain":
        return None
    return 1 if divergence == "reverse_kl" else 2
