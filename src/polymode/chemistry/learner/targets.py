r"""What a run wants: rewards ``r'`` such that ``log t = log q + sigma r'`` is the target.

`ShaperTarget` is a shaper of `polymode.core.shaping` applied to each batch; ``anchored`` is the
paper's anchoring of strings. `AnchoredModes` anchors structural modes over the whole run, with what
its memory knows of them.
"""

import inspect
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float

from polymode.chemistry.learner.mode_memory import ModeMemory
from polymode.chemistry.learner.pressure import Pressure
from polymode.chemistry.learner.rows import Rows
from polymode.core.anchoring import augment
from polymode.core.anchors import CarriedAnchors
from polymode.core.shaping import SHAPERS, shape

__all__ = ["AnchoredModes", "ShaperTarget", "Target"]


class Target(Protocol):
    """From rewards to rewards to train on."""

    def shape(self, rows: Rows, *, remaining: float) -> Float[np.ndarray, " n"]:
        """Return ``r'`` of fresh rows, which may change what the target knows."""
        ...

    def shape_again(self, rows: Rows, *, remaining: float) -> Float[np.ndarray, " n"]:
        """Return ``r'`` of rows that are replayed."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what the target knows, for a checkpoint."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        ...


class ShaperTarget:
    """A shaper of the core, applied to every batch as one group.

    Parameters
    ----------
    name : str
        Name of the shaper.
    sigma : float
        Nats per reward unit; the shaper's ``beta`` is its inverse.
    threshold : float
        From which reward on a molecule is a hit.
    carry : bool
        For ``anchored``: carry the anchor over from batch to batch; else each batch has its own,
        as in the paper.
    parameters : mapping, optional
        More parameters of the shaper.

    Notes
    -----
    Replayed rows get what the same rule says of them if it needs nothing but the row (``plain``,
    and ``anchored`` with a carried anchor); else they keep what they got when they were drawn.
    """

    def __init__(
        self,
        name: str = "plain",
        *,
        sigma: float,
        threshold: float,
        carry: bool = True,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._beta = 1.0 / sigma
        known = inspect.signature(SHAPERS[name]).parameters
        own = {"beta": self._beta, "threshold": threshold}
        self._parameters: dict[str, Any] = {
            **{key: value for key, value in own.items() if key in known},
            **(parameters or {}),
        }
        self._carried = CarriedAnchors() if name == "anchored" and carry else None

    def shape(self, rows: Rows, *, remaining: float = math.inf) -> Float[np.ndarray, " n"]:
        """Return ``r'`` of fresh rows.

        Parameters
        ----------
        rows : Rows
            The batch.
        remaining : float
            Not looked at.
        """
        del remaining
        if self._carried is not None:
            anchored = augment(
                rows.rewards,
                rows.ref_log_probs,
                groups=np.zeros(len(rows), dtype=np.int64),
                modes=_keys(rows),
                outputs=_numbers(rows.smiles),
                carried=self._carried,
                **self._parameters,
            )
            self._carried = anchored.carried
            return anchored.rewards
        outputs = {"outputs": _numbers(rows.smiles)} if self.name == "anchored" else {}
        return shape(
            self.name,
            rows.rewards,
            rows.ref_log_probs,
            log_probs=rows.log_probs,
            lengths=rows.n_tokens.astype(np.float64),
            modes=_keys(rows),
            **outputs,
            **self._parameters,
        )

    def shape_again(self, rows: Rows, *, remaining: float = math.inf) -> Float[np.ndarray, " n"]:
        """Return ``r'`` of replayed rows.

        Parameters
        ----------
        rows : Rows
            The rows.
        remaining : float
            Not looked at.
        """
        del remaining
        if self.name == "plain":
            return rows.rewards
        string_anchor = self._carried is not None and rows.modes is None
        if not string_anchor or self._carried is None or not len(self._carried.groups):
            return rows.shaped
        gap = float(self._carried.ref_log_probs[0]) - rows.ref_log_probs
        anchored = float(self._carried.rewards[0]) + self._beta * gap
        return np.where(rows.good, anchored, rows.rewards)

    def state(self) -> dict[str, Any]:
        """Return the carried anchor, if there is one."""
        return {} if self._carried is None else {"carried": asdict(self._carried)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        state : mapping
            What `state` returned.
        """
        if self._carried is not None:
            self._carried = CarriedAnchors(**state["carried"])


