"""The collapse alert: a run that only repeats itself is told so, and can be ended."""

from collections import deque
from collections.abc import Mapping
from typing import Any

__all__ = ["CollapseAlert"]


class CollapseAlert:
    """Watches two signs of collapse, and raises an alert once they have lasted.

    Parameters
    ----------
    window : int
        Steps in a row that have to show a sign.
    repeats : float
        A step is a sign if a larger share of its molecules was seen before.
    effective_scaffolds : float
        A step is a sign if its molecules have fewer effective scaffolds, exp of the entropy.

    Notes
    -----
    The two signs are watched apart: a policy that goes round a thousand molecules repeats itself
    and has scaffolds, one that decorates a single scaffold need not repeat itself.
    """

    def __init__(self, *, window: int, repeats: float, effective_scaffolds: float) -> None:
        self._limits = {
            "frac_repeats": lambda value: value > repeats,
            "effective_scaffolds": lambda value: value < effective_scaffolds,
        }
        self._recent: dict[str, deque[float]] = {
            name: deque[float](maxlen=window) for name in self._limits
        }

    def watch(self, *, frac_repeats: float, effective_scaffolds: float) -> str | None:
        """Take in a step, and return what is wrong if its signs have lasted.

        Parameters
        ----------
        frac_repeats : float
            Share of valid molecules that were seen before, in [0, 1]; NaN is no sign.
        effective_scaffolds : float
            Effective number of scaffolds of the valid molecules; NaN is no sign.
        """
        values = {"frac_repeats": frac_repeats, "effective_scaffolds": effective_scaffolds}
        found: list[str] = []
        for name, value in values.items():
            recent = self._recent[name]
            recent.append(value)
            if len(recent) == recent.maxlen and all(map(self._limits[name], recent)):
                mean = sum(recent) / len(recent)
                found.append(f"{name} was {mean:.3g} on average of the last {len(recent)} steps")
        return "; ".join(found) or None

    def state(self) -> dict[str, Any]:
        """Return the steps that are looked at."""
        return {name: list(recent) for name, recent in self._recent.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            What `state` returned.
        """
        for name, recent in self._recent.items():
            recent.clear()
            recent.extend(state[name])
