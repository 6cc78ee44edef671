"""Typed values out of settings, for readers: interpolations followed, problems collected."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polymode.core.checks import known
from polymode.diagnostics.audit.frameworks.framework import FieldClass, class_in
from polymode.diagnostics.audit.frameworks.sources import Options
from polymode.diagnostics.audit.objective import Decided
from polymode.diagnostics.audit.settings import Setting, Settings
from polymode.errors import ConfigError

__all__ = ["Values", "classified", "updates", "with_foreign"]

_LINK = re.compile(r"\$\{(?:oc\.select:)?(?P<key>[\w.-]+)(?:,(?P<default>[^}]*))?\}")
_MAX_LINKS = 16
_SAME_WORD, _SAME_KEY = 0.85, 0.93  # similarities from which a word counts as a misspelt one
_IDLE = {
    "top_p": (1.0,),
    "top_k": (-1.0, 0.0),
    "min_p": (0.0,),
    "repetition_penalty": (1.0,),
}


class Values:
    """Typed values of complete settings; notes what decided each field, and what is wrong.

    A value that cannot be told, such as a resolver of the framework's own, is None, with a remark.

    Parameters
    ----------
    settings : Settings
        Complete: defaults are filled in.
    title : str
        Of the framework, for messages.
    """

    def __init__(self, settings: Settings, title: str) -> None:
        self.decided = Decided(_followed(settings))
        self.title = title
        self.problems: list[str] = []
        self.remarks: list[str] = []

    def number(self, fields: str, *keys: str) -> float | None:
        """Return the value of the first key as a number, or None where it is not set.

        Parameters
        ----------
        fields : str
            Fields of the objective that these keys decide.
        *keys : str
            The first one is read.

        Returns
        -------
        float or None
            The number.
        """
        value = self.decided(fields, *keys)
        if value is None or self._open(keys[0], value):
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            self.problems.append(f"{keys[0]} must be a number, got {value!r}")
            return None

    def whole(self, fields: str, *keys: str) -> int | None:
        """Return the value of the first key as an integer, or None where it is not set.

        Parameters
        ----------
        fields : str
            Fields of the objective that these keys decide.
        *keys : str
            The first one is read.

        Returns
        -------
        int or None
            The number.
        """
        value = self.number(fields, *keys)
        if value is not None and not value.is_integer():
            self.problems.append(f"{keys[0]} must be an integer, got {value!r}")
            return None
        return None if value is None else int(value)

    def on(self, fields: str, *keys: str) -> bool:
        """Return whether the switch of the first key is on.

        Parameters
        ----------
        fields : str
            Fields of the objective that these keys decide.
        *keys : str
            The first one is read.

        Returns
        -------
        bool
            False where it is not set.
        """
        value = self.decided(fields, *keys, default=False)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if self._open(keys[0], value):
            return False
        if not isinstance(value, (bool, int, type(None))):
            self.problems.append(f"{keys[0]} must be true or false, got {value!r}")
        return bool(value)

    def word(self, fields: str, *keys: str, of: Sequence[str] = ()) -> str:
        """Return the value of the first key as a word, "" where it is not set.

        Parameters
        ----------
        fields : str
            Fields of the objective that these keys decide.
        *keys : str
            The first one is read.
        of : sequence of str
            The words that the framework takes; empty for any.

        Returns
        -------
        str
            The word.
        """
        value = self.decided(fields, *keys)
        if value is None or self._open(keys[0], value):
            return ""
        if of:
            self.problems += known(keys[0], str(value), of)
        return str(value)

    def pair(self, fields: str, key: str) -> tuple[float, float] | None:
        """Return the two numbers of a key, or None where it is not set.

        Parameters
        ----------
        fields : str
            Fields of the objective that this key decides.
        key : str
            The key.

        Returns
        -------
        tuple of two floats, or None
            Both numbers.
        """
        value = self.decided(fields, key)
        if value is None:
            return None
        parts = value.strip("[]()").replace(",", " ").split() if isinstance(value, str) else value
        try:
            low, high = (float(part) for part in parts)
        except (TypeError, ValueError):
            self.problems.append(f"{key} must be two numbers, got {value!r}")
            return None
        return low, high

    def filters(self, **keys: str) -> dict[str, float]:
        """Return the filters of sampling that are active, by name.

        Parameters
        ----------
        **keys : str
            For each of "top_p", "top_k", "min_p" and "repetition_penalty", the key that sets it.

        Returns
        -------
        dict
            Names to values.
        """
        values = {name: self.number("truncated_sampling", key) for name, key in keys.items()}
        return {name: v for name, v in values.items() if v is not None and v not in _IDLE[name]}

    def finish(self) -> dict[str, Any]:
        """Return what every objective takes from here; raise what was wrong.

        Returns
        -------
        dict
            Arguments `sources` and `remarks`.

        Raises
        ------
        ConfigError
            If a value is not one that the framework takes. Lists everything that is wrong.
        """
        if self.problems:
            raise ConfigError(f"{self.decided.settings.name}, {self.title}", self.problems)
        sources: Mapping[str, tuple[Setting, ...]] = dict(self.decided.sources)
        return {"sources": sources, "remarks": tuple(self.remarks)}

    def _open(self, key: str, value: Any) -> bool:
        """Return whether a value is an interpolation that only the framework can follow."""
        if isinstance(value, str) and "${" in value:
            self.remarks.append(f"{key} is {value}, which only {self.title} itself can work out.")
            return True
        return False


def _followed(settings: Settings) -> Settings:
    """Return the settings with ``${another.key}`` replaced by its value, where it is so simple."""
    return Settings(
        {key: _follow(settings, setting) for key, setting in settings.items_by_key.items()},
        settings.name,
        settings.program,
    )


def _follow(settings: Settings, setting: Setting) -> Setting:
    """Return what an interpolation stands for, or itself where that cannot be told.

    Where the value at its end was given, and the interpolation was not, that is what decided it.
    """
    key, value, source = setting.key, setting.value, setting.source
    for _ in range(_MAX_LINKS):
        link = _LINK.fullmatch(value) if isinstance(value, str) else None
        if link is None:
            told = not (isinstance(value, str) and "${" in value)
            return Setting(key, value, source) if told else setting
        found = settings.setting(link["key"])
        if found is None:
            value = None if link["default"] == "null" else link["default"]
        else:
            value = found.value
            if found.given:
                key, source = found.key, found.source
    return setting


def classified(
    options: Options, target: Sequence[str], path: Sequence[str] = (), free: Sequence[str] = ()
) -> dict[str, FieldClass]:
    """Return what each option of a framework can change; what is not named changes nothing.

    Parameters
    ----------
    options : Options
        All that the framework has.
    target : sequence of str
        Keys that decide where a run ends.
    path : sequence of str
        Keys, or beginnings of keys that end in a dot, that decide how it gets there.
    free : sequence of str
        Keys below which a user may put anything.

    Returns
    -------
    dict
        Keys to classes.
    """
    keys = (*options.defaults, *options.switches)
    fields: dict[str, FieldClass] = dict.fromkeys(keys, "irrelevant")
    begins = tuple(word for word in path if word.endswith("."))
    fields |= {key: "path" for key in keys if key in path or key.startswith(begins)}
    fields |= dict.fromkeys(target, "target")
    below: dict[str, FieldClass] = {f"{key}.*": "irrelevant" for key in free}
    whole: dict[str, FieldClass] = dict.fromkeys(free, "irrelevant")
    return whole | below | fields


def with_foreign(
    fields: Mapping[str, FieldClass], settings: Iterable[str]
) -> Mapping[str, FieldClass]:
    """Return fields with every option that we do not know and that is no misspelling of one.

    For frameworks that hand options on to others, or whose own list we do not have in full.

    Parameters
    ----------
    fields : mapping of str to str
        What we know.
    settings : iterable of str
        Keys that are set.

    Returns
    -------
    mapping of str to str
        With unknown options as "irrelevant".
    """
    unknown = [key for key in settings if class_in(fields, key) is None]
    foreign = [key for key in unknown if not _looks_like_one(key, fields)]
    return {**fields, **dict.fromkeys(foreign, "irrelevant")}


def _looks_like_one(key: str, fields: Iterable[str]) -> bool:
    """Return whether a key is nearly one of ours, or its last word nearly one beside it."""
    parent, _, last = key.rpartition(".")
    beside = [own.rpartition(".")[2] for own in fields if own.rpartition(".")[0] == parent]
    near = difflib.get_close_matches(last, beside, 1, _SAME_WORD)
    return bool(near or difflib.get_close_matches(key, fields, 1, _SAME_KEY))


def updates(samples: float | None, per_step: float | None, epochs: float | None) -> float | None:
    """Return the optimiser steps for each batch of samples, or None where they cannot be told.

    Parameters
    ----------
    samples : float or None
        Size of a batch of samples.
    per_step : float or None
        How many of them a step takes.
    epochs : float or None
        How often all of them are gone through; None is once.

    Returns
    -------
    float or None
        At least 1 for each epoch.

    Examples
    --------
    >>> updates(1024, 256, 1)
    4.0
    """
    if not samples or not per_step:
        return None
    return max(samples / per_step, 1.0) * (epochs or 1.0)