class AnchoredModes:
    r"""Modes are made equal, each at the level of the likeliest one, over the whole run.

    .. math::

        \sigma r'(y) = \sigma \ell + \max_n \log \hat q(n) - \log \hat q(m) - \pi_m
        \qquad \text{for a hit } y \text{ of mode } m,
        \qquad r'(y) = r(y) \text{ else}

    Parameters
    ----------
    memory : ModeMemory
        What is known of the modes; it grows with every batch.
    sigma : float
        Nats per reward unit.
    threshold : float
        From which reward on a molecule is a hit.
    level : float or "best"
        The reward ``l`` that all hits get, or the best one found so far.
    floor : float, "threshold" or "mean"
        The reward to which a mode that is used up falls: a number, the threshold, or the mean of
        molecules below the threshold (a running one).
    pressure : Pressure, optional
        What lowers modes that the policy has visited.

    Notes
    -----
    *Optimum.* A hit that comes in is counted in ``q_hat(m)`` before its reward is computed. So mode
    ``m`` has the mass ``1 + sum q(y) / (q_hat(m) + q(y))``, the sum over its strings that are not
    known yet: at least one share, at most one over the part of it that the memory covers. Modes are
    even once the memory covers them; one of which little has been seen gets more, which is where
    there is something to explore, but no single string gets more than a share. Within a
    mode the prior's proportions stay.
    """

    def __init__(
        self,
        memory: ModeMemory,
        *,
        sigma: float,
        threshold: float,
        level: float | Literal["best"] = 1.0,
        floor: float | Literal["threshold", "mean"] = "threshold",
        pressure: Pressure | None = None,
    ) -> None:
        self.memory = memory
        self.pressure = pressure or Pressure()
        self._sigma = sigma
        self._threshold = threshold
        self._level = level
        self._floor = floor
        self._best = -math.inf
        self._mean = math.nan

    @property
    def level(self) -> float:
        """Reward of hits now."""
        if isinstance(self._level, str):
            return max(self._best, self._threshold)
        return self._level

    @property
    def gap(self) -> float:
        """Nats between a hit and the floor now."""
        if not isinstance(self._floor, str):
            floor = self._floor
        elif self._floor == "threshold":
            floor = self._threshold
        else:
            floor = 0.0 if math.isnan(self._mean) else self._mean
        return self._sigma * max(self.level - floor, 0.0)

    def shape(self, rows: Rows, *, remaining: float = math.inf) -> Float[np.ndarray, " n"]:
        """Return ``r'`` of fresh rows; their hits go into the memory first.

        Parameters
        ----------
        rows : Rows
            The batch.
        remaining : float
            Oracle calls that are left.
        """
        self._remember(rows)
        hits = np.flatnonzero(rows.good).tolist()
        self.memory.count([_label(rows, row) for row in hits])
        if len(hits):
            self._best = max(self._best, float(rows.rewards[hits].max()))
        if not rows.good.all():
            mean = float(rows.rewards[~rows.good].mean())
            kept = self.memory.decay
            self._mean = mean if math.isnan(self._mean) else kept * self._mean + (1 - kept) * mean
        return self._shaped(rows, remaining)

    def shape_again(self, rows: Rows, *, remaining: float = math.inf) -> Float[np.ndarray, " n"]:
        """Return ``r'`` of replayed rows; strings that are new go into the memory, uncounted.

        Parameters
        ----------
        rows : Rows
            The rows.
        remaining : float
            Oracle calls that are left.
        """
        self._remember(rows)
        return self._shaped(rows, remaining)

    def mode_shares(self, *, remaining: float = math.inf) -> Float[np.ndarray, " m"]:
        """Return what each mode's share of the hits is to be, if the memory covers the modes.

        Parameters
        ----------
        remaining : float
            Oracle calls that are left.
        """
        if not len(self.memory):
            return np.zeros(0)
        weights = np.exp(-self.pressure.on(self.memory, gap=self.gap, remaining=remaining))
        return weights / weights.sum()

    def state(self) -> dict[str, Any]:
        """Return the memory and the running figures."""
        return {"memory": self.memory.state(), "best": self._best, "mean": self._mean}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        state : mapping
            What `state` returned.
        """
        self.memory.load_state(state["memory"])
        self._best, self._mean = float(state["best"]), float(state["mean"])

    def _remember(self, rows: Rows) -> None:
        hits = np.flatnonzero(rows.good).tolist()
        self.memory.add(
            [_label(rows, row) for row in hits],
            [rows.smiles[row] for row in hits],
            rows.ref_log_probs[hits],
        )

    def _shaped(self, rows: Rows, remaining: float) -> Float[np.ndarray, " n"]:
        shaped = np.array(rows.rewards, dtype=np.float64)
        if not len(self.memory):
            return shaped
        log_mass = self.memory.log_mass
        pressure = self.pressure.on(self.memory, gap=self.gap, remaining=remaining)
        hits = np.flatnonzero(rows.good).tolist()
        of_mode = (log_mass.max() - log_mass - pressure) / self._sigma
        shaped[hits] = self.level + of_mode[self.memory.index([_label(rows, i) for i in hits])]
        if self.pressure.near_misses and self.gap > 0:
            others = np.flatnonzero(~rows.good).tolist()
            near = [i for i in others if _label(rows, i) in self.memory]
            used = np.clip(pressure / self.gap, 0.0, 1.0)
            shaped[near] *= 1.0 - used[self.memory.index([_label(rows, i) for i in near])]
        return shaped


def _label(rows: Rows, row: int) -> Any:
    """Return the mode of a row; without modes every string is its own."""
    return rows.smiles[row] if rows.modes is None else rows.modes[row]


def _keys(rows: Rows) -> Any:
    """Return the modes of rows as numbers, None without modes."""
    return None if rows.modes is None else _numbers(rows.modes)


def _numbers(keys: Any) -> np.ndarray:
    """Number keys of any kind in the order of their first appearance."""
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)
