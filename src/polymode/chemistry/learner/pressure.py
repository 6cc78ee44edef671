r"""The pressure on modes that the policy has visited: nats by which their target is lowered.

Anchored modes are equal at the optimum whether or not there is a pressure; a pressure makes them so
sooner, and sends the policy on to modes that nobody has seen. Two kinds, both of which leave the
flat optimum where it is:

``visits``
    ``lam log(1 + n_m)`` with ``n_m`` the number of times that the policy has drawn the mode: the
    marginal value of a utility that is concave in the visits. ``lam`` is set by the number of
    visits ``k`` after which a hit of the mode earns no more than a near-miss:
    ``lam log(1 + k) = sigma (level - floor)``.
``mass``
    ``lam log(p_hat(m) M)`` with ``p_hat`` the mode's share of the policy's recent hits, and ``M``
    the number of modes: zero where shares are even.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polymode.chemistry.learner.mode_memory import ModeMemory

__all__ = ["Pressure", "allowed_visits", "mass_pressure", "visit_pressure"]


def visit_pressure(n_samples: np.ndarray, *, visits: float, gap: float) -> np.ndarray:
    r"""Return the pressure on modes that have been drawn a number of times.

    .. math:: \min\Bigl( \Delta \, \frac{\log(1 + n_m)}{\log(1 + k)}, \; \Delta \Bigr)

    Parameters
    ----------
    n_samples : array, shape (m,)
        How often the policy has drawn each mode, ``n_m``.
    visits : float
        The number of visits ``k`` at which all of the gap is spent, > 0; ``inf`` has no pressure.
    gap : float
        The gap between a hit and a near-miss, ``sigma (level - floor)``, in nats; below 0 it is 0.

    Returns
    -------
    array, shape (m,)
        Nats, between 0 and `gap`: a hit never falls below a near-miss.

    Notes
    -----
    Up to the cap, ``t_m ∝ w_m (1 + n_m)^-lam`` with ``lam = gap / log(1 + k)``. A policy that
    follows it visits modes in proportion to ``w_m^(1 / (1 + lam))`` in the long run, which flattens
    whatever differences ``w_m`` the anchored target still has.

    Examples
    --------
    >>> visit_pressure(np.array([0, 3, 15, 1000]), visits=15, gap=30.0)
    array([ 0., 15., 30., 30.])
    """
    if math.isinf(visits):
        return np.zeros(np.shape(n_samples))
    gap = max(gap, 0.0)
    return np.minimum(gap * np.log1p(n_samples) / math.log1p(visits), gap)


def mass_pressure(shares: np.ndarray, *, strength: float, gap: float) -> np.ndarray:
    r"""Return the pressure on modes that have a share of the policy's recent hits.

    .. math:: \min( \lambda \log(\hat p(m) \, M), \; \Delta )

    Parameters
    ----------
    shares : array, shape (m,)
        The shares, which sum to 1.
    strength : float
        ``lam``, without unit, >= 0.
    gap : float
        The gap between a hit and a near-miss, in nats; the most that the pressure can be.

    Returns
    -------
    array, shape (m,)
        Nats: below 0, a bonus, for modes with less than an even share.

    Notes
    -----
    The only fixed point of ``p(m) ∝ p(m)^-lam`` is the even one, for every `strength`. If shares
    are averaged, ``p_hat <- (1 - a) p_hat + a p``, a deviation of a mode in the log shrinks by the
    factor ``1 - a (1 + lam)`` in a step: it dies out where ``a (1 + lam) < 2``. Shares of the last
    batch alone (``a = 1``) with ``lam > 1`` never settle.
    """
    if not len(shares):
        return np.zeros(0)
    return np.minimum(strength * np.log(shares * len(shares)), max(gap, 0.0))


def allowed_visits(remaining: float, n_modes: int, *, share: float, at_least: float) -> float:
    """Return how many visits a mode is worth if what is left of the budget is to reach all.

    Parameters
    ----------
    remaining : float
        Oracle calls that are left; ``inf`` without a budget.
    n_modes : int
        Number of modes found so far.
    share : float
        Part of what is left that visits may take.
    at_least : float
        The fewest visits.

    Returns
    -------
    float
        ``max(at_least, share * remaining / n_modes)``: many where modes are few, as long as hits
        are rare, few where modes are many.
    """
    return max(at_least, share * remaining / max(n_modes, 1))


@dataclass(frozen=True, slots=True)
class Pressure:
    """Which pressure acts, and how much of it.

    Parameters
    ----------
    kind : {"none", "visits", "mass"}
        See the module.
    visits : float or "budget"
        For ``visits``: the number of visits that use a mode up, > 0, or as many as
        `allowed_visits` says of the budget that is left.
    budget_share : float
        For ``visits="budget"``: part of what is left that visits may take.
    min_visits : float
        For ``visits="budget"``: the fewest visits.
    strength : float
        For ``mass``: ``lam``.
    """

    kind: Literal["none", "visits", "mass"] = "none"
    visits: float | Literal["budget"] = "budget"
    budget_share: float = 1.0
    min_visits: float = 8.0
    strength: float = 1.0

    def on(self, memory: ModeMemory, *, gap: float, remaining: float = math.inf) -> np.ndarray:
        """Return the pressure on each mode of a memory.

        Parameters
        ----------
        memory : ModeMemory
            The modes.
        gap : float
            ``sigma (level - floor)``, in nats.
        remaining : float
            Oracle calls that are left.

        Returns
        -------
        array, shape (m,)
            Nats.
        """
        if self.kind == "mass":
            return mass_pressure(memory.shares(), strength=self.strength, gap=gap)
        if self.kind == "none":
            return np.zeros(len(memory))
        visits = self.visits
        if visits == "budget":
            visits = allowed_visits(
                remaining, len(memory), share=self.budget_share, at_least=self.min_visits
            )
        return visit_pressure(memory.n_samples, visits=visits, gap=gap)
