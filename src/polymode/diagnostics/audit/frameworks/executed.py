"""Which combinations of options our tests run in a framework's own code.

The tests take their cases from a table of this kind, one for each framework that is executed, and
the audit takes from the same table what it calls tested by running it. So nothing can be called
that without a case, and a case that is added here is run.

What is run is the gradient of one on-policy step, on a frozen batch: options meet in *parts*, such
as the function that makes advantages and the one that makes the loss of them, and a part is
executed where the values of all its options were. That parts do not meddle with each other is run
too: `crossed` has every pair of values of all options, whichever parts they are of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from typing import Any, cast

from polymode.diagnostics.audit.frameworks.framework import FieldClass, class_in
from polymode.diagnostics.audit.objective import Evidence
from polymode.diagnostics.audit.settings import Settings

__all__ = ["Case", "Executed", "pairwise"]

Combination = tuple[tuple[str, Any], ...]
Case = Mapping[str, Any]
"""Options of one part, by their dotted keys."""


@dataclass(frozen=True, kw_only=True)
class Executed:
    """The table of one framework, or of one of its trainers.

    Parameters
    ----------
    release : str
        Version that is run; nothing of others is.
    parts : mapping of str to sequence of Case
        Names of parts to the cases that are run. All cases of a part have the same options.
    crossed : sequence of Case
        Cases of all options of all parts at once, from `pairwise`; they are run beside the parts.
    plain : mapping of str to object
        Options that every case leaves at this value.
    free : sequence of str
        Options that bear on the target and that enter as a number or as data, so that a case
        stands for all of their values. A key may end in ``.*`` for all below it.
    neutral : mapping of str to object
        Numbers among the options of parts to the value at which they do nothing: cases tell that
        value from all others, and no more.
    needs : mapping of str to tuple of str and object
        Options of parts that act only where another option has a value: its key, and the value.
    """

    release: str
    parts: Mapping[str, Sequence[Case]]
    crossed: Sequence[Case] = ()
    plain: Mapping[str, Any] = field(default_factory=dict[str, Any])
    free: Sequence[str] = ()
    neutral: Mapping[str, Any] = field(default_factory=dict[str, Any])
    needs: Mapping[str, tuple[str, Any]] = field(default_factory=dict[str, tuple[str, Any]])

    def evidence(
        self, settings: Settings, version: str, fields: Mapping[str, FieldClass]
    ) -> tuple[Evidence, tuple[str, ...]]:
        """Return whether a combination of options is run by our tests, and what of it is not.

        Parameters
        ----------
        settings : Settings
            Complete.
        version : str
            Of the framework.
        fields : mapping of str to str
            What each option can change.

        Returns
        -------
        evidence : {"executed", "partly", "read"}
            "partly" where all parts are executed, and options beside them are not.
        not_executed : tuple of str
            What is not, as ``key=value``; empty for another release, of which nothing is.
        """
        if version != self.release:
            return "read", ()
        missing = [
            f"{key}={settings.get(key)}"
            for name, cases in self.parts.items()
            if (asked := self._combination(settings, cases[0])) not in self._run[name]
            for key, value in asked
            if value is not None
        ]
        beside = [
            f"{key}={value}"
            for key, value in settings.items()
            if (key in self.plain or class_in(fields, key) == "target")
            and not self.covers(key, value)
        ]
        return ("read" if missing else "partly" if beside else "executed"), (*missing, *beside)

    def covers(self, key: str, value: Any) -> bool:
        """Return whether some case stands for this value of an option, whatever it is beside.

        Parameters
        ----------
        key : str
            Dotted key.
        value : object
            Its value.

        Returns
        -------
        bool
            True for all options of parts: `evidence` looks at their combinations.
        """
        if any(key in cases[0] for cases in self.parts.values()):
            return True
        if key in self.plain:
            return bool(value == self.plain[key])
        return class_in(dict.fromkeys(self.free, "target"), key) is not None

    @cached_property
    def _run(self) -> dict[str, set[Combination]]:
        """What counts of the cases of each part."""
        return {
            name: {self._combination(case, cases[0]) for case in (*cases, *self.crossed)}
            for name, cases in self.parts.items()
        }

    def _combination(self, settings: Mapping[str, Any], like: Case) -> Combination:
        """Return the options of a part with what counts of their values; None: they do nothing."""

        def value(key: str) -> Any:
            found = settings.get(key)
            if key in self.neutral:
                return found != self.neutral[key]
            return tuple(cast(Any, found)) if isinstance(found, list) else found

        found: list[tuple[str, Any]] = []
        for key in like:
            other, needed = self.needs.get(key, (key, value(key)))
            found.append((key, value(key) if value(other) == needed else None))
        return tuple(found)


def pairwise(values: Mapping[str, Sequence[Any]]) -> list[Case]:
    """Return few cases in which every two values of different options meet.

    Parameters
    ----------
    values : mapping of str to sequence
        Options to their values, which are hashable.

    Returns
    -------
    list of Case
        The same at every call: cases are built one by one, each from a pair that is missing, and
        every further option takes the value with most missing pairs.

    Examples
    --------
    >>> len(pairwise({"a": (1, 2), "b": (1, 2), "c": (1, 2)}))
    4
    """
    missing = dict.fromkeys(
        frozenset(pair)
        for one, other in combinations(values, 2)
        for pair in product(((one, v) for v in values[one]), ((other, v) for v in values[other]))
    )
    cases: list[Case] = []
    while missing:
        case = dict(next(iter(missing)))
        for key in values:
            if key not in case:
                case[key] = max(values[key], key=lambda v: _met(case, key, v, missing))
        for pair in _pairs(case):
            missing.pop(pair, None)
        cases.append({key: case[key] for key in values})
    return cases


def _met(case: Case, key: str, value: Any, missing: Mapping[frozenset[Any], None]) -> int:
    """Return how many missing pairs a value would bring into a case."""
    return sum(frozenset((item, (key, value))) in missing for item in case.items())


def _pairs(case: Case) -> Iterator[frozenset[Any]]:
    """Yield all pairs of options with their values."""
    return (frozenset(pair) for pair in combinations(case.items(), 2))
